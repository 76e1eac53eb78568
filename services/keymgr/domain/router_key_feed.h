// The router keys that relying parties may know, and each change of them under a serial, for RTR caches. The serial is
// the number of the audit record that changed the set, so it grows over restarts and over the change of the active
// manager. Changes are kept for a while; who was away longer, or watched another history, gets the whole set again.
// Nothing is kept for a watcher: it asks for what came since its serial, so a slow one costs no memory.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/mutex.h"
#include "lib/rpki/feed.h"
#include "services/keymgr/domain/ledger.h"
#include "services/keymgr/domain/rpki_record.h"

namespace virp::keymgr {

struct RouterKeyChange {
  bool withdrawn = false;
  rpki::RouterKey key;  // of a withdrawn one: as it was announced last

  friend bool operator==(const RouterKeyChange&, const RouterKeyChange&) = default;
};

struct RouterKeyNews {
  bool loaded = false;  // false: this manager does not lead, so nothing here says what there is
  std::string session;  // of the serials: those of another session are not to be compared
  std::uint64_t serial = 0;
  bool restart = false;                  // changes are the whole set, whatever the caller had
  std::vector<RouterKeyChange> changes;  // by AS and key; each key once
};

struct RouterKeyFeedLimits {
  std::size_t commits = 4'096;    // that changed the set
  std::size_t changes = 100'000;  // in them
};

// Thread-safe.
class RouterKeyFeed {
 public:
  // Before the ledger starts, which outlives it.
  explicit RouterKeyFeed(Ledger& ledger, RouterKeyFeedLimits limits = {});

  // What changed since `serial` of `session`, which may be empty; waits for it no longer than `longest`. Equal to
  // `serial` and without changes: nothing did.
  RouterKeyNews Wait(std::string_view session, std::uint64_t serial, std::chrono::milliseconds longest) const;
  RouterKeyNews All() const { return Wait({}, 0, std::chrono::milliseconds(0)); }
  void WakeAll() const;  // waiting ends, for a stream that was cancelled and for draining

  std::size_t size() const;
  std::uint64_t serial() const;

 private:
  using Place = std::pair<std::uint32_t, std::string>;  // AS, SubjectPublicKeyInfo
  struct Change {
    Place place;
    std::optional<rpki::Time> before, after;  // end of the key; nothing: it was or is not there
  };
  struct Delta {
    std::uint64_t serial = 0;
    std::vector<Change> changes;
  };
  void OnCommitted(const Committed& committed);
  std::map<Place, rpki::Time> Load(const Snapshot& state) const;
  void Keep(Delta delta) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsBehind(std::string_view session, std::uint64_t serial) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Since(std::uint64_t serial, RouterKeyNews& news) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const RouterKeyFeedLimits limits_;
  mutable Mutex mutex_;
  mutable std::condition_variable_any changed_;
  mutable std::uint64_t wakes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool loaded_ ABSL_GUARDED_BY(mutex_) = false;
  std::string session_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t serial_ ABSL_GUARDED_BY(mutex_) = 0;
  std::uint64_t oldest_ ABSL_GUARDED_BY(mutex_) = 0;  // serial from which on deltas are complete
  std::map<Place, rpki::Time> keys_ ABSL_GUARDED_BY(mutex_);
  std::deque<Delta> deltas_ ABSL_GUARDED_BY(mutex_);
  std::size_t kept_ ABSL_GUARDED_BY(mutex_) = 0;  // changes in them
};

}  // namespace virp::keymgr
