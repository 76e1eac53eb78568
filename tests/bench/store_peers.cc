#include "tests/bench/store_peers.h"

#include <fmt/format.h>
#include <libpq-fe.h>
#include <sqlite3.h>

#include <cstdio>
#include <cstdlib>

#include "lib/base/bytes.h"

namespace virp::bench {
namespace {

using onode::AppendBatch;
using onode::EntryRow;

[[noreturn]] void Fail(const char* what, const char* why) {
  std::fprintf(stderr, "%s: %s\n", what, why);
  std::exit(1);
}

std::int64_t Signed(std::uint64_t value) {
  return static_cast<std::int64_t>(value);
}

class SqlitePeer final : public Peer {
 public:
  explicit SqlitePeer(const std::string& path) {
    if (sqlite3_open(path.c_str(), &db_) != SQLITE_OK) Fail("open", sqlite3_errmsg(db_));
    Run("PRAGMA page_size=8192");
    Run("PRAGMA journal_mode=WAL");
    Run("PRAGMA synchronous=FULL");
    Run("PRAGMA cache_size=-262144");
    Run("PRAGMA wal_autocheckpoint=4000");
    Run("CREATE TABLE entry (chain INTEGER NOT NULL, seq INTEGER NOT NULL, source INTEGER NOT NULL, epoch INTEGER NOT "
        "NULL,"
        " number INTEGER NOT NULL, received INTEGER NOT NULL, subject INTEGER NOT NULL, kind INTEGER NOT NULL,"
        " result INTEGER NOT NULL, leaf BLOB NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (chain, seq)) WITHOUT ROWID");
    Run("CREATE UNIQUE INDEX entry_source ON entry (chain, source, epoch, number)");
    Run("CREATE INDEX entry_subject ON entry (chain, subject, kind, seq)");
    Run("CREATE TABLE head (chain INTEGER PRIMARY KEY, size INTEGER NOT NULL, head BLOB)");
    Run("INSERT INTO head VALUES (1, 0, NULL)");
    insert_ = Prepare("INSERT INTO entry VALUES (1,?,?,?,?,?,?,?,?,?,?)");
    swap_ = Prepare("UPDATE head SET size=?, head=? WHERE chain=1 AND size=?");
  }
  ~SqlitePeer() override {
    sqlite3_finalize(insert_);
    sqlite3_finalize(swap_);
    sqlite3_close(db_);
  }

  void Append(const AppendBatch& batch) override {
    Run("BEGIN IMMEDIATE");
    for (const EntryRow& row : batch.rows) {
      const std::int64_t numbers[8] = {Signed(row.sequence),
                                       Signed(row.index.source),
                                       Signed(row.index.source_epoch),
                                       Signed(row.index.source_sequence),
                                       Signed(row.index.received_us),
                                       Signed(row.index.subject),
                                       row.index.kind,
                                       row.index.result};
      for (int i = 0; i < 8; ++i) sqlite3_bind_int64(insert_, i + 1, numbers[i]);
      sqlite3_bind_blob(insert_, 9, row.leaf.data(), 32, SQLITE_STATIC);
      sqlite3_bind_blob(insert_, 10, row.bytes.data(), static_cast<int>(row.bytes.size()), SQLITE_STATIC);
      Step(insert_);
    }
    sqlite3_bind_int64(swap_, 1, Signed(batch.old_size + batch.rows.size()));
    sqlite3_bind_blob(swap_, 2, batch.new_head.data(), 32, SQLITE_STATIC);
    sqlite3_bind_int64(swap_, 3, Signed(batch.old_size));
    Step(swap_);
    if (sqlite3_changes(db_) != 1) Fail("swap", "the head moved");
    Run("COMMIT");
  }

 private:
  void Run(const char* sql) {
    if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) Fail(sql, sqlite3_errmsg(db_));
  }
  sqlite3_stmt* Prepare(const char* sql) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(db_, sql, -1, &statement, nullptr) != SQLITE_OK) Fail(sql, sqlite3_errmsg(db_));
    return statement;
  }
  void Step(sqlite3_stmt* statement) {
    if (sqlite3_step(statement) != SQLITE_DONE) Fail("step", sqlite3_errmsg(db_));
    sqlite3_reset(statement);
  }

  sqlite3* db_ = nullptr;
  sqlite3_stmt* insert_ = nullptr;
  sqlite3_stmt* swap_ = nullptr;
};

class PostgresPeer final : public Peer {
 public:
  explicit PostgresPeer(const std::string& url) : connection_(PQconnectdb(url.c_str())) {
    if (PQstatus(connection_) != CONNECTION_OK) Fail("connect", PQerrorMessage(connection_));
    Run("CREATE TABLE head (chain int PRIMARY KEY, size bigint NOT NULL, head bytea NOT NULL, term bigint NOT NULL)"
        " WITH (fillfactor = 50)");
    Run("CREATE TABLE entry (chain int NOT NULL, seq bigint NOT NULL, source bigint NOT NULL, epoch bigint NOT NULL,"
        " number bigint NOT NULL, received bigint NOT NULL, subject bigint NOT NULL, kind smallint NOT NULL,"
        " result smallint NOT NULL, leaf bytea NOT NULL, bytes bytea NOT NULL, PRIMARY KEY (chain, seq))");
    Run("CREATE UNIQUE INDEX ON entry (chain, source, epoch, number)");
    Run("CREATE INDEX ON entry (chain, subject, kind, seq)");
    Run("INSERT INTO head VALUES (1, 0, '', 1)");
  }
  ~PostgresPeer() override { PQfinish(connection_); }

  void Append(const AppendBatch& batch) override {
    Run("BEGIN");
    const std::string old_head = batch.old_size == 0 ? "" : "\\x" + HexEncode(View(batch.old_head));
    PGresult* const moved =
        PQexec(connection_, fmt::format("UPDATE head SET size={}, head='\\x{}' WHERE chain=1 AND size={}"
                                        " AND head='{}' AND term=1",
                                        batch.old_size + batch.rows.size(), HexEncode(View(batch.new_head)),
                                        batch.old_size, old_head)
                                .c_str());
    if (std::string_view(PQcmdTuples(moved)) != "1") Fail("swap", PQerrorMessage(connection_));
    PQclear(moved);
    Run("COPY entry FROM STDIN BINARY");
    buffer_.assign("PGCOPY\n\377\r\n\0", 11);
    buffer_.append(8, '\0');
    for (const EntryRow& row : batch.rows) AddRow(row);
    AppendBe(buffer_, std::uint16_t{0xffff});
    if (PQputCopyData(connection_, buffer_.data(), static_cast<int>(buffer_.size())) != 1 ||
        PQputCopyEnd(connection_, nullptr) != 1) {
      Fail("COPY", PQerrorMessage(connection_));
    }
    while (PGresult* const result = PQgetResult(connection_)) {
      if (PQresultStatus(result) != PGRES_COMMAND_OK) Fail("COPY", PQerrorMessage(connection_));
      PQclear(result);
    }
    Run("COMMIT");
  }

 private:
  void Run(const char* sql) {
    PGresult* const result = PQexec(connection_, sql);
    const ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_COPY_IN) {
      Fail(sql, PQerrorMessage(connection_));
    }
    PQclear(result);
  }
  template <typename T>
  void Add(T value) {
    AppendBe(buffer_, static_cast<std::uint32_t>(sizeof(T)));
    AppendBe(buffer_, value);
  }
  void AddBytes(std::string_view bytes) {
    AppendBe(buffer_, static_cast<std::uint32_t>(bytes.size()));
    buffer_.append(bytes);
  }
  void AddRow(const EntryRow& row) {
    AppendBe(buffer_, std::uint16_t{11});
    Add(std::uint32_t{1});
    for (const std::uint64_t value : {row.sequence, row.index.source, row.index.source_epoch, row.index.source_sequence,
                                      row.index.received_us, row.index.subject}) {
      Add(value);
    }
    Add(std::uint16_t{row.index.kind});
    Add(std::uint16_t{row.index.result});
    AddBytes(View(row.leaf));
    AddBytes(row.bytes);
  }

  PGconn* connection_;
  std::string buffer_;
};

}  // namespace

std::unique_ptr<Peer> NewSqlitePeer(const std::string& path) {
  return std::make_unique<SqlitePeer>(path);
}
std::unique_ptr<Peer> NewPostgresPeer(const std::string& url) {
  return std::make_unique<PostgresPeer>(url);
}

void MakeLogSegments(const std::string& url, int count) {
  PGconn* const connection = PQconnectdb(url.c_str());
  const auto run = [connection](const char* sql) {
    PGresult* const result = PQexec(connection, sql);
    const ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) Fail(sql, PQerrorMessage(connection));
    PQclear(result);
  };
  for (int i = 0; i < count; ++i) run("SELECT pg_logical_emit_message(false, 'bench', ''), pg_switch_wal()");
  run("CHECKPOINT");
  PQfinish(connection);
}

}  // namespace virp::bench
