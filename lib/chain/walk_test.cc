#include "lib/chain/walk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "lib/chain/chain_vectors.h"
#include "lib/chain/test_chain.h"

namespace virp::chain {
namespace {

using ::testing::HasSubstr;

// The keys of the `valid` vector chain.
class VectorKeys final : public frame::KeyProvider {
 public:
  VectorKeys() {
    for (const auto& [source, versions] : VectorChain("valid")["keys"].items()) {
      for (const auto& [version, key] : versions.items()) {
        const bool ed25519 = key["suite"] == 2;
        keys_[{source, static_cast<std::uint32_t>(std::stoul(version))}] =
            (ed25519 ? frame::OKey::Ed25519FromSeed(Unhex(key["seed_hex"])) : frame::OKey::Hmac(Unhex(key["key_hex"])))
                .value();
      }
    }
  }
  std::shared_ptr<const frame::OKey> Find(std::string_view source, std::uint32_t version) const override {
    const auto found = keys_.find({std::string(source), version});
    return found == keys_.end() ? nullptr : found->second;
  }
  std::vector<frame::KeyVersion> Versions(std::string_view) const override { return {}; }
  std::vector<std::string> Sources() const override { return {}; }
  std::uint64_t Generation() const override { return 0; }

 private:
  std::map<std::pair<std::string, std::uint32_t>, std::shared_ptr<const frame::OKey>> keys_;
};

const VectorKeys& Keys() {
  static const VectorKeys keys;
  return keys;
}
WalkOptions Deep() {
  return {true, true, &Keys()};
}
WalkOptions Shallow() {
  return {true, false, &Keys()};
}

std::string Origin(std::string_view name) {
  return Text(VectorChain(name)["origin"]);
}
std::vector<VerifierKey> Verifiers() {
  return {VerifierKey::Parse(Text(VectorChain("valid")["verifier_key"])).value()};
}
std::string Note(std::size_t size) {
  return Text(VectorChain("valid")["checkpoints"][size - 1]["note"]);
}

// A stored chain, as somebody who can write to the database sees it.
struct Store {
  std::vector<std::string> entries;
  std::vector<Hash> leaves;
  std::vector<IndexColumns> index;

  static Store Valid() {
    Store out{VectorEntries("valid"), VectorLeaves("valid"), {}};
    out.Reindex();
    return out;
  }
  EntryHeader header(std::size_t at) const { return DecodeEntry(entries[at])->header; }
  std::string frame(std::size_t at) const { return std::string(DecodeEntry(entries[at])->frame); }
  // Header fields of one entry changed, hashes as they were.
  template <typename F>
  void Change(std::size_t at, F&& change) {
    EntryHeader h = header(at);
    change(h);
    entries[at] = EncodeEntry(h, frame(at));
  }
  void ChangeFrame(std::size_t at, std::size_t byte) {
    std::string bytes = frame(at);
    bytes[byte] ^= 1;
    entries[at] = EncodeEntry(header(at), bytes);
  }
  void Erase(std::size_t at) {
    entries.erase(entries.begin() + static_cast<std::ptrdiff_t>(at));
    leaves.erase(leaves.begin() + static_cast<std::ptrdiff_t>(at));
    index.erase(index.begin() + static_cast<std::ptrdiff_t>(at));
  }
  void Swap(std::size_t a, std::size_t b) {
    std::swap(entries[a], entries[b]);
    std::swap(leaves[a], leaves[b]);
    std::swap(index[a], index[b]);
  }
  // What can be done without any key: numbers, hashes, links and columns made to fit what is there.
  void Rehash(bool links = true) {
    std::map<std::uint64_t, std::uint64_t> source_last;
    Hash head = GenesisOf(Origin("valid"));
    for (std::size_t i = 0; i < entries.size(); ++i) {
      Change(i, [&](EntryHeader& h) {
        h.sequence = i;
        h.previous = head;
        if (links) h.source_previous = source_last.contains(h.source) ? source_last[h.source] : kNone;
        source_last[h.source] = i;
      });
      head = LeafHash(entries[i]);
      leaves[i] = head;
    }
    Reindex();
  }
  void Reindex() {
    const auto& rows = VectorChain("valid")["entries"];
    index.clear();
    for (std::size_t i = 0; i < entries.size(); ++i) {
      const auto decoded = DecodeEntry(entries[i]);
      const EntryHeader h = decoded.ok() ? decoded->header : EntryHeader{};
      std::string subject;  // the entry's own, found by its place among its source's
      for (const auto& row : rows) {
        const EntryHeader other = DecodeEntry(Unhex(row["entry_hex"]))->header;
        if (other.source == h.source && other.source_sequence == h.source_sequence) subject = Text(row["subject"]);
      }
      index.push_back({h.source, h.source_epoch, h.source_sequence, subject.empty() ? 0 : SubjectIdOf(subject),
                       h.received_us, static_cast<std::uint8_t>(h.kind), h.result});
    }
  }
  ChainWalk Walk(WalkOptions options = Deep(), const std::vector<std::size_t>& checkpoints = {}) const {
    ChainWalk walk(Origin("valid"), options);
    for (const std::size_t size : checkpoints) walk.ExpectNote(Note(size), Verifiers());
    for (std::size_t i = 0; i < entries.size(); ++i) walk.Add(entries[i], &leaves[i], &index[i]);
    walk.Finish();
    return walk;
  }
};

std::string Found(const ChainWalk& walk) {
  if (!walk.first_break()) return "none";
  return fmt::format("{} at {}", BreakKindName(walk.first_break()->kind), walk.first_break()->sequence);
}

TEST(WalkTest, TheValidChainVerifiesWhole) {
  const Store store = Store::Valid();
  for (const WalkOptions& options : {Deep(), Shallow()}) {
    ChainWalk walk(Origin("valid"), options);
    for (std::size_t size = 1; size <= 12; ++size) walk.ExpectNote(Note(size), Verifiers());
    std::size_t seen = 0;
    for (std::size_t i = 0; i < store.entries.size(); ++i) {
      walk.Add(store.entries[i], &store.leaves[i], &store.index[i]);
      ASSERT_FALSE(walk.first_break()) << walk.first_break()->detail << " at " << i;
      EXPECT_EQ(walk.Root(), UnhexHash(VectorChain("valid")["entries"][i]["root_hex"]));
      ++seen;
    }
    walk.Finish();
    EXPECT_EQ(Found(walk), "none");
    EXPECT_EQ(walk.size(), 12U);
    EXPECT_EQ(seen, 12U);
    EXPECT_EQ(walk.head(), store.leaves.back());
    EXPECT_TRUE(walk.unchecked().empty());
    EXPECT_EQ(walk.book().size(), 12U);
    EXPECT_EQ(walk.book().FindByName("collector-1")->keys.size(), 2U);
  }
}

TEST(WalkTest, AnExportWithoutHashesAndColumnsVerifiesToo) {
  const Store store = Store::Valid();
  ChainWalk walk(Origin("valid"), Deep());
  for (const auto& entry : store.entries) walk.Add(entry, nullptr, nullptr);
  EXPECT_EQ(Found(walk), "none");
  EXPECT_EQ(walk.head(), store.leaves.back());
}

TEST(WalkTest, WhatCouldNotBeCheckedIsSaid) {
  const ChainWalk walk = Store::Valid().Walk({true, true, nullptr}, {12});
  EXPECT_EQ(Found(walk), "none");
  ASSERT_EQ(walk.unchecked().size(), 1U);
  EXPECT_EQ(walk.unchecked()[0].what, "tag of source edge-a.bgpd version 3: no key");
  EXPECT_EQ(walk.unchecked()[0].entries, 4U);

  TestKeys wrong;
  wrong.Make("edge-a.bgpd", 3, frame::Suite::kHmacSha256);
  const ChainWalk other = Store::Valid().Walk({true, true, &wrong});
  EXPECT_EQ(Found(other), "none") << "a wrong key proves nothing";
  ASSERT_EQ(other.unchecked().size(), 1U);
  EXPECT_THAT(other.unchecked()[0].what, HasSubstr("not the one that the chain commits to"));
}

TEST(WalkTest, TheBytesChainBreaksSourceRules) {
  ChainWalk walk(Origin("bytes"), Shallow());
  const auto entries = VectorEntries("bytes");
  for (const auto& entry : entries) walk.Add(entry, nullptr, nullptr);
  EXPECT_EQ(Found(walk), "SOURCE_RULES at 0");
  EXPECT_THAT(walk.first_break()->detail, HasSubstr("own registration"));
  EXPECT_EQ(walk.size(), 0U);
}

// ---- one broken copy per kind ----

TEST(WalkBreakTest, LeafHash) {
  for (std::size_t at = 0; at < 12; ++at) {
    Store store = Store::Valid();
    store.entries[at].back() ^= 1;
    EXPECT_EQ(Found(store.Walk()), fmt::format("LEAF_HASH at {}", at));
  }
  Store store = Store::Valid();
  store.leaves[5][0] ^= 1;
  EXPECT_EQ(Found(store.Walk()), "LEAF_HASH at 5") << "a changed hash";
}

TEST(WalkBreakTest, PreviousHash) {
  Store store = Store::Valid();
  store.Change(4, [](EntryHeader& h) { ++h.received_us; });
  ++store.index[4].received_us;
  store.leaves[4] = LeafHash(store.entries[4]);
  EXPECT_EQ(Found(store.Walk()), "PREVIOUS_HASH at 5");
  store = Store::Valid();
  store.Change(0, [](EntryHeader& h) { h.previous[0] ^= 1; });
  store.leaves[0] = LeafHash(store.entries[0]);
  EXPECT_EQ(Found(store.Walk()), "PREVIOUS_HASH at 0") << "genesis";
}

TEST(WalkBreakTest, NotContiguous) {
  Store store = Store::Valid();
  store.Erase(5);
  EXPECT_EQ(Found(store.Walk()), "NOT_CONTIGUOUS at 5") << "deleted row";
  store = Store::Valid();
  store.Erase(0);
  EXPECT_EQ(Found(store.Walk()), "NOT_CONTIGUOUS at 0");
  store = Store::Valid();
  store.Swap(6, 7);
  EXPECT_EQ(Found(store.Walk()), "NOT_CONTIGUOUS at 6") << "swapped rows";
  store = Store::Valid();
  store.entries.insert(store.entries.begin() + 4, store.entries[3]);
  store.leaves.insert(store.leaves.begin() + 4, store.leaves[3]);
  store.index.insert(store.index.begin() + 4, store.index[3]);
  EXPECT_EQ(Found(store.Walk()), "NOT_CONTIGUOUS at 4") << "inserted row";
  store = Store::Valid();
  store.Change(8, [](EntryHeader& h) { h.sequence = 9; });
  store.leaves[8] = LeafHash(store.entries[8]);
  EXPECT_EQ(Found(store.Walk()), "NOT_CONTIGUOUS at 8");
}

TEST(WalkBreakTest, MalformedEntry) {
  using Change = void (*)(EntryHeader&);
  const std::pair<const char*, Change> changes[] = {
      {"kind", [](EntryHeader& h) { h.kind = Kind::kAlarm; }},
      {"suite", [](EntryHeader& h) { h.checked_by = frame::Suite::kEd25519; }},
      {"source", [](EntryHeader& h) { h.source ^= 1; }},
      {"boot epoch", [](EntryHeader& h) { ++h.source_epoch; }},
      {"source sequence", [](EntryHeader& h) { ++h.source_sequence; }},
      {"key version", [](EntryHeader& h) { ++h.key_version; }},
      {"another chain", [](EntryHeader& h) { h.origin_id[0] ^= 1; }},
      {"received", [](EntryHeader& h) { h.received_us -= 1000; }},
      {"frame", [](EntryHeader& h) { h.spelling = frame::Spelling::kV1Le; }},
  };
  for (const auto& [what, change] : changes) {
    Store store = Store::Valid();
    store.Change(4, change);
    store.Rehash(false);
    const ChainWalk walk = store.Walk();
    EXPECT_EQ(Found(walk), "MALFORMED_ENTRY at 4") << what;
    EXPECT_THAT(walk.first_break()->detail, HasSubstr(what));
  }
  Store store = Store::Valid();
  store.entries[7].resize(100);
  store.leaves[7] = LeafHash(store.entries[7]);
  EXPECT_EQ(Found(store.Walk()), "MALFORMED_ENTRY at 7");
}

TEST(WalkBreakTest, SourceSequence) {
  Store store = Store::Valid();
  store.Erase(6);
  store.Rehash();
  EXPECT_EQ(Found(store.Walk()), "SOURCE_SEQUENCE at 6") << "the gap entry is gone, all else re-hashed";
  store = Store::Valid();
  store.Erase(8);
  store.Rehash();
  EXPECT_EQ(Found(store.Walk({true, false, &Keys()})), "none") << "a late frame less is a gap: only a checkpoint knows";
  EXPECT_EQ(Found(store.Walk(Shallow(), {11})), "CHECKPOINT_ROOT at 11");
  store = Store::Valid();
  store.Erase(3);
  store.Rehash();
  EXPECT_EQ(Found(store.Walk()), "SOURCE_SEQUENCE at 3") << "an observation swallowed: the next one jumps";
  store = Store::Valid();
  store.entries.insert(store.entries.begin() + 5, store.entries[4]);
  store.leaves.push_back(Hash{});
  store.Rehash();
  EXPECT_EQ(Found(store.Walk()), "SOURCE_SEQUENCE at 5") << "repeated";
  store = Store::Valid();
  store.Erase(9);
  store.Rehash();
  EXPECT_EQ(Found(store.Walk()), "SOURCE_SEQUENCE at 9") << "an alarm swallowed: the O-Node's own numbers jump";
}

TEST(WalkBreakTest, SourceRules) {
  Store store = Store::Valid();
  store.Erase(2);
  store.Rehash();
  EXPECT_EQ(Found(store.Walk()), "SOURCE_RULES at 4") << "a registration swallowed: its source is unknown";
  for (const std::uint8_t flag : {kClockSuspect, kScopeViolation, kOpaque, kAdmittedLate}) {
    store = Store::Valid();
    store.Change(7, [&](EntryHeader& h) { h.result = flag; });
    store.Rehash();
    EXPECT_EQ(Found(store.Walk()), "SOURCE_RULES at 7") << "result " << int{flag};
  }
  store = Store::Valid();
  store.Erase(0);
  store.Rehash();
  EXPECT_EQ(Found(store.Walk()), "SOURCE_RULES at 0") << "not the O-Node's registration";
}

TEST(WalkBreakTest, Tag) {
  for (std::size_t at = 0; at < 12; ++at) {
    for (const std::size_t byte : {std::size_t{6}, std::size_t{10}, std::size_t{70}}) {  // tier, time, payload
      Store store = Store::Valid();
      store.ChangeFrame(at, byte);
      store.Rehash();
      // The first entry names its own key: it fails as a registration when what was changed is in it.
      if (at == 0 && byte == 70) continue;
      EXPECT_EQ(Found(store.Walk()), fmt::format("TAG at {}", at)) << byte;
    }
  }
}

TEST(WalkBreakTest, Subject) {
  Store store = Store::Valid();
  store.Change(7, [](EntryHeader& h) { h.source_previous = 3; });
  store.Rehash(false);
  EXPECT_EQ(Found(store.Walk()), "SUBJECT at 7");
  EXPECT_EQ(Found(store.Walk(Shallow())), "SUBJECT at 7") << "no payload needed";
  for (const std::uint64_t wrong : {kNone, std::uint64_t{3}}) {
    store = Store::Valid();
    store.Change(8, [&](EntryHeader& h) { h.subject_previous = wrong; });
    store.Rehash();
    EXPECT_EQ(Found(store.Walk()), "SUBJECT at 8") << wrong;
    EXPECT_EQ(Found(store.Walk(Shallow())), "none") << "payloads are for the deeper mode";
    EXPECT_EQ(Found(store.Walk(Shallow(), {12})), "CHECKPOINT_ROOT at 12");
  }
}

TEST(WalkBreakTest, Index) {
  using Change = void (*)(IndexColumns&);
  const Change changes[] = {[](IndexColumns& c) { c.source ^= 1; },       [](IndexColumns& c) { ++c.source_epoch; },
                            [](IndexColumns& c) { ++c.source_sequence; }, [](IndexColumns& c) { c.subject ^= 1; },
                            [](IndexColumns& c) { ++c.received_us; },     [](IndexColumns& c) { c.kind = 1; },
                            [](IndexColumns& c) { c.result = 1; }};
  for (const Change change : changes) {
    Store store = Store::Valid();
    change(store.index[4]);
    EXPECT_EQ(Found(store.Walk()), "INDEX at 4");
  }
}

// Whoever re-hashes everything gets a chain that is right in itself; a checkpoint that left the machine tells.
TEST(WalkBreakTest, CheckpointRoot) {
  Store store = Store::Valid();
  store.Change(3, [](EntryHeader& h) { ++h.received_us; });
  store.Rehash();
  EXPECT_EQ(Found(store.Walk()), "none");
  EXPECT_EQ(Found(store.Walk(Deep(), {12})), "CHECKPOINT_ROOT at 12");
  EXPECT_EQ(Found(store.Walk(Deep(), {3, 5, 12})), "CHECKPOINT_ROOT at 5");
  EXPECT_EQ(Found(store.Walk(Deep(), {3})), "none");

  ChainWalk late = Store::Valid().Walk();
  late.Expect(12, Hash{});
  EXPECT_EQ(Found(late), "CHECKPOINT_ROOT at 12") << "stated at its size";
  ChainWalk too_late = Store::Valid().Walk();
  too_late.Expect(11, Hash{});
  EXPECT_EQ(Found(too_late), "none");
  ASSERT_EQ(too_late.unchecked().size(), 1U);
  EXPECT_THAT(too_late.unchecked()[0].what, HasSubstr("checkpoint of size 11"));

  ChainWalk empty(Origin("valid"), Deep());
  empty.Expect(0, EmptyRoot());
  EXPECT_EQ(Found(empty), "none");
  empty.Expect(0, Hash{});
  EXPECT_EQ(Found(empty), "CHECKPOINT_ROOT at 0");
}

TEST(WalkBreakTest, CheckpointSignature) {
  const auto with = [](const std::string& note) {
    ChainWalk walk(Origin("valid"), Deep());
    walk.ExpectNote(note, Verifiers());
    return walk;
  };
  EXPECT_EQ(Found(with(Note(9))), "none");
  std::string bad = Note(9);
  bad[bad.size() - 12] = bad[bad.size() - 12] == 'A' ? 'B' : 'A';
  EXPECT_EQ(Found(with(bad)), "CHECKPOINT_SIGNATURE at 9");
  EXPECT_EQ(Found(with("nonsense")), "CHECKPOINT_SIGNATURE at 0");

  // Signed by somebody else under the same name: none of our keys signed it, so nothing is proved.
  const auto stranger = CheckpointSigner::FromSeed(Origin("valid"), std::string(32, 's')).value();
  const ChainWalk walk = with(stranger.Sign({Origin("valid"), 9, Hash{}}).value());
  EXPECT_EQ(Found(walk), "none");
  ASSERT_EQ(walk.unchecked().size(), 1U);
  EXPECT_EQ(walk.unchecked()[0].what, "checkpoint of size 9: no key for its signatures");

  // Another chain's note, rightly signed.
  const auto other = CheckpointSigner::FromSeed("virp.example.net/site2", std::string(32, 's')).value();
  ChainWalk foreign(Origin("valid"), Deep());
  foreign.ExpectNote(other.Sign({"virp.example.net/site2", 9, Hash{}}).value(), {other.verifier_key()});
  EXPECT_EQ(Found(foreign), "CHECKPOINT_SIGNATURE at 9");
}

TEST(WalkBreakTest, TailMissing) {
  Store store = Store::Valid();
  while (store.entries.size() > 9) store.Erase(store.entries.size() - 1);
  EXPECT_EQ(Found(store.Walk()), "none") << "a valid chain does not show a lost tail";
  EXPECT_EQ(Found(store.Walk(Deep(), {9})), "none");
  EXPECT_EQ(Found(store.Walk(Deep(), {12})), "TAIL_MISSING at 9");
  EXPECT_EQ(Found(store.Walk(Deep(), {4, 12})), "TAIL_MISSING at 9");
}

TEST(WalkBreakTest, TheFirstBreakEndsTheWalk) {
  Store store = Store::Valid();
  store.leaves[5][0] ^= 1;
  store.leaves[7][0] ^= 1;
  const ChainWalk walk = store.Walk(Deep(), {12});
  EXPECT_EQ(Found(walk), "LEAF_HASH at 5");
  EXPECT_EQ(walk.size(), 5U);
  EXPECT_EQ(walk.book().size(), 5U);
  EXPECT_EQ(walk.head(), store.leaves[4]);
}

// ---- parts, followers, observers ----

TEST(WalkTest, AWalkGoesOnWhereAnotherStopped) {
  const Store store = Store::Valid();
  const ChainWalk whole = store.Walk();
  for (std::size_t cut = 0; cut <= 12; ++cut) {
    ChainWalk first(Origin("valid"), Deep());
    for (std::size_t i = 0; i < cut; ++i) first.Add(store.entries[i], nullptr, nullptr);
    const Frontier frontier = first.frontier();
    const Hash head = first.head();
    ChainWalk second(std::move(first).TakeBook(), frontier, head, Deep());
    for (std::size_t i = cut; i < 12; ++i) second.Add(store.entries[i], &store.leaves[i], &store.index[i]);
    EXPECT_EQ(Found(second), "none") << cut;
    EXPECT_EQ(second.Root(), whole.Root());
    EXPECT_TRUE(second.book() == whole.book());
  }
}

TEST(WalkTest, AShallowWalkMayGoOnDeep) {
  const Store store = Store::Valid();
  ChainWalk first(Origin("valid"), Shallow());
  for (std::size_t i = 0; i < 6; ++i) first.Add(store.entries[i], nullptr, nullptr);
  const Frontier frontier = first.frontier();
  const Hash head = first.head();
  ChainWalk second(std::move(first).TakeBook(), frontier, head, Deep());
  for (std::size_t i = 6; i < 12; ++i) second.Add(store.entries[i], &store.leaves[i], &store.index[i]);
  EXPECT_EQ(Found(second), "none") << "links to subjects that nobody read cannot be judged";
}

TEST(WalkTest, RangesAreWalkedBesideEachOther) {
  const Store store = Store::Valid();
  const ChainWalk whole = store.Walk();
  Hash roots[3];
  for (std::size_t part = 0; part < 3; ++part) {
    const std::size_t begin = part * 4;
    const std::optional<Hash> before = begin == 0 ? std::nullopt : std::optional(store.leaves[begin - 1]);
    ChainWalk walk = ChainWalk::ForRange(whole.book(), begin, before, Shallow());
    for (std::size_t i = begin; i < begin + 4; ++i) walk.Add(store.entries[i], &store.leaves[i], &store.index[i]);
    EXPECT_EQ(Found(walk), "none");
    EXPECT_EQ(walk.size(), begin + 4);
    ASSERT_EQ(walk.unchecked().size(), 1U) << "the rules are left to a walk from the start";
    EXPECT_EQ(walk.unchecked()[0].entries, 4U);
    roots[part] = walk.Root();
  }
  EXPECT_EQ(NodeHash(NodeHash(roots[0], roots[1]), roots[2]), whole.Root());

  ChainWalk wrong = ChainWalk::ForRange(whole.book(), 4, Hash{}, Shallow());
  wrong.Add(store.entries[4], nullptr, nullptr);
  EXPECT_EQ(Found(wrong), "PREVIOUS_HASH at 4");
  ChainWalk unknown = ChainWalk::ForRange(whole.book(), 4, std::nullopt, Shallow());
  Store forged = Store::Valid();
  forged.ChangeFrame(5, 70);
  unknown.Add(forged.entries[4], nullptr, nullptr);
  unknown.Add(forged.entries[5], nullptr, nullptr);
  EXPECT_EQ(Found(unknown), "TAG at 5");
}

TEST(WalkTest, AnObserverSeesEveryEntryWithItsStatement) {
  const Store store = Store::Valid();
  ChainWalk walk(Origin("valid"), Shallow());
  std::vector<std::string> subjects;
  walk.SetObserver([&](const Entry& entry, const frame::Frame&, const Statement& statement,
                       const std::optional<frame::Value>& payload) {
    EXPECT_EQ(entry.header.sequence + 1, walk.book().size()) << "the book has applied it";
    EXPECT_TRUE(payload.has_value());
    subjects.push_back(statement.subject);
  });
  for (std::size_t i = 0; i < 12; ++i) walk.Add(store.entries[i], &store.leaves[i], &store.index[i]);
  ASSERT_EQ(subjects.size(), 12U);
  for (std::size_t i = 0; i < 12; ++i) EXPECT_EQ(subjects[i], Text(VectorChain("valid")["entries"][i]["subject"]));
}

// What a leader makes step by step, a walk over its bytes makes again.
TEST(WalkTest, LeaderAndVerifierAgree) {
  TestChain chain;
  chain.Register(chain.Template("edge-a.bgpd"));
  Registration collector = chain.Template("collector-1", frame::Suite::kEd25519);
  collector.types = {23, 24};
  chain.Register(collector);
  Registration old = chain.Template("old.bgpd");
  old.min_frame_version = 1;
  chain.Register(old);
  for (std::uint64_t i = 1; i < 60; ++i) {
    chain.Advance(TestChain::kSecond / 3);
    chain.Send("edge-a.bgpd", {.number = i * 7 % 61, .epoch = TestChain::kStart + i / 20 + 1});
    chain.Send("old.bgpd", {.number = i % 9 + 1,
                            .epoch = TestChain::kStart + i / 9,
                            .time = TestChain::kStart + i / 9 + i % 9,
                            .spelling = frame::Spelling::kV1Be});
    if (i % 10 == 0) chain.Send("collector-1", {.type = frame::Type::kHeartbeat, .payload = "{}"});
  }
  ASSERT_GT(chain.entries.size(), 70U);
  ChainWalk walk(chain.origin(), {true, true, &chain.keys});
  for (std::size_t i = 0; i < chain.entries.size(); ++i) walk.Add(chain.entries[i], &chain.leaves[i], nullptr);
  ASSERT_EQ(Found(walk), "none") << walk.first_break()->detail;
  EXPECT_TRUE(walk.unchecked().empty());
  EXPECT_TRUE(walk.book() == chain.book);
}

TEST(WalkTest, GarbageBreaksAndDoesNotCrash) {
  for (const std::string& bytes : {std::string(), std::string("x"), std::string(128, '\0'), std::string(70'000, 'o'),
                                   "onode/1\n" + std::string(120, '\xff')}) {
    ChainWalk walk(Origin("valid"), Deep());
    walk.Add(bytes, nullptr, nullptr);
    EXPECT_EQ(Found(walk), "MALFORMED_ENTRY at 0");
  }
}

}  // namespace
}  // namespace virp::chain
