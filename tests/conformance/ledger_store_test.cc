// One suite over both back ends of the key manager's ledger.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "lib/base/clock.h"
#include "lib/crypto/sha256.h"
#include "lib/store/sqlite.h"
#include "services/keymgr/domain/kek_keeper.h"
#include "services/keymgr/domain/test_ledger.h"
#include "services/keymgr/storage/open.h"
#include "services/keymgr/storage/postgres/postgres_ledger.h"
#include "services/keymgr/storage/sqlite/sqlite_ledger.h"
#include "tests/testutil/postgres.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"

namespace virp::keymgr {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;

class Backend {
 public:
  virtual ~Backend() = default;
  virtual absl::StatusOr<std::unique_ptr<LedgerStore>> Open(bool migrate = true) = 0;
  virtual absl::Status Sql(std::string_view sql) = 0;  // with the owner's rights
  virtual void ExpireLease() = 0;
  virtual void LeaseFromTheFuture() = 0;  // taken while the clock was far ahead
};

class SqliteBackend final : public Backend {
 public:
  absl::StatusOr<std::unique_ptr<LedgerStore>> Open(bool migrate) override {
    LedgerStoreOptions options;
    options.clock = &clock_;
    options.migrate = migrate;
    return OpenLedgerStore({store::Backend::kSqlite, path_}, options);
  }
  absl::Status Sql(std::string_view sql) override {
    store::SqliteOptions options;
    options.path = path_;
    ASSIGN_OR_RETURN(const auto db, store::SqliteDb::Open(options));
    return db->Exec(sql);
  }
  void ExpireLease() override { clock_.Advance(std::chrono::hours(48)); }
  void LeaseFromTheFuture() override { clock_.SetWall(clock_.NowNanos() - 30 * 86'400'000'000'000); }

 private:
  testutil::TempDir folder_;
  const std::string path_ = folder_.File("keymgr.db");
  FakeClock clock_;
};

class PostgresBackend final : public Backend {
 public:
  PostgresBackend() {
    auto url = testutil::PostgresCluster::Shared().CreateDatabase();
    EXPECT_OK(url);
    admin_ = url.value_or("");
    EXPECT_OK(
        Sql("DO $$ BEGIN PERFORM pg_advisory_xact_lock(7);"
            "IF to_regrole('virp_serving') IS NULL THEN CREATE ROLE virp_serving LOGIN; END IF; END $$"));
  }
  absl::StatusOr<std::unique_ptr<LedgerStore>> Open(bool migrate) override {
    LedgerStoreOptions options;
    options.migrate = migrate;
    options.migrate_url = admin_;
    std::string serving = admin_;
    serving.replace(serving.find("//postgres@"), 11, "//virp_serving@");
    return OpenLedgerStore({store::Backend::kPostgres, serving}, options);
  }
  absl::Status Sql(std::string_view sql) override {
    ASSIGN_OR_RETURN(const auto connection, store::PostgresConnection::Open({.url = admin_}));
    ASSIGN_OR_RETURN(auto transaction, store::PostgresTransaction::Begin(*connection));
    RETURN_IF_ERROR(transaction.Run("SET search_path = keymgr, public"));
    RETURN_IF_ERROR(transaction.Run(sql));
    return transaction.Commit();
  }
  void ExpireLease() override {
    EXPECT_OK(Sql("UPDATE ledger_head SET lease_until = clock_timestamp() - interval '1 second'"));
  }
  void LeaseFromTheFuture() override { ExpireLease(); }  // the server's clock is the database's own matter

 private:
  std::string admin_;
};

struct BackendMaker {
  std::string name;
  std::function<std::unique_ptr<Backend>()> make;
};
void PrintTo(const BackendMaker& maker, std::ostream* out) {
  *out << maker.name;
}

class LedgerStoreTest : public testing::TestWithParam<BackendMaker> {
 protected:
  LedgerStoreTest() : backend_(GetParam().make()), store_(*backend_->Open(true)) {}

  static AuditRow Record(std::uint64_t number, std::string request_id = {}) {
    AuditRow row;
    row.record = number;
    row.epoch = 1'750'000'000'000'000'000;
    row.sequence = number;
    row.time = row.epoch + number;
    row.event = number % 2 == 0 ? "key_rolled" : "key_created";
    row.source = "keymgr-1";
    row.actor = "spiffe://example.net/operator/noc-1";
    row.method = "virp.keymgr.v1.KeyAdminService/Test";
    row.reason = "why \"not\", \\ and \xc3\xbc";
    row.request_id = std::move(request_id);
    row.digest = crypto::Sha256(row.request_id);
    row.answer = std::string("an\0swer\xff", 8);
    row.frame = std::string("\0frame\xfe ", 8) + std::to_string(number);
    return row;
  }
  static Row Thing(std::string id, std::uint64_t revision = 1) {
    Row row;
    row.kind = "thing";
    row.id = std::move(id);
    row.parent = "a-router";
    row.state = "ACTIVE";
    row.due = 1'800'000'000'000'000'000;
    row.body = R"({"name":"ü \" \\ \n","number":18446744073709551615, "spaced" : [1, 2]})";
    row.created = 7;
    row.changed = 8;
    row.revision = revision;
    return row;
  }
  static SealedKey Key(std::string id, std::uint32_t version = 1) {
    SealedKey key;
    key.identity = {KeyKind::kRouter, std::move(id), version, Algorithm::kEcdsaP256};
    key.policy = ExportPolicy::kOnce;
    key.custody = "software";
    key.kek_version = 3;
    key.public_half = std::string("\x04\0public", 8);
    key.blob = std::string("\0envelope\xff", 10);
    key.created = 9;
    return key;
  }

  LedgerBatch Batch(const LedgerHead& head, std::vector<AuditRow> records) {
    LedgerBatch batch;
    batch.term = head.term;
    batch.old_record = head.record;
    batch.old_frame_hash = head.frame_hash;
    batch.new_frame_hash = crypto::Sha256(records.back().frame);
    batch.records = std::move(records);
    return batch;
  }
  struct State {
    LedgerHead head;
    std::vector<Row> rows;
    std::vector<SealedKey> keys;
    std::vector<AuditRow> requests;
  };
  State Load(UnixNanos since = 0) {
    State state;
    LedgerStore::Loader loader;
    loader.row = [&](Row row) { return state.rows.push_back(std::move(row)), absl::OkStatus(); };
    loader.key = [&](SealedKey key) { return state.keys.push_back(std::move(key)), absl::OkStatus(); };
    loader.request = [&](AuditRow row) { return state.requests.push_back(std::move(row)), absl::OkStatus(); };
    loader.requests_since = since;
    auto head = store_->Load(loader);
    EXPECT_OK(head);
    if (head.ok()) state.head = *head;
    return state;
  }
  LedgerHead Lead(std::string_view instance = "one") {
    auto head = store_->TakeLease(instance, "one.example.net:8443", milliseconds(60'000));
    EXPECT_OK(head);
    return head.value_or(LedgerHead{});
  }

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<LedgerStore> store_;
};

TEST_P(LedgerStoreTest, OneLeadsAndTheTermGrows) {
  ASSERT_OK_AND_ASSIGN(const LedgerHead empty, store_->ReadHead());
  EXPECT_EQ(empty.term, 0U);
  EXPECT_FALSE(empty.lease_valid);
  const LedgerHead head = Lead();
  EXPECT_EQ(head.term, 1U);
  EXPECT_TRUE(head.lease_valid);
  EXPECT_EQ(store_->TakeLease("two", "", milliseconds(1'000)).status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(Lead().term, 2U) << "the same instance again";
  EXPECT_EQ(store_->RenewLease(1, milliseconds(1'000)).code(), absl::StatusCode::kAborted);
  EXPECT_OK(store_->RenewLease(2, milliseconds(60'000)));
  backend_->ExpireLease();
  ASSERT_OK_AND_ASSIGN(const LedgerHead expired, store_->ReadHead());
  EXPECT_FALSE(expired.lease_valid);
  EXPECT_EQ(Lead("two").term, 3U);
  EXPECT_EQ(store_->ReleaseLease(2).code(), absl::StatusCode::kAborted);
  EXPECT_OK(store_->ReleaseLease(3));
  EXPECT_EQ(store_->RenewLease(3, milliseconds(1'000)).code(), absl::StatusCode::kAborted) << "given back";
  EXPECT_EQ(Lead("one").term, 4U);
  backend_->LeaseFromTheFuture();
  EXPECT_EQ(Lead("two").term, 5U) << "or nobody would be active for a month";
  EXPECT_FALSE(store_->TakeLease("", "", milliseconds(1'000)).ok());
  EXPECT_FALSE(store_->TakeLease("one", "", milliseconds(0)).ok());
}

TEST_P(LedgerStoreTest, ABatchIsThereWholeByteForByte) {
  const LedgerHead head = Lead();
  LedgerBatch batch = Batch(head, {Record(1, "r1"), Record(2)});
  batch.records[1].keys = {Key("b").identity, Key("a", 7).identity};
  batch.puts = {Thing("a"), Thing("b/1"), Thing("b")};
  batch.puts[2].due.reset();
  batch.puts[2].parent.clear();
  batch.put_keys = {Key("k", 2), Key("k", 10)};
  ASSERT_OK(store_->Commit(batch));
  const State state = Load();
  EXPECT_EQ(state.head.record, 2U);
  EXPECT_EQ(state.head.epoch, batch.records[1].epoch);
  EXPECT_EQ(state.head.sequence, 2U);
  EXPECT_EQ(state.head.frame_hash, batch.new_frame_hash);
  EXPECT_THAT(state.rows, ElementsAre(batch.puts[0], batch.puts[2], batch.puts[1])) << "by kind and id";
  EXPECT_EQ(state.keys, batch.put_keys);
  ASSERT_EQ(state.requests.size(), 1U);
  EXPECT_EQ(state.requests[0].request_id, "r1");
  EXPECT_EQ(state.requests[0].answer, batch.records[0].answer);
  EXPECT_EQ(state.requests[0].digest, batch.records[0].digest);
  EXPECT_TRUE(Load(Record(1).time + 1).requests.empty());
  ASSERT_OK_AND_ASSIGN(const auto audit, store_->ReadAudit({}, 10));
  EXPECT_EQ(audit, batch.records);
}

TEST_P(LedgerStoreTest, PutsReplaceAndErasesRemove) {
  const LedgerHead head = Lead();
  LedgerBatch first = Batch(head, {Record(1)});
  first.puts = {Thing("a"), Thing("b")};
  first.put_keys = {Key("a"), Key("b")};
  ASSERT_OK(store_->Commit(first));
  LedgerBatch second = Batch(Load().head, {Record(2)});
  second.puts = {Thing("a", 2)};
  second.puts[0].state = "RETIRED";
  second.erases = {{"thing", "b"}, {"thing", "was-never-there"}};
  second.put_keys = {Key("a")};
  second.put_keys[0].blob = "rewrapped";
  second.put_keys[0].kek_version = 4;
  second.put_keys[0].locked = true;
  second.drop_keys = {Key("b").identity};
  ASSERT_OK(store_->Commit(second));
  const State state = Load();
  EXPECT_EQ(state.rows, second.puts);
  EXPECT_EQ(state.keys, second.put_keys);
  // Even the owner's session cannot unlock a key or change history without taking the guards away first.
  EXPECT_FALSE(backend_->Sql("UPDATE sealed_key SET locked = (1 = 0)").ok());
  EXPECT_FALSE(backend_->Sql("UPDATE sealed_key SET policy = 'SHARED'").ok());
  EXPECT_FALSE(backend_->Sql("UPDATE audit SET actor = 'nobody'").ok());
  EXPECT_FALSE(backend_->Sql("DELETE FROM audit").ok());
  EXPECT_FALSE(backend_->Sql("UPDATE ledger_head SET record = 1").ok());
  EXPECT_OK(backend_->Sql("UPDATE sealed_key SET custody = 'token'")) << "what is no guard's matter goes";
}

TEST_P(LedgerStoreTest, FencedNothingIsWritten) {
  const LedgerHead head = Lead();
  LedgerBatch batch = Batch(head, {Record(1)});
  batch.puts = {Thing("a")};
  const auto refused = [&](const std::function<void(LedgerBatch&)>& change) {
    LedgerBatch other = batch;
    change(other);
    EXPECT_EQ(store_->Commit(other).code(), absl::StatusCode::kAborted);
  };
  refused([](LedgerBatch& other) { ++other.term; });
  refused([](LedgerBatch& other) { other.term = 0; });
  refused([](LedgerBatch& other) { other.old_frame_hash[0] = 1; });
  refused([](LedgerBatch& other) {
    other.old_record = 1;
    other.records = {Record(2)};
  });
  LedgerBatch holes = batch;
  holes.records.push_back(Record(3));
  EXPECT_EQ(store_->Commit(holes).code(), absl::StatusCode::kInvalidArgument);
  holes.records.clear();
  EXPECT_EQ(store_->Commit(holes).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(Load().rows.empty());
  ASSERT_OK(store_->Commit(batch));
  EXPECT_EQ(store_->Commit(batch).code(), absl::StatusCode::kAborted) << "once";
  // A batch that the database refuses in the middle leaves nothing behind.
  LedgerBatch broken = Batch(Load().head, {Record(2)});
  broken.puts = {Thing("b"), Thing("c")};
  broken.puts[1].body = "no json";
  EXPECT_FALSE(store_->Commit(broken).ok());
  EXPECT_EQ(Load().rows.size(), 1U);
  EXPECT_EQ(Load().head.record, 1U);
  ASSERT_OK(store_->ReleaseLease(head.term));
  EXPECT_EQ(store_->Commit(Batch(Load().head, {Record(2)})).code(), absl::StatusCode::kAborted) << "nobody leads";
}

TEST_P(LedgerStoreTest, AuditIsFoundByWhatItSays) {
  const LedgerHead head = Lead();
  std::vector<AuditRow> records;
  for (std::uint64_t i = 1; i <= 20; ++i) records.push_back(Record(i, i == 5 ? "five" : ""));
  records[6].keys = {Key("edge-a").identity};
  records[7].keys = {Key("edge-a", 2).identity, Key("edge-b").identity};
  records[8].actor = "spiffe://example.net/operator/noc-2";
  records[9].source = "edge-a.bgpd";
  ASSERT_OK(store_->Commit(Batch(head, records)));
  const auto find = [&](const AuditFilter& filter, std::size_t limit = 100) {
    const auto rows = store_->ReadAudit(filter, limit);
    EXPECT_OK(rows);
    std::vector<std::uint64_t> numbers;
    for (const AuditRow& row : rows.value_or(std::vector<AuditRow>())) {
      numbers.push_back(row.record);
      EXPECT_EQ(row, records[row.record - 1]);
    }
    return numbers;
  };
  const auto with = [](const std::function<void(AuditFilter&)>& set) {
    AuditFilter filter;
    set(filter);
    return filter;
  };
  EXPECT_THAT(find({}, 3), ElementsAre(1, 2, 3));
  EXPECT_THAT(find(with([](auto& f) { f.after = 18; })), ElementsAre(19, 20));
  EXPECT_THAT(find(with([](auto& f) { f.descending = true; }), 2), ElementsAre(20, 19));
  EXPECT_THAT(find(with([](auto& f) {
                f.descending = true;
                f.after = 3;
              })),
              ElementsAre(2, 1));
  EXPECT_THAT(find(with([](auto& f) { f.request_id = "five"; })), ElementsAre(5));
  EXPECT_THAT(find(with([](auto& f) { f.actor = "spiffe://example.net/operator/noc-2"; })), ElementsAre(9));
  EXPECT_THAT(find(with([](auto& f) { f.source = "edge-a.bgpd"; })), ElementsAre(10));
  EXPECT_THAT(find(with([](auto& f) {
                f.event = "key_rolled";
                f.after = 15;
              })),
              ElementsAre(16, 18, 20));
  EXPECT_THAT(find(with([](auto& f) {
                f.kind = KeyKind::kRouter;
                f.descending = true;
              })),
              ElementsAre(8, 7));
  EXPECT_THAT(find(with([](auto& f) {
                f.kind = KeyKind::kRouter;
                f.key_id = "edge-b";
              })),
              ElementsAre(8));
  EXPECT_THAT(find(with([&](auto& f) {
                f.from = records[3].time;
                f.to = records[5].time;
              })),
              ElementsAre(4, 5));
  EXPECT_TRUE(find(with([](auto& f) { f.event = "' OR 1=1"; })).empty());
}

TEST_P(LedgerStoreTest, DeliveredOnlyRises) {
  const LedgerHead head = Lead();
  ASSERT_OK(store_->Commit(Batch(head, {Record(1), Record(2)})));
  ASSERT_OK(store_->SetDelivered(1));
  ASSERT_OK(store_->SetDelivered(0));
  EXPECT_EQ(Load().head.delivered, 1U);
  ASSERT_OK(store_->SetDelivered(9));
  EXPECT_EQ(Load().head.delivered, 2U) << "not beyond the end";
}

TEST_P(LedgerStoreTest, TwoOpenAtOnceSeeOneState) {
  ASSERT_OK_AND_ASSIGN(const auto other, backend_->Open(false));
  const LedgerHead head = Lead();
  ASSERT_OK(store_->Commit(Batch(head, {Record(1)})));
  ASSERT_OK_AND_ASSIGN(const LedgerHead seen, other->ReadHead());
  EXPECT_EQ(seen.record, 1U);
  EXPECT_EQ(other->TakeLease("two", "", milliseconds(1'000)).status().code(), absl::StatusCode::kAborted);
}

TEST_P(LedgerStoreTest, TheLedgerRunsOnIt) {
  const SystemClock clock;
  const auto ledger = *LedgerEngine::Make(*store_, KekKeeper::Types(), TestLedgerOptions(), clock);
  ledger->Start();
  ledger->Unseal(SealReason::kStarting);
  ASSERT_TRUE(ledger->WaitActive(true, std::chrono::steady_clock::now() + std::chrono::seconds(30)));
  std::vector<std::future<absl::StatusOr<Receipt>>> waiting;
  for (int i = 0; i < 300; ++i) {
    waiting.push_back(ledger->Submit(TestCall("r" + std::to_string(i)), [i](const Snapshot&, Changes& changes) {
      auto kek = std::make_shared<KekRecord>();
      kek->version = static_cast<std::uint32_t>(i + 1);
      kek->check = "00";
      changes.Put(std::move(kek));
      changes.PutKey(Key("k" + std::to_string(i)));
      changes.Audit({.event = "test", .source = {}, .keys = {Key("k" + std::to_string(i)).identity}, .fields = {}});
      return absl::OkStatus();
    }));
  }
  for (auto& future : waiting) ASSERT_OK(future.get());
  ledger->Stop();
  const State state = Load();
  EXPECT_EQ(state.rows.size(), 300U);
  EXPECT_EQ(state.keys.size(), 300U);
  EXPECT_EQ(state.requests.size(), 300U);
  EXPECT_EQ(state.head.record, 300U);
}

INSTANTIATE_TEST_SUITE_P(, LedgerStoreTest,
                         testing::Values(BackendMaker{"Sqlite", [] { return std::make_unique<SqliteBackend>(); }},
                                         BackendMaker{"Postgres", [] { return std::make_unique<PostgresBackend>(); }}),
                         [](const auto& made) { return made.param.name; });

}  // namespace
}  // namespace virp::keymgr
