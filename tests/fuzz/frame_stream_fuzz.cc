// A connection's bytes, cut in two ways. Input: a byte that names the spelling or "auto", one that seeds the pieces,
// then the bytes. A tag is good when it begins with 'K', so that the fuzzer can make good ones.
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/frame/reason.h"
#include "lib/frame/stream.h"
#include "tests/fuzz/require.h"

using namespace virp::frame;  // NOLINT(google-build-using-namespace): a fuzz target is one function

namespace {

struct Result {
  std::vector<std::string> frames;
  std::vector<Spelling> spellings;
  Reason end = Reason::kNone;
  bool operator==(const Result&) const = default;
};

FrameSplitter MakeSplitter(std::uint8_t mode) {
  if (mode % 5 == 4) return FrameSplitter([](const Frame& frame) { return frame.tag[0] == 'K'; });
  return FrameSplitter(static_cast<Spelling>(1 + mode % 5));
}

// `seed` 0: all bytes at once.
Result Cut(std::uint8_t mode, std::string_view bytes, unsigned seed) {
  FrameSplitter splitter = MakeSplitter(mode);
  FrameSplitter::Time now{std::chrono::seconds(1)};
  Result out;
  std::string_view rest = bytes;
  while (!rest.empty()) {
    seed = seed * 1'103'515'245 + (seed == 0 ? 0 : 12'345);
    const std::size_t piece = seed == 0 ? rest.size() : std::min<std::size_t>(rest.size(), 1 + (seed >> 16) % 97);
    splitter.Add(rest.substr(0, piece), now);
    rest.remove_prefix(piece);
    while (true) {
      const auto next = splitter.Next(now);
      if (!next.ok() || !next->has_value()) break;
      out.frames.emplace_back((*next)->bytes);
      out.spellings.push_back((*next)->header.spelling);
    }
    REQUIRE(splitter.buffered() <= kMaxFrame + piece);
  }
  REQUIRE(splitter.frames() == out.frames.size());
  FrameSplitter late = splitter;
  REQUIRE(late.Next(now + FrameSplitter::kPatience).ok() == (splitter.Next(now).ok() && splitter.buffered() == 0));
  out.end = ReasonOf(splitter.Finish());
  REQUIRE(splitter.Finish().ok() == (out.end == Reason::kNone));
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data + 2), size - 2);
  const Result whole = Cut(data[0], bytes, 0);
  REQUIRE(whole == Cut(data[0], bytes, 1U + data[1]));
  std::string joined;
  for (const std::string& frame : whole.frames) joined += frame;
  REQUIRE(bytes.substr(0, joined.size()) == joined);
  REQUIRE(whole.end != Reason::kNone || joined.size() == bytes.size());
  return 0;
}
