// Router and CA certificates and CRLs of outside authorities. Input: DER.
#include <cstdint>
#include <string_view>

#include "lib/rpki/check.h"
#include "tests/fuzz/require.h"

using namespace virp;  // NOLINT(google-build-using-namespace): a fuzz target is one function

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view der(reinterpret_cast<const char*>(data), size);
  const rpki::Time now{std::chrono::seconds(1'770'000'000)};
  const rpki::Refusals imported = rpki::CheckRouterCertificate(der, {.origin = rpki::Origin::kImported, .now = now});
  const rpki::Refusals own = rpki::CheckRouterCertificate(der, {.now = now});
  REQUIRE(own.size() >= imported.size());  // what others may not do, we may not
  REQUIRE(!imported.empty() || rpki::RouterFactsOf(der).ok());
  const rpki::Refusals authority = rpki::CheckAuthorityCertificate(der, rpki::AuthorityKind::kSubordinate, now);
  REQUIRE(!imported.empty() || !authority.empty());  // never both
  static_cast<void>(rpki::CheckAuthorityCertificate(der, rpki::AuthorityKind::kTrustAnchor, now));
  const auto certificate = x509::ParseCertificate(der);
  REQUIRE(certificate.ok() || !imported.empty());
  if (certificate.ok()) {
    REQUIRE(certificate->extensions.size() <= x509::kMaxExtensions);
    static_cast<void>(rpki::CheckIssuedBy(der, der));
  }
  if (const auto crl = x509::ParseRevocationList(der); crl.ok()) REQUIRE(crl->revoked.size() <= x509::kMaxRevoked);
  return 0;
}
