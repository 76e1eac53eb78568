// The keys of 10,000 routers rolled, 500 of which may change over at once, while others list keys and look at the
// progress all the time. The routers are played: each has its next key ready and obeys its order in the next round.
#include <benchmark/benchmark.h>

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "services/keymgr/domain/router_fixture.h"
#include "tests/bench/bench_util.h"

namespace virp {
namespace {

using keymgr::RouterSlotRecord;

constexpr int kRouters = 10'000;
constexpr std::uint32_t kAtOnce = 500;

// One change of every slot, as many in one commit as the ledger takes.
void ForAll(keymgr::RouterFixture& fixture, const std::vector<std::string>& slots,
            const std::function<bool(RouterSlotRecord&, UnixNanos)>& change) {
  std::vector<std::future<absl::StatusOr<keymgr::Receipt>>> made;
  for (const std::string& id : slots) {
    const auto before = fixture.ledger->snapshot()->Find<RouterSlotRecord>(id);
    RouterSlotRecord trial = *before;
    if (!change(trial, fixture.ledger.clock.NowNanos())) continue;
    made.push_back(fixture.ledger->Submit(
        keymgr::TestCall(), [&fixture, &change, id](const keymgr::Snapshot& now, keymgr::Changes& changes) {
          auto slot = std::make_shared<RouterSlotRecord>(*now.Find<RouterSlotRecord>(id));
          change(*slot, changes.now());
          fixture.keys->book().Put(changes, std::move(slot));
          keymgr::AuditRecord audit;
          audit.event = "changed";
          changes.Audit(std::move(audit));
          return absl::OkStatus();
        }));
  }
  for (auto& one : made) bench::Check(one.get().status());
}

std::vector<std::string> MakeRouters(keymgr::RouterFixture& fixture) {
  std::vector<std::string> slots;
  std::vector<std::future<absl::StatusOr<keymgr::Receipt>>> made;
  for (int i = 0; i < kRouters; ++i) {
    const std::string id = fmt::format("edge-{:05}", i);
    slots.push_back(id + "/64496");
    made.push_back(
        fixture.ledger->Submit(keymgr::TestCall(), [&fixture, id](const keymgr::Snapshot&, keymgr::Changes& changes) {
          auto router = std::make_shared<keymgr::RouterRecord>();
          router->spec = keymgr::RouterFixture::Spec(id);
          auto slot = std::make_shared<RouterSlotRecord>();
          slot->router = id;
          slot->asn = 64496;
          slot->last_version = 1;
          keymgr::RouterVersion& version = slot->versions.emplace_back();
          version.version = 1;
          version.spki = "key of " + id;
          slot->roll.keys.push_back({.version = 1,
                                     .state = keymgr::RouterKeyState::kActive,
                                     .since = changes.now(),
                                     .not_after = ~UnixNanos{0} / 2});
          fixture.keys->book().Put(changes, std::move(slot));
          changes.Put(std::move(router));
          keymgr::AuditRecord audit;
          audit.event = "made";
          changes.Audit(std::move(audit));
          return absl::OkStatus();
        }));
  }
  for (auto& one : made) bench::Check(one.get().status());
  return slots;
}

bool SubmitNext(RouterSlotRecord& slot, UnixNanos now) {
  if (slot.fleet_version <= slot.last_version) return false;
  keymgr::RouterVersion& version = slot.versions.emplace_back();
  version.version = slot.last_version = slot.fleet_version;
  version.spki = "next key of " + slot.id();
  version.report = keymgr::InstallReport{true, true, true, true, "", "x", now};
  slot.roll.keys.push_back({.version = slot.fleet_version,
                            .state = keymgr::RouterKeyState::kReady,
                            .since = now,
                            .not_after = ~UnixNanos{0} / 2});
  return true;
}

bool Obey(RouterSlotRecord& slot, UnixNanos now) {
  if (!slot.order) return false;
  bench::Check(keymgr::Activate(slot.roll, slot.order->version, false, now));
  slot.order.reset();
  bench::Check(keymgr::MarkReplaced(slot.roll, 1));
  return true;
}

// Milliseconds of each call.
void Time(std::vector<double>& into, const std::function<void()>& call) {
  const double before = bench::WallSeconds();
  call();
  into.push_back((bench::WallSeconds() - before) * 1e3);
}

double At(std::vector<double> sorted, double part) {
  if (sorted.empty()) return 0;
  std::sort(sorted.begin(), sorted.end());
  return sorted[static_cast<std::size_t>(part * static_cast<double>(sorted.size() - 1))];
}

void BM_FleetRoll(benchmark::State& state) {
  keymgr::RouterFixture fixture(false);
  const std::vector<std::string> slots = MakeRouters(fixture);
  keymgr::RouterFleets& fleets = *fixture.fleets;
  std::vector<double> lists, looks;
  std::atomic<bool> over{false};
  std::uint32_t most = 0;
  for (auto _ : state) {
    const double before = bench::WallSeconds();
    bench::Check(fleets.Start(fixture.NewCall(), {.id = "yearly", .concurrency = kAtOnce}).status());
    std::jthread reader([&] {
      std::string after;
      while (!over) {
        Time(lists, [&] {
          const auto page = fixture.keys->ListSlots("", after, 1'000);
          after = page.size() < 1'000 ? std::string() : page.back()->id();
        });
        const auto fleet = fleets.Get("yearly");
        Time(looks, [&] { most = std::max(most, fleets.Progress(**fleet).switching); });
      }
    });
    while (!(*fleets.Get("yearly"))->complete) bench::Check(fleets.Advance());
    ForAll(fixture, slots, &SubmitNext);
    while ((*fleets.Get("yearly"))->state != keymgr::FleetState::kDone) {
      bench::Check(fleets.Advance());
      ForAll(fixture, slots, &Obey);
    }
    over = true;
    reader.join();
    state.counters["wall_s"] = bench::WallSeconds() - before;
  }
  if (most > kAtOnce) state.SkipWithError("more routers changed over at once than the fleet allows");
  state.counters["most_at_once"] = most;
  state.counters["list_p50_ms"] = At(lists, 0.5);
  state.counters["list_p99_ms"] = At(lists, 0.99);
  state.counters["progress_p50_ms"] = At(looks, 0.5);
  state.counters["progress_p99_ms"] = At(looks, 0.99);
  state.counters["calls"] = static_cast<double>(lists.size() + looks.size());
}
BENCHMARK(BM_FleetRoll)->Unit(benchmark::kSecond)->Iterations(1);

}  // namespace
}  // namespace virp
