// Private to lib/rpki and its tests: the parts that certificates of all kinds are put together from.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lib/crypto/x509.h"
#include "lib/rpki/issue.h"

namespace virp::rpki::encode {

struct CertificateParts {
  std::string_view version = std::string_view("\xa0\x03\x02\x01\x02", 5);  // v3
  std::string_view serial;                                                 // big-endian
  std::string_view algorithm = x509::kSha256WithRsa;
  std::string_view issuer;  // whole Name
  Validity validity;
  std::string_view subject;
  std::string_view spki;
  std::vector<std::string> extensions;  // whole, in order
};
std::string Tbs(const CertificateParts& parts);

// Extensions, whole.
std::string SubjectKeyIdentifier(std::string_view identifier);
std::string AuthorityKeyIdentifier(std::string_view identifier);
std::string DigitalSignature();
std::string CertificateAndCrlSign();
std::string Authority();     // basicConstraints of a CA
std::string BgpsecRouter();  // extendedKeyUsage
std::string CrlAt(std::string_view uri);
std::string IssuerAt(std::string_view uri);
std::string Policy();
std::string AsNumbers(const AsResources& numbers);
std::string Addresses(const IpResources& addresses);
struct Access {
  std::string_view method;
  std::string_view uri;
};
std::string SubjectInfo(const std::vector<Access>& accesses);

}  // namespace virp::rpki::encode
