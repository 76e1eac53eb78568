// Routers, slots and requests as the ledger has them, and the indexes that make 10,000 of them quick to ask: by agent,
// by age, by what time moves next, by what a publication touched.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "services/keymgr/domain/ledger.h"
#include "services/keymgr/domain/router_plan.h"
#include "services/keymgr/domain/router_record.h"
#include "services/keymgr/domain/router_requests.h"

namespace virp::keymgr {

// Thread-safe. Make it before the ledger starts.
class RouterBook {
 public:
  using RouterPtr = std::shared_ptr<const RouterRecord>;
  using SlotPtr = std::shared_ptr<const RouterSlotRecord>;
  using RequestPtr = std::shared_ptr<const RouterRequestRecord>;

  RouterBook(Ledger& ledger, RouterKeyOptions options);

  const RouterKeyOptions& options() const { return options_; }

  // NotFound; FailedPrecondition with reason DECOMMISSIONED.
  static absl::StatusOr<RouterPtr> Router(const Snapshot& now, std::string_view id);
  static absl::StatusOr<SlotPtr> Slot(const Snapshot& now, std::string_view id);
  static absl::StatusOr<RequestPtr> Request(const Snapshot& now, std::string_view id);
  // Of an agent, one router: AlreadyExists when another one that is not decommissioned has it.
  static absl::Status CheckAgent(const Snapshot& now, const RouterSpec& spec);
  // Calls `f(const SlotPtr&)` for the slots of a router until it returns false.
  template <typename F>
  static void ForEachSlot(const Snapshot& now, std::string_view router, F&& f) {
    now.ForEach<RouterSlotRecord>([&](const SlotPtr& slot) { return slot->router != router || f(slot); },
                                  std::string(router) + "/");
  }

  // One Edit that changes one slot.
  struct Change {
    std::string_view event;
    std::uint32_t version = 0;  // that it is about; 0: the newest one after the step
    frame::Tier tier = frame::Tier::kGreen;
    // Changes the slot; may put more, but leaves no audit record.
    std::function<absl::Status(const Snapshot& now, RouterSlotRecord& slot, Changes& changes)> step = {};
    // When the slot is not there: makes it, for this router. Empty: NotFound.
    std::string router = {};
    std::uint32_t asn = 0;
    std::string usage = {};
  };
  absl::StatusOr<Receipt> Commit(const Call& call, std::string_view slot, const Change& change) const;
  // Its part of an Edit of others (ReleaseKey, RpkiAuthority::Issue), without an audit record.
  absl::Status Apply(const Snapshot& now, Changes& changes, std::string_view slot, const Change& change) const;
  AuditRecord AuditOf(const RouterSlotRecord& slot, const Change& change) const;
  // Puts the slot with its next look.
  void Put(Changes& changes, std::shared_ptr<RouterSlotRecord> slot) const;

  std::string AgentOf(std::string_view identity) const;  // id of its router; empty: of none
  std::vector<std::string> Pending(std::string_view after, std::size_t limit) const;  // requests, oldest first
  std::size_t PendingOf(std::string_view router) const;
  std::size_t pending() const;

  // Requests that the limits of the options end, at most `most` of both together, oldest first.
  struct StaleRequests {
    std::vector<std::string> undecided;  // for too long
    std::vector<std::string> over;       // decided, and to be forgotten
  };
  StaleRequests Stale(UnixNanos now, std::size_t most) const;
  std::vector<std::string> SlotsWith(std::string_view spki) const;  // that have, or had, this key

  // Slots that time or a publication moves, at most `most`; they are not given again until something changes, or
  // Expect() says when to look again.
  std::vector<std::string> TakeDue(UnixNanos now, std::size_t most);
  void Expect(std::string_view slot, UnixNanos at);

  std::uint64_t serial() const;  // grows with every change of a slot

 private:
  absl::StatusOr<std::shared_ptr<RouterSlotRecord>> Changed(const Snapshot& now, Changes& changes,
                                                            std::string_view slot, const Change& change) const;
  void OnCommitted(const Committed& committed);
  void Note(const Snapshot& now, const Committed::Item& item) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Load(const Snapshot& now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Add(const RouterRecord& router) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Drop(const RouterRecord& router) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Add(const RouterSlotRecord& slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Drop(const RouterSlotRecord& slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Add(const RouterRequestRecord& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Drop(const RouterRequestRecord& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Ledger& ledger_;
  const RouterKeyOptions options_;
  mutable Mutex mutex_;
  std::map<std::string, std::string, std::less<>> agents_ ABSL_GUARDED_BY(mutex_);   // router by identity
  std::set<std::pair<UnixNanos, std::string>> pending_ ABSL_GUARDED_BY(mutex_);      // requests by age
  std::map<std::string, std::size_t, std::less<>> waiting_ ABSL_GUARDED_BY(mutex_);  // their number, by router
  RequestIndex decided_ ABSL_GUARDED_BY(mutex_);
  std::set<std::pair<UnixNanos, std::string>> due_ ABSL_GUARDED_BY(mutex_);     // slots by next look
  std::set<std::string, std::less<>> touched_ ABSL_GUARDED_BY(mutex_);          // slots to look at now
  std::set<std::pair<std::string, std::string>> keys_ ABSL_GUARDED_BY(mutex_);  // key and slot
  std::uint64_t serial_ ABSL_GUARDED_BY(mutex_) = 1;
};

}  // namespace virp::keymgr
