// One or two O-Nodes over one store, two sources of router edge-a with a collector each, and whoever asks: what the
// tests of verdicts share. Everything that happens arrives over mutual TLS, and so does every question.
#pragma once

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lib/keys/managed_keys.h"
#include "tests/e2e/onode_client.h"
#include "tests/testutil/chain_builder.h"
#include "tests/testutil/must.h"
#include "tests/testutil/naive_claims.h"
#include "tests/testutil/onode_lab.h"
#include "tests/testutil/postgres.h"
#include "tests/testutil/process.h"

namespace virp::e2e {

using namespace std::chrono_literals;
using frame::Tier;
using frame::Type;
using google::protobuf::util::TimeUtil;
using testutil::PeerDownJson;
using testutil::PeerStateJson;
using verify::v1::Acceptance;
using verify::v1::ClaimAnswer;

inline verify::v1::Claim PeerIs(const std::string& state = "", bool negate = false) {
  verify::v1::Claim claim;
  claim.mutable_peer()->set_router("edge-a");
  claim.mutable_peer()->set_peer_address("192.0.2.2");
  claim.mutable_peer()->set_state(state);
  claim.mutable_peer()->set_negate(negate);
  return claim;
}

inline verify::v1::Claim Route(bool absent = false, const std::string& rib = "",
                               const std::string& peer = "192.0.2.2") {
  verify::v1::Claim claim;
  claim.mutable_route()->set_router("edge-a");
  claim.mutable_route()->set_rib(rib);
  claim.mutable_route()->set_prefix("203.0.113.0/24");
  claim.mutable_route()->set_absent(absent);
  claim.mutable_route()->set_peer_address(peer);
  return claim;
}

inline verify::v1::Claim Field(const std::string& subject, const std::string& event) {
  verify::v1::Claim claim;
  claim.mutable_field()->set_subject(subject);
  claim.mutable_field()->set_event(event);
  return claim;
}

inline Acceptance Without(const std::string& source) {
  Acceptance out;
  out.add_exclude_sources(source);
  return out;
}

inline Acceptance AtLeast(std::uint32_t sources) {
  Acceptance out;
  out.set_min_sources(sources);
  return out;
}

inline Acceptance MaxAge(std::int64_t seconds) {
  Acceptance out;
  out.mutable_max_age()->set_seconds(seconds);
  return out;
}

inline Acceptance Worst(verify::v1::Tier tier) {
  Acceptance out;
  out.set_worst_tier(tier);
  return out;
}

inline Acceptance Level(verify::v1::ChainLevel level) {
  Acceptance out;
  out.set_chain_level(level);
  return out;
}

// The system's clock; a test may set the time of day forward. Leases do not notice.
class ShiftedClock final : public Clock {
 public:
  UnixNanos NowNanos() const override { return system_.NowNanos() + shift_.load(); }
  std::chrono::steady_clock::time_point Steady() const override { return system_.Steady(); }
  void Advance(std::chrono::nanoseconds by) { shift_ += static_cast<UnixNanos>(by.count()); }

 private:
  const SystemClock system_;
  std::atomic<UnixNanos> shift_{0};
};

struct VerdictsSetting {
  std::string store;       // "sqlite", or "postgresql", where there are two replicas
  std::uint64_t seed = 0;  // of what is random
};
inline std::string NameOf(const ::testing::TestParamInfo<VerdictsSetting>& setting) {
  return setting.param.store + (setting.param.seed == 0 ? "" : fmt::format("_{}", setting.param.seed));
}

class VerdictsFixture : public ::testing::TestWithParam<VerdictsSetting> {
 protected:
  VerdictsFixture();

  static bool OnPostgres() { return GetParam().store == "postgresql"; }
  std::string NewDatabase(const std::string& name) const;
  void StartReplica(const std::string& url, const std::string& name);
  // The first replica leads.
  OnodeClient& leader() { return *clients_.front(); }
  Producer& bgpd() { return producers_.at("edge-a.bgpd"); }
  Producer& bmp() { return producers_.at("edge-a.bmp"); }

  // ---- what happens ----

  // Carried by one collector: edge-a.bgpd and collector-1; by another one: edge-a.bmp and collector-2.
  void RegisterAll();
  ingest::v1::FrameResult Deliver(const Producer& producer, const std::string& frame);
  // Arrives, and is in the chain that the leader answers from.
  void Arrive(const Producer& producer, const std::string& frame);
  void Say(Producer& producer, Type type, const std::string& payload, Tier tier = Tier::kGreen);
  void Up(Producer& producer, bool restated = false);
  void Down(Producer& producer);
  // `ahead` of the last number that the producer has sent.
  std::string BeatOf(const Producer& about, bool connected = true, std::uint64_t ahead = 0) const;
  void Beat(const std::string& collector, const Producer& about, bool connected = true, std::uint64_t ahead = 0);

  // ---- the naive evaluator ----

  // Asks every replica every claim as of every chain size, `later` seconds after the newest entry's receipt: all give
  // the same answers, and those of the naive evaluator. Counts in `seen_`.
  struct Asked {
    Acceptance acceptance;
    std::int64_t later = 0;
  };
  void ExpectNaiveAgreement(const std::vector<verify::v1::Claim>& claims, const std::vector<Asked>& asked);

  ShiftedClock clock_;
  testutil::OnodeSite site_{"virp.example.net/site1", clock_};
  // Key files and what the key manager would have told: nothing, unless a test says something.
  const std::unique_ptr<keys::ManagedKeys> managed_ = testutil::Must(keys::ManagedKeys::Open(""));
  const keys::JoinedKeys joined_{site_.keys(), *managed_};
  std::string url_;
  std::vector<std::unique_ptr<testutil::OnodeLab>> replicas_;
  std::vector<std::unique_ptr<OnodeClient>> clients_;  // of each replica
  std::map<std::string, Producer> producers_;
  std::map<verify::v1::Verdict, int> seen_;  // by ExpectNaiveAgreement
  std::uint64_t size_ = 0;                   // that the last arrival made
};

}  // namespace virp::e2e
