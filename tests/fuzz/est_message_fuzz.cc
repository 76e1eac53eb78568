// What anybody may send to the EST port, and what an EST server may answer a router. Input: a byte that says which, and
// the bytes as they come from the line.
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "lib/crypto/x509.h"
#include "lib/est/message.h"
#include "lib/http/message.h"
#include "tests/fuzz/require.h"

using namespace virp;  // NOLINT(google-build-using-namespace): a fuzz target is one function

namespace {

constexpr http::Limits kLimits{.head = 2'000, .fields = 16, .body = 4'000};

void Request(std::string_view bytes, std::size_t piece) {
  http::RequestReader whole(kLimits), dripping(kLimits);
  const auto progress = whole.Take(bytes);
  bool told = false;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    dripping.Take(bytes.substr(at, piece));
    if (dripping.TakeContinue()) REQUIRE(!std::exchange(told, true));
  }
  // However it comes, it is the same.
  REQUIRE(dripping.Take("") == progress || bytes.empty());
  REQUIRE(dripping.refusal().code == whole.refusal().code);
  REQUIRE((progress == http::RequestReader::Progress::kRefused) == (whole.refusal().code != 0));
  const http::Request& request = whole.request();
  REQUIRE(request.fields.size() <= kLimits.fields && request.body.size() <= kLimits.body);
  if (progress != http::RequestReader::Progress::kComplete) return;
  REQUIRE(dripping.request().body == request.body && dripping.request().fields == request.fields);
  if (const auto target = est::ParsePath(request.target); target.ok()) {
    REQUIRE(est::PathOf(*target) == request.target);
    if (const auto asn = est::ParseAsLabel(target->label); asn.ok()) REQUIRE(est::AsLabel(*asn) == target->label);
  }
  const std::string_view type = http::Find(request.fields, "content-type").value_or("");
  if (const auto der = est::DecodeRequest(type, request.body); der.ok()) {
    REQUIRE(http::MediaType(type) == est::kRequestType);
    REQUIRE(x509::ParseRequest(*der).ok());
    REQUIRE(*est::DecodeRequest(type, est::EncodeRequest(*der)) == *der);
  }
}

void Response(std::string_view bytes, std::size_t piece) {
  http::ResponseReader whole(kLimits), dripping(kLimits);
  const auto at_once = whole.Take(bytes);
  bool ok = true, complete = false;
  for (std::size_t at = 0; ok && !complete && at < bytes.size(); at += piece) {
    const auto took = dripping.Take(bytes.substr(at, piece));
    ok = took.ok();
    complete = took.ok() && *took;
  }
  REQUIRE(complete == (at_once.ok() && *at_once));
  const bool ends_well = at_once.ok() && whole.End().ok();
  REQUIRE(ends_well == (ok && dripping.End().ok()));
  if (!ends_well) return;
  const http::Response& response = whole.response();
  REQUIRE(response.body == dripping.response().body && response.body.size() <= kLimits.body);
  const auto after = est::RetryAfter(http::Find(response.fields, "retry-after"));
  REQUIRE(after >= std::chrono::seconds(1) && after <= std::chrono::hours(24));
  const auto certificates =
      est::DecodeCertificates(http::Find(response.fields, "content-type").value_or(""), response.body);
  if (certificates.ok()) REQUIRE(!certificates->empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t piece = 1 + data[0] / 2;
  if (data[0] % 2 == 0) {
    Request(bytes, piece);
  } else {
    Response(bytes, piece);
  }
  return 0;
}
