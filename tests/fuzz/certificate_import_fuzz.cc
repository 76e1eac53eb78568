// Certificates with their chain as operators upload them: .cer, PEM, PKCS #7; and signed key packages. Input: any.
#include <cstdint>
#include <string_view>

#include "lib/crypto/cms.h"
#include "lib/rpki/check.h"
#include "lib/rpki/import.h"
#include "lib/rpki/key_package.h"
#include "tests/fuzz/require.h"

using namespace virp;  // NOLINT(google-build-using-namespace): a fuzz target is one function

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const rpki::Time now{std::chrono::seconds(1'770'000'000)};
  if (const auto imported = rpki::ImportCertificates(bytes); imported.ok()) {
    REQUIRE(x509::ParseCertificate(imported->router).ok());
    const std::string& anchor = imported->authorities.empty() ? imported->router : imported->authorities.front();
    static_cast<void>(rpki::CheckPath(imported->router, imported->authorities, anchor, {}, {.now = now}));
  }
  if (const auto message = cms::Parse(bytes); message.ok()) {
    REQUIRE(message->certificates.size() <= cms::kMaxCertificates);
    cms::VerifySigner(*message).IgnoreError();
  }
  rpki::OpenKeyPackage(bytes, bytes, now).IgnoreError();
  rpki::DecodePkcs8(bytes).IgnoreError();
  return 0;
}
