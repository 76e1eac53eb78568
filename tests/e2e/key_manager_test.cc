// O-Keys from the key manager, with the programs as they are run: rolls under load, compromise, everybody away in every
// order, and who gets what.
#include <algorithm>
#include <set>
#include <thread>

#include "lib/crypto/pki.h"
#include "tests/e2e/key_manager_fixture.h"
#include "tests/e2e/tcp_cutter.h"

namespace virp::e2e {
namespace {

using keymgr::v1::KEY_SUITE_ED25519;
using keymgr::v1::KEY_SUITE_HMAC_SHA256;

TEST_F(KeyManagerTest, ARollUnderLoadLosesNoFrameAndHasNoneRefused) {
  Start();
  fault::Load load(lab_, {});
  const char* const sources[] = {ServiceLab::kCollector, ServiceLab::kSubmitted, ServiceLab::kBmp};
  // From the key file to the manager's first version, which the collector makes, and on to one for which that vouches.
  const auto first_roll = [&](const char* source) {
    ASSERT_OK(desk().Create(source, {CollectorId()}));
    const auto second = desk().Roll(source, KEY_SUITE_ED25519, 2);
    ASSERT_OK(second);
    EXPECT_EQ(*second, 2U);
  };
  // The collector itself speaks every ten seconds, and when somebody connects or goes: as the load begins and ends.
  first_roll(ServiceLab::kCollector);
  load.Start();
  first_roll(ServiceLab::kSubmitted);
  first_roll(ServiceLab::kBmp);
  for (const char* source : sources) {
    ASSERT_TRUE(Used(source, 2)) << source << lab_.collector().log();
    ASSERT_OK(desk().Roll(source, KEY_SUITE_ED25519));
    EXPECT_FALSE(desk().Get(source)->versions(1).succession().empty()) << "nobody had to approve it";
  }
  std::this_thread::sleep_for(2'500ms);  // beyond what the old versions may still sign
  load.Stop();
  for (const char* source : sources) ASSERT_TRUE(Used(source, 3)) << source << lab_.collector().log();
  fault::ExpectNothingLost(lab_, load);
  EXPECT_EQ(Metric(lab_.collector(), "virp_collector_refused_frames_total"), 0);
  EXPECT_EQ(Metric(lab_.collector(), "virp_collector_held_frames"), 0);
  const auto entries = Entries();
  for (const char* source : sources) {
    EXPECT_EQ(UsedVersions(entries, source), (std::vector<std::uint32_t>{1, 2, 3})) << source;
    for (const std::uint32_t version : {2U, 3U}) {
      const auto entered = std::find_if(entries.begin(), entries.end(), [&](const SeenEntry& seen) {
        return seen.source == ServiceLab::kOrigin && seen.event == "key_version" && seen.about == source &&
               seen.about_version == version;
      });
      const auto first = std::find_if(entries.begin(), entries.end(), [&](const SeenEntry& seen) {
        return seen.source == source && seen.key_version == version;
      });
      ASSERT_NE(entered, entries.end());
      EXPECT_LT(entered->sequence, first->sequence) << "before its first use";
    }
    EXPECT_TRUE(std::any_of(entries.begin(), entries.end(), [&](const SeenEntry& seen) {
      return seen.event == "key_window" && seen.about == source && seen.about_version == 2;
    })) << source;
    EXPECT_TRUE(std::any_of(entries.begin(), entries.end(),
                            [&](const SeenEntry& seen) {
                              return seen.event == "key_window" && seen.about == source && seen.about_version == 1;
                            }))
        << "the key file's version ends, too: " << source;
  }
  // The history of the keys is in the chain itself, without a gap.
  ASSERT_TRUE(WaitUntil(30s, [&] { return Metric(lab_.keymgr().process(), "virp_keymgr_undelivered_records") == 0; }))
      << Metric(lab_.keymgr().process(), "virp_keymgr_undelivered_records") << lab_.keymgr().process().log();
  const auto history = Entries();
  std::uint64_t records = 0;
  for (const SeenEntry& seen : history) {
    if (seen.source == ServiceLab::kManager && seen.type == frame::Type::kKeyEvent) EXPECT_EQ(seen.number, ++records);
  }
  EXPECT_GT(records, 20U) << lab_.keymgr().process().log();
}

TEST_F(KeyManagerTest, EverybodyIsAwayInEveryOrderAndObservationsGoOn) {
  Start();
  ASSERT_OK(desk().Create(ServiceLab::kSubmitted, {CollectorId()}));
  ASSERT_OK(desk().Roll(ServiceLab::kSubmitted, KEY_SUITE_ED25519, 2));
  ASSERT_TRUE(WaitUntil(30s, [&] { return Say().ok() && Used(ServiceLab::kSubmitted, 2); }));
  const auto flows = [&] {
    ASSERT_OK(Say());
    ASSERT_TRUE(fault::Drained(lab_));
  };
  const auto check = [&](const char* what) {
    SCOPED_TRACE(what);
    const std::uint64_t before = lab_.GetChain()->size();
    flows();
    EXPECT_GT(lab_.GetChain()->size(), before);
    EXPECT_EQ(Metric(lab_.collector(), "virp_collector_refused_frames_total"), 0);
  };
  lab_.keymgr().process().Kill();
  check("the manager is down");
  ASSERT_OK(lab_.StopCollector(20s));
  ASSERT_OK(lab_.StartCollector());
  check("the collector was started without the manager");
  lab_.onode().Kill();
  ASSERT_OK(lab_.StartONode());
  check("the O-Node was started without the manager");
  lab_.onode().Kill();
  lab_.collector().Kill();
  ASSERT_OK(lab_.StartCollector());
  ASSERT_OK(Say());
  ASSERT_OK(lab_.StartONode());
  check("both, the collector first");
  ASSERT_OK(lab_.keymgr().Start());
  check("the manager is back");

  // Sealed for want of its key-encryption key.
  const std::string kek = lab_.keymgr().kek_folder() + "/1.kek";
  std::filesystem::rename(kek, kek + ".away");
  ASSERT_OK(lab_.keymgr().process().Terminate(20s));
  ASSERT_OK(lab_.keymgr().StartSealed());
  check("the manager is sealed");
  EXPECT_EQ(GetReason(desk().Prepare(ServiceLab::kSubmitted, KEY_SUITE_ED25519).status()), "SEALED");
  ASSERT_OK(lab_.StopCollector(20s));
  ASSERT_OK(lab_.StartCollector());
  check("the collector was started while it is sealed");
  std::filesystem::rename(kek + ".away", kek);
  ASSERT_TRUE(WaitUntil(30s, [&] { return desk().Roll(ServiceLab::kSubmitted, KEY_SUITE_ED25519).ok(); }))
      << lab_.keymgr().process().log();
  ASSERT_TRUE(WaitUntil(30s, [&] { return Say().ok() && Used(ServiceLab::kSubmitted, 3); }));
  ExpectVerified();
}

// The power fails, and comes back for one after the other.
TEST_F(KeyManagerTest, EverythingIsKilledAtOnceAndStartedInEveryOrder) {
  Start();
  ASSERT_OK(desk().Create(ServiceLab::kSubmitted, {CollectorId()}));
  ASSERT_OK(desk().Roll(ServiceLab::kSubmitted, KEY_SUITE_ED25519, 2));
  ASSERT_TRUE(WaitUntil(30s, [&] { return Say().ok() && Used(ServiceLab::kSubmitted, 2); }));
  std::string order = "CKO";  // collector, key manager, O-Node
  do {
    SCOPED_TRACE(order);
    lab_.onode().Kill();
    lab_.keymgr().process().Kill();
    lab_.collector().Kill();
    bool onode = false;
    for (const char who : order) {
      if (who == 'O') ASSERT_OK(lab_.StartONode());
      onode = onode || who == 'O';
      if (who == 'C') ASSERT_OK(lab_.StartCollector());
      // Alone it does not know whether its database is the chain's, and waits.
      if (who == 'K') ASSERT_OK(onode ? lab_.keymgr().Start() : lab_.keymgr().process().Start());
      if (lab_.collector().running()) ASSERT_OK(Say());
    }
    ASSERT_TRUE(fault::Drained(lab_, 60s));
    EXPECT_EQ(Metric(lab_.collector(), "virp_collector_refused_frames_total"), 0);
    ASSERT_TRUE(WaitUntil(30s, [&] { return desk().Get(ServiceLab::kSubmitted).ok(); }));
  } while (std::next_permutation(order.begin(), order.end()));
  // Nothing that was said is lost, and the manager goes on where it was.
  ASSERT_OK(desk().Roll(ServiceLab::kSubmitted, KEY_SUITE_ED25519));
  ASSERT_TRUE(WaitUntil(30s, [&] { return Say().ok() && Used(ServiceLab::kSubmitted, 3); }));
  ASSERT_TRUE(fault::Drained(lab_, 60s));
  EXPECT_EQ(Late(0), said_);
  ExpectVerified();
}

TEST_F(KeyManagerTest, ACollectorThatIsOfflineBeyondARollLosesNothingAndNothingIsAcceptedSilently) {
  // Between the collector and everybody else.
  TcpCutter to_onode(lab_.onode_address()), to_keymgr(lab_.keymgr().address());
  auto& command = lab_.collector().options().command;
  std::replace(command.begin(), command.end(), lab_.onode_address(), to_onode.address());
  std::replace(command.begin(), command.end(), lab_.keymgr().address(), to_keymgr.address());
  Start();
  ASSERT_OK(desk().Create(ServiceLab::kSubmitted, {CollectorId()}));
  ASSERT_OK(desk().Roll(ServiceLab::kSubmitted, KEY_SUITE_ED25519, 2));
  ASSERT_TRUE(WaitUntil(30s, [&] { return Say().ok() && Used(ServiceLab::kSubmitted, 2); }));
  // The next version is made and in the chain; then the line goes down and the version is activated with a short
  // overlap.
  ASSERT_OK(desk().Prepare(ServiceLab::kSubmitted, KEY_SUITE_ED25519));
  ASSERT_TRUE(desk().Await(ServiceLab::kSubmitted, 3, [](const auto& one) { return one.known_by_size() > 0; }));
  to_onode.SetTarget("");
  to_keymgr.SetTarget("");
  to_onode.Cut();
  to_keymgr.Cut();
  constexpr auto kSign = 1s, kAccept = 2s;
  ASSERT_OK(desk().Activate(ServiceLab::kSubmitted, 3, kSign, kAccept));
  const auto until = std::chrono::steady_clock::now() + 2 * kAccept;
  const std::uint64_t before = said_;
  while (std::chrono::steady_clock::now() < until) {
    ASSERT_OK(Say());
    std::this_thread::sleep_for(50ms);
  }
  const std::uint64_t offline = said_ - before;
  to_keymgr.SetTarget(lab_.keymgr().address());
  to_onode.SetTarget(lab_.onode_address());
  // Back: what it says now is by the new version; what the old one signed meanwhile came too late, and is held.
  const auto held = [&] {
    const auto status = lab_.CollectorStatus();
    std::uint64_t frames = 0;
    if (status.ok()) {
      for (const auto& source : status->sources()) frames += source.held_frames();
    }
    return frames;
  };
  ASSERT_TRUE(WaitUntil(30s, [&] { return held() >= offline; }))
      << held() << " of " << offline << " held, " << Late(before) << " accepted\n"
      << lab_.collector().log();
  EXPECT_EQ(Late(before), 0) << "accepted although too late";
  EXPECT_EQ(Metric(lab_.collector(), "virp_collector_refused_frames_total"), 0) << "nothing is thrown away";
  // An operator looks at it and admits them; each entry says so.
  const auto status = lab_.CollectorStatus();
  ASSERT_OK(status);
  std::uint64_t epoch = 0;
  for (const auto& source : status->sources()) {
    if (source.source() == ServiceLab::kSubmitted) epoch = source.epoch();
  }
  source::v1::AdmitLateRequest admit;
  admit.set_name(ServiceLab::kSubmitted);
  admit.set_request_id("00000000-0000-4000-b000-000000000001");
  admit.set_reason("the line was down during the roll");
  admit.set_epoch(epoch);
  admit.set_from(before + 1);
  admit.set_to(said_);
  source::v1::AdmitLateResponse admitted;
  grpc::ClientContext context;
  const grpc::Status done =
      source::v1::SourceService::NewStub(lab_.ONodeChannel(Role::kOperator))->AdmitLate(&context, admit, &admitted);
  ASSERT_TRUE(done.ok()) << done.error_message();
  ASSERT_TRUE(fault::Drained(lab_, 60s));
  ASSERT_OK(Say());
  ASSERT_TRUE(fault::Drained(lab_));
  std::set<std::uint64_t> numbers;
  for (const SeenEntry& seen : Entries()) {
    if (seen.source == ServiceLab::kSubmitted) numbers.insert(seen.number);
  }
  EXPECT_EQ(numbers.size(), said_) << "nothing is lost";
  EXPECT_EQ(*numbers.rbegin(), said_);
  ASSERT_TRUE(Used(ServiceLab::kSubmitted, 3));
  ExpectVerified();
}

TEST_F(KeyManagerTest, EverybodyGetsTheirOwnAndAPrivateEd25519HalfIsNobodysToGet) {
  Start();
  const std::string producer = lab_.pki().Id(Role::kProducer, "edge-a");
  ASSERT_OK(desk().Create(ServiceLab::kNative, {producer}, {CollectorId()}));
  ASSERT_OK(desk().Create(ServiceLab::kSubmitted, {CollectorId()}));
  ASSERT_OK(desk().Roll(ServiceLab::kNative, KEY_SUITE_HMAC_SHA256, 2));
  ASSERT_OK(desk().Roll(ServiceLab::kSubmitted, KEY_SUITE_ED25519, 2));

  const auto own = Fetch(Role::kProducer, "edge-a", ServiceLab::kNative);
  ASSERT_OK(own);
  ASSERT_EQ(own->versions_size(), 1);
  EXPECT_EQ(own->versions(0).secret().size(), 32U);
  EXPECT_TRUE(own->versions(0).may_sign());
  const auto relayed = Fetch(Role::kCollector, ServiceLab::kCollector, ServiceLab::kNative);
  ASSERT_OK(relayed);
  ASSERT_EQ(relayed->versions_size(), 1) << "who relays it checks its tags";
  EXPECT_FALSE(relayed->versions(0).may_sign());
  for (const char* source : {ServiceLab::kNative, ServiceLab::kSubmitted}) {
    for (const auto& [role, name] : std::vector<std::pair<Role, std::string>>{
             {Role::kCollector, "collector-2"}, {Role::kProducer, "edge-b"}, {Role::kRtrBridge, "edge-a"}}) {
      const auto none = Fetch(role, name, source);
      ASSERT_OK(none);
      EXPECT_EQ(none->versions_size(), 0) << name;
      EXPECT_EQ(none->first_version(), 0U) << name;
    }
    EXPECT_EQ(Fetch(Role::kReader, "test", source).status().code(), absl::StatusCode::kPermissionDenied);
    EXPECT_EQ(Fetch(Role::kOperator, "noc-1", source).status().code(), absl::StatusCode::kPermissionDenied);
    const auto verifier = Fetch(Role::kOnode, "test", source);
    ASSERT_OK(verifier);
    ASSERT_EQ(verifier->versions_size(), 1);
    EXPECT_FALSE(verifier->versions(0).may_sign());
    if (source == std::string_view(ServiceLab::kNative)) continue;
    EXPECT_EQ(verifier->versions(0).secret(), "");
    EXPECT_EQ(verifier->versions(0).public_key().size(), 32U);
    // Nor does the one who made it: it never left that machine.
    EXPECT_EQ(Fetch(Role::kCollector, ServiceLab::kCollector, source)->versions(0).secret(), "");
  }
  const auto seed = ReadFile(lab_.collector_folder() + "/keys/made/" + ServiceLab::kSubmitted + "/2.seed", 1'024);
  ASSERT_OK(seed);
  const auto database = ReadFile(lab_.keymgr().database(), 1 << 26);
  ASSERT_OK(database);
  EXPECT_EQ(database->find(*seed), std::string::npos);
  ASSERT_TRUE(WaitUntil(10s, [&] { return Metric(lab_.keymgr().process(), "virp_keymgr_undelivered_records") == 0; }))
      << ServiceLab::AdminPage(lab_.keymgr().process(), "/metrics") << lab_.onode().log()
      << lab_.keymgr().process().log();
  // The manager's own key and the chain's stay files.
  for (const char* source : {ServiceLab::kManager, ServiceLab::kOrigin})
    EXPECT_EQ(desk().Create(source, {CollectorId()}).code(), absl::StatusCode::kInvalidArgument) << source;
}

}  // namespace
}  // namespace virp::e2e
