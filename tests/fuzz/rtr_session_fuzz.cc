// Bytes of a stranger into the cache's side and the router's side of an RTR session, cut in two ways, and a real router
// of ours against the cache to end with. Input: one byte of flags, one that seeds the pieces, then the bytes.
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/rtr/client_session.h"
#include "lib/rtr/history.h"
#include "lib/rtr/pdu.h"
#include "lib/rtr/server_session.h"
#include "tests/fuzz/require.h"

using namespace virp::rtr;  // NOLINT(google-build-using-namespace): a fuzz target is one function

namespace {

using Time = ServerSession::Time;
constexpr Time kNow{std::chrono::seconds(1000)};
constexpr std::size_t kMost = std::size_t{1} << 20;  // octets of answers that are looked at

History MakeHistory() {
  namespace vrp = virp::vrp;
  History history({.max_deltas = 2}, [id = std::uint16_t{0x100}]() mutable { return id++; });
  for (std::uint32_t as = 1; as < 5; ++as) {
    auto payloads = std::make_shared<vrp::Payloads>();
    payloads->vrps4.push_back({.address = 0x0a000000, .as = as, .expires = 0, .length = 8, .max_length = 24});
    payloads->vrps6.push_back({.high = 0, .low = 0, .as = as, .expires = 0, .length = 0, .max_length = 128});
    payloads->router_keys.push_back({.ski = {}, .as = as, .expires = 0, .spki = "key"});
    payloads->aspas.push_back({.customer = 1, .expires = 0, .providers = {as}});
    history.Update(payloads, {});
  }
  return history;
}

const std::shared_ptr<const Snapshot>& Loaded() {
  static const History history = MakeHistory();
  return history.snapshot();
}

template <typename Session, typename Taken>
std::string Drain(Session& session, const Taken& taken, std::size_t most = kMost) {
  std::string out;
  std::string_view pieces[3];
  while (out.size() < most) {
    const std::size_t count = session.Peek(pieces);
    if (count == 0) break;
    std::size_t sum = 0;
    for (std::size_t i = 0; i < count; ++i) {
      out.append(pieces[i]);
      sum += pieces[i].size();
    }
    taken(sum);
  }
  return out;
}

// Whole PDUs that this library decodes; at most one Error Report, the last, when the peer is only ever wrong once.
void CheckOutput(std::string_view bytes) {
  while (!bytes.empty()) {
    REQUIRE(bytes.size() >= kHeaderSize);
    const Header header = ReadHeader(bytes);
    REQUIRE(!CheckLength(header));
    REQUIRE(header.version <= kMaxVersion);
    REQUIRE(!CheckShape(header, RulesOf(header.version)));
    REQUIRE(header.length <= bytes.size());
    Body body;
    REQUIRE(!Decode(bytes.substr(0, header.length), body));
    bytes.remove_prefix(header.length);
  }
}

// In pieces of a size that `seed` gives; 0: whole.
template <typename Feed>
void InPieces(std::string_view bytes, std::uint8_t seed, const Feed& feed) {
  std::size_t piece = seed == 0 ? bytes.size() : 1 + seed % 37;
  while (!bytes.empty()) {
    piece = std::min(piece, bytes.size());
    feed(bytes.substr(0, piece));
    bytes.remove_prefix(piece);
  }
}

struct Served {
  std::string output;
  std::string close_reason;
  std::uint64_t cache_resets = 0;
};

// The Error Report at the end; empty when something else, or nothing, is there.
std::string_view LastError(std::string_view output) {
  while (!output.empty()) {
    const Header header = ReadHeader(output);
    if (header.length == output.size())
      return header.type == static_cast<std::uint8_t>(PduType::kErrorReport) ? output : std::string_view();
    output.remove_prefix(header.length);
  }
  return output;
}

// Of the same bytes in other pieces. What ends a session cuts the answers that have not left: how many have depends on
// the pieces.
bool Alike(const Served& one, const Served& other) {
  if (one.close_reason != other.close_reason || one.cache_resets != other.cache_resets) return false;
  if (one.close_reason.empty()) return one.output == other.output;
  if (one.close_reason.starts_with("the router")) return true;  // it wants nothing any more, errors of ours included
  return LastError(one.output) == LastError(other.output);
}

Served Serve(std::uint8_t flags, std::uint8_t seed, std::string_view bytes) {
  ServerSessionOptions options;
  options.min_version = (flags & 1) != 0 ? 1 : 0;
  options.max_version = (flags & 2) != 0 ? 1 : 2;
  options.output_limit = (flags & 4) != 0 ? 1 : 64 << 10;
  ServerSession session(options, (flags & 8) != 0 ? nullptr : Loaded(), kNow);
  Served out;
  InPieces(bytes, seed, [&](std::string_view piece) {
    session.Feed(piece, kNow);
    out.output += Drain(session, [&](std::size_t n) { session.Consume(n, kNow); });
    REQUIRE(session.TakeEvents().size() <= 2 * bytes.size());
  });
  if ((flags & 16) != 0) {
    session.OnNewSnapshot(Loaded(), kNow);
    session.Feed({}, kNow);
    if ((flags & 32) != 0) {
      session.Shutdown((flags & 64) != 0 ? ErrorCode::kCacheRestart : ErrorCode::kCacheShutdown, kNow);
    } else {
      session.Tick(kNow + std::chrono::hours(1));
    }
    out.output += Drain(session, [&](std::size_t n) { session.Consume(n, kNow); });
  }
  CheckOutput(out.output);
  if (session.closing()) REQUIRE(session.ShouldClose());
  REQUIRE(session.closing() == !session.close_reason().empty());
  if (!session.closing()) REQUIRE(session.WantsRead());
  if (session.closing()) REQUIRE(!session.WantsRead());
  out.close_reason = session.close_reason();
  out.cache_resets = session.state().cache_resets;
  return out;
}

struct Heard {
  std::string output;
  std::string close_reason;
  std::size_t records = 0;
  std::uint64_t updates = 0;

  bool operator==(const Heard&) const = default;
};

// Sorted and unique, whatever the cache said.
template <typename T>
void CheckSet(const std::vector<T>& set) {
  for (std::size_t i = 1; i < set.size(); ++i) REQUIRE(virp::vrp::Order(set[i - 1], set[i]) < 0);
}

Heard Listen(std::uint8_t flags, std::uint8_t seed, std::string_view bytes) {
  ClientSessionOptions options;
  options.version = static_cast<std::uint8_t>(flags % 3);
  options.strict = (flags & 4) != 0;
  options.check_order = (flags & 8) != 0;
  options.keep = (flags & 16) == 0;
  ClientSession session(options);
  session.Connected(kNow);
  Heard out;
  InPieces(bytes, seed, [&](std::string_view piece) {
    session.Feed(piece, kNow);
    if ((flags & 32) != 0) session.Query(false, kNow);
    out.output += Drain(session, [&](std::size_t n) { session.Consume(n); });
  });
  CheckOutput(out.output);
  CheckSet(session.table().vrps4);
  CheckSet(session.table().vrps6);
  CheckSet(session.table().router_keys);
  CheckSet(session.table().aspas);
  out.close_reason = session.close_reason();
  out.records = session.table().size();
  out.updates = session.state().updates;
  session.Tick(kNow + std::chrono::hours(1));
  session.Disconnected(kNow + std::chrono::hours(1));
  session.Connected(kNow + std::chrono::hours(2));
  REQUIRE(!session.closing());
  REQUIRE(!Drain(session, [&](std::size_t n) { session.Consume(n); }).empty());
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2 || size > 4096) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data + 2), size - 2);
  const auto seed = static_cast<std::uint8_t>(1 + data[1] % 255);
  // How the bytes are cut changes nothing else.
  REQUIRE(Alike(Serve(data[0], 0, bytes), Serve(data[0], seed, bytes)));
  const auto whole = Listen(data[0] & 31, 0, bytes);
  REQUIRE(whole == Listen(data[0] & 31, seed, bytes));
  Listen(data[0] | 32, seed, bytes);
  return 0;
}
