#include "services/keymgr/domain/router_fleet.h"

#include <algorithm>
#include <array>

#include "lib/base/error_info.h"
#include "lib/base/names.h"
#include "lib/base/status.h"
#include "lib/frame/payload.h"
#include "services/keymgr/domain/row_reader.h"

namespace virp::keymgr {
namespace {

using SlotPtr = RouterKeys::SlotPtr;
using State = RouterKeyState;

constexpr std::uint64_t kFormat = 1;
constexpr std::uint32_t kMostAtOnce = 10'000;
constexpr std::size_t kTakeAtOnce = 64;  // slots in one audit record
constexpr int kRecordsAtOnce = 16;       // of one fleet in one Advance

enum class Phase : std::uint8_t { kWaiting, kStaging, kInstalling, kFaulty, kReady, kSwitching, kDone };

Phase PhaseOf(const RouterSlotRecord& slot) {
  const RollKey* const active = slot.roll.Active();
  const RollKey* const next = slot.roll.Find(slot.fleet_version);
  if (active != nullptr && active->version >= slot.fleet_version) {
    const bool replacing = std::ranges::any_of(
        slot.roll.keys, [](const RollKey& key) { return key.state == State::kTwilight && !key.replaced; });
    return replacing ? Phase::kSwitching : Phase::kDone;
  }
  if (slot.order && slot.order->version == slot.fleet_version) return Phase::kSwitching;
  if (next == nullptr || next->state == State::kCreated || next->state > State::kReady) return Phase::kWaiting;
  const RouterVersion* const version = slot.Find(slot.fleet_version);
  if (version != nullptr && version->report && !version->report->IsGood()) return Phase::kFaulty;
  if (next->state != State::kReady) return Phase::kStaging;
  return version != nullptr && version->report ? Phase::kReady : Phase::kInstalling;
}

bool IsWanted(const FleetSpec& spec, const RouterSlotRecord& slot) {
  return slot.router.starts_with(spec.prefix) && (spec.asn == 0 || slot.asn == spec.asn) &&
         slot.roll.Active() != nullptr;
}

bool IsOver(const FleetRecord& fleet) {
  return fleet.state == FleetState::kStopped || fleet.state == FleetState::kDone;
}

AuditRecord FleetAudit(std::string_view event, const FleetRecord& fleet) {
  AuditRecord audit;
  audit.event = event;
  frame::JsonWriter json;
  json.BeginObject().Field("fleet", std::string_view(fleet.spec.id)).Field("state", FleetStateName(fleet.state));
  audit.fields = json.Field("slots", fleet.slots).EndObject().Take();
  return audit;
}

}  // namespace

std::string_view FleetStateName(FleetState state) {
  constexpr std::array<std::string_view, 4> kNames{"RUNNING", "PAUSED", "STOPPED", "DONE"};
  const auto at = static_cast<std::size_t>(state) - 1;
  return at < kNames.size() ? kNames[at] : std::string_view("unknown");
}

Row FleetRecord::ToRow() const {
  Row row;
  row.kind = kKind;
  row.id = spec.id;
  row.state = FleetStateName(state);
  frame::JsonWriter json;
  json.BeginObject().Field("format", kFormat).Field("prefix", std::string_view(spec.prefix)).Field("asn", spec.asn);
  json.Field("concurrency", spec.concurrency).Field("cursor", std::string_view(cursor)).Field("complete", complete);
  json.Field("slots", slots).Field("started_by", std::string_view(started_by)).Field("ended_ns", ended);
  row.body = json.EndObject().Take();
  return row;
}

absl::StatusOr<std::shared_ptr<Record>> FleetRecord::FromRow(const Row& row) {
  frame::PayloadReader payloads(kMaxBody);
  ASSIGN_OR_RETURN(const frame::Value body, payloads.Read(row.body));
  RowReader reader(body);
  reader.Format(kFormat);
  auto out = std::make_shared<FleetRecord>();
  out->spec.id = row.id;
  out->spec.prefix = reader.Text("prefix");
  out->spec.asn = reader.Number<std::uint32_t>("asn");
  out->spec.concurrency = reader.Number<std::uint32_t>("concurrency");
  out->state = reader.KnownText("state", row.state, FleetStateName, FleetState::kDone);
  out->cursor = reader.Text("cursor");
  out->complete = reader.Flag("complete");
  out->slots = reader.Number<std::uint32_t>("slots");
  out->started_by = reader.Text("started_by");
  out->ended = reader.Number<UnixNanos>("ended_ns");
  RETURN_IF_ERROR(reader.status());
  return std::shared_ptr<Record>(std::move(out));
}

Call RouterFleets::OwnCall() const {
  Call call;
  call.actor = self_;
  call.method = "schedule/router-fleet";
  call.reason = "a fleet of routers is rolled";
  return call;
}

absl::StatusOr<RouterFleets::FleetPtr> RouterFleets::Start(const Call& call, const FleetSpec& spec) {
  if (const absl::Status name = CheckSourceName(spec.id); !name.ok()) return InvalidField("fleet.id", Message(name));
  if (spec.prefix.size() > 255) return InvalidField("fleet.prefix", "is longer than any router's id");
  if (spec.concurrency == 0 || spec.concurrency > kMostAtOnce)
    return InvalidField("fleet.concurrency", fmt::format("wanted 1 to {}", kMostAtOnce));
  const auto receipt = ledger_.Commit(call, [&](const Snapshot& now, Changes& changes) -> absl::Status {
    if (now.Find<FleetRecord>(spec.id) != nullptr) return AlreadyExists("fleet roll {} is there", spec.id);
    auto fleet = std::make_shared<FleetRecord>();
    fleet->spec = spec;
    fleet->started_by = call.actor;
    changes.Audit(FleetAudit("router_fleet_started", *fleet));
    changes.Put(std::move(fleet));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(receipt.status());
  return Get(spec.id);
}

absl::StatusOr<RouterFleets::FleetPtr> RouterFleets::Set(const Call& call, std::string_view id, FleetState state) {
  if (state == FleetState::kDone) return InvalidField("state", "is for fleets that are done");
  const auto receipt = ledger_.Commit(call, [&](const Snapshot& now, Changes& changes) -> absl::Status {
    const auto before = now.Find<FleetRecord>(id);
    if (before == nullptr) return NotFound("there is no fleet roll {}", id.substr(0, 256));
    if (IsOver(*before)) {
      return WithReason(FailedPrecondition("fleet roll {} is {}", id, FleetStateName(before->state)), "FLEET_STATE");
    }
    auto fleet = std::make_shared<FleetRecord>(*before);
    fleet->state = state;
    if (state == FleetState::kStopped) {
      fleet->ended = changes.now();
      fleet->complete = false;  // until its slots are let go
      fleet->cursor.clear();
    }
    changes.Audit(FleetAudit("router_fleet_changed", *fleet));
    changes.Put(std::move(fleet));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(receipt.status());
  return Get(id);
}

absl::StatusOr<RouterFleets::FleetPtr> RouterFleets::Get(std::string_view id) const {
  FleetPtr out = ledger_.snapshot()->Find<FleetRecord>(id);
  if (out == nullptr) return NotFound("there is no fleet roll {}", id.substr(0, 256));
  return out;
}

std::vector<RouterFleets::FleetPtr> RouterFleets::List(std::string_view after, std::size_t limit) const {
  std::vector<FleetPtr> out;
  ledger_.snapshot()->ForEach<FleetRecord>(
      [&](const FleetPtr& fleet) {
        out.push_back(fleet);
        return out.size() < limit;
      },
      {}, after);
  return out;
}

FleetProgress RouterFleets::Progress(const FleetRecord& fleet) const {
  FleetProgress out;
  ledger_.snapshot()->ForEach<RouterSlotRecord>(
      [&](const SlotPtr& slot) {
        if (slot->fleet != fleet.spec.id) return true;
        ++out.total;
        const Phase phase = PhaseOf(*slot);
        ++(phase == Phase::kWaiting      ? out.waiting
           : phase == Phase::kStaging    ? out.staging
           : phase == Phase::kInstalling ? out.installing
           : phase == Phase::kFaulty     ? out.faulty
           : phase == Phase::kReady      ? out.ready
           : phase == Phase::kSwitching  ? out.switching
                                         : out.done);
        return true;
      },
      fleet.spec.prefix);
  return out;
}

// Takes the next slots in, or lets them go when the fleet was stopped: one audit record.
absl::Status RouterFleets::TakeIn(const FleetRecord& fleet) {
  const std::string& id = fleet.spec.id;
  return ledger_
      .Commit(OwnCall(),
              [&](const Snapshot& now, Changes& changes) -> absl::Status {
                const auto before = now.Find<FleetRecord>(id);
                if (before == nullptr || before->complete) return Aborted("the fleet roll changed meanwhile");
                auto after = std::make_shared<FleetRecord>(*before);
                const bool stopped = before->state == FleetState::kStopped;
                AuditRecord audit;
                std::size_t seen = 0;
                bool more = false;
                now.ForEach<RouterSlotRecord>(
                    [&](const SlotPtr& slot) {
                      if (audit.keys.size() == kTakeAtOnce || seen == kTakeAtOnce * kTakeAtOnce) {
                        more = true;
                        return false;
                      }
                      ++seen;
                      after->cursor = slot->id();
                      const auto other = slot->fleet.empty() ? nullptr : now.Find<FleetRecord>(slot->fleet);
                      const bool taken = other != nullptr && !IsOver(*other);
                      if (stopped ? slot->fleet != id : (taken || !IsWanted(before->spec, *slot))) return true;
                      auto changed = std::make_shared<RouterSlotRecord>(*slot);
                      const RollKey* const next = slot->roll.Next();
                      changed->fleet = stopped ? std::string() : id;
                      changed->fleet_version = stopped ? 0 : next != nullptr ? next->version : slot->last_version + 1;
                      audit.keys.push_back(slot->identity(std::max<std::uint32_t>(slot->last_version, 1)));
                      if (!stopped) ++after->slots;
                      keys_.book().Put(changes, std::move(changed));
                      return true;
                    },
                    before->spec.prefix, before->cursor);
                after->complete = !more;
                const AuditRecord about = FleetAudit(stopped ? "router_fleet_let_go" : "router_fleet_taken_in", *after);
                audit.event = about.event;
                audit.fields = about.fields;
                changes.Audit(std::move(audit));
                changes.Put(std::move(after));
                return absl::OkStatus();
              })
      .status();
}

// Orders as many routers as may change over, and ends the fleet when all have.
absl::Status RouterFleets::Order(const FleetRecord& fleet) {
  std::size_t switching = 0, done = 0, total = 0;
  std::vector<std::pair<std::string, std::uint32_t>> ready;
  ledger_.snapshot()->ForEach<RouterSlotRecord>(
      [&](const SlotPtr& slot) {
        if (slot->fleet != fleet.spec.id) return true;
        const Phase phase = PhaseOf(*slot);
        ++total;
        switching += static_cast<std::size_t>(phase == Phase::kSwitching);
        done += static_cast<std::size_t>(phase == Phase::kDone);
        if (phase == Phase::kReady && ready.size() < fleet.spec.concurrency)
          ready.emplace_back(slot->id(), slot->fleet_version);
        return true;
      },
      fleet.spec.prefix);
  if (done == total) {
    return ledger_
        .Commit(OwnCall(),
                [&](const Snapshot& now, Changes& changes) -> absl::Status {
                  const auto before = now.Find<FleetRecord>(fleet.spec.id);
                  if (before == nullptr || before->state != FleetState::kRunning)
                    return Aborted("it changed meanwhile");
                  auto after = std::make_shared<FleetRecord>(*before);
                  after->state = FleetState::kDone;
                  after->ended = changes.now();
                  changes.Audit(FleetAudit("router_fleet_done", *after));
                  changes.Put(std::move(after));
                  return absl::OkStatus();
                })
        .status();
  }
  absl::Status first;
  const std::size_t free = fleet.spec.concurrency - std::min<std::size_t>(switching, fleet.spec.concurrency);
  for (std::size_t i = 0; i < std::min(free, ready.size()); ++i)
    first.Update(keys_.Activate(OwnCall(), ready[i].first, ready[i].second, false, false).status());
  return first;
}

absl::Status RouterFleets::Advance() {
  const MutexLock lock(mutex_);  // one at a time: the bound counts what is under way
  absl::Status first;
  for (FleetPtr fleet : List({}, ~std::size_t{0})) {
    const std::string id = fleet->spec.id;
    const bool takes = fleet->state == FleetState::kRunning || fleet->state == FleetState::kStopped;
    for (int i = 0; takes && !fleet->complete && i < kRecordsAtOnce; ++i) {
      if (const absl::Status taken = TakeIn(*fleet); !taken.ok()) {
        first.Update(taken);
        break;
      }
      const auto now = Get(id);
      if (!now.ok()) break;
      fleet = *now;
    }
    if (fleet->state != FleetState::kRunning || !fleet->complete) continue;
    const std::uint64_t serial = keys_.book().serial();
    if (const auto seen = seen_.find(id); seen != seen_.end() && seen->second == serial) continue;
    const absl::Status ordered = Order(*fleet);
    first.Update(ordered);
    if (ordered.ok()) seen_[id] = serial;
  }
  return first;
}

}  // namespace virp::keymgr
