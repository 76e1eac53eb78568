// Tampering by direct SQL on either store: VerifyChain and the offline walk name the first broken sequence and the
// kind, and no verdict moves towards CONFIRMED, neither at the O-Node that runs nor after its restart.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "lib/chain/entry.h"
#include "lib/store/sqlite.h"
#include "services/onode/domain/chain_audit.h"
#include "tests/tamper/tamper_cases.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/wait.h"

namespace virp::onode {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Backend {
  const char* name;
  StoreBackendFactory make;
};
constexpr Backend kBackends[] = {{"Sqlite", NewSqliteBackend}, {"Postgres", NewPostgresBackend}};

class Tampered : public TamperTest {
 public:
  Tampered(const Backend& backend, const TamperCase& what) : TamperTest(backend.make), what_(what) {}

  void TestBody() override {
    ASSERT_TRUE(StartNode());
    ASSERT_TRUE(testutil::Eventually([this] { return (*node_->Find(kTamperOrigin))->leading(); }));
    const Verdicts before = Ask();
    ASSERT_EQ(VerifyChain(), "VERIFIED");

    what_.act(*intruder_, history());
    ExpectFound();
    EXPECT_EQ(Moved(before, Ask()), "") << "at the O-Node that runs";

    StopNode();
    const bool started = StartNode();
    ASSERT_EQ(started, what_.restarted != Restarted::kRefuses);
    if (!started) return;
    ExpectFound();
    EXPECT_EQ(!frozen().empty(), what_.restarted == Restarted::kFrozen) << frozen();
    EXPECT_EQ(Moved(before, Ask()), "") << "after a restart";
  }

 private:
  void ExpectFound() {
    if (what_.online.starts_with("error")) {
      EXPECT_THAT(VerifyChain(), StartsWith(what_.online));
    } else {
      EXPECT_EQ(VerifyChain(), what_.online);
    }
    const Finding offline = VerifyOffline();
    if (what_.offline == "error") {
      EXPECT_THAT(offline, StartsWith("error"));
    } else {
      EXPECT_EQ(offline, what_.offline);
    }
  }
  const TamperCase& what_;
};

// The matrix is about the columns that there are, not about those that somebody remembered.
class Coverage : public TamperTest {
 public:
  explicit Coverage(const Backend& backend) : TamperTest(backend.make), postgres_(backend.make == NewPostgresBackend) {}
  void TestBody() override {
    ASSERT_TRUE(StartNode());
    std::set<std::string> covered;
    for (const TamperCase& one : TamperCases()) {
      if (postgres_ || !one.postgres_only) covered.insert(one.columns.begin(), one.columns.end());
    }
    const std::set<std::string> columns = intruder_->Columns();
    EXPECT_GT(columns.size(), 40U);
    for (const std::string& column : columns) EXPECT_TRUE(covered.contains(column)) << column << " has no tamper case";
  }

 private:
  const bool postgres_;
};

// What the histories say is the point of all the rest: every kind of verdict is there to be moved.
class Baseline : public TamperTest {
 public:
  explicit Baseline(const Backend& backend) : TamperTest(backend.make) {}
  void TestBody() override {
    ASSERT_TRUE(StartNode());
    const Verdicts verdicts = Ask();
    const auto now = [&](const char* peer, const char* claim) {
      return verdicts.at(std::string(peer) + " " + claim + ", now");
    };
    EXPECT_EQ(now(kPeerUp, "up"), "VERDICT_CONFIRMED");
    EXPECT_EQ(now(kPeerSigned, "up"), "VERDICT_CONFIRMED");
    EXPECT_EQ(verdicts.at("checkpointed"), "VERDICT_CONFIRMED");
    EXPECT_EQ(now(kPeerLost, "up"), "VERDICT_REFUTED");
    EXPECT_EQ(now(kPeerLost, "not up"), "VERDICT_CONFIRMED");
    EXPECT_EQ(verdicts.at(std::string(kPeerLost) + " up, then"), "VERDICT_CONFIRMED");
    EXPECT_EQ(now(kPeerOfBlack, "up"), "VERDICT_CHANNEL_COMPROMISED");
    EXPECT_EQ(now(kPeerOfStolenKey, "up"), "VERDICT_CHANNEL_COMPROMISED");
    EXPECT_EQ(now(kPeerOfSuspended, "up"), "VERDICT_NO_EVIDENCE");
    EXPECT_EQ(now(kPeerWithGap, "up"), "VERDICT_INCOMPLETE");
    EXPECT_EQ(now(kPeerForeign, "up"), "VERDICT_NO_EVIDENCE");
    EXPECT_EQ(verdicts.at("route there, now"), "VERDICT_CONFIRMED");
    EXPECT_EQ(VerifyOffline(), "VERIFIED");
    // A range: what lies before it is not held against it.
    EXPECT_EQ(VerifyChain(150, 200), "VERIFIED");
    EXPECT_EQ(VerifyChain(150), "VERIFIED");
  }
};

// A whole chain by a stranger, hashed and linked as it should be. With the checkpoint beside the database lost, too,
// only the key that the chain names as its own is left to tell.
class Replaced : public TamperTest {
 public:
  Replaced(const Backend& backend, bool forget) : TamperTest(backend.make) { forget_checkpoints_ = forget; }
  void TestBody() override {
    own_key_ = frame::OKey::Ed25519FromSeed(std::string(32, 'o')).value();
    if (forget_checkpoints_) {
      Intruder(*backend_).Sql("DELETE FROM {}checkpoint");
    }
    ASSERT_TRUE(StartNode());
    EXPECT_THAT(frozen(), HasSubstr("own key"));
    EXPECT_EQ(VerifyChain(), Found("SOURCE_RULES", 0));
    for (const auto& [claim, verdict] : Ask())
      EXPECT_TRUE(verdict == "VERDICT_CHAIN_FROZEN" || verdict.starts_with("error")) << claim << verdict;
  }
};

// The old state of the chain, for a claim about the past, comes from the store again. Who forges it has to forge the
// hash at its end as well, and that hash is in a tile of the same store.
class ForgedPast : public TamperTest {
 public:
  explicit ForgedPast(const Backend& backend) : TamperTest(backend.make) { tree_cache_tiles_ = 0; }
  void TestBody() override {
    ASSERT_TRUE(StartNode());
    const History& h = history();
    ASSERT_EQ(AskPeer(kPeerUp, /*negate=*/true, h.early, h.early_time), "VERDICT_REFUTED");
    StopNode();
    ASSERT_TRUE(StartNode());  // nothing of the past is remembered
    std::vector<std::string> entries(h.builder.entries.begin(),
                                     h.builder.entries.begin() + static_cast<std::ptrdiff_t>(h.early));
    entries[h.up] = WithWord(entries[h.up], "Established", "IdleIdleIdl");
    intruder_->RewritePart(std::move(entries), h.up, h.builder.leaves);
    EXPECT_THAT(AskPeer(kPeerUp, /*negate=*/true, h.early, h.early_time), StartsWith("error"));
    EXPECT_EQ(VerifyChain(), Found("TAG", h.up));
  }
};

// Entries and checkpoints that come while the walk goes on are not missing at its end: no accusation where nobody
// tampered.
class GrowsMeanwhile : public TamperTest {
 public:
  explicit GrowsMeanwhile(const Backend& backend) : TamperTest(backend.make) {}
  void TestBody() override {
    ASSERT_TRUE(StartNode());
    Chain& chain = **node_->Find(kTamperOrigin);
    ASSERT_TRUE(testutil::Eventually([&chain] { return chain.leading(); }));
    const testutil::ChainBuilder& builder = history().builder;
    const auto said =
        builder.Sign("edge-a.bgpd", builder.Numbered("edge-a.bgpd", builder.last_number("edge-a.bgpd") + 1,
                                                     frame::Type::kBgpProcess, testutil::AnnounceJson({}, {})));
    bool grown = false;
    const auto report = AuditChain(chain, {}, [&](std::uint64_t, std::uint64_t) {
      if (!std::exchange(grown, true)) {
        chain.Enqueue(std::make_shared<onode::DeliveryOrder>(),
                      {{.number = 1, .source = "edge-a.bgpd", .frame = said.bytes}},
                      testutil::ChainBuilder::kCollector1, [](const auto&) {});
        EXPECT_OK(
            chain.WaitForCheckpoint(history().size() + 1, std::chrono::steady_clock::now() + std::chrono::seconds(20)));
      }
      return true;
    });
    ASSERT_OK(report);
    EXPECT_FALSE(report->broken.has_value()) << report->broken->detail;
    EXPECT_GE(chain.size(), history().size() + 1);
    EXPECT_EQ(report->size, history().size());
  }
};

// The file beside a SQLite database says that it covers the chain, and holds nothing of it, or the wrong places:
// whoever can write there hides entries from lists, and what is sent again is not recognised; no verdict moves.
class EditedIndex : public TamperTest {
 public:
  EditedIndex(const Backend& backend, bool wrong_places) : TamperTest(backend.make), wrong_places_(wrong_places) {}
  void TestBody() override {
    ASSERT_TRUE(StartNode());
    const Verdicts before = Ask();
    StopNode();
    EditIndex();
    ASSERT_TRUE(StartNode());
    Chain& chain = **node_->Find(kTamperOrigin);
    ASSERT_TRUE(testutil::Eventually([&chain] { return chain.leading(); }));
    EXPECT_EQ(frozen(), "");
    EXPECT_EQ(VerifyChain(), "VERIFIED");
    EXPECT_EQ(Moved(before, Ask()), "");

    std::atomic<bool> answered = false;
    const std::string frame(chain::DecodeEntry(history().builder.entries[history().up])->frame);
    chain.Enqueue(std::make_shared<onode::DeliveryOrder>(), {{.number = 1, .source = "edge-a.bgpd", .frame = frame}},
                  testutil::ChainBuilder::kCollector1, [&](const auto&) { answered = true; });
    EXPECT_TRUE(testutil::Eventually([&] { return answered.load(); }));
    EXPECT_EQ(Moved(before, Ask()), "") << "after a frame was sent again";
    EXPECT_EQ(VerifyChain(), "VERIFIED");
  }

 private:
  void EditIndex() {
    const std::string path = backend_->url().substr(std::string_view("sqlite:").size()) + "-index";
    ASSERT_OK_AND_ASSIGN(const auto db, store::SqliteDb::Open({.path = path}));
    const testutil::ChainBuilder& builder = history().builder;
    const std::uint64_t size = history().size();
    ASSERT_OK(db->Exec("DELETE FROM covered; DELETE FROM by_frame; DELETE FROM by_source; DELETE FROM by_subject"));
    ASSERT_OK(db->Run("INSERT INTO covered VALUES (1,?,?)", static_cast<std::int64_t>(size),
                      store::Blob(builder.leaves[size - 1])));
    if (!wrong_places_) return;
    for (std::uint64_t at = 0; at < size; ++at) {
      const auto header = chain::DecodeEntry(builder.entries[at])->header;
      ASSERT_OK(db->Run("INSERT INTO by_frame VALUES (1,?,?,?,?)", static_cast<std::int64_t>(header.source),
                        static_cast<std::int64_t>(header.source_epoch),
                        static_cast<std::int64_t>(header.source_sequence), static_cast<std::int64_t>(size - 1 - at)));
    }
  }
  const bool wrong_places_;
};

void RegisterAll() {
  for (const Backend& backend : kBackends) {
    const auto add = [&](const std::string& name, auto make) {
      ::testing::RegisterTest(backend.name, name.c_str(), nullptr, nullptr, __FILE__, __LINE__, make);
    };
    add("verdicts_before", [&backend]() -> TamperTest* { return new Baseline(backend); });
    add("every_column_has_a_case", [&backend]() -> TamperTest* { return new Coverage(backend); });
    add("replaced_by_a_stranger", [&backend]() -> TamperTest* { return new Replaced(backend, false); });
    add("replaced_by_a_stranger_and_no_checkpoint_left",
        [&backend]() -> TamperTest* { return new Replaced(backend, true); });
    add("grows_meanwhile", [&backend]() -> TamperTest* { return new GrowsMeanwhile(backend); });
    if (backend.make == NewSqliteBackend) {
      add("index_emptied", [&backend]() -> TamperTest* { return new EditedIndex(backend, false); });
      add("index_of_wrong_places", [&backend]() -> TamperTest* { return new EditedIndex(backend, true); });
    }
    add("forged_past", [&backend]() -> TamperTest* { return new ForgedPast(backend); });
    for (const TamperCase& one : TamperCases()) {
      if (one.postgres_only && backend.make != NewPostgresBackend) continue;
      add(one.name, [&backend, &one]() -> TamperTest* { return new Tampered(backend, one); });
    }
  }
}

}  // namespace
}  // namespace virp::onode

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  virp::onode::RegisterAll();
  return RUN_ALL_TESTS();
}
