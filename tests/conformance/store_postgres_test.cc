// What only PostgreSQL has: roles, constraints against forks, partitions, settings that would lose what was
// acknowledged.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_replace.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "services/onode/storage/open.h"
#include "services/onode/storage/postgres/postgres_migrate.h"
#include "tests/conformance/postgres_backend.h"
#include "tests/conformance/test_chain.h"
#include "tests/testutil/status_matchers.h"

namespace virp::onode {
namespace {

using absl::StatusCode;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testutil::PostgresCluster;
using testutil::ReasonIs;
using testutil::StatusIs;
using namespace std::chrono_literals;

constexpr std::string_view kOrigin = "virp.example.net/site1";

class PostgresStoreTest : public ::testing::Test {
 protected:
  PostgresStoreTest() : backend_(PostgresCluster::Shared()) {}

  void SetUp() override {
    auto store = backend_.Open();
    ASSERT_OK(store);
    store_ = *std::move(store);
  }
  void NewChain() {
    ASSERT_OK_AND_ASSIGN(id_, store_->CreateChain(kOrigin, ""));
    ASSERT_OK(store_->TakeLease(id_, "a", "", 600s));
  }
  void Append(std::size_t rows) {
    const AppendBatch batch = chain_.Next(1, rows);
    ASSERT_OK(store_->Append(id_, batch));
    chain_.Committed(batch);
  }

  PostgresBackend backend_;
  std::unique_ptr<ChainStore> store_;
  ChainId id_ = 0;
  TestChain chain_{std::string(kOrigin)};
};

TEST_F(PostgresStoreTest, TheServingRoleOwnsAndChangesNothing) {
  NewChain();
  Append(300);
  for (const char* sql : {
           "UPDATE {}chain_head SET term = 99",
           "UPDATE {}entry SET kind = 1",
           "DELETE FROM {}entry",
           "TRUNCATE {}entry",
           "INSERT INTO {}batch VALUES (1, 300, 301, 1, NULL, NULL)",
           "INSERT INTO {}checkpoint VALUES (1, 1, NULL, NULL)",
           "UPDATE {}checkpoint SET note = 'x'",
           "DELETE FROM {}quarantine",
           "INSERT INTO {}chain VALUES (9, 'x', '')",
           "CREATE TABLE {}mine (x int)",
           "DROP TABLE {}tile",
           "DROP TRIGGER no_change ON {}entry",
           "ALTER TABLE {}entry DISABLE TRIGGER ALL",
           "CREATE FUNCTION {}mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
           "UPDATE {}virp_schema SET number = 0",
       }) {
    EXPECT_THAT(backend_.As(backend_.serving_url(), sql), StatusIs(StatusCode::kPermissionDenied)) << sql;
  }
  EXPECT_THAT(backend_.Ask("SELECT count(*) FROM pg_class WHERE relowner='virp_serving'::regrole"),
              testutil::IsOkAndHolds("0"));
  EXPECT_THAT(backend_.Ask("SELECT count(*) FROM pg_proc WHERE proowner='virp_serving'::regrole"),
              testutil::IsOkAndHolds("0"));
  // Functions that run with their owner's rights must not look names up where others may put objects.
  EXPECT_THAT(backend_.Ask("SELECT count(*) FROM pg_proc WHERE pronamespace='onode'::regnamespace AND prosecdef"
                           " AND NOT coalesce(proconfig @> ARRAY['search_path=pg_catalog, pg_temp'], false)"),
              testutil::IsOkAndHolds("0"));
}

TEST_F(PostgresStoreTest, ARoleWithoutGrantsIsNotLetIn) {
  ASSERT_OK(backend_.As(backend_.admin_url(),
                        "DO $$ BEGIN IF to_regrole('virp_stranger') IS NULL THEN"
                        " CREATE ROLE virp_stranger LOGIN; END IF; END $$"));
  const std::string url = absl::StrReplaceAll(backend_.serving_url(), {{"virp_serving", "virp_stranger"}});
  StoreOptions options;
  options.migrate = false;
  EXPECT_THAT(PostgresChainStore::Open(url, options), Not(testutil::IsOk()));
  options.migrate = true;
  EXPECT_THAT(PostgresChainStore::Open(url, options), Not(testutil::IsOk())) << "it may not migrate";
  EXPECT_THAT(MigratePostgres({.url = backend_.owner_url()}, "virp_nobody"),
              StatusIs(StatusCode::kNotFound, HasSubstr("virp_nobody")));
}

TEST_F(PostgresStoreTest, AForkIsImpossibleEvenByHand) {
  NewChain();
  Append(3);
  Append(2);
  const std::string last = "decode('" + HexEncode(View(chain_.head())) + "', 'hex')";
  const auto batch = [&](const std::string& values) {
    return backend_.Sql("INSERT INTO {}batch (chain_id, first_seq, next_seq, term, prev_head, last_head) VALUES (1, " +
                        values + ")");
  };
  const std::string other = "sha256('x')";
  EXPECT_THAT(batch("3, 9, 2, (SELECT last_head FROM {}batch WHERE next_seq=3), " + other),
              StatusIs(StatusCode::kAlreadyExists))
      << "a second successor";
  EXPECT_THAT(batch("5, 6, 1, " + other + ", " + other), StatusIs(StatusCode::kFailedPrecondition)) << "another head";
  EXPECT_THAT(batch("6, 7, 1, " + last + ", " + other), StatusIs(StatusCode::kFailedPrecondition))
      << "a position left out";
  EXPECT_THAT(batch("5, 5, 1, " + last + ", " + other), StatusIs(StatusCode::kFailedPrecondition)) << "an empty batch";
  EXPECT_THAT(batch("-1, 0, 1, NULL, " + other), StatusIs(StatusCode::kAlreadyExists)) << "a second genesis";
  EXPECT_THAT(backend_.Sql("UPDATE {}batch SET term=7"), StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_THAT(backend_.Sql("DELETE FROM {}batch"), StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_OK(batch("5, 6, 1, " + last + ", " + other)) << "the one that fits";
}

TEST_F(PostgresStoreTest, PartitionsAreMadeAheadAndReadAsOne) {
  ASSERT_OK(backend_.Sql("ALTER TABLE {}chain ALTER partition_width SET DEFAULT 1024"));
  NewChain();
  for (int i = 0; i < 9; ++i) Append(500);
  Append(4'096);  // crosses four boundaries at once
  ASSERT_OK_AND_ASSIGN(const std::string partitions,
                       backend_.Ask("SELECT count(*) FROM pg_inherits WHERE inhparent='onode.entry'::regclass"));
  EXPECT_GE(std::stoi(partitions), 9);
  ASSERT_OK_AND_ASSIGN(const auto rows, store_->ReadEntries(id_, 1'000, 100'000));
  ASSERT_EQ(rows.size(), 8'596U - 1'000);
  for (std::size_t i = 0; i < rows.size(); ++i) ASSERT_EQ(rows[i].sequence, 1'000 + i);
  ASSERT_OK_AND_ASSIGN(const auto leaves, store_->ReadLeafHashes(id_, 0, 8'596));
  EXPECT_EQ(leaves.back(), chain_.head());
  ChainStore::Filter filter;
  filter.source = rows[0].index.source;
  filter.descending = true;
  ASSERT_OK_AND_ASSIGN(const auto listed, store_->List(id_, filter, 10'000));
  EXPECT_EQ(listed.size(), (8'595U - 6) / 7 + 1);
  EXPECT_TRUE(std::is_sorted(listed.rbegin(), listed.rend()));
  ASSERT_OK_AND_ASSIGN(const auto found, store_->FindByNumber(id_, {{rows[0].index.source, 1, 1'000}}));
  EXPECT_EQ(found.size(), 1U);
  for (const char* sql : {"DELETE FROM {}entry_1_3", "UPDATE {}entry_1_0 SET kind=0", "TRUNCATE {}entry_1_1"}) {
    EXPECT_THAT(backend_.Sql(sql), StatusIs(StatusCode::kFailedPrecondition)) << sql;
  }
}

TEST_F(PostgresStoreTest, TheSubjectIndexIsUsed) {
  NewChain();
  for (int i = 0; i < 5; ++i) Append(4'000);
  ASSERT_OK(backend_.Sql("ANALYZE {}entry"));
  ASSERT_OK_AND_ASSIGN(
      const std::string plan,
      backend_.Ask("EXPLAIN (FORMAT JSON) SELECT seq FROM onode.entry WHERE chain_id=1 AND seq>=0 AND seq<99999"
                   " AND subject=9223372036854775807 AND subject<>0 ORDER BY seq LIMIT 10"));
  EXPECT_THAT(plan, HasSubstr("chain_id_subject_seq"));
  EXPECT_THAT(plan, Not(HasSubstr("\"Sort\"")));
}

// As FindByNumber asks: for each number in the index of each partition, whatever is known of the tables' sizes.
TEST_F(PostgresStoreTest, TheIndexOfNumbersIsUsed) {
  NewChain();
  const auto plan = [&] {
    return backend_.Ask(
        "EXPLAIN (FORMAT JSON) SELECT seq, bytes FROM unnest((SELECT array_agg(n) FROM generate_series(1, 256) n)) AS"
        " asked (n) CROSS JOIN LATERAL (SELECT seq, bytes FROM onode.entry WHERE chain_id=1 AND source=3 AND"
        " source_epoch=1 AND source_seq=n OFFSET 0) AS held ORDER BY seq");
  };
  for (int round = 0; round < 3; ++round) {
    ASSERT_OK_AND_ASSIGN(const std::string planned, plan());
    EXPECT_THAT(planned, HasSubstr("entry_1_0_number")) << "round " << round;
    EXPECT_THAT(planned, Not(HasSubstr("Seq Scan"))) << "round " << round;
    if (round == 0) Append(4'000);
    if (round == 1) ASSERT_OK(backend_.Sql("ANALYZE {}entry"));
  }
}

TEST_F(PostgresStoreTest, AServerThatMayLoseWhatItAcknowledgedIsRefused) {
  ASSERT_OK(backend_.As(backend_.owner_url(),
                        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off',"
                        " current_database()); END $$"));
  EXPECT_THAT(backend_.Open(), AllOf(StatusIs(StatusCode::kFailedPrecondition, HasSubstr("synchronous_commit")),
                                     ReasonIs("STORE_NOT_DURABLE")));
  StoreOptions read_only;
  read_only.read_only = true;
  EXPECT_OK(backend_.Open(read_only)) << "who only reads loses nothing";
}

TEST_F(PostgresStoreTest, AnotherEncodingIsRefused) {
  ASSERT_OK_AND_ASSIGN(const std::string name, backend_.Ask("SELECT current_database()"));
  // CREATE DATABASE is not for a transaction block: a function of the test cluster cannot do it either, so ask as a
  // client.
  const std::string other = name + "_latin1";
  ASSERT_EQ(std::system(fmt::format("createdb -h '{}' -U postgres -T template0 -E LATIN1 --locale=C {}",
                                    PostgresCluster::Shared().socket_dir(), other)
                            .c_str()),
            0);
  EXPECT_THAT(PostgresChainStore::Open(PostgresCluster::Shared().Url(other), {}),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("UTF8")));
}

TEST_F(PostgresStoreTest, OpensByUrl) {
  ASSERT_OK_AND_ASSIGN(const store::StorageUrl url,
                       store::ParseStorageUrl(backend_.owner_url(), store::UrlOrigin::kPrivate));
  ASSERT_OK(MigrateStore(url, {}));
  ASSERT_OK_AND_ASSIGN(const auto store, OpenStore(url, {}));
  EXPECT_OK(store->ListChains());
}

TEST_F(PostgresStoreTest, NoServerIsUnavailable) {
  EXPECT_THAT(PostgresChainStore::Open("postgresql://nobody@/none?host=/nonexistent", {}),
              StatusIs(StatusCode::kUnavailable));
}

}  // namespace
}  // namespace virp::onode
