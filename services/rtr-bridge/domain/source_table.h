// What each source last gave, how long that counts, and how they become one set. Plain values: not thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/bytes.h"
#include "lib/base/clock.h"
#include "lib/vrp/payload.h"
#include "lib/vrp/set.h"

namespace virp::rtr_bridge {

enum class MergePolicy : std::uint8_t { kUnion, kFirstGood, kQuorum };

struct MergeRule {
  MergePolicy policy = MergePolicy::kUnion;
  std::size_t quorum = 1;  // of kQuorum: a payload is served when at least this many sources have it
};

// How a set came from the one before it: what left that, and what came in its place, each as it is in its set. So what
// is there before and after is in both when it has another expiry now, or other providers.
struct Step {
  std::weak_ptr<const vrp::Payloads> before;
  vrp::Payloads left, came;
};

// One good reading of a source.
struct Reading {
  std::shared_ptr<const vrp::Payloads> payloads;  // as read: what expires is still in it
  Hash sha256{};                                  // of the bytes that were read; of a feed, of its set
  std::optional<UnixNanos> built;                 // when its producer made it, if they say
  std::size_t left_out = 0;                       // bad records
  std::vector<std::string> problems;              // the first of them
  bool signature_verified = false;
  bool live = false;                 // of a feed that would say if it changed: good for as long as the feed is up
  bool sha256_of_set = false;        // it is vrp::HashOf(*payloads), as of a feed
  std::shared_ptr<const Step> step;  // that led to `payloads`; null: not known
};

struct SourceState {
  std::string name;
  std::string location;
  // How long its last good reading is served once newer ones fail; nothing: for ever.
  std::optional<std::chrono::nanoseconds> expire;

  std::optional<Reading> reading;
  std::optional<UnixNanos> last_good, last_attempt;
  absl::Status problem;                            // of the newest attempt
  bool told_failed = false, told_expired = false;  // what is on record of it

  bool expired_at(UnixNanos now) const {
    return last_good && !(reading && reading->live) && expire && now > *last_good &&
           now - *last_good > static_cast<UnixNanos>(expire->count());
  }
  bool usable_at(UnixNanos now) const { return reading && !expired_at(now); }
};

class SourceTable {
 public:
  SourceTable(std::vector<SourceState> sources, MergeRule rule) : sources_(std::move(sources)), rule_(rule) {}

  void TakeGood(std::size_t source, Reading reading, UnixNanos now);
  // The same data as before: they are as good as new.
  void TakeUnchanged(std::size_t source, UnixNanos now);
  // The last good reading stays in use until it expires.
  void TakeFailure(std::size_t source, absl::Status why, UnixNanos now);

  void NoteTold(std::size_t source, bool failed, bool expired);

  // Each source was tried at least once: before that nothing is said to be the whole.
  bool all_tried() const;
  struct Merged {
    std::shared_ptr<const vrp::Payloads> payloads;  // a source's own when that is all there is to it
    std::vector<std::size_t> sources;               // that it was made of
    std::vector<std::string> left_out;              // payloads that do not fit together, a sentence each
  };
  // What is to be served at `now`: without what is expired. Unavailable when no source is usable; with kQuorum, when
  // fewer than the quorum are: payloads would go without anybody having said so.
  absl::StatusOr<Merged> Merge(UnixNanos now) const;
  // The next moment at which Merge gives something else because a payload or a source expires; nothing when it does
  // not.
  std::optional<UnixNanos> NextExpiry(UnixNanos now) const;
  // Sources whose data count at `now`, in order.
  std::vector<std::size_t> UsableAt(UnixNanos now) const;

  // See Cache::TrueAt; of all that were read when none is usable; `now` when none was read.
  UnixNanos TrueAt(UnixNanos now) const;

  // Of sources' sets, and of others that who owns this asks for.
  vrp::FirstExpiry& expiries() const { return expiries_; }

  const std::vector<SourceState>& sources() const { return sources_; }
  const MergeRule& rule() const { return rule_; }

 private:
  std::vector<SourceState> sources_;
  MergeRule rule_;
  mutable vrp::FirstExpiry expiries_;
};

}  // namespace virp::rtr_bridge
