#include "tests/conformance/postgres_backend.h"

#include <gtest/gtest.h>

#include "absl/strings/str_replace.h"
#include "lib/base/status.h"

namespace virp::onode {

using store::PostgresConnection;
using store::PostgresTransaction;

PostgresBackend::PostgresBackend(testutil::PostgresCluster& cluster) : cluster_(cluster) {
  auto url = cluster.CreateDatabase();
  EXPECT_TRUE(url.ok()) << url.status();
  url_ = url.value_or("");
  // Roles belong to the cluster: another database's test may have made them, or be making them now.
  EXPECT_TRUE(As(url_,
                 "DO $$ BEGIN PERFORM pg_advisory_xact_lock(7);"
                 "IF to_regrole('virp_owner') IS NULL THEN CREATE ROLE virp_owner LOGIN; END IF;"
                 "IF to_regrole('virp_serving') IS NULL THEN CREATE ROLE virp_serving LOGIN; END IF;"
                 "EXECUTE format('ALTER DATABASE %I OWNER TO virp_owner', current_database()); END $$")
                  .ok());
}

PostgresBackend::PostgresBackend(testutil::PostgresCluster& cluster, std::string url)
    : cluster_(cluster), url_(std::move(url)), copied_(true) {}

PostgresBackend::~PostgresBackend() {
  if (copied_ && !url_.empty()) EXPECT_TRUE(cluster_.DropDatabase(url_).ok());
}

std::unique_ptr<StoreBackend> PostgresBackend::Copy() {
  const auto url = cluster_.CopyDatabase(url_, "virp_owner");
  EXPECT_TRUE(url.ok()) << url.status();
  return std::unique_ptr<StoreBackend>(new PostgresBackend(cluster_, url.value_or("")));
}

std::string PostgresBackend::UrlOf(std::string_view role) const {
  return absl::StrReplaceAll(url_, {{"//postgres@", "//" + std::string(role) + "@"}});
}

absl::StatusOr<std::unique_ptr<ChainStore>> PostgresBackend::Open(StoreOptions options) {
  options.migrate_url = owner_url();
  return PostgresChainStore::Open(serving_url(), options);
}

absl::Status PostgresBackend::As(const std::string& url, std::string_view sql) {
  ASSIGN_OR_RETURN(const auto connection, PostgresConnection::Open({.url = url}));
  ASSIGN_OR_RETURN(PostgresTransaction transaction, PostgresTransaction::Begin(*connection));
  RETURN_IF_ERROR(transaction.Run(absl::StrReplaceAll({sql.data(), sql.size()}, {{"{}", "onode."}})));
  return transaction.Commit();
}

absl::Status PostgresBackend::Sql(std::string_view sql) {
  return As(owner_url(), sql);
}

absl::StatusOr<std::string> PostgresBackend::Ask(std::string_view sql) {
  ASSIGN_OR_RETURN(const auto connection, PostgresConnection::Open({.url = url_}));
  ASSIGN_OR_RETURN(PostgresTransaction transaction, PostgresTransaction::Begin(*connection));
  ASSIGN_OR_RETURN(const store::PostgresResult result, transaction.Exec(sql));
  return result.rows() == 0 ? "" : std::string(result.Text(0, 0));
}

void PostgresBackend::ExpireLeases() {
  EXPECT_TRUE(
      Sql("UPDATE {}chain_head SET lease_until = clock_timestamp() - interval '1 second' WHERE holder <> ''").ok());
}

absl::Status PostgresBackend::DropGuards() {
  return Sql(
      "DO $$ DECLARE t record; BEGIN FOR t IN SELECT tgname, tgrelid::regclass AS on_table FROM pg_trigger"
      " WHERE NOT tgisinternal AND tgname IN ('no_change', 'note_once', 'forward_only') LOOP"
      " EXECUTE format('DROP TRIGGER %I ON %s', t.tgname, t.on_table); END LOOP; END $$");
}

std::unique_ptr<StoreBackend> NewPostgresBackend() {
  return std::make_unique<PostgresBackend>(testutil::PostgresCluster::Shared());
}

}  // namespace virp::onode
