// What a collector reads back of its own states. Input: a byte that says which one (0 to 3: BMP tables, folded routes,
// answered requests, version 1 runs), a length and so many bytes that it is loaded from; then what was spooled behind
// that: a byte for the source (top bit: a note instead), and a frame as collector_states.h has it. What was loaded is
// saved, loaded and saved again to the same.
#include <cstdint>
#include <string>
#include <string_view>

#include "tests/fuzz/collector_states.h"
#include "tests/fuzz/require.h"

using namespace virp::fuzz;  // NOLINT(google-build-using-namespace): a fuzz target is one function
namespace collector = virp::collector;
namespace frame = virp::frame;

namespace {

// Saved the same by a state that was loaded from it.
void RequireRest(std::size_t which, const std::string& saved) {
  CollectorStates states;
  collector::OutboxState& again = *states.all()[which];
  REQUIRE(again.Load(saved).ok());
  REQUIRE(again.Save() == saved);
}

std::string Saved(collector::OutboxState& state) {
  state.BeforeSave();
  std::string saved = state.Save();
  state.AfterSave();
  return saved;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t which = data[0] % 4;
  Input in{{reinterpret_cast<const char*>(data) + 1, size - 1}};
  CollectorStates states;
  collector::OutboxState& state = *states.all()[which];
  if (!state.Load(in.Text()).ok()) return 0;
  RequireRest(which, Saved(state));
  while (!in.left.empty()) {
    const auto who = in.Number<std::uint8_t>();
    const std::string& source = kSources[who % 4];
    if ((who & 0x80) != 0) {
      state.ReplayNote(in.Text()).IgnoreError();
      continue;
    }
    const SpooledBytes spooled = TakeFrame(in, source, 7);
    if (spooled.bytes.empty()) continue;
    const auto decoded = frame::Decode(spooled.bytes, spooled.spelling);
    REQUIRE(decoded.ok());
    REQUIRE(state.ReplayFrame(source, *decoded, 7).ok());
  }
  RequireRest(which, Saved(state));
  return 0;
}
