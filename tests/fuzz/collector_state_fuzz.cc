// What a collector reads back of its own states. Input: a byte that says which one (0 to 3: BMP tables, folded routes,
// answered requests, version 1 runs), a length and so many bytes that it is loaded from; then what was spooled behind
// that: a byte for the source (top bit: a note instead), and a frame as collector_states.h has it. What was loaded is
// saved, loaded and saved again to the same; BMP tables to the same but for the order of their paths.
#include <cstdint>
#include <string>
#include <string_view>

#include "tests/fuzz/collector_states.h"
#include "tests/fuzz/require.h"

using namespace virp::fuzz;  // NOLINT(google-build-using-namespace): a fuzz target is one function
namespace collector = virp::collector;
namespace frame = virp::frame;

namespace {

// A snapshot has the paths of a table in no order: theirs is that of a hash map, which differs between two maps.
void RequireSameTables(CollectorStates& one, CollectorStates& other) {
  for (const std::string& source : kSources) {
    collector::RouterTable* router = one.tables.Find(source);
    collector::RouterTable* twin = other.tables.Find(source);
    REQUIRE((router == nullptr) == (twin == nullptr));
    if (router == nullptr) continue;
    REQUIRE(router->peers().size() == twin->peers().size() && router->paths() == twin->paths());
    for (const auto& [key, peer] : router->peers()) {
      const collector::HeldPeer* same = twin->Find(peer->vrf, peer->address);
      REQUIRE(same != nullptr && same->facts == peer->facts);
      for (std::size_t rib = 0; rib < collector::kRibs; ++rib) {
        REQUIRE((peer->tables[rib] == nullptr) == (same->tables[rib] == nullptr));
        if (peer->tables[rib] == nullptr) continue;
        REQUIRE(peer->tables[rib]->size() == same->tables[rib]->size());
        REQUIRE(peer->tables[rib]->complete == same->tables[rib]->complete);
        peer->tables[rib]->ForEach([&](const virp::bmp::Route& route, const collector::HeldPath& path) {
          const collector::HeldPath* held = same->tables[rib]->Find(route);
          REQUIRE(held != nullptr && twin->texts().Text(held->attributes) == router->texts().Text(path.attributes));
        });
      }
    }
  }
  const collector::OwedBatch& owed = one.tables.owed();
  REQUIRE(owed.size() == other.tables.owed().size());
  for (std::size_t i = 0; i < owed.size(); ++i) {
    const auto& a = owed[i].observation;
    const auto& b = other.tables.owed()[i].observation;
    REQUIRE(*owed[i].source == *other.tables.owed()[i].source && owed[i].subject == other.tables.owed()[i].subject);
    REQUIRE(a.type == b.type && a.tier == b.tier && a.epoch == b.epoch && a.payload == b.payload);
  }
}

// A state that is loaded from what this one saves is the same.
void RequireRest(CollectorStates& states, std::size_t which) {
  virp::deliver::OutboxState& state = *states.all()[which];
  state.BeforeSave();
  const std::string saved = state.Save();
  state.AfterSave();
  CollectorStates loaded;
  virp::deliver::OutboxState& again = *loaded.all()[which];
  REQUIRE(again.Load(saved).ok());
  if (&state == &states.tables) {
    RequireSameTables(states, loaded);
  } else {
    REQUIRE(again.Save() == saved);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t which = data[0] % 4;
  Input in{{reinterpret_cast<const char*>(data) + 1, size - 1}};
  CollectorStates states;
  virp::deliver::OutboxState& state = *states.all()[which];
  if (!state.Load(in.Text()).ok()) return 0;
  RequireRest(states, which);
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
  RequireRest(states, which);
  return 0;
}
