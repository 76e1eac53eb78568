#include "lib/rpki/import.h"

#include <utility>

#include "lib/base/status.h"
#include "lib/crypto/cms.h"
#include "lib/crypto/x509.h"
#include "lib/rpki/oids.h"
#include "lib/rpki/profile.h"

namespace virp::rpki {

absl::StatusOr<Imported> ImportCertificates(std::string_view bytes) {
  ASSIGN_OR_RETURN(const std::vector<std::string> blocks,
                   x509::DerBlocks(bytes, {"CERTIFICATE", "PKCS7", "CMS"}, kMaxImport, cms::kMaxCertificates));
  std::vector<std::string> certificates;
  for (const std::string& block : blocks) {
    if (x509::ParseCertificate(block).ok()) {
      certificates.push_back(block);
      continue;
    }
    auto within = cms::ParseCertsOnly(block);
    if (!within.ok())
      return InvalidArgument("neither a certificate nor PKCS #7 certs-only: {}", Message(within.status()));
    for (std::string& certificate : *within) certificates.push_back(std::move(certificate));
  }
  Imported out;
  for (std::string& certificate : certificates) {
    ASSIGN_OR_RETURN(const x509::Certificate parsed, x509::ParseCertificate(certificate));
    if (profile::FindExtension(parsed, oid::kBasicConstraints) != nullptr) {
      out.authorities.push_back(std::move(certificate));
    } else if (out.router.empty()) {
      out.router = std::move(certificate);
    } else if (out.router != certificate) {
      return InvalidArgument("two certificates that are no CA's: import one router certificate at a time");
    }
  }
  if (out.router.empty())
    return InvalidArgument("no router certificate among the {} certificates", certificates.size());
  return out;
}

}  // namespace virp::rpki
