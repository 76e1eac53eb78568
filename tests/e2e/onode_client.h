// Everybody who talks to an O-Node over mTLS, as a test sees them: producers that sign, collectors that deliver, the
// operator, and whoever asks. Each call is one real RPC.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/clock.h"
#include "lib/chain/control.h"
#include "lib/frame/frame.h"
#include "lib/frame/key.h"
#include "tests/testutil/onode_lab.h"
#include "virp/chain/v1/chain_service.grpc.pb.h"
#include "virp/ingest/v1/ingest_service.grpc.pb.h"
#include "virp/source/v1/source_service.grpc.pb.h"
#include "virp/verify/v1/verify_service.grpc.pb.h"

namespace virp::e2e {

// A source: signs frames with its newest number and epoch, and with key version 1 until another is given.
class Producer {
 public:
  Producer(std::string name, std::shared_ptr<const frame::OKey> key, const Clock& clock)
      : name_(std::move(name)), key_(std::move(key)), clock_(clock), epoch_(clock.NowNanos()) {}

  const std::string& name() const { return name_; }
  std::uint64_t epoch() const { return epoch_; }
  std::uint64_t last() const { return last_; }

  // The frame under the next number.
  std::string Say(frame::Type type, std::string_view payload, frame::Tier tier = frame::Tier::kGreen) {
    return Sign(++last_, type, payload, tier);
  }
  // The frame under any number: late ones, and the second under one number.
  std::string Sign(std::uint64_t number, frame::Type type, std::string_view payload,
                   frame::Tier tier = frame::Tier::kGreen) const;
  void Skip() { ++last_; }
  void UseKey(std::uint32_t version, std::shared_ptr<const frame::OKey> key) {
    key_version_ = version;
    key_ = std::move(key);
  }
  // Its clock is off by so much from now on.
  void SetClockError(std::chrono::nanoseconds error) { clock_error_ = error; }
  void Restart() {
    epoch_ = std::max(clock_.NowNanos(), epoch_ + 1);
    last_ = 0;
  }

 private:
  std::string name_;
  std::shared_ptr<const frame::OKey> key_;
  std::uint32_t key_version_ = 1;
  const Clock& clock_;
  std::uint64_t epoch_, last_ = 0;
  std::chrono::nanoseconds clock_error_{0};
};

// A connection in each role to one O-Node. Errors that the test does not ask for fail it.
class OnodeClient {
 public:
  // Both outlive the client.
  OnodeClient(testutil::OnodeSite& site, testutil::OnodeLab& onode);

  // A collector hands over a frame; what became of it.
  ingest::v1::FrameResult Deliver(const std::string& collector, const std::string& source, const std::string& frame);
  // Only the hello, with the newest checkpoint that this collector has seen.
  void Greet(const std::string& collector, const std::string& checkpoint);

  void Suspend(const std::string& name);
  void Resume(const std::string& name);
  void MarkBlack(const std::string& name);
  void MarkCompromised(const std::string& name, std::uint32_t version, UnixNanos since);
  int ClearAlarms(const std::string& name);  // how many there were

  verify::v1::ClaimAnswer Ask(const verify::v1::VerifyClaimRequest& request);
  verify::v1::VerifyClaimsResponse AskMany(const verify::v1::VerifyClaimsRequest& request);
  std::vector<std::string> Entries();
  verify::v1::VerifyService::Stub& reader() { return *reader_; }

 private:
  std::unique_ptr<grpc::ClientReaderWriter<ingest::v1::DeliverRequest, ingest::v1::DeliverResponse>> Open(
      grpc::ClientContext& context, const std::string& collector, const std::string& checkpoint);

  testutil::OnodeSite& site_;
  testutil::OnodeLab& onode_;
  std::map<std::string, std::unique_ptr<ingest::v1::IngestService::Stub>> collectors_;
  std::unique_ptr<source::v1::SourceService::Stub> operator_;
  std::unique_ptr<verify::v1::VerifyService::Stub> reader_;
  std::unique_ptr<chain::v1::ChainService::Stub> chain_;
  std::uint64_t deliveries_ = 0;
};

}  // namespace virp::e2e
