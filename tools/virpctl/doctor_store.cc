// What a store says of itself.
#include <sys/stat.h>
#include <sys/statfs.h>

#include <cerrno>
#include <cstring>

#include "lib/base/status.h"
#include "lib/store/postgres.h"
#include "lib/store/sqlite.h"
#include "lib/store/storage_url.h"
#include "tools/virpctl/doctor.h"

namespace virp::virpctl {
namespace {

absl::StatusOr<Checks> AskSqlite(const std::string& path) {
  store::SqliteOptions options;
  options.path = path;
  options.create = false;
  options.read_only = true;
  ASSIGN_OR_RETURN(const auto db, store::SqliteDb::Open(options));
  const auto pragma = [&db](std::string_view name) -> absl::StatusOr<std::string> {
    ASSIGN_OR_RETURN(auto statement, db->Prepare(fmt::format("PRAGMA {}", name)));
    ASSIGN_OR_RETURN(const bool row, statement.One());
    return row ? std::string(statement.Text(0)) : std::string();
  };
  ASSIGN_OR_RETURN(const std::string journal, pragma("journal_mode"));
  ASSIGN_OR_RETURN(const std::string synchronous, pragma("synchronous"));
  return JudgeSqlite(journal, synchronous);
}

Checks CheckSqlite(const std::string& path) {
  struct stat file{};
  if (stat(path.c_str(), &file) != 0) {
    return {{"store: file", Health::kFailed, path + ": " + std::strerror(errno), "virp-onode init makes it"}};
  }
  Checks checks{JudgePrivate("store: file", file.st_mode, /*group=*/true)};
  struct statfs system{};
  if (statfs(path.c_str(), &system) == 0) {
    const auto block = static_cast<std::uint64_t>(system.f_bsize);
    checks.push_back(JudgeFileSystem(path, static_cast<std::uint64_t>(system.f_type), system.f_bavail * block,
                                     system.f_blocks * block));
  }
  absl::StatusOr<Checks> asked = AskSqlite(path);
  if (!asked.ok()) {
    checks.push_back(FailedCheck("SQLite", asked.status()));
  } else {
    checks.insert(checks.end(), asked->begin(), asked->end());
  }
  return checks;
}

absl::StatusOr<Checks> AskPostgres(const std::string& url) {
  store::PostgresOptions options;
  options.url = url;
  options.application_name = "virpctl doctor";
  options.require_durable = false;  // to say what is wrong with it
  ASSIGN_OR_RETURN(const auto connection, store::PostgresConnection::Open(options));
  ASSIGN_OR_RETURN(const auto rows,
                   connection->Query("SELECT name, setting FROM pg_catalog.pg_settings WHERE name IN ('fsync', "
                                     "'full_page_writes', 'synchronous_commit', 'wal_sync_method', "
                                     "'synchronous_standby_names', 'data_checksums')"));
  std::map<std::string, std::string> settings;
  for (int i = 0; i < rows.rows(); ++i) settings.emplace(rows.Text(i, 0), rows.Text(i, 1));
  ASSIGN_OR_RETURN(const auto state,
                   connection->Query("SELECT (SELECT count(*) FROM pg_catalog.pg_stat_replication WHERE sync_state IN "
                                     "('sync', 'quorum')), pg_catalog.pg_is_in_recovery()::int"));
  return JudgePostgres(settings, static_cast<int>(state.Int(0, 0)), state.Int(0, 1) != 0);
}

}  // namespace

Checks CheckStore(const std::string& text) {
  const auto url = store::ParseStorageUrl(text, store::UrlOrigin::kPrivate);
  if (!url.ok()) return {FailedCheck("store", url.status())};
  if (url->backend == store::Backend::kSqlite) return CheckSqlite(url->location);
  absl::StatusOr<Checks> asked = AskPostgres(url->location);
  if (!asked.ok()) return {FailedCheck("PostgreSQL", asked.status(), "is it running, and may this role connect?")};
  return *std::move(asked);
}

}  // namespace virp::virpctl
