// Certificates with their chain as operators upload them: .cer, PEM, PKCS #7, with CRLs beside them; and signed key
// packages. Input: any.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/crypto/cms.h"
#include "lib/rpki/chain.h"
#include "lib/rpki/check.h"
#include "lib/rpki/import.h"
#include "lib/rpki/key_package.h"
#include "tests/fuzz/require.h"

using namespace virp;  // NOLINT(google-build-using-namespace): a fuzz target is one function

namespace {

bool IsSelfSigned(const std::string& der) {
  const auto certificate = x509::ParseCertificate(der);
  return certificate.ok() && certificate->issuer == certificate->subject;
}

// Up to the first trust anchor that is among them, with the CRLs that are.
void Climb(const rpki::Imported& imported, std::string_view bytes, rpki::Time now) {
  const auto found = std::find_if(imported.authorities.begin(), imported.authorities.end(), &IsSelfSigned);
  const std::string& anchor = found != imported.authorities.end() ? *found
                              : imported.authorities.empty()      ? imported.router
                                                                  : imported.authorities.front();
  const auto crls = x509::DerBlocks(bytes, {"X509 CRL"}, rpki::kMaxImport, 4);
  static_cast<void>(rpki::CheckPath(imported.router, imported.authorities, anchor,
                                    crls.value_or(std::vector<std::string>()), {.now = now}));
  static_cast<void>(rpki::CheckSignerPath(imported.router, imported.authorities, anchor, now));
  for (const std::string& authority : imported.authorities) {
    const auto chain = rpki::Chain::Make(authority, anchor);
    if (!chain.ok()) continue;
    const bool good = (*chain)->Check(imported.router, {.now = now}).empty();
    REQUIRE(!good || rpki::CheckPath(imported.router, {authority}, anchor, {}, {.now = now}).empty());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const rpki::Time now{std::chrono::seconds(1'770'000'000)};
  if (const auto imported = rpki::ImportCertificates(bytes); imported.ok()) {
    REQUIRE(x509::ParseCertificate(imported->router).ok());
    Climb(*imported, bytes, now);
  }
  if (const auto message = cms::Parse(bytes); message.ok()) {
    REQUIRE(message->certificates.size() <= cms::kMaxCertificates);
    cms::VerifySigner(*message).IgnoreError();
  }
  rpki::OpenKeyPackage(bytes, bytes, now).IgnoreError();
  rpki::DecodePkcs8(bytes).IgnoreError();
  return 0;
}
