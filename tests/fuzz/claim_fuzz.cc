// Claims as people and programs ask them. Input: 'c' and a field condition as virpctl takes it, or 'j' and the JSON of
// a request of VerifyService. What is accepted is written as a message that says the same again.
#include <google/protobuf/util/json_util.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "services/onode/transport/claim_wire.h"
#include "tests/fuzz/require.h"
#include "tools/virpctl/condition.h"

using namespace virp::onode;  // NOLINT(google-build-using-namespace): a fuzz target is one function
namespace pb = virp::verify::v1;

namespace {

void RoundTrip(const pb::Claim& message) {
  const auto claim = ClaimOf(message, "claim");
  if (!claim.ok()) {
    REQUIRE(claim.status().code() == absl::StatusCode::kInvalidArgument);
    return;
  }
  const pb::Claim written = MessageOf(*claim);
  const auto again = ClaimOf(written, "claim");
  REQUIRE(again.ok() && MessageOf(*again).SerializeAsString() == written.SerializeAsString());
  REQUIRE(CheckClaim(*claim).ok() == CheckClaim(*again).ok());
}

void Condition(std::string_view text) {
  const auto condition = virp::virpctl::ParseCondition(text);
  if (!condition.ok()) return;
  REQUIRE(!condition->path().empty() && condition->operator_() != pb::FieldCondition::OPERATOR_UNSPECIFIED);
  pb::Claim claim;
  claim.mutable_field()->set_subject("bgp/edge-a");
  *claim.mutable_field()->add_conditions() = *condition;
  RoundTrip(claim);
}

void Json(const std::string& text) {
  pb::VerifyClaimRequest request;
  if (!google::protobuf::util::JsonStringToMessage(text, &request).ok()) return;
  const auto acceptance = AcceptanceOf(request.acceptance());
  if (acceptance.ok()) {
    CheckAcceptance(*acceptance).IgnoreError();
    const auto written = MessageOf(*acceptance);
    const auto again = AcceptanceOf(written);
    REQUIRE(again.ok() && MessageOf(*again).SerializeAsString() == written.SerializeAsString());
  }
  RoundTrip(request.claim());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == 'c') Condition(text);
  if (data[0] == 'j') Json(text);
  return 0;
}
