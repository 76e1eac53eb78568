// What fails, and what is done to a platform that runs, under load: availability_fixture.h.
#include <algorithm>
#include <cstdlib>

#include "tests/twins/availability_fixture.h"

namespace virp::twins {
namespace {

constexpr auto kDeniedWithin = 5s;    // the file is read every second
constexpr auto kRotatedWithin = 30s;  // files are read every ten

// Every service, one after another; the order is that of docs/operations/upgrade.md.
TEST_F(Availability, RollingRestart) {
  if (std::getenv("VIRP_HA_RATE") == nullptr) GTEST_SKIP() << "takes over a minute; VIRP_HA_RATE=2300 runs it";
  for (std::size_t i = 0; i < kReplicas; ++i) {
    const bool led = Leader() == i;
    ASSERT_NO_FATAL_FAILURE(Strike(fmt::format("O-Node {} restarted{}", i, led ? ", the leader" : ""), [&] {
      ASSERT_OK(lab_->onode(i).Terminate(kPatience).status());
      ASSERT_OK(lab_->StartONode(i));
    }));
  }
  ASSERT_NO_FATAL_FAILURE(Strike("leader restarted", [&] {
    const std::size_t leader = Leader();
    ASSERT_OK(lab_->onode(leader).Terminate(kPatience).status());
    ASSERT_OK(lab_->StartONode(leader));
  }));
  for (testutil::KeymgrLab* manager : {&lab_->standby(), &lab_->keymgr(), &lab_->standby()}) {
    const auto status = manager->Status();
    const bool active = status.ok() && status->active();
    ASSERT_NO_FATAL_FAILURE(Strike(active ? "active key manager restarted" : "key manager restarted", [&] {
      ASSERT_OK(manager->process().Terminate(kPatience).status());
      ASSERT_OK(manager->process().Start());
      ASSERT_TRUE(AwaitManager() != nullptr) << manager->process().log();
    }));
  }
  ASSERT_NO_FATAL_FAILURE(Strike("collector restarted", [&] {
    ASSERT_OK(lab_->StopCollector(kPatience));
    ASSERT_OK(lab_->StartCollector());
  }));
  ASSERT_NO_FATAL_FAILURE(Strike("RTR bridge restarted", [&] {
    ASSERT_OK(bridge_->rtr().Stop());
    ASSERT_OK(bridge_->Start());
    EXPECT_TRUE(WaitUntil(kPatience, [&] {
      return bridge_->rtr().Metric("virp_rtr_bridge_answers_total{kind=\"incremental\"}") >= 1;
    })) << "the router does not come back for what has changed";
  }));
  ASSERT_NO_FATAL_FAILURE(Strike("a key rolled", [&] { RollAKey(); }));
  Judge();
}

TEST_F(Availability, TheLeaderAndTheDatabaseFail) {
  ASSERT_NO_FATAL_FAILURE(Strike("leader killed", [&] {
    const std::size_t leader = Leader();
    lab_->onode(leader).Kill();
    ASSERT_OK(lab_->StartONode(leader));
  }));
  ASSERT_NO_FATAL_FAILURE(Strike("leader paused for longer than its lease", [&] {
    const std::size_t paused = Leader();
    lab_->onode(paused).Pause();
    const bool another = AnotherLeads(paused);
    lab_->onode(paused).Resume();
    ASSERT_TRUE(another) << Logs();
  }));
  ASSERT_NO_FATAL_FAILURE(Strike("leader cut from the database", [&] {
    const std::size_t cut = Leader();
    proxies_.at(cut)->Cut();
    const bool another = AnotherLeads(cut);
    proxies_.at(cut)->Mend();
    ASSERT_TRUE(another) << Logs();
  }));
  ASSERT_NO_FATAL_FAILURE(Strike("database restarted", [&] {
    ASSERT_OK(cluster_->Stop());
    ASSERT_OK(cluster_->Restart());
  }));
  ASSERT_NO_FATAL_FAILURE(Strike("database killed", [&] {
    ASSERT_OK(cluster_->Kill());
    ASSERT_OK(cluster_->Restart());
  }));
  Judge();
}

TEST_F(Availability, CertificatesAreRotatedAndClientsRevoked) {
  struct Service {
    Role role;
    std::string name, address, serial;
  };
  std::vector<Service> services{{Role::kOnode, "test", lab_->onode_address(0), ""},
                                {Role::kCollector, ServiceLab::kCollector, lab_->collector_address(), ""},
                                {Role::kKeymgr, ServiceLab::kManager, lab_->keymgr().address(), ""},
                                {Role::kRtrBridge, testutil::EvidenceBridge::kName, bridge_->address(), ""}};
  ASSERT_NO_FATAL_FAILURE(Strike("certificates rotated", [&] {
    for (Service& service : services) {
      service.serial = SerialAt(service.address);
      ASSERT_NE(service.serial, "") << service.name;
      lab_->pki().Issue(lab_->pki().Spec(service.role, service.name),
                        fmt::format("{}-{}", service::RoleName(service.role), service.name));
    }
    const auto at = Clock::now();
    EXPECT_TRUE(WaitUntil(kRotatedWithin, [&] {
      return std::all_of(services.begin(), services.end(), [&](const Service& service) {
        const std::string now = SerialAt(service.address);
        return !now.empty() && now != service.serial;
      });
    }));
    std::cout << "new certificates are shown after "
              << std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - at).count() << " ms\n";
    // The old ones may be denied now: what runs on their connections is cut, and comes back with the new ones.
    std::string old;
    for (const Service& service : services) old += "serial " + service.serial + "\n";
    Deny(old);
    ASSERT_TRUE(Grows());
    Deny("# nobody");
  }));
  ASSERT_NO_FATAL_FAILURE(Strike("client revoked", [&] {
    const auto refused = [&] {
      for (std::size_t i = 0; i < kReplicas; ++i) {
        if (lab_->GetChain(i).ok()) return false;
      }
      return true;
    };
    const auto at = Clock::now();
    Deny("id " + lab_->pki().Id(Role::kReader));
    EXPECT_TRUE(WaitUntil(kDeniedWithin, refused));
    std::cout << "the client is out after "
              << std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - at).count() << " ms\n";
    Deny("# nobody");
  }));
  Judge();
}

}  // namespace
}  // namespace virp::twins
