// What a service reads out of PEM certificates and keys. Input: PEM.
#include <cstdint>
#include <string_view>

#include "lib/crypto/pki.h"
#include "tests/fuzz/require.h"

using namespace virp::crypto;  // NOLINT(google-build-using-namespace): a fuzz target is one function

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  CheckKeyMatches(text, text).IgnoreError();
  CertificateAuthority::Load(text, text).IgnoreError();
  CanonicalSerial(text).IgnoreError();
  const auto all = ParseCertificates(text);
  if (all.ok()) REQUIRE(!all->empty());
  const auto info = ParseCertificate(text);
  if (!info.ok()) {
    CertificateCoversHost(text, "localhost");
    return 0;
  }
  REQUIRE(info->uri_sans.size() + info->dns_sans.size() + info->ip_sans.size() <= kMaxSubjectNames);
  for (const auto& names : {info->uri_sans, info->dns_sans, info->ip_sans}) {
    for (const auto& name : names) REQUIRE(name.find('\0') == std::string_view::npos);
  }
  REQUIRE(*CanonicalSerial(info->serial) == info->serial);
  CertificateCoversHost(text, "localhost");
  CertificateCoversHost(text, "127.0.0.1");
  return 0;
}
