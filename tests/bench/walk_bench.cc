// How fast a chain is verified: entries per second of CPU, one core, from memory. Frames are version 2 with HMAC and
// 300-byte payloads of type 3, from 64 sources, 20,000 paths; a heartbeat every 1,000 entries. "deep" is the mode that
// parses every payload and derives subjects, links and flags.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <map>
#include <new>
#include <string>
#include <vector>

#include "lib/base/status.h"
#include "lib/chain/walk.h"
#include "tests/testutil/must.h"

namespace {
std::size_t allocations = 0;
}  // namespace

// Counted, because a walk is not to allocate for an entry (OpenSSL's own are not seen here). Not inlined: the compiler
// would see malloc and delete, or new and free, and call it a mistake.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (void* at = std::malloc(size)) return at;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* at) noexcept {
  std::free(at);
}
[[gnu::noinline]] void operator delete(void* at, std::size_t) noexcept {
  std::free(at);
}

namespace virp::chain {
namespace {

using testutil::Must;

constexpr UnixNanos kStart = 1'750'000'000'000'000'000;
constexpr std::size_t kEntries = 100'000;
constexpr std::size_t kSources = 64;
constexpr char kOrigin[] = "virp.example.net/bench";
constexpr std::size_t kPayload = 300;

class Keys final : public frame::KeyProvider {
 public:
  std::shared_ptr<const frame::OKey> Find(std::string_view source, std::uint32_t) const override {
    const auto found = keys.find(source);
    return found == keys.end() ? nullptr : found->second;
  }
  std::vector<frame::KeyVersion> Versions(std::string_view) const override { return {}; }
  std::vector<std::string> Sources() const override { return {}; }
  std::uint64_t Generation() const override { return 0; }
  std::map<std::string, std::shared_ptr<const frame::OKey>, std::less<>> keys;
};

// Writes entries as a leader would, with the book's own links.
class Writer {
 public:
  explicit Writer(frame::Suite suite) : suite_(suite), book_(kOrigin), head_(GenesisOf(kOrigin)) {
    AddKey(kOrigin, frame::Suite::kEd25519);
    Register(kOrigin, {19, 22, 23, 25, 26, 27, 28});
    for (std::size_t i = 0; i < kSources; ++i) {
      const std::string name = fmt::format("edge-{}.bgpd", i);
      AddKey(name, suite_);
      Register(name, {1, 2, 3, 4, 22, 24});
      next_[name] = 1;
    }
  }

  void AddPath(std::size_t i) {
    const std::string name = fmt::format("edge-{}.bgpd", i % kSources);
    const std::size_t path = i % 20'000;
    std::string payload = fmt::format(
        R"({{"domain":"bgp","vrf":"default","peer_addr":"192.0.2.2","peer_as":64501,"local_as":64500,"router_id":"192.0.2.1",)"
        R"("rib":"adj-in-pre","path_id":0,"prefix":"10.{}.{}.0/24","afi":1,"safi":1,"event":"route_announce","nexthop":"192.0.2.2",)"
        R"("as_path":"64501 64510","origin":"IGP","med":0,"local_pref":null,"communities":["64500:1"],"x":")",
        path / 256, path % 256);
    payload.append(kPayload > payload.size() + 2 ? kPayload - payload.size() - 2 : 0, 'x').append("\"}");
    Add(name, i % 1'000 == 0 ? frame::Type::kHeartbeat : frame::Type::kBgpProcess, i % 1'000 == 0 ? "{}" : payload,
        next_[name]++);
  }

  Keys keys;
  std::vector<std::string> entries;
  std::vector<Hash> leaves;

 private:
  void AddKey(const std::string& name, frame::Suite suite) {
    const Hash secret = GenesisOf(name);
    keys.keys[name] =
        (suite == frame::Suite::kEd25519 ? frame::OKey::Ed25519FromSeed(View(secret)) : frame::OKey::Hmac(View(secret)))
            .value();
  }
  void Register(const std::string& name, std::vector<std::uint8_t> types) {
    SourceEvent event;
    event.source = name;
    Registration& r = event.registration.emplace();
    r.source = name;
    const auto& key = keys.keys[name];
    r.key = {1, key->suite(), key->public_key(), key->Commitment(name, 1), 0, std::nullopt};
    r.types = std::move(types);
    if (name != kOrigin) r.routers = {{"edge", {"192.0.2.1"}, {}, {"default"}}};
    Add(kOrigin, frame::Type::kSourceEvent, BuildSourceEvent(event), ++own_);
  }
  void Add(const std::string& name, frame::Type type, const std::string& payload, std::uint64_t number) {
    const auto& key = keys.keys[name];
    frame::Header f;
    f.type = type;
    f.suite = key->suite();
    f.timestamp = kStart + book_.size() * 1'000;
    f.sequence = number;
    f.key_version = 1;
    f.boot_epoch = kStart;
    f.source_id = frame::SourceIdOf(name);
    const std::string bytes = frame::EncodeSigned(f, payload, *key).value();
    const frame::Frame frame = frame::Decode(bytes, frame::Spelling::kV2).value();
    const frame::Value value = reader_.Read(frame.payload).value();
    Registration registration;
    if (const auto source = book_.FindByName(name)) registration = source->registration;
    const Statement statement = ReadStatement(registration, type, value);
    EntryHeader h;
    h.origin_id = OriginIdOf(kOrigin);
    h.sequence = book_.size();
    h.previous = head_;
    h.received_us = f.timestamp / 1'000;
    h.source = frame::ShortIdOf(name);
    h.source_epoch = kStart;
    h.source_sequence = number;
    h.source_previous = book_.LastOfSource(h.source);
    h.subject_previous = statement.subject_id == 0 ? kNone : book_.LastOfSubject(statement.subject_id);
    h.key_version = 1;
    h.kind = KindOf(type);
    h.checked_by = f.suite;
    entries.push_back(EncodeEntry(h, bytes));
    leaves.push_back(head_ = LeafHash(entries.back()));
    Must(book_.Apply(DecodeEntry(entries.back()).value(), frame, statement, value));
  }

  frame::Suite suite_;
  SourceBook book_;
  Hash head_;
  std::uint64_t own_ = 0;
  std::map<std::string, std::uint64_t> next_;
  frame::PayloadReader reader_;
};

const Writer& HmacChain() {
  static const Writer* const writer = [] {
    auto* made = new Writer(frame::Suite::kHmacSha256);
    for (std::size_t i = 0; i < kEntries; ++i) made->AddPath(i);
    return made;
  }();
  return *writer;
}
const Writer& Ed25519Chain() {
  static const Writer* const writer = [] {
    auto* made = new Writer(frame::Suite::kEd25519);
    for (std::size_t i = 0; i < kEntries / 20; ++i) made->AddPath(i);
    return made;
  }();
  return *writer;
}

void Walk(benchmark::State& state, const Writer& chain, bool tags, bool deep) {
  std::size_t entries = 0;
  const std::size_t before = allocations;
  for (auto _ : state) {
    ChainWalk walk(kOrigin, {tags, deep, &chain.keys});
    for (std::size_t i = 0; i < chain.entries.size(); ++i) walk.Add(chain.entries[i], &chain.leaves[i], nullptr);
    if (walk.first_break() || !walk.unchecked().empty()) state.SkipWithError("the chain does not verify");
    entries += chain.entries.size();
    benchmark::DoNotOptimize(walk.Root());
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(entries));
  state.counters["allocations_per_entry"] = static_cast<double>(allocations - before) / static_cast<double>(entries);
}

void BM_WalkHmac(benchmark::State& state) {
  Walk(state, HmacChain(), true, false);
}
void BM_WalkHashesAndRules(benchmark::State& state) {
  Walk(state, HmacChain(), false, false);
}
void BM_WalkHmacDeep(benchmark::State& state) {
  Walk(state, HmacChain(), true, true);
}
void BM_WalkEd25519(benchmark::State& state) {
  Walk(state, Ed25519Chain(), true, false);
}

// A part beside others: no rules, so that cores share what is left.
void BM_WalkRange(benchmark::State& state) {
  const Writer& chain = HmacChain();
  ChainWalk whole(kOrigin, {false, false, nullptr});
  for (const auto& entry : chain.entries) whole.Add(entry, nullptr, nullptr);
  std::size_t entries = 0;
  for (auto _ : state) {
    ChainWalk walk = ChainWalk::ForRange(whole.book(), 1'024, chain.leaves[1'023], {true, false, &chain.keys});
    for (std::size_t i = 1'024; i < chain.entries.size(); ++i) walk.Add(chain.entries[i], &chain.leaves[i], nullptr);
    if (walk.first_break()) state.SkipWithError("the range does not verify");
    entries += chain.entries.size() - 1'024;
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(entries));
}

// Copying a book of 20,000 subjects, and the first change after it.
void BM_CopyBook(benchmark::State& state) {
  const Writer& chain = HmacChain();
  ChainWalk whole(kOrigin, {false, true, nullptr});
  for (const auto& entry : chain.entries) whole.Add(entry, nullptr, nullptr);
  for (auto _ : state) {
    SourceBook copy = whole.book();
    benchmark::DoNotOptimize(copy.size());
  }
}

BENCHMARK(BM_WalkHmac)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_WalkHashesAndRules)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_WalkHmacDeep)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_WalkEd25519)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_WalkRange)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_CopyBook);

}  // namespace
}  // namespace virp::chain
