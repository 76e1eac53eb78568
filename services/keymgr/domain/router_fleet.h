// The roll of many routers' keys: each slot comes to its next key by its own state machine; the fleet says which slots,
// and how many routers may be changing over at once. Durable: a fleet goes on where it was, whatever happens.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/mutex.h"
#include "services/keymgr/domain/ledger.h"
#include "services/keymgr/domain/record.h"
#include "services/keymgr/domain/router_keys.h"

namespace virp::keymgr {

enum class FleetState : std::uint8_t { kRunning = 1, kPaused = 2, kStopped = 3, kDone = 4 };
std::string_view FleetStateName(FleetState state);

struct FleetSpec {
  std::string id;                  // a name: [a-z0-9][a-z0-9._-]{0,127}
  std::string prefix = {};         // of the routers' ids; empty: all
  std::uint32_t asn = 0;           // 0: all
  std::uint32_t concurrency = 50;  // routers that change over at once, 1 to 10,000
  bool operator==(const FleetSpec&) const = default;
};

struct FleetRecord final : Record {
  static constexpr std::string_view kKind = "router_fleet";

  FleetSpec spec;
  FleetState state = FleetState::kRunning;
  std::string cursor;     // slot that was taken in (or let go again) last
  bool complete = false;  // all were
  std::uint32_t slots = 0;
  std::string started_by;
  UnixNanos ended = 0;

  Row ToRow() const override;
  static absl::StatusOr<std::shared_ptr<Record>> FromRow(const Row& row);
};

// How many slots are where.
struct FleetProgress {
  std::uint32_t total = 0;
  std::uint32_t waiting = 0;     // the next key is not made or submitted yet
  std::uint32_t staging = 0;     // relying parties are getting to know it
  std::uint32_t installing = 0;  // they know it; the router has not reported that it holds it
  std::uint32_t faulty = 0;      // the router reports a fault
  std::uint32_t ready = 0;       // waits for its turn
  std::uint32_t switching = 0;   // ordered, or the old key's UPDATEs are being replaced
  std::uint32_t done = 0;
  bool operator==(const FleetProgress&) const = default;
};

// Thread-safe. What it is given outlives it. Errors besides those named: NotFound, those of Ledger::Commit.
class RouterFleets {
 public:
  using FleetPtr = std::shared_ptr<const FleetRecord>;

  RouterFleets(Ledger& ledger, RouterKeys& keys, std::string self)
      : ledger_(ledger), keys_(keys), self_(std::move(self)) {}

  static RecordType Type() { return TypeOf<FleetRecord>(); }

  // Slots with an active key that are in no other fleet that runs are taken in, from now on. InvalidArgument with the
  // field; AlreadyExists when the id was used.
  absl::StatusOr<FleetPtr> Start(const Call& call, const FleetSpec& spec);
  // To kRunning, kPaused or kStopped. Orders that were given stand. FailedPrecondition with reason FLEET_STATE when it
  // is over.
  absl::StatusOr<FleetPtr> Set(const Call& call, std::string_view id, FleetState state);
  absl::StatusOr<FleetPtr> Get(std::string_view id) const;
  std::vector<FleetPtr> List(std::string_view after, std::size_t limit) const;  // by id
  FleetProgress Progress(const FleetRecord& fleet) const;

  // Takes slots in, gives orders within the bound, ends fleets. Call it every few seconds on the active manager; does a
  // bounded part.
  absl::Status Advance();

 private:
  Call OwnCall() const;
  absl::Status TakeIn(const FleetRecord& fleet);
  absl::Status Order(const FleetRecord& fleet);

  Ledger& ledger_;
  RouterKeys& keys_;
  const std::string self_;
  Mutex mutex_;
  std::map<std::string, std::uint64_t> seen_
      ABSL_GUARDED_BY(mutex_);  // by fleet: the book's serial it was looked at with
};

}  // namespace virp::keymgr
