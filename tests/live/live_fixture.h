// What tests with real routers share: a collector, an O-Node that is asked about what they did.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/e2e/platform_fixture.h"
#include "tests/testutil/frr_lab.h"
#include "tests/testutil/status_matchers.h"

namespace virp::e2e {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testutil::FrrLab;
using testutil::WaitUntil;
using verify::v1::Verdict;

using Lines = std::vector<std::string>;

inline constexpr std::chrono::seconds kPatience = FrrLab::kPatience;
inline constexpr const char* kPrefix = "203.0.113.0/24";

class LiveTest : public PlatformTest {
 protected:
  // `source`: whose entries Entries() gives.
  explicit LiveTest(std::string source) : source_(std::move(source)) {}

  // In the order of the chain.
  std::vector<chain::v1::Entry> Entries() {
    const auto stub = verify::v1::VerifyService::NewStub(pki_.Channel(*server_, Role::kReader));
    verify::v1::ListObservationsRequest request;
    request.mutable_filter()->set_source(source_);
    request.set_page_size(1'000);
    verify::v1::ListObservationsResponse response;
    grpc::ClientContext context;
    const grpc::Status status = stub->ListObservations(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return {response.observations().rbegin(), response.observations().rend()};
  }

  // After a heartbeat, so that all that was spooled is in the chain and known to be all.
  Verdict Ask(const verify::v1::Claim& claim) {
    Beat();
    return AskUnbeaten(claim);
  }
  // Without a word of the collector before.
  Verdict AskUnbeaten(const verify::v1::Claim& claim) {
    const auto stub = verify::v1::VerifyService::NewStub(pki_.Channel(*server_, Role::kReader));
    verify::v1::VerifyClaimRequest request;
    *request.mutable_claim() = claim;
    verify::v1::VerifyClaimResponse response;
    grpc::ClientContext context;
    const grpc::Status status = stub->VerifyClaim(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    response.mutable_answer()->clear_proofs();
    last_answer_ = response.answer().ShortDebugString();
    return response.answer().verdict();
  }

  const std::string source_;
  std::unique_ptr<FrrLab> lab_;
  std::size_t taken_ = 0;  // entries that were looked at
  std::string last_answer_;
};

}  // namespace virp::e2e
