// One database under attack: its owner's way into it, and an O-Node over it that answers as ever.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/clock.h"
#include "services/onode/domain/node.h"
#include "services/onode/transport/chain_handler.h"
#include "services/onode/transport/verify_handler.h"
#include "tests/conformance/store_backend.h"
#include "tests/tamper/history.h"
#include "tests/testutil/temp_dir.h"

namespace virp::onode {

// SQL by whoever owns the database, with everything gone that would stop him: triggers, constraints.
class Intruder {
 public:
  explicit Intruder(StoreBackend& backend);
  void Disarm();  // before the first Sql; a copy of the database stays so
  bool postgres() const { return postgres_; }
  // `{}` stands for the schema's prefix of table names.
  void Sql(const std::string& sql);
  static std::string Number(std::uint64_t value);  // as the columns hold unsigned values
  std::string Bytes(std::string_view bytes) const;

  void SetEntry(std::uint64_t sequence, const std::string& bytes, bool with_leaf);
  void SetColumn(const std::string& table, const std::string& column, const std::string& value,
                 const std::string& where);
  void Insert(const EntryRow& row);
  // Entries from `first` on and all that a leader would have written with them, as if the chain had always been so.
  void Rewrite(std::vector<std::string> entries, std::uint64_t first);
  // Only these entries, which are a part; the tile that ends with them says so, all else stays.
  void RewritePart(std::vector<std::string> entries, std::uint64_t first, std::vector<Hash> leaves);
  void CutTo(std::uint64_t size, const std::vector<Hash>& leaves);  // rows, head, frontier, tiles and checkpoints
  std::set<std::string> Columns();                                  // "table.column" of the whole schema

 private:
  // Links entries from `first` on anew and writes them; all leaf hashes.
  std::vector<Hash> Relink(std::vector<std::string>& entries, std::uint64_t first);

  StoreBackend& backend_;
  const bool postgres_;
};

// "KIND at N", or VERIFIED, COULD_NOT_CHECK, or the code of an RPC that failed.
using Finding = std::string;
Finding Found(std::string_view kind, std::uint64_t sequence);

class TamperTest : public ::testing::Test {
 public:
  // Verdicts by claim: of the newest state, of an old size, with a checkpoint demanded.
  using Verdicts = std::map<std::string, std::string>;

  explicit TamperTest(StoreBackendFactory factory);
  ~TamperTest() override;

  // An O-Node over the database as it is now; false when it refuses to start.
  bool StartNode();
  void StopNode();
  Finding VerifyChain(std::uint64_t begin = 0, std::uint64_t end = 0);
  // The same walk over a copy of the rows, with the checkpoint's verifier key and no source's secret.
  Finding VerifyOffline();
  Verdicts Ask();
  std::string AskPeer(const char* peer, bool negate, std::uint64_t size, UnixNanos time);
  std::string frozen() const;

  static const History& history();

 protected:
  testutil::TempDir dir_;
  std::unique_ptr<StoreBackend> backend_;
  std::unique_ptr<Intruder> intruder_;
  FakeClock clock_;
  std::shared_ptr<const frame::OKey> own_key_;  // what the O-Node holds
  bool forget_checkpoints_ = false;             // the folder beside the database is lost
  std::size_t tree_cache_tiles_ = 4'096;
  std::unique_ptr<Node> node_;

 private:
  std::string AskOne(const verify::v1::Claim& claim, std::uint64_t size, UnixNanos time, verify::v1::ChainLevel level);

  std::unique_ptr<ChainStore> store_;
  std::unique_ptr<ChainHandler> chains_;
  std::unique_ptr<VerifyHandler> verify_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  int instances_ = 0;
};

// What moved, one line each; empty when every verdict is as before, or frozen, or refused.
std::string Moved(const TamperTest::Verdicts& before, const TamperTest::Verdicts& after);

}  // namespace virp::onode
