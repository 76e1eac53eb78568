// What a claim costs at 10,000 and at 10,000,000 entries: FactBook::Evaluate alone, one thread, without transport or
// proof. Two sources report one router with 16 peers; a tenth as many prefixes as entries, each announced and withdrawn
// again and again; a beat every 1,000 entries. Prints the median of batches, both sizes in turns, and the ratio, which
// is not to exceed 1.5; and what the state takes per subject. Arguments: the two sizes.
#include <malloc.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "lib/base/status.h"
#include "services/onode/domain/fact_book.h"
#include "tests/bench/bench_util.h"
#include "tests/testutil/chain_builder.h"

namespace virp::onode {
namespace {

using testutil::ChainBuilder;

constexpr std::uint64_t kPeers = 16;
constexpr std::uint64_t kMaxPrefixes = 1'000'000;
const std::array<std::string, 2> kSources = {"edge-a.bgpd", "edge-a.bmp"};

std::size_t Heap() {
  return ::mallinfo2().uordblks;
}

// Both books, fed with entries whose tags and links nobody checks here.
class World {
 public:
  explicit World(std::uint64_t size) : prefixes_(std::min(kMaxPrefixes, size / 10)), book_(Origin()), facts_(Origin()) {
    ChainBuilder start(Origin());
    start.AddDaemon(kSources[0]);
    start.AddBmp(kSources[1], ChainBuilder::kCollector2);
    chain::Registration resolver = start.Template("resolver-1");
    resolver.types = {64};
    resolver.routers.clear();
    resolver.subject_prefixes = {"dns/"};
    start.Register(resolver);
    for (const std::string& entry : start.entries) Fold(entry);
    now_ = start.now;
    for (std::uint64_t peer = 0; peer < kPeers; ++peer) {
      for (const std::string& source : kSources) Say(source, frame::Type::kPeerStatusChanged, PeerUp(peer));
    }
    for (std::uint64_t i = 0; book_.size() + 200 < size; ++i) {
      for (const std::string& source : kSources) {
        Say(source, frame::Type::kBgpProcess,
            Path(i % prefixes_, i / prefixes_ % 2 == 1 && i % 3 == 0 ? "route_withdraw" : "route_announce"));
        if (i % 500 == 0) Say(source, frame::Type::kHeartbeat, "{}");
      }
    }
    for (std::uint64_t peer = 0; peer < kPeers; ++peer) {
      for (const std::string& source : kSources) {
        Say(source, frame::Type::kPeerStatusChanged, PeerUp(peer));
        Say(source, frame::Type::kBgpProcess,
            fmt::format(R"({{{},"event":"table_complete","rib":"adj-in-pre"}})", Common(peer)));
      }
    }
    field_entry_ =
        Say("resolver-1", frame::Type{64}, R"({"domain":"dns","subject":"zone.example","event":"serial","n":7})");
    field_bytes_ = newest_;
    for (const std::string& source : kSources) Say(source, frame::Type::kHeartbeat, "{}");
  }

  std::uint64_t size() const { return book_.size(); }
  const FactBook& facts() const { return facts_; }

  Verdict Ask(const Claim& claim) const {
    const auto answer =
        facts_.Evaluate(claim, {}, book_, now_, false, 0, [&](std::uint64_t sequence) -> absl::StatusOr<std::string> {
          if (sequence != field_entry_) return NotFound("only the field claim's entry is kept");
          return field_bytes_;
        });
    if (!answer.ok()) std::abort();
    return answer->verdict;
  }
  std::string Prefix(std::uint64_t i) const {
    return fmt::format("10.{}.{}.{}/28", i / 4096 % 256, i / 16 % 256, i % 16 * 16);
  }
  std::uint64_t prefixes() const { return prefixes_; }

 private:
  static std::string Origin() { return "virp.example.net/bench"; }
  static std::string Common(std::uint64_t peer) {
    return fmt::format(
        R"("domain":"bgp","peer_addr":"192.0.2.{}","peer_as":64501,"local_as":64500,"router_id":"192.0.2.1")",
        peer + 2);
  }
  static std::string PeerUp(std::uint64_t peer) {
    return fmt::format(R"({{{},"event":"peer_state_change","old_state":"OpenConfirm","new_state":"Established"}})",
                       Common(peer));
  }
  std::string Path(std::uint64_t prefix, std::string_view event) const {
    return fmt::format(
        R"({{{},"event":"{}","rib":"adj-in-pre","path_id":0,"prefix":"{}","safi":1,"nexthop":"192.0.2.2","as_path":"64501 64510"}})",
        Common(prefix % kPeers), event, Prefix(prefix));
  }

  std::uint64_t Say(const std::string& source, frame::Type type, std::string_view payload) {
    frame::Header h;
    h.type = type;
    h.suite = source == kSources[1] ? frame::Suite::kEd25519 : frame::Suite::kHmacSha256;
    h.timestamp = now_;
    h.sequence = ++numbers_[source];
    h.key_version = 1;
    h.boot_epoch = ChainBuilder::kStart + 1;
    h.source_id = frame::SourceIdOf(source);
    std::string bytes = frame::EncodeUnsigned(h, payload).value();
    bytes.append(h.suite == frame::Suite::kEd25519 ? 64 : 32, '\0');
    chain::EntryHeader entry;
    entry.sequence = book_.size();
    entry.received_us = now_ / 1000;
    entry.source = frame::ShortIdOf(h.source_id);
    entry.source_epoch = h.boot_epoch;
    entry.source_sequence = h.sequence;
    entry.key_version = 1;
    entry.kind = chain::KindOf(type);
    entry.checked_by = h.suite;
    newest_ = chain::EncodeEntry(entry, bytes);
    Fold(newest_);
    return entry.sequence;
  }

  void Fold(std::string_view bytes) {
    const auto entry = chain::DecodeEntry(bytes);
    const auto frame = frame::Decode(entry->frame, entry->header.spelling);
    const auto payload = reader_.Read(frame->payload).value();
    const auto source = book_.FindByShortId(entry->header.source);
    static const chain::Registration kNobody;
    const auto statement = chain::ReadStatement(source ? source->registration : kNobody, frame->header.type, payload);
    const absl::Status applied = book_.Apply(*entry, *frame, statement, payload);
    if (!applied.ok()) {
      std::fprintf(stderr, "%s\n", std::string(Message(applied)).c_str());
      std::abort();
    }
    facts_.Apply(*entry, *frame, statement, payload, book_);
  }

  std::uint64_t prefixes_;
  chain::SourceBook book_;
  FactBook facts_;
  frame::PayloadReader reader_;
  UnixNanos now_ = 0;
  std::map<std::string, std::uint64_t> numbers_;
  std::uint64_t field_entry_ = 0;
  std::string newest_, field_bytes_;
};

constexpr int kKinds = 5;
constexpr std::array<const char*, kKinds> kKindNames = {"peer", "route exists", "route of peer and AS",
                                                        "route absent, all peers", "field"};

Claim Make(int kind, const World& world, std::uint64_t random) {
  PeerClaim peer;
  peer.router = "edge-a";
  peer.peer = fmt::format("192.0.2.{}", random % kPeers + 2);
  if (kind == 0) return peer;
  if (kind == 4) {
    return FieldClaim{"dns/zone.example", "serial", {{"n", FieldCondition::Op::kEq, std::uint64_t{7}}}};
  }
  RouteClaim route;
  route.router = "edge-a";
  const std::uint64_t prefix = random % world.prefixes();
  route.prefix = kind == 3 ? "172.16.0.0/12" : world.Prefix(prefix);
  route.exists = kind != 3;
  if (kind == 2) {
    route.origin_as = 64510;
    route.peer = fmt::format("192.0.2.{}", prefix % kPeers + 2);
  }
  return route;
}

// Nanoseconds a question, over one batch of other subjects each time.
double Batch(const World& world, int kind, std::mt19937_64& random) {
  constexpr int kBatch = 200;
  std::vector<Claim> claims;
  for (int i = 0; i < kBatch; ++i) claims.push_back(Make(kind, world, random()));
  const double start = bench::OwnCpuSeconds();
  for (const Claim& claim : claims) world.Ask(claim);
  return (bench::OwnCpuSeconds() - start) * 1e9 / kBatch;
}

int Run(std::uint64_t small_size, std::uint64_t large_size) {
  std::vector<World> worlds;
  worlds.reserve(2);
  for (const std::uint64_t size : {small_size, large_size}) {
    const std::size_t heap = Heap();
    const double start = bench::OwnCpuSeconds();
    worlds.emplace_back(size);
    const World& world = worlds.back();
    const double subjects = static_cast<double>(world.facts().subjects());
    std::printf("%9llu entries folded at %.0f/s; %.0f subjects, 2 sources; %.0f bytes a subject (both books %.0f)\n",
                static_cast<unsigned long long>(world.size()),
                static_cast<double>(world.size()) / (bench::OwnCpuSeconds() - start), subjects,
                static_cast<double>(world.facts().MemoryBytes()) / subjects,
                static_cast<double>(Heap() - heap) / subjects);
  }
  std::printf("%-26s %12s %12s %8s\n", "claim (ns, median)", "small", "large", "ratio");
  std::mt19937_64 random(1);
  for (int kind = 0; kind < kKinds; ++kind) {
    std::array<std::vector<double>, 2> nanos;
    for (int round = 0; round < 300; ++round) {
      for (std::size_t w = 0; w < 2; ++w) nanos[w].push_back(Batch(worlds[w], kind, random));
    }
    const double a = bench::Median(nanos[0]), b = bench::Median(nanos[1]);
    std::printf("%-26s %12.0f %12.0f %8.2f\n", kKindNames[static_cast<std::size_t>(kind)], a, b, b / a);
  }
  return 0;
}

}  // namespace
}  // namespace virp::onode

int main(int argc, char** argv) {
  const auto size = [&](int at, std::uint64_t fallback) {
    return argc > at ? std::strtoull(argv[at], nullptr, 10) : fallback;
  };
  return virp::onode::Run(size(1, 10'000), size(2, 10'000'000));
}
