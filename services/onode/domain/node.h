// All chains of one O-Node.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "services/onode/domain/chain.h"

namespace virp::onode {

// What belongs to one chain and is not in the store: its keys, and the checkpoint beside the database.
struct ChainCustody {
  std::unique_ptr<CheckpointVault> vault;
  std::vector<OwnKey> own_keys;  // ascending versions; not empty unless the O-Node only reads
};

// Thread-safe. What it is given outlives it.
class Node {
 public:
  // NotFound or FailedPrecondition when there is no key for that origin.
  using CustodyOf = std::function<absl::StatusOr<ChainCustody>(const std::string& origin)>;

  Node(ChainStore& store, const frame::KeyProvider& keys, const Clock& clock, ChainOptions options, CustodyOf custody)
      : store_(store), keys_(keys), clock_(clock), options_(std::move(options)), custody_(std::move(custody)) {}
  ~Node();

  // Opens and starts every chain of the store.
  absl::Status Open();
  // Opens chains that another replica created since.
  absl::Status OpenNew();
  void Stop();

  // The chain of that origin; an empty origin means the only one. NotFound; InvalidArgument when an empty origin is
  // ambiguous.
  absl::StatusOr<Chain*> Find(std::string_view origin) const;
  std::vector<Chain*> chains() const;
  // That every chain's threads get on; see Chain::CheckAlive.
  absl::Status CheckAlive() const;

  // AlreadyExists; FailedPrecondition without keys for it. Waits until the chain's own registration is committed.
  absl::StatusOr<Chain*> Create(std::string_view origin, std::string_view predecessor_note,
                                std::chrono::steady_clock::time_point deadline);

 private:
  struct Held {
    ChainCustody custody;
    std::unique_ptr<KeyCache> keys;
    std::unique_ptr<Chain> chain;
  };
  absl::Status OpenOne(const ChainInfo& info);

  ChainStore& store_;
  const frame::KeyProvider& keys_;
  const Clock& clock_;
  const ChainOptions options_;
  const CustodyOf custody_;
  mutable Mutex mutex_;
  std::map<std::string, Held, std::less<>> chains_ ABSL_GUARDED_BY(mutex_);  // by origin; none goes away before the end
};

}  // namespace virp::onode
