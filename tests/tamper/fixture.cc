#include "tests/tamper/fixture.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <thread>

#include "absl/strings/str_replace.h"
#include "lib/base/bytes.h"
#include "lib/base/status.h"
#include "lib/chain/tiles.h"
#include "lib/frame/key_directory.h"
#include "lib/store/postgres.h"
#include "lib/store/sqlite.h"
#include "services/onode/storage/file_vault.h"
#include "tests/testutil/status_matchers.h"

namespace virp::onode {
namespace {

namespace pb = ::virp::verify::v1;

constexpr std::uint32_t kOwnVersion = 1;

pb::Claim Peer(const char* address, bool negate, const char* router = "edge-a") {
  pb::Claim claim;
  claim.mutable_peer()->set_router(router);
  claim.mutable_peer()->set_peer_address(address);
  claim.mutable_peer()->set_negate(negate);
  return claim;
}

pb::Claim Route(const char* prefix, bool absent) {
  pb::Claim claim;
  claim.mutable_route()->set_router("edge-a");
  claim.mutable_route()->set_prefix(prefix);
  claim.mutable_route()->set_absent(absent);
  claim.mutable_route()->set_peer_address(kPeerSigned);
  return claim;
}

pb::Claim State(const char* peer, const char* state) {
  pb::Claim claim;
  claim.mutable_field()->set_subject(fmt::format("bgp/edge-a/default/peer/{}", peer));
  pb::FieldCondition& condition = *claim.mutable_field()->add_conditions();
  condition.set_path("new_state");
  condition.set_operator_(pb::FieldCondition::OPERATOR_EQ);
  condition.set_string_value(state);
  return claim;
}

std::map<std::string, pb::Claim> Claims() {
  std::map<std::string, pb::Claim> out;
  for (const char* peer : {kPeerUp, kPeerLost, kPeerSigned, kPeerOfBlack, kPeerOfStolenKey, kPeerOfSuspended,
                           kPeerWithGap, kPeerForeign}) {
    out[fmt::format("{} up", peer)] = Peer(peer, false);
    out[fmt::format("{} not up", peer)] = Peer(peer, true);
    out[fmt::format("{} says Established", peer)] = State(peer, "Established");
  }
  out["edge-b up"] = Peer(kPeerForeign, false, "edge-b");
  out["route there"] = Route("203.0.1.0/24", false);
  out["route gone"] = Route("203.0.9.0/24", true);
  return out;
}

// The history in a store, with nothing left that would stop an intruder, and the folders beside it: each test has a
// copy.
struct Prepared {
  explicit Prepared(StoreBackendFactory factory) : backend(factory()) {
    EXPECT_OK(frame::CreateKeyFile(dir.File("keys"), kTamperOrigin, 1, frame::Suite::kEd25519, 1));
    const auto store = backend->Open();
    EXPECT_OK(store);
    const auto vault = FileVault::Open(dir.File("keys"), dir.File("state"), kTamperOrigin);
    EXPECT_OK(vault);
    EXPECT_OK(Fill(**store, **vault, TamperTest::history()));
    Intruder(*backend).Disarm();
  }

  static const Prepared& Of(StoreBackendFactory factory) {
    static std::map<StoreBackendFactory, std::unique_ptr<Prepared>> made;
    std::unique_ptr<Prepared>& one = made[factory];
    if (one == nullptr) one = std::make_unique<Prepared>(factory);
    return *one;
  }

  testutil::TempDir dir;
  std::unique_ptr<StoreBackend> backend;
};

template <typename F>
void ForEachFull(chain::TileBuilder& tree, const std::vector<Hash>& leaves, F&& use) {
  for (const Hash& leaf : leaves) {
    for (const chain::Tile& tile : tree.Append(leaf)) use(tile);
  }
}

}  // namespace

Finding Found(std::string_view kind, std::uint64_t sequence) {
  return fmt::format("{} at {}", kind, sequence);
}

std::string Moved(const TamperTest::Verdicts& before, const TamperTest::Verdicts& after) {
  std::string out;
  for (const auto& [claim, verdict] : before) {
    const auto at = after.find(claim);
    const std::string now = at == after.end() ? "not asked" : at->second;
    const bool still = now == verdict || now == "VERDICT_CHAIN_FROZEN" || now.starts_with("error ");
    if (!still) out += fmt::format("{}: {} -> {}\n", claim, verdict, now);
  }
  return out;
}

Intruder::Intruder(StoreBackend& backend) : backend_(backend), postgres_(backend.url().starts_with("postgres")) {}

void Intruder::Disarm() {
  if (!postgres_) return;  // each connection by itself: see Sql
  EXPECT_OK(backend_.DropGuards());
  Sql("DO $$ DECLARE c record; BEGIN FOR c IN SELECT conname, conrelid::regclass AS on_table FROM pg_constraint"
      " WHERE connamespace = 'onode'::regnamespace AND contype IN ('f', 'c') AND conrelid <> 0 AND coninhcount = 0"
      " ORDER BY contype DESC LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.on_table, c.conname); END "
      "LOOP; END $$");
}

void Intruder::Sql(const std::string& sql) {
  if (postgres_) {
    EXPECT_OK(backend_.Sql(sql)) << sql.substr(0, 200);
    return;
  }
  static constexpr const char* kDisarm =
      "PRAGMA foreign_keys=OFF; PRAGMA ignore_check_constraints=ON; DROP TRIGGER IF EXISTS entry_no_update; DROP "
      "TRIGGER IF EXISTS entry_no_delete;"
      "DROP TRIGGER IF EXISTS tile_no_update; DROP TRIGGER IF EXISTS tile_no_delete; DROP TRIGGER IF EXISTS "
      "chain_no_update;"
      "DROP TRIGGER IF EXISTS chain_no_delete; DROP TRIGGER IF EXISTS checkpoint_note_once; DROP TRIGGER IF EXISTS "
      "checkpoint_no_delete;"
      "DROP TRIGGER IF EXISTS chain_head_forward; DROP TRIGGER IF EXISTS chain_head_links;";
  EXPECT_OK(backend_.Sql(kDisarm + sql)) << sql.substr(0, 200);
}

std::string Intruder::Number(std::uint64_t value) {
  return std::to_string(static_cast<std::int64_t>(value));
}

std::string Intruder::Bytes(std::string_view bytes) const {
  return fmt::format(fmt::runtime(postgres_ ? "'\\x{}'::bytea" : "X'{}'"), HexEncode(bytes));
}

void Intruder::SetColumn(const std::string& table, const std::string& column, const std::string& value,
                         const std::string& where) {
  Sql(fmt::format("UPDATE {{}}{} SET {}={}{}", table, column, value, where.empty() ? "" : " WHERE " + where));
}

void Intruder::SetEntry(std::uint64_t sequence, const std::string& bytes, bool with_leaf) {
  SetColumn("entry", "bytes", Bytes(bytes), fmt::format("seq={}", sequence));
  if (with_leaf) SetColumn("entry", "leaf_hash", Bytes(View(chain::LeafHash(bytes))), fmt::format("seq={}", sequence));
}

void Intruder::Insert(const EntryRow& row) {
  const chain::IndexColumns& index = row.index;
  Sql(
      fmt::format("INSERT INTO {{}}entry (chain_id, seq, source, source_epoch, source_seq, subject, received_us, kind, "
                  "result, leaf_hash, bytes)"
                  " VALUES (1,{},{},{},{},{},{},{},{},{},{})",
                  row.sequence, Number(index.source), Number(index.source_epoch), Number(index.source_sequence),
                  Number(index.subject), Number(index.received_us), index.kind, index.result, Bytes(View(row.leaf)),
                  Bytes(row.bytes)));
}

void Intruder::CutTo(std::uint64_t size, const std::vector<Hash>& leaves) {
  chain::TileBuilder tree;
  for (std::uint64_t i = 0; i < size; ++i) tree.Append(leaves[i]);
  Sql(fmt::format("DELETE FROM {{}}entry WHERE seq>={}", size));
  Sql(fmt::format("DELETE FROM {{}}tile WHERE idx>={}", size / chain::kTileWidth));
  Sql(fmt::format("DELETE FROM {{}}checkpoint WHERE size>{}", size));
  Sql(fmt::format("UPDATE {{}}chain_head SET size={}, head={}, frontier={}", size, Bytes(View(leaves[size - 1])),
                  Bytes(tree.frontier().ToBytes())));
}

std::vector<Hash> Intruder::Relink(std::vector<std::string>& entries, std::uint64_t first) {
  std::vector<Hash> leaves;
  Hash previous = chain::GenesisOf(kTamperOrigin);
  std::string sql;
  for (std::uint64_t i = 0; i < entries.size(); ++i) {
    if (i >= first) {
      std::string sequence;
      AppendBe(sequence, i);
      entries[i].replace(24, 8, sequence);
      entries[i].replace(32, 32, View(previous));
      sql += fmt::format("UPDATE {{}}entry SET bytes={}, leaf_hash={} WHERE seq={};", Bytes(entries[i]),
                         Bytes(View(chain::LeafHash(entries[i]))), i);
    }
    leaves.push_back(chain::LeafHash(entries[i]));
    previous = leaves.back();
  }
  Sql(sql);
  return leaves;
}

void Intruder::Rewrite(std::vector<std::string> entries, std::uint64_t first) {
  const std::vector<Hash> leaves = Relink(entries, first);
  Sql("DELETE FROM {}tile");
  chain::TileBuilder tree;
  ForEachFull(tree, leaves, [this](const chain::Tile& tile) {
    Sql(fmt::format("INSERT INTO {{}}tile (chain_id, level, idx, hashes) VALUES (1,{},{},{})", tile.level, tile.index,
                    Bytes(tile.hashes)));
  });
  Sql(fmt::format("UPDATE {{}}chain_head SET head={}, frontier={}", Bytes(View(leaves.back())),
                  Bytes(tree.frontier().ToBytes())));
}

void Intruder::RewritePart(std::vector<std::string> entries, std::uint64_t first, std::vector<Hash> leaves) {
  const std::vector<Hash> part = Relink(entries, first);
  std::copy(part.begin(), part.end(), leaves.begin());
  std::string hashes;
  for (std::size_t i = 0; i < chain::kTileWidth; ++i) hashes += View(leaves[i]);
  Sql(fmt::format("UPDATE {{}}tile SET hashes={} WHERE level=0 AND idx=0", Bytes(hashes)));
}

std::set<std::string> Intruder::Columns() {
  std::set<std::string> out;
  if (postgres_) {
    const auto connection = store::PostgresConnection::Open({.url = backend_.url()});
    EXPECT_OK(connection);
    auto transaction = store::PostgresTransaction::Begin(**connection);
    EXPECT_OK(transaction);
    const auto rows = transaction->Exec(
        "SELECT c.relname || '.' || a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE "
        "c.relnamespace = 'onode'::regnamespace"
        " AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped");
    EXPECT_OK(rows);
    for (int i = 0; i < rows->rows(); ++i) out.emplace(rows->Text(i, 0));
    return out;
  }
  store::SqliteOptions options;
  options.path = backend_.url().substr(std::string_view("sqlite:").size());
  const auto db = store::SqliteDb::Open(options);
  EXPECT_OK(db);
  auto read = (*db)->Prepare(
      "SELECT m.name || '.' || p.name FROM sqlite_schema m JOIN pragma_table_info(m.name) p"
      " WHERE m.type='table' AND m.name NOT LIKE 'sqlite_%'");
  EXPECT_OK(read);
  EXPECT_OK(read->Bind());
  while (read->Step().value_or(false)) out.emplace(read->Text(0));
  return out;
}

const History& TamperTest::history() {
  static const History history;
  return history;
}

TamperTest::TamperTest(StoreBackendFactory factory)
    : backend_(Prepared::Of(factory).backend->Copy()), clock_(history().end() + testutil::ChainBuilder::kSecond) {
  own_key_ = history().builder.keys.Find(kTamperOrigin, kOwnVersion);
  std::filesystem::copy(Prepared::Of(factory).dir.path(), dir_.path(), std::filesystem::copy_options::recursive);
  intruder_ = std::make_unique<Intruder>(*backend_);
}

TamperTest::~TamperTest() {
  StopNode();
}

bool TamperTest::StartNode() {
  if (forget_checkpoints_) std::filesystem::remove_all(dir_.File("state"));
  StoreOptions store_options;
  store_options.migrate = false;
  auto store = backend_->Open(store_options);
  if (!store.ok()) return false;
  store_ = *std::move(store);
  ChainOptions options;
  options.instance = std::to_string(++instances_);
  options.checkpoint_interval = std::chrono::milliseconds(20);
  options.tree_cache_tiles = tree_cache_tiles_;
  node_ = std::make_unique<Node>(*store_, history().builder.keys, clock_, options,
                                 [this](const std::string& origin) -> absl::StatusOr<ChainCustody> {
                                   ChainCustody custody;
                                   ASSIGN_OR_RETURN(custody.vault,
                                                    FileVault::Open(dir_.File("keys"), dir_.File("state"), origin));
                                   custody.own_keys.push_back({kOwnVersion, own_key_});
                                   return custody;
                                 });
  if (!node_->Open().ok() || !node_->Find(kTamperOrigin).ok()) {
    StopNode();
    return false;
  }
  chains_ = std::make_unique<ChainHandler>(*node_);
  verify_ = std::make_unique<VerifyHandler>(*node_, nullptr, clock_);
  grpc::ServerBuilder builder;
  builder.RegisterService(chains_.get());
  builder.RegisterService(verify_.get());
  // Not InProcessChannel: there a request's bytes change threads inside gRPC, which ThreadSanitizer takes for a race.
  const std::string address = "unix:" + dir_.File("onode-" + options.instance + ".sock");
  builder.AddListeningPort(address, grpc::InsecureServerCredentials());
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) {
    ADD_FAILURE() << "cannot listen on " << address;
    StopNode();
    return false;
  }
  channel_ = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  return true;
}

void TamperTest::StopNode() {
  if (server_) server_->Shutdown();
  server_.reset();
  channel_.reset();
  node_.reset();
  store_.reset();
}

std::string TamperTest::frozen() const {
  return (*node_->Find(kTamperOrigin))->frozen();
}

Finding TamperTest::VerifyChain(std::uint64_t begin, std::uint64_t end) {
  const auto stub = chain::v1::ChainService::NewStub(channel_);
  chain::v1::VerifyChainRequest request;
  request.set_origin(kTamperOrigin);
  request.set_begin(begin);
  request.set_end(end);
  request.set_check_subjects(true);
  grpc::ClientContext context;
  const auto stream = stub->VerifyChain(&context, request);
  chain::v1::VerifyChainResponse response;
  chain::v1::VerifyReport report;
  while (stream->Read(&response)) {
    if (response.has_report()) report = response.report();
  }
  const grpc::Status status = stream->Finish();
  if (!status.ok()) return fmt::format("error {}: {}", static_cast<int>(status.error_code()), status.error_message());
  if (report.result() == chain::v1::VerifyReport::RESULT_VERIFIED) return "VERIFIED";
  if (report.result() == chain::v1::VerifyReport::RESULT_COULD_NOT_CHECK)
    return "COULD_NOT_CHECK " + report.ShortDebugString();
  return Found(report.broken_kind(), report.broken_at());
}

Finding TamperTest::VerifyOffline() {
  const auto store = backend_->Open({.migrate = false, .migrate_url = "", .read_only = true});
  if (!store.ok()) return "error " + store.status().ToString();
  auto vault = FileVault::Open(dir_.File("keys"), dir_.File("state"), kTamperOrigin);
  EXPECT_OK(vault);
  chain::ChainWalk walk(kTamperOrigin, chain::WalkOptions());
  const auto note = (*vault)->Largest();
  if (note.ok() && *note) walk.ExpectNote(**note, (*vault)->Verifiers());
  for (std::uint64_t next = 0; !walk.first_break();) {
    const auto rows = (*store)->ReadEntries(1, next, 1'000);
    if (!rows.ok()) return "error " + rows.status().ToString();
    if (rows->empty()) break;
    for (const EntryRow& row : *rows) walk.Add(row.bytes, &row.leaf, nullptr);
    next = rows->back().sequence + 1;
  }
  walk.Finish();
  if (const auto& broken = walk.first_break()) return Found(chain::BreakKindName(broken->kind), broken->sequence);
  return "VERIFIED";  // but for the tags of HMAC sources, which a stranger cannot check
}

std::string TamperTest::AskOne(const pb::Claim& claim, std::uint64_t size, UnixNanos time, pb::ChainLevel level) {
  const auto stub = pb::VerifyService::NewStub(channel_);
  pb::VerifyClaimRequest request;
  request.set_origin(kTamperOrigin);
  *request.mutable_claim() = claim;
  request.set_chain_size(size);
  request.mutable_acceptance()->set_chain_level(level);
  request.mutable_evaluation_time()->set_seconds(static_cast<std::int64_t>(time / 1'000'000'000));
  request.mutable_evaluation_time()->set_nanos(static_cast<std::int32_t>(time % 1'000'000'000));
  pb::VerifyClaimResponse response;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::milliseconds(level == pb::CHAIN_LEVEL_CHECKPOINTED ? 500 : 20'000));
  const grpc::Status status = stub->VerifyClaim(&context, request, &response);
  if (!status.ok()) return fmt::format("error {}", static_cast<int>(status.error_code()));
  return pb::Verdict_Name(response.answer().verdict());
}

std::string TamperTest::AskPeer(const char* peer, bool negate, std::uint64_t size, UnixNanos time) {
  return AskOne(Peer(peer, negate), size, time, pb::CHAIN_LEVEL_COMMITTED);
}

TamperTest::Verdicts TamperTest::Ask() {
  static const std::map<std::string, pb::Claim> claims = Claims();
  Verdicts out;
  const History& h = history();
  for (const auto& [name, claim] : claims) {
    out[name + ", now"] = AskOne(claim, 0, clock_.NowNanos(), pb::CHAIN_LEVEL_COMMITTED);
    out[name + ", early"] = AskOne(claim, h.early, h.early_time, pb::CHAIN_LEVEL_COMMITTED);
    out[name + ", then"] = AskOne(claim, h.middle, h.middle_time, pb::CHAIN_LEVEL_COMMITTED);
    out[name + ", at the last size"] = AskOne(claim, h.size(), clock_.NowNanos(), pb::CHAIN_LEVEL_COMMITTED);
  }
  out["checkpointed"] =
      AskOne(claims.at(fmt::format("{} up", kPeerUp)), 0, clock_.NowNanos(), pb::CHAIN_LEVEL_CHECKPOINTED);
  return out;
}

}  // namespace virp::onode
