// Certificate requests of routers, which anybody who may enrol can send. Input: DER or PEM.
#include <cstdint>
#include <string_view>

#include "lib/rpki/check.h"
#include "tests/fuzz/require.h"

using namespace virp;  // NOLINT(google-build-using-namespace): a fuzz target is one function

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto blocks =
      x509::DerBlocks(bytes, {"CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"}, x509::kMaxRequest * 2, 1);
  const std::string_view der = blocks.ok() ? std::string_view(blocks->front()) : bytes;
  const rpki::Refusals refusals = rpki::CheckRouterRequest(der, {.asn = 64496});
  for (const rpki::Refusal& refusal : refusals) REQUIRE(!rpki::ReasonName(refusal.reason).empty());
  const auto request = x509::ParseRequest(der);
  REQUIRE(request.ok() || !refusals.empty());
  if (!request.ok()) return 0;
  // What was read lies inside of what came.
  REQUIRE(request->info.size() < der.size());
  REQUIRE(request->extensions.size() <= x509::kMaxExtensions);
  if (refusals.empty()) REQUIRE(rpki::KeyIdentifier(request->spki).ok());
  return 0;
}
