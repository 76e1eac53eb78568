// The module inside a real bgpd: RED rules, instances, IPv6, bursts, what others put in its way.
#include <signal.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "tests/live/frr_module_fixture.h"

namespace virp::e2e {
namespace {

TEST_F(FrrModuleNativeTest, AHijackOfAProtectedPrefixIsRed) {
  StartIntake(frame::Spelling::kV2);
  StartNativeLab({" virp protect prefix-list OURS origin 64510"});
  ASSERT_OK(lab_->edge_a().Configure({"ip prefix-list OURS seq 5 permit 203.0.113.0/24 le 32"}));
  News(">Established");
  ASSERT_OK(lab_->Announce(kPrefix, 10));
  EXPECT_THAT(News("bestpath"), ElementsAre(Announced(10), AllOf(HasSubstr("GREEN bestpath"), Not(HasSubstr("by")))));
  // Another AS originates it, and then a part of it.
  for (const char* prefix : {kPrefix, "203.0.113.128/25"}) {
    ASSERT_OK(
        lab_->edge_b().Configure({"route-map HIJACK permit 10", "set as-path prepend 64666", "exit", "router bgp 64501",
                                  "address-family ipv4 unicast", fmt::format("network {} route-map HIJACK", prefix)}));
    EXPECT_THAT(
        News("bestpath"),
        ElementsAre(
            fmt::format("RED route_announce adj-in-post {} by 64501 64666 med 0 by protected_prefix_origin", prefix),
            AllOf(HasSubstr("RED bestpath"), HasSubstr("by protected_prefix_origin"))));
  }
  ASSERT_OK(lab_->Withdraw(kPrefix));
  EXPECT_THAT(News("bestpath"), ElementsAre(HasSubstr("RED route_withdraw"), HasSubstr("by protected_prefix_gone")));
}

TEST_F(FrrModuleNativeTest, ManySessionsLostAreRed) {
  StartIntake(frame::Spelling::kV2);
  StartNativeLab({" virp red sessions-lost 1 within 600"});
  for (const char* tier : {"YELLOW", "RED"}) {
    News(">Established");
    ASSERT_OK(lab_->ShutDown(lab_->edge_b()));
    const Lines lost = News("peer_down");
    EXPECT_THAT(lost, Contains(HasSubstr(fmt::format("{} peer_state_change Established>", tier))));
    EXPECT_THAT(lost.back(), HasSubstr(fmt::format("{} peer_down", tier)));
    ASSERT_OK(lab_->BringUp(lab_->edge_b()));
  }
}

// The session goes because the neighbor announces more than it may.
TEST_F(FrrModuleNativeTest, APeerAtItsLimitIsRed) {
  StartIntake(frame::Spelling::kV2);
  StartNativeLab({" virp red maximum-prefix", " address-family ipv4 unicast", "  neighbor PEER maximum-prefix 1",
                  " exit-address-family"});
  News(">Established");
  for (const char* prefix : {kPrefix, "198.51.100.0/24", "192.0.2.0/24"})  // bgpd 8.4 counts one behind
    ASSERT_OK(lab_->Announce(prefix, 10));
  const Lines lost = News("peer_down");
  EXPECT_THAT(lost.back(), AllOf(HasSubstr("RED peer_down"), HasSubstr("by maximum_prefix")));
  EXPECT_THAT(lost, Contains(HasSubstr("YELLOW peer_state_change Established>")));
}

// Every 15 minutes; here in a module that was built to do so every two seconds.
TEST_F(FrrModuleNativeTest, PeersAreRestatedAgainAndAgain) {
  module_ = VIRP_FRR_TEST_MODULE;
  StartIntake(frame::Spelling::kV2);
  StartNativeLab();
  News("Established");
  for (int i = 0; i < 3; ++i) {
    const Lines news = News("restated");
    ASSERT_FALSE(news.empty());
    EXPECT_EQ(news.back(), "GREEN peer_state_change Unknown>Established restated");
    EXPECT_THAT(news, Not(Contains(HasSubstr("route_announce")))) << "tables are restated when it is asked for";
  }
  EXPECT_EQ(AskPeer(), verify::v1::VERDICT_CONFIRMED) << last_answer_;
}

// The kernel here needs no VRF device for that: bgpd keeps the instance.
TEST_F(FrrModuleNativeTest, InstancesAndOwnRoutesAreToldApart) {
  StartIntake(frame::Spelling::kV2);
  StartNativeLab();
  News(">Established");
  const Lines red = {"router bgp 64500 vrf red", "bgp router-id 192.0.2.1", "no bgp network import-check",
                     "address-family ipv4 unicast"};
  Lines lines = red;
  lines.emplace_back("network 10.9.0.0/16");
  ASSERT_OK(lab_->edge_a().Configure(lines));
  EXPECT_THAT(News("bestpath"), ElementsAre("GREEN route_announce loc 10.9.0.0/16 by  med 0",
                                            "GREEN bestpath_change 10.9.0.0/16 none>0.0.0.0"));
  EXPECT_THAT(Entries().back().payload(), HasSubstr(R"("vrf":"red")"));
  lines.back() = "no network 10.9.0.0/16";
  ASSERT_OK(lab_->edge_a().Configure(lines));
  EXPECT_THAT(News("bestpath"),
              ElementsAre("GREEN route_withdraw loc 10.9.0.0/16", "GREEN bestpath_change 10.9.0.0/16 0.0.0.0>none"));
  ASSERT_OK(lab_->edge_a().Configure({"no router bgp 64500 vrf red"}));
  ASSERT_OK(lab_->Announce(kPrefix, 10));
  EXPECT_THAT(News("bestpath"), ElementsAre(Announced(10), HasSubstr("bestpath_change")));
}

// bgpd calls no hook for that.
TEST_F(FrrModuleNativeTest, AnOwnRouteThatChangesIsSaid) {
  StartIntake(frame::Spelling::kV2);
  StartNativeLab();
  News(">Established");
  for (const int med : {5, 7}) {
    ASSERT_OK(lab_->edge_a().Configure({fmt::format("route-map M{} permit 10", med), fmt::format("set metric {}", med),
                                        "exit", "router bgp 64500", "address-family ipv4 unicast",
                                        fmt::format("network 198.51.100.0/24 route-map M{}", med)}));
    EXPECT_THAT(News("bestpath"), ElementsAre(fmt::format("GREEN route_announce loc 198.51.100.0/24 by  med {}", med),
                                              fmt::format("GREEN bestpath_change 198.51.100.0/24 {}>0.0.0.0",
                                                          med == 5 ? "none" : "0.0.0.0")));
  }
  EXPECT_THAT(Payloads(4).back(), AllOf(HasSubstr(R"("med":5)"), HasSubstr(R"("med":7)")));
}

TEST_F(FrrModuleNativeTest, Ipv6RoutesHaveTheirNextHop) {
  StartIntake(frame::Spelling::kV2);
  StartIpv6Lab();
  News("bestpath_change 2001:db8:42::/48");
  EXPECT_THAT(Payloads(3), Contains(AllOf(HasSubstr(R"("prefix":"2001:db8:42::/48","afi":2)"),
                                          HasSubstr(R"("nexthop":"2001:db8::2")"))));
}

// The newest statement of a peer's tables is the one that counts, so it has to speak of both families.
TEST_F(FrrModuleNativeTest, TablesOfTwoFamiliesStandTogether) {
  StartIntake(frame::Spelling::kV2);
  StartIpv6Lab();
  ASSERT_OK(lab_->Announce(kPrefix, 10));
  News("bestpath_change 2001:db8:42::/48");
  const auto absent = [&](const char* prefix) {
    verify::v1::Claim claim;
    claim.mutable_route()->set_router("edge-a");
    claim.mutable_route()->set_rib("adj-in-post");
    claim.mutable_route()->set_peer_address(Peer());
    claim.mutable_route()->set_prefix(prefix);
    claim.mutable_route()->set_absent(true);
    return Ask(claim);
  };
  for (const bool restated : {false, true}) {
    if (restated) ASSERT_OK(lab_->edge_a().Show("virp restate"));
    ASSERT_TRUE(WaitUntil(kPatience, [&] {
      const Lines said = Payloads(3);
      return std::any_of(said.begin(), said.end(), [&](const std::string& payload) {
        return payload.find("\"::/0\"") != std::string::npos &&
               (payload.find("\"restated\":true") != std::string::npos) == restated;
      });
    }));
    EXPECT_EQ(absent("192.0.2.0/24"), verify::v1::VERDICT_CONFIRMED) << last_answer_;
    EXPECT_EQ(absent("2001:db8:43::/48"), verify::v1::VERDICT_CONFIRMED) << last_answer_;
    EXPECT_EQ(AskRoute("adj-in-post"), verify::v1::VERDICT_CONFIRMED) << last_answer_;
  }
}

// RFC 7313: while all of it comes once more, nothing of it is gone, and nothing is new.
TEST_F(FrrModuleNativeTest, ARefreshChangesNothing) {
  StartIntake(frame::Spelling::kV2);
  StartNativeLab();
  ASSERT_OK(lab_->Announce(kPrefix, 10));
  News("bestpath_change 203");
  ASSERT_OK(lab_->edge_a().Show("debug bgp updates in"));
  ASSERT_OK(lab_->edge_a().Show(fmt::format("clear bgp {} in", Peer())));
  ASSERT_TRUE(
      WaitUntil(kPatience, [&] { return lab_->edge_a().log().find("duplicate ignored") != std::string::npos; }));
  ASSERT_OK(lab_->Announce("198.51.100.0/24", 10));
  for (const std::string& line : News("bestpath_change 198")) EXPECT_THAT(line, Not(HasSubstr("203.0.113.0/24")));
}

TEST_F(FrrModuleNativeTest, TheConfigurationIsWrittenAsItWasGiven) {
  StartIntake(frame::Spelling::kV2);
  const Lines given = {" virp onode-uid 0",
                       " virp ring-size 8",
                       " no virp address-family ipv6",
                       " no virp observe 4",
                       " virp protect prefix-list OURS origin 64510",
                       " virp red sessions-lost 3 within 60",
                       " virp red maximum-prefix"};
  StartNativeLab(given);
  const std::string written = *lab_->edge_a().Show("show running-config");
  for (const std::string& line : given) EXPECT_THAT(written, HasSubstr("\n" + line + "\n"));
  for (const char* line : {"virp frame-version 2", "virp source-name edge-a.bgpd", "virp hmac-key /",
                           "virp onode-socket /", "virp enable"})
    EXPECT_THAT(written, HasSubstr(std::string("\n ") + line));
}

// Somebody else listens where everybody may write.
TEST_F(FrrModuleNativeTest, ASocketThatAnybodyCouldHaveMadeIsNotSpokenTo) {
  StartIntake(frame::Spelling::kV2);
  ASSERT_EQ(::chmod(folder_.c_str(), 01777), 0);
  StartNativeLab();
  ASSERT_TRUE(WaitUntil(kPatience, [&] { return Figure("socketErrors") > 0; }));
  EXPECT_THAT(Status(),
              HasSubstr("Problem: everybody may write to the socket's folder, and virp onode-uid is not set"));
  EXPECT_EQ(listener_->counters().accepted, 0u);
  ASSERT_OK(lab_->edge_a().Configure({"router bgp 64500", fmt::format("virp onode-uid {}", ::getuid())}));
  News(">Established");
}

// Its successor is put beside the key: it counts without a restart.
TEST_F(FrrModuleNativeTest, AKeyIsRolledByTheNextOneBesideIt) {
  const std::string keys = folder_ + "/keys";
  ASSERT_EQ(::mkdir(keys.c_str(), 0700), 0);
  const auto put = [&](const std::string& name, const std::string& key) {
    std::ofstream(keys + "/.new") << key;
    ::chmod((keys + "/.new").c_str(), 0600);
    ASSERT_EQ(::rename((keys + "/.new").c_str(), (keys + "/" + name).c_str()), 0);
  };
  put("1.hmac", std::string(64, '1'));
  StartNativeLab({fmt::format(" virp hmac-key {}/1.hmac", keys)});
  const auto uses = [&](const std::string& line) {
    return WaitUntil(kPatience, [&] {
      return lab_->edge_a().Show("show running-config").value_or("").find("\n virp " + line + "\n") !=
             std::string::npos;
    });
  };
  EXPECT_TRUE(uses(fmt::format("hmac-key {}/1.hmac", keys)));
  put("2.seed", std::string(64, '2'));
  EXPECT_TRUE(uses(fmt::format("hmac-key {}/2.seed", keys)));
  EXPECT_TRUE(uses("key-version 2"));
  put("3.hmac", std::string(64, '3'));  // never back to a MAC
  put("3.seed", "too short");           // what cannot be read leaves what was there
  EXPECT_TRUE(WaitUntil(kPatience, [&] { return Status().find("an Ed25519 seed has 32 bytes") != std::string::npos; }));
  EXPECT_THAT(Status(), HasSubstr("State: enabled"));
  put("3.seed", std::string(64, '3'));
  EXPECT_TRUE(WaitUntil(kPatience, [&] { return Status().find("Off because") == std::string::npos; }));
}

// The cycle under valgrind: no error, no leak.
TEST_F(FrrModuleNativeTest, BgpdsMemoryIsLeftInOrder) {
  if (::access("/usr/bin/valgrind", X_OK) != 0) GTEST_SKIP() << "valgrind is not installed (scripts/bootstrap --all)";
  StartIntake(frame::Spelling::kV2);
  const std::string log = dir_ + "/valgrind";
  MakeLab(
      {" virp frame-version 2", fmt::format(" virp state-file {}/epoch", folder_)},
      {"/usr/bin/valgrind", "--leak-check=full", "--show-leak-kinds=definite,indirect,possible", "--log-file=" + log});
  ASSERT_OK(lab_->Start());
  const Lines own = {"router bgp 64500", "address-family ipv4 unicast", "network 198.51.100.0/24"};
  ASSERT_OK(lab_->edge_a().Configure(own));
  for (const int med : {10, 20}) {
    ASSERT_OK(lab_->Announce(kPrefix, med));
    News(fmt::format("med {}", med));
    News("bestpath_change 203");
  }
  ASSERT_OK(lab_->edge_a().Configure({own[0], own[1], "no network 198.51.100.0/24"}));
  ASSERT_OK(lab_->Withdraw(kPrefix));
  News("0.0.0.0>none");
  ASSERT_OK(lab_->Announce(kPrefix, 10));
  News("bestpath_change 203");
  ASSERT_OK(lab_->edge_a().Configure({own[0], "no virp enable", "virp enable"}));
  News("bestpath_change 203");
  ASSERT_OK(lab_->ShutDown(lab_->edge_b()));
  News("peer_down");
  ASSERT_OK(lab_->edge_a().Stop());
  std::ifstream file(log);
  const std::string said{std::istreambuf_iterator<char>(file), {}};
  EXPECT_THAT(said, HasSubstr("ERROR SUMMARY: 0 errors")) << said;
  for (const char* kind : {"definitely lost: 0 bytes", "indirectly lost: 0 bytes", "possibly lost: 0 bytes"}) {
    if (said.find("no leaks are possible") == std::string::npos) EXPECT_THAT(said, HasSubstr(kind)) << said;
  }
}

class FrrBurstTest : public FrrModuleNativeTest {
 protected:
  static constexpr int kRoutes = 100'000;

  // A neighbour that nobody configured by name.
  void StartSpeaker(const std::string& script, const Lines& more) {
    std::string own = lab_->edge_a().address();
    own.back() = '3';
    Lines command = {"/usr/bin/python3",
                     "-B",
                     VIRP_SOURCE_DIR "/tests/live/" + script,
                     own,
                     lab_->edge_a().address(),
                     std::to_string(testutil::FrrDaemon::kBgpPort),
                     "64502"};
    command.insert(command.end(), more.begin(), more.end());
    speaker_ = std::make_unique<testutil::Process>(
        testutil::ProcessOptions{.command = command, .environment = {}, .log = dir_ + "/speaker"});
    ASSERT_OK(speaker_->Start());
  }
  // It announces all of that at once.
  void StartBurst() {
    StartSpeaker("burst_speaker.py", {std::to_string(kRoutes)});
    ASSERT_TRUE(WaitUntil(3 * kPatience, [&] { return Routes() >= kRoutes; }))
        << speaker_->log() << lab_->edge_a().log();
    ASSERT_TRUE(WaitUntil(kPatience, [&] { return Figure("pending") == 0; }));
  }
  std::uint64_t Routes() {
    const auto shown = lab_->edge_a().Show("show bgp ipv4 unicast summary json");
    const auto json = nlohmann::json::parse(shown.value_or(""), nullptr, /*allow_exceptions=*/false);
    return json.is_object() ? json.value("ribCount", std::uint64_t{0}) : 0;
  }
  void StartBurstLab(Lines more) {
    more.insert(more.begin(),
                {" neighbor BURST peer-group", " neighbor BURST remote-as 64502",
                 " neighbor BURST disable-connected-check", " bgp listen range 127.0.0.0/8 peer-group BURST"});
    StartLab(more);
  }
  // The session is lost with all its routes.
  void EndBurst() {
    EXPECT_THAT(speaker_->log(), Not(HasSubstr("lost"))) << "bgpd missed its keepalives";
    speaker_->Kill();
    ASSERT_TRUE(WaitUntil(3 * kPatience, [&] { return Routes() < kRoutes / 2; }));
    ASSERT_TRUE(WaitUntil(3 * kPatience, [&] { return Routes() == 0 && Figure("pending") == 0; }));
  }
  std::uint64_t ResidentKib() {
    std::ifstream status(fmt::format("/proc/{}/status", lab_->edge_a().pid()));
    for (std::string word; status >> word;) {
      std::uint64_t kib = 0;
      if (word == "VmRSS:" && status >> kib) return kib;
    }
    return 0;
  }

  std::unique_ptr<testutil::Process> speaker_;
};

TEST_F(FrrBurstTest, PathsOfOnePrefixAreToldApart) {
  StartIntake(frame::Spelling::kV1Le);
  StartBurstLab({});
  ASSERT_OK(lab_->edge_a().Show("debug bgp virp"));
  StartSpeaker("addpath_speaker.py", {});
  News("bestpath_change 203.0.113.0/24");
  Lines paths;
  frame::PayloadReader reader;
  for (const std::string& payload : Payloads(3)) {
    const auto read = reader.Read(payload);
    ASSERT_OK(read);
    if ((*read)["path_id"].present())
      paths.push_back(fmt::format("{} {}", *(*read)["event"].AsString(), *(*read)["path_id"].AsUnsigned()));
  }
  EXPECT_THAT(paths, ElementsAre("route_announce 1", "route_announce 2", "route_announce 3", "route_withdraw 1",
                                 "route_withdraw 2"));
  EXPECT_THAT(Payloads(4), ElementsAre(HasSubstr(R"("new":{"peer":"127.)")));
  speaker_->Kill();
  News("peer_down");
  const std::string log = lab_->edge_a().log();
  for (const char* line : {"type=1 tier=0 peer=127.", "type=1 tier=1 peer=127.",
                           "AS=64502 state=Deleted BACKWARD_TRANSITION", "prefix=203.0.113.0/24 bestpath_changed=yes"})
    EXPECT_THAT(log, HasSubstr(line));
}

// All of it is in bgpd's queue at once: each step is said all the same.
TEST_F(FrrBurstTest, WhatIsOvertakenInTheQueueIsSaid) {
  StartIntake(frame::Spelling::kV1Le);
  StartBurstLab({});
  News(">Established");
  StartSpeaker("overtaking_speaker.py", {});
  const auto about = [&](const std::string& prefix, const Lines& news) {
    Lines out;
    for (const std::string& line : news) {
      if (line.find(prefix) != std::string::npos) out.push_back(line);
    }
    return out;
  };
  const std::string fleeting = "203.0.113.0/24", lasting = "198.51.100.0/24";
  const auto announced = [](const std::string& prefix, int origin) {
    return fmt::format("GREEN route_announce adj-in-post {} by 64502 {} med 0", prefix, origin);
  };
  const auto withdrawn = [](const std::string& prefix) { return "GREEN route_withdraw adj-in-post " + prefix; };
  Lines news = News("bestpath_change " + lasting);
  EXPECT_THAT(about(fleeting, news), ElementsAre(announced(fleeting, 64510), withdrawn(fleeting)));
  EXPECT_THAT(about(lasting, news),
              ElementsAre(announced(lasting, 64510), announced(lasting, 64511), withdrawn(lasting),
                          announced(lasting, 64512), withdrawn(lasting), announced(lasting, 64513),
                          HasSubstr("bestpath_change 198.51.100.0/24 none>127.")));
  ASSERT_EQ(::kill(speaker_->pid(), SIGUSR1), 0);
  news = News("bestpath_change " + lasting);
  EXPECT_THAT(about(lasting, news),
              ElementsAre(withdrawn(lasting), announced(lasting, 64513), withdrawn(lasting), HasSubstr(">none")));
  // With the attributes that it had; what bgpd refuses was not there.
  ASSERT_EQ(::kill(speaker_->pid(), SIGUSR2), 0);
  news = News("bestpath_change " + lasting);
  EXPECT_THAT(about(lasting, news),
              ElementsAre(announced(lasting, 64510), announced(lasting, 64511), withdrawn(lasting),
                          announced(lasting, 64511), withdrawn(lasting), announced(lasting, 64511),
                          HasSubstr("bestpath_change 198.51.100.0/24 none>127.")));
  speaker_->Kill();
}

// Of what was lost something may have been in the table: it is complete when it was said again, behind the loss.
TEST_F(FrrBurstTest, ATableThatALossIsInIsSaidAgainBeforeItIsComplete) {
  StartBurstLab({" virp frame-version 2", fmt::format(" virp state-file {}/epoch", folder_), " virp ring-size 1"});
  StartSpeaker("burst_speaker.py", {"3000", "--end-later"});
  ASSERT_TRUE(WaitUntil(kPatience, [&] { return Routes() >= 3000 && Figure("pending") == 0; })) << speaker_->log();
  ASSERT_GT(Figure("lost"), 0u);
  StartIntake(frame::Spelling::kV2);
  ASSERT_TRUE(WaitUntil(kPatience, [&] { return !All(22).empty() && Figure("queued") == 0; })) << Status();
  ASSERT_EQ(::kill(speaker_->pid(), SIGUSR1), 0);
  Lines tables;
  ASSERT_TRUE(WaitUntil(kPatience, [&] {
    tables = TablesOf("64502");
    return !tables.empty();
  })) << Status();
  const std::uint64_t loss = Sequence(22);
  frame::PayloadReader reader;
  for (const std::string& table : tables) {
    EXPECT_THAT(table, HasSubstr(R"("restated":true)"));
    EXPECT_GT((*reader.Read(table))["first_sequence"].AsUnsigned().value_or(0), loss) << table;
  }
  speaker_->Kill();
}

// Switched on with sessions that are up: their tables are complete when all of them was said.
TEST_F(FrrModuleNativeTest, NoTableIsCompleteBeforeItWasSaidAgain) {
  module_ = VIRP_FRR_TEST_MODULE;  // which says every two seconds that it has got so far
  StartIntake(frame::Spelling::kV2);
  StartNativeLab({" virp ring-size 1"});
  AnnounceMany(2000);
  ASSERT_TRUE(WaitUntil(kPatience, [&] { return Figure("queued") == 0; }));
  StopIntake();
  ASSERT_OK(lab_->edge_a().Configure({"router bgp 64500", "no virp enable"}));
  ASSERT_OK(lab_->edge_a().Show("debug bgp virp"));
  const auto states = [&] { return Count(lab_->edge_a().log(), "type=1 tier=0"); };
  const std::size_t before = states();
  ASSERT_OK(lab_->edge_a().Configure({"router bgp 64500", "virp enable"}));
  // Without a collector it stops when a quarter of its memory is used up. Time goes on.
  ASSERT_TRUE(WaitUntil(kPatience, [&] { return states() >= before + 3; }));
  StartIntake(frame::Spelling::kV2);
  ASSERT_TRUE(WaitUntil(kPatience, [&] { return Figure("queued") == 0 && !TablesOf("64501").empty(); }));
  const std::uint64_t epoch = Figure("epoch");
  std::size_t said = 0;
  ASSERT_TRUE(WaitUntil(kPatience, [&] {
    const auto entries = AllEntries({3});
    said = 0;
    for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {  // oldest first
      if (entry->source_epoch() != epoch) continue;
      if (entry->payload().find("table_complete") != std::string::npos) return true;
      said += entry->payload().find("route_announce") != std::string::npos;
    }
    return false;
  }));
  EXPECT_EQ(said, 2000u);
}

TEST_F(FrrBurstTest, WithACollectorEverythingArrives) {
  testutil::Process receiver({.command = {"/usr/bin/python3", "-B", VIRP_SOURCE_DIR "/tests/interop/receive_frames.py",
                                          socket_, fmt::format("{}/keys/{}/1.hmac", dir_, kSource), "--count"},
                              .environment = {},
                              .log = dir_ + "/received"});
  ASSERT_OK(receiver.Start());
  StartBurstLab({});
  StartBurst();
  EndBurst();
  EXPECT_EQ(Figure("lost"), 0u);
  const std::uint64_t said = Figure("sequence");
  EXPECT_GE(said, 3u * kRoutes);  // each came, was chosen, and was chosen no more
  ASSERT_OK(lab_->edge_a().Configure({"router bgp 64500", "no virp enable"}));
  const auto ended = receiver.AwaitExit(3 * kPatience);
  ASSERT_OK(ended);
  EXPECT_EQ(receiver.log(), fmt::format("{} frames\n", said + 1));
}

TEST_F(FrrBurstTest, WithoutOneMemoryStaysInItsBoundAndBgpdOnTime) {
  StartBurstLab({" virp ring-size 8"});
  StartBurst();
  EndBurst();
  const std::uint64_t lost = Figure("lost");
  EXPECT_GT(lost, kRoutes);
  EXPECT_LT(ResidentKib(), (8u << 10) + 120'000u);  // bgpd alone takes 65,000 for these routes
  // They are counted and signed: the one record says what is missing.
  testutil::Process receiver({.command = {"/usr/bin/python3", "-B", VIRP_SOURCE_DIR "/tests/interop/receive_frames.py",
                                          socket_, fmt::format("{}/keys/{}/1.hmac", dir_, kSource)},
                              .environment = {},
                              .log = dir_ + "/received"});
  ASSERT_OK(receiver.Start());
  const auto all_told = [&] {
    const auto now = nlohmann::json::parse(Status("status json"));
    return now["type22"] > 0 &&
           now["signed"].get<std::uint64_t>() + now["lost"].get<std::uint64_t>() == now["sequence"];
  };
  ASSERT_TRUE(WaitUntil(kPatience, all_told)) << Status("status json");
  EXPECT_THAT(receiver.log(), HasSubstr(R"("reason":"OVERFLOW")"));
}

}  // namespace
}  // namespace virp::e2e
