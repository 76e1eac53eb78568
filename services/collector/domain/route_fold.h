// What becomes of routes of a source that is over its limit (edge_limits.h): a conflating queue. Changes of one path
// replace each other while they wait; what was folded that way is said in signed summaries (docs/formats/payloads.md,
// `routes_summarised`); and when there is room again each path that changed is stated once, as it is then. Nothing else
// is ever held back: states of peers, alarms, everything that is not GREEN, and routes that others signed.
//
// What readers may rely on: at every moment at which a change of a path is folded and not stated, an open summary of
// its table stands behind the path's last statement. So no claim is confirmed on evidence that the collector knows is
// old.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/clock.h"
#include "lib/base/hash_map.h"
#include "lib/base/mutex.h"
#include "lib/deliver/outbox.h"
#include "lib/frame/payload.h"
#include "services/collector/domain/edge_limits.h"

namespace virp::collector {

struct RouteFoldOptions {
  std::chrono::nanoseconds hold = std::chrono::seconds(10);    // from the first change folded to the first one stated
  std::chrono::nanoseconds period = std::chrono::seconds(10);  // at most between summaries of a table that changes
  std::size_t max_bytes = std::size_t{64} << 20;               // of paths that wait; beyond it they go into the spool
  std::size_t batch = 256;                                     // stated at one time
};

struct RouteFoldCounters {
  std::uint64_t folded = 0;     // observations that were not signed one by one
  std::uint64_t summaries = 0;  // signed instead
  std::uint64_t stated = 0;     // paths and tables stated when there was room
  std::uint64_t tables = 0;     // that are summarised now
  std::uint64_t waiting = 0;    // paths that wait now
};

// Thread-safe. One gate belongs to one outbox. Durable with it: after a crash tables of which changes may be lost stay
// open until Compared.
class RouteFold final : public deliver::OutboxState, public deliver::EmitGate {
 public:
  // `limits` and `clock` outlive it.
  RouteFold(EdgeLimits& limits, const Clock& clock, RouteFoldOptions options = {})
      : limits_(limits), clock_(clock), options_(options) {}

  std::string_view tag() const override { return "folded"; }
  std::string Save() const override;
  absl::Status Load(std::string_view saved) override;
  absl::Status ReplayNote(std::string_view) override { return absl::OkStatus(); }
  absl::Status ReplayFrame(std::string_view source, const frame::Frame& frame, std::uint64_t epoch) override;

  Plan Decide(const std::vector<deliver::Outbox::Item>& items) override;
  Plan Due() override;
  void Done(bool spooled) override;

  // What the router of this source holds was compared, since the process started, with what was reported of it.
  void Compared(std::string_view source);

  RouteFoldCounters counters() const;

 private:
  using Time = std::chrono::steady_clock::time_point;

  struct Tally {  // folded and not summarised yet
    std::uint64_t announced = 0, withdrawn = 0, completed = 0;
    UnixNanos first = 0, last = 0;
    std::set<std::string, std::less<>> prefixes;  // the first few
    bool more = false;                            // there were others
    std::uint64_t total() const { return announced + withdrawn + completed; }
  };
  // What the spool says of a table.
  struct Word {
    std::string head;    // the members of a payload that name it, without braces
    bool open = false;   // its newest summary is open
    bool renew = false;  // nothing more may be folded without another summary
    Tally tally;
    Time said{};  // when the newest summary was
  };
  struct Table {
    Word word;
    StringSet stated;      // paths stated since, by key: each needs another summary before it may be folded
    bool suspect = false;  // changes that were folded may be lost: not closed before Compared
    std::optional<deliver::Observation>
        complete;  // its table_complete, which waits for all its paths; in its epoch only
  };
  struct Waiting {
    std::string table, key;
    deliver::Observation observation;
  };
  struct Source {
    Time since{};                                      // when the first change was folded
    std::map<std::string, Table, std::less<>> tables;  // by key
    std::map<std::uint64_t, Waiting> queue;            // first in, first out
    StringMap<std::uint64_t> by_key;
    std::uint64_t next = 0;
  };
  // A payload as far as it matters here.
  struct Route {
    enum class Kind : std::uint8_t {
      kOther,
      kAnnounced,
      kWithdrawn,
      kComplete,
      kPeerLost,
      kSummary
    } kind = Kind::kOther;
    std::string peer;   // key of the peer: vrf, LF, address
    std::string table;  // key of the table: that, LF, rib
    std::string path;   // key of the path: that, LF, prefix, LF, path id
    std::string prefix, head;
    bool restated = false;
    bool open = false;  // kSummary
  };

  // What happens to a table, as it will be once the plan is spooled.
  struct Draft {
    Word word;
    bool summarised = false;  // in this plan; `stated` counts from there
    StringSet stated;
  };
  struct Step {
    enum class Kind : std::uint8_t { kPut, kErase, kComplete, kDropComplete, kCloseTable, kForgetPeer } kind;
    Source* source = nullptr;
    std::string table, key;  // kForgetPeer: `key` is the peer's
    deliver::Observation observation{};
  };

  static std::uint64_t SizeOf(const Waiting& waiting);
  Route Read(frame::Type type, std::string_view payload) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  void Begin(const std::vector<deliver::Outbox::Item>& given) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Draft& DraftOf(Source& source, std::string_view table) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Over(std::string_view source) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool NeedsLook(const std::vector<deliver::Outbox::Item>& items) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Take(const deliver::Outbox::Item& item) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TakeRoute(const deliver::Outbox::Item& item, Source& source, const Route& route)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TakeOther(const deliver::Outbox::Item& item, Source& source, const Route& route)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Fold(const deliver::Outbox::Item& item, Source& source, const Route& route)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void State(Source& source, std::string_view table, const std::string& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Pass(const deliver::Outbox::Item& item) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Say(std::string_view source, deliver::Observation observation) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Summarise(std::string_view source, Draft& draft, bool open) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void StateSome(std::string_view name, Source& source) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Close(std::string_view name, Source& source) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Apply(Step& step) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  void Put(Source& source, Waiting waiting) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Erase(Source& source, std::string_view key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ForgetPeer(Source& source, std::string_view peer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  EdgeLimits& limits_;
  const Clock& clock_;
  const RouteFoldOptions options_;
  mutable Mutex mutex_;
  std::map<std::string, Source, std::less<>> sources_ ABSL_GUARDED_BY(mutex_);  // those with tables that are summarised
  std::uint64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  RouteFoldCounters counters_ ABSL_GUARDED_BY(mutex_);
  frame::PayloadReader reader_ ABSL_GUARDED_BY(mutex_);

  // The plan under way: nothing of it has happened before Done(true).
  const std::vector<deliver::Outbox::Item>* given_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool rewritten_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<deliver::Outbox::Item> items_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::size_t> places_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<deliver::Observation>> said_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string_view, bool> over_ ABSL_GUARDED_BY(mutex_);
  std::map<std::pair<Source*, std::string>, Draft> drafts_ ABSL_GUARDED_BY(mutex_);  // by table
  std::vector<Step> steps_ ABSL_GUARDED_BY(mutex_);                                  // in the order of the observations
  RouteFoldCounters counted_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp::collector
