#include "services/keymgr/domain/router_fleet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/base/error_info.h"
#include "services/keymgr/domain/router_fixture.h"
#include "tests/testutil/status_matchers.h"

namespace virp::keymgr {
namespace {

using absl::StatusCode;
using testing::SizeIs;
using testutil::ReasonIs;
using testutil::StatusIs;
using State = RouterKeyState;

class RouterFleetTest : public testing::Test {
 protected:
  // Slots that sign with version 1, straight into the ledger.
  void Make(int count, KeyMethod method = KeyMethod::kRouterDriven) {
    std::vector<std::future<absl::StatusOr<Receipt>>> made;
    for (int i = 0; i < count; ++i) {
      made.push_back(fixture_.ledger->Submit(TestCall(), [&, i](const Snapshot&, Changes& changes) {
        auto router = std::make_shared<RouterRecord>();
        router->spec = RouterFixture::Spec(fmt::format("edge-{:05}", i), method);
        auto slot = std::make_shared<RouterSlotRecord>();
        slot->router = router->spec.id;
        slot->asn = 64496;
        slot->last_version = 1;
        RouterVersion& version = slot->versions.emplace_back();
        version.version = 1;
        version.spki = fmt::format("key {}", i);
        slot->roll.keys.push_back(
            {.version = 1, .state = State::kActive, .since = changes.now(), .not_after = ~UnixNanos{0} / 2});
        fixture_.keys->book().Put(changes, std::move(slot));
        changes.Put(std::move(router));
        AuditRecord audit;
        audit.event = "made";
        changes.Audit(std::move(audit));
        return absl::OkStatus();
      }));
    }
    for (auto& one : made) ASSERT_OK(one.get());
  }
  // Changes every slot of the fleet, as its router and the time would.
  void ForAll(const std::function<void(RouterSlotRecord& slot, UnixNanos now)>& change) {
    std::vector<std::string> ids;
    fixture_.ledger->snapshot()->ForEach<RouterSlotRecord>([&](const RouterKeys::SlotPtr& slot) {
      if (!slot->fleet.empty()) ids.push_back(slot->id());
      return true;
    });
    std::vector<std::future<absl::StatusOr<Receipt>>> made;
    for (const std::string& id : ids) {
      made.push_back(fixture_.ledger->Submit(TestCall(), [&, id](const Snapshot& now, Changes& changes) {
        auto slot = std::make_shared<RouterSlotRecord>(*now.Find<RouterSlotRecord>(id));
        change(*slot, changes.now());
        fixture_.keys->book().Put(changes, std::move(slot));
        AuditRecord audit;
        audit.event = "changed";
        changes.Audit(std::move(audit));
        return absl::OkStatus();
      }));
    }
    for (auto& one : made) ASSERT_OK(one.get());
  }
  static void SubmitNext(RouterSlotRecord& slot, UnixNanos now) {
    if (slot.fleet_version <= slot.last_version) return;
    RouterVersion& version = slot.versions.emplace_back();
    version.version = slot.last_version = slot.fleet_version;
    version.spki = slot.id();
    version.report = InstallReport{true, true, true, true, "", "x", now};
    slot.roll.keys.push_back(
        {.version = slot.fleet_version, .state = State::kReady, .since = now, .not_after = ~UnixNanos{0} / 2});
  }
  static void Obey(RouterSlotRecord& slot, UnixNanos now) {
    if (!slot.order) return;
    ASSERT_OK(Activate(slot.roll, slot.order->version, false, now));
    slot.order.reset();
    ASSERT_OK(MarkReplaced(slot.roll, 1));
  }
  FleetProgress Progress(std::string_view id = "yearly") { return fleets_.Progress(**fleets_.Get(id)); }
  absl::Status AdvanceUntilIdle() {
    for (int i = 0; i < 40; ++i) RETURN_IF_ERROR(fleets_.Advance());
    return absl::OkStatus();
  }

  RouterFixture fixture_{false};
  RouterFleets& fleets_ = *fixture_.fleets;
};

TEST_F(RouterFleetTest, TenThousandRoutersWithABound) {
  Make(10'000);
  ASSERT_OK(fleets_.Start(fixture_.NewCall(), {.id = "yearly", .prefix = "edge-", .concurrency = 3'000}));
  EXPECT_THAT(fleets_.Start(fixture_.NewCall(), {.id = "yearly"}), StatusIs(StatusCode::kAlreadyExists));
  ASSERT_OK(AdvanceUntilIdle());
  EXPECT_EQ(Progress().total, 10'000U);
  EXPECT_EQ(Progress().waiting, 10'000U);
  EXPECT_EQ((*fleets_.Get("yearly"))->slots, 10'000U);
  EXPECT_TRUE(fixture_.keys->Plan(RouterFixture::Agent("edge-00007"), "")->at(0).submit_next);
  ForAll(SubmitNext);
  EXPECT_EQ(Progress().ready, 10'000U);
  std::uint32_t rounds = 0, most = 0;
  while ((*fleets_.Get("yearly"))->state != FleetState::kDone && ++rounds < 20) {
    ASSERT_OK(fleets_.Advance());
    ASSERT_OK(fleets_.Advance());
    most = std::max(most, Progress().switching);
    ForAll(Obey);
  }
  EXPECT_EQ(most, 3'000U);
  EXPECT_EQ(rounds, 5U);
  EXPECT_EQ(Progress().done, 10'000U);
}

TEST_F(RouterFleetTest, IsPausedAndStopped) {
  Make(100);
  ASSERT_OK(fleets_.Start(fixture_.NewCall(), {.id = "yearly", .concurrency = 10}));
  ASSERT_OK(AdvanceUntilIdle());
  ForAll(SubmitNext);
  ASSERT_OK(fleets_.Advance());
  EXPECT_EQ(Progress().switching, 10U);
  ASSERT_OK(fleets_.Set(fixture_.NewCall(), "yearly", FleetState::kPaused));
  ForAll(Obey);
  ASSERT_OK(AdvanceUntilIdle());
  EXPECT_EQ(Progress().done, 10U);
  EXPECT_EQ(Progress().switching, 0U);
  // Another fleet takes none of its slots.
  ASSERT_OK(fleets_.Start(fixture_.NewCall(), {.id = "other"}));
  ASSERT_OK(AdvanceUntilIdle());
  EXPECT_EQ(Progress("other").total, 0U);
  EXPECT_EQ((*fleets_.Get("other"))->state, FleetState::kDone);
  // A router that reports a fault is not ordered.
  ForAll([](RouterSlotRecord& slot, UnixNanos) { slot.Find(2)->report->key_match = slot.router != "edge-00050"; });
  ASSERT_OK(fleets_.Set(fixture_.NewCall(), "yearly", FleetState::kRunning));
  for (int i = 0; i < 12; ++i) {
    ASSERT_OK(fleets_.Advance());
    ForAll(Obey);
  }
  EXPECT_EQ(Progress().done, 99U);
  EXPECT_EQ(Progress().faulty, 1U);
  ASSERT_OK(fleets_.Set(fixture_.NewCall(), "yearly", FleetState::kStopped));
  ASSERT_OK(AdvanceUntilIdle());
  EXPECT_EQ(Progress().total, 0U) << "its slots are let go";
  EXPECT_THAT(fleets_.Set(fixture_.NewCall(), "yearly", FleetState::kRunning), ReasonIs("FLEET_STATE"));
  EXPECT_THAT(fleets_.List("", 10), SizeIs(2));
  for (const Row& row : fixture_.ledger.store.rows()) {
    if (row.kind == FleetRecord::kKind) EXPECT_EQ((*FleetRecord::FromRow(row))->ToRow().body, row.body);
  }
}

TEST_F(RouterFleetTest, WhatDoesNotFitIsRefused) {
  const auto start = [&](FleetSpec spec) { return fleets_.Start(fixture_.NewCall(), spec).status(); };
  EXPECT_EQ(GetFields(start({.id = "../x"}))[0].field, "fleet.id");
  EXPECT_EQ(GetFields(start({.id = "a", .concurrency = 0}))[0].field, "fleet.concurrency");
  EXPECT_EQ(GetFields(start({.id = "a", .prefix = std::string(300, 'a')}))[0].field, "fleet.prefix");
  EXPECT_THAT(fleets_.Set(fixture_.NewCall(), "none", FleetState::kPaused), StatusIs(StatusCode::kNotFound));
}

}  // namespace
}  // namespace virp::keymgr
