// The module inside a real bgpd, a collector's listener and an O-Node in one test.
#pragma once

#include <sys/stat.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lib/chain/control.h"
#include "lib/frame/payload.h"
#include "services/collector/domain/forgery_alarms.h"
#include "services/collector/transport/frame_listener.h"
#include "tests/live/live_fixture.h"

namespace virp::e2e {

inline constexpr const char* kSource = "edge-a.bgpd";

// "TIER what happened", short enough to be read beside others.
inline std::string Line(std::string_view text, std::uint32_t tier) {
  frame::PayloadReader reader;
  const auto read = reader.Read(text);
  if (!read.ok()) return "unreadable: " + std::string(text);
  const frame::Value payload = *read;
  const auto string = [&](std::string_view key) { return std::string(payload.Path(key).AsString().value_or("none")); };
  const auto number = [&](std::string_view key) { return payload.Path(key).AsUnsigned().value_or(0); };
  const std::string event = string("event");
  std::string out = fmt::format("{} {}", frame::TierName(static_cast<frame::Tier>(tier)), event);
  if (event == "peer_state_change") out += fmt::format(" {}>{}", string("old_state"), string("new_state"));
  if (event == "peer_down") out += fmt::format(" {}", string("reason"));
  if (event == "route_announce")
    out += fmt::format(" {} {} by {} med {}", string("rib"), string("prefix"), string("as_path"), number("med"));
  if (event == "route_withdraw") out += fmt::format(" {} {}", string("rib"), string("prefix"));
  if (event == "bestpath_change")
    out += fmt::format(" {} {}>{}", string("prefix"), string("old.peer_addr"), string("new.peer_addr"));
  if (event == "table_complete") out += " " + string("rib");
  if (payload["red_rule"].present()) out += " by " + string("red_rule");
  if (payload["restated"].present()) out += " restated";
  return out;
}

inline std::string Announced(int med) {
  return fmt::format("GREEN route_announce adj-in-post {} by 64501 64510 med {}", kPrefix, med);
}

class FrrModuleTest : public LiveTest {
 protected:
  FrrModuleTest() : LiveTest(kSource) { site_.AddKey(kSource, frame::Suite::kHmacSha256); }

  void SetUp() override {
    ASSERT_EQ(::mkdir(folder_.c_str(), 0750), 0);
    StartONode();
    RegisterBoth();
    testutil::LabSource source{.name = kSource, .vantage = source::v1::VANTAGE_DAEMON, .types = {1, 2, 3, 4, 22, 24}};
    source.router = "edge-a";
    source.bgp_id = "192.0.2.1";
    source.min_frame_version = 1;
    ASSERT_EQ(onode_->Register(source).name(), kSource);
  }
  void TearDown() override {
    lab_.reset();
    StopIntake();
  }

  void StartIntake(frame::Spelling spelling) {
    options_.listen = "unix:" + socket_;
    options_.source = kSource;
    options_.spelling = spelling;
    StartCollector({&runs_});
    liveness_->Add(kSource, collector::Path::kFrames, false);
    intake_ = std::make_unique<collector::FrameIntake>(
        options_, *outbox_, runs_, *liveness_, *keys_, clock_,
        [this](std::string_view source, std::string_view bytes) { forgeries_.Note(source, bytes); });
    auto listener = collector::FrameListener::Start(*intake_, *outbox_, *liveness_, clock_);
    ASSERT_OK(listener);
    listener_ = *std::move(listener);
  }
  void StopIntake() {
    listener_.reset();
    StopCollector();
    intake_.reset();
  }

  void MakeLab(const Lines& more, const Lines& under = {}) {
    Lines lines = {fmt::format(" virp source-name {}", kSource),
                   fmt::format(" virp hmac-key {}/keys/{}/1.hmac", dir_, kSource), " virp onode-socket " + socket_};
    lines.insert(lines.end(), more.begin(), more.end());
    lines.emplace_back(" virp enable");
    lab_ = std::make_unique<FrrLab>(testutil::FrrModule{module_, lines, under});
  }
  void StartLab(const Lines& more = {}) {
    MakeLab(more);
    ASSERT_OK(lab_->Start());
  }
  std::string Peer() { return lab_->edge_b().address(); }
  std::string Status(std::string_view what = "status") {
    return lab_->edge_a().Show(fmt::format("show bgp virp {}", what)).value_or("bgpd does not answer");
  }
  std::uint64_t Figure(const char* key) {
    const auto json = nlohmann::json::parse(Status("status json"), nullptr, /*allow_exceptions=*/false);
    return json.is_object() ? json.value(key, std::uint64_t{0}) : 0;
  }

  // What the module has in the chain beyond what was taken before, in order, waited for until a line has `last` in it.
  // Without statements of tables, which come a second after a session has shown its own.
  Lines News(const std::string& last) {
    Lines out;
    const bool came = WaitUntil(kPatience, [&] {
      const auto entries = Entries();
      out.clear();
      for (std::size_t i = taken_; i < entries.size(); ++i) {
        const std::string line = Line(entries[i].payload(), entries[i].tier());
        if (line.find("table_complete") == std::string::npos && line.find("heartbeat") == std::string::npos)
          out.push_back(line);
        if (line.find(last) == std::string::npos) continue;
        taken_ = i + 1;
        return true;
      }
      return false;
    });
    EXPECT_TRUE(came) << "no " << last << "; " << Status();
    return out;
  }
  verify::v1::Claim PeerUp(const std::string& router = "edge-a") {
    verify::v1::Claim claim;
    claim.mutable_peer()->set_router(router);
    claim.mutable_peer()->set_peer_address(Peer());
    return claim;
  }
  Verdict AskPeer() { return Ask(PeerUp()); }
  Verdict AskRoute(const std::string& rib) {
    verify::v1::Claim claim;
    claim.mutable_route()->set_router("edge-a");
    claim.mutable_route()->set_rib(rib);
    claim.mutable_route()->set_prefix(kPrefix);
    claim.mutable_route()->set_origin_as(64510);
    return Ask(claim);
  }

  const std::string folder_ = dir_ + "/run", socket_ = folder_ + "/frames.sock";
  collector::FrameListenerOptions options_;
  std::string module_ = VIRP_FRR_MODULE;
  collector::RunBook runs_;
  collector::ForgeryAlarms forgeries_{"collector-1"};
  std::unique_ptr<collector::FrameIntake> intake_;
  std::unique_ptr<collector::FrameListener> listener_;
};

class FrrModuleNativeTest : public FrrModuleTest {
 protected:
  void StartNativeLab(Lines more = {}) {
    more.insert(more.begin(), {" virp frame-version 2", fmt::format(" virp state-file {}/epoch", folder_)});
    StartLab(more);
  }
  // With IPv6 over the same session; edge-b announces 2001:db8:42::/48.
  void StartIpv6Lab() {
    StartNativeLab({" address-family ipv6 unicast", "  neighbor PEER activate", " exit-address-family"});
    ASSERT_OK(lab_->edge_b().Configure(
        {"route-map V6 permit 10", "set ipv6 next-hop global 2001:db8::2", "exit", "router bgp 64501",
         "address-family ipv6 unicast", fmt::format("neighbor {} activate", lab_->edge_a().address()),
         fmt::format("neighbor {} route-map V6 out", lab_->edge_a().address()), "network 2001:db8:42::/48"}));
  }
  // The payloads of that type in the chain.
  Lines Payloads(std::uint32_t type) {
    Lines out;
    for (const auto& entry : Entries()) {
      if (entry.type() == type) out.push_back(entry.payload());
    }
    return out;
  }
  // The same, of however many entries.
  Lines All(std::uint32_t type) {
    Lines out;
    for (const auto& entry : AllEntries({type})) out.push_back(entry.payload());
    return out;
  }
  // What is stated complete of the tables of neighbours of that AS.
  Lines TablesOf(const std::string& as) {
    Lines out;
    for (const std::string& payload : All(3)) {
      const bool complete = payload.find("table_complete") != std::string::npos;
      if (complete && payload.find(fmt::format(R"("peer_as":{})", as)) != std::string::npos) out.push_back(payload);
    }
    return out;
  }
  // The number of the newest frame of that type.
  std::uint64_t Sequence(std::uint32_t type) {
    const auto entries = AllEntries({type});
    return entries.empty() ? 0 : entries.front().source_sequence();
  }
  static std::size_t Count(std::string_view text, std::string_view part) {
    std::size_t out = 0;
    for (std::size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++out;
    return out;
  }
  // Newest first.
  std::vector<chain::v1::Entry> AllEntries(const std::vector<std::uint32_t>& types) {
    const auto stub = verify::v1::VerifyService::NewStub(pki_.Channel(*server_, Role::kReader));
    verify::v1::ListObservationsRequest request;
    request.mutable_filter()->set_source(kSource);
    request.mutable_filter()->mutable_types()->Add(types.begin(), types.end());
    verify::v1::ListObservationsResponse response;
    std::vector<chain::v1::Entry> out;
    do {
      grpc::ClientContext context;
      const grpc::Status status = stub->ListObservations(&context, request, &response);
      EXPECT_TRUE(status.ok()) << status.error_message();
      out.insert(out.end(), response.observations().begin(), response.observations().end());
      request.set_page_token(response.next_page_token());
    } while (!request.page_token().empty());
    return out;
  }
  void AnnounceMany(int count) {
    Lines lines = {"router bgp 64501", "address-family ipv4 unicast"};
    for (int i = 0; i < count; ++i)
      lines.push_back(fmt::format("network 10.{}.{}.{}/32", i >> 16, (i >> 8) & 255, i & 255));
    ASSERT_OK(lab_->edge_b().Configure(lines));
    ASSERT_OK(lab_->AwaitRoute(lines.back().substr(8), true));
    ASSERT_TRUE(WaitUntil(kPatience, [&] { return Figure("pending") == 0; }));
  }
};

}  // namespace virp::e2e
