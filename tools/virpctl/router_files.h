// What a router keeps: its key, its request, its certificate with the authorities above it, and the trust anchor that
// was installed first. Private keys are PKCS #8 in PEM, for their owner only, and never written over.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/crypto/p256.h"
#include "lib/crypto/secret.h"
#include "lib/frame/payload.h"
#include "lib/rpki/check.h"

namespace virp::virpctl {

absl::StatusOr<crypto::P256PrivateKey> LoadRouterKey(const std::string& path);
// A new key in a new file (0600). AlreadyExists when the file is there.
absl::StatusOr<crypto::P256PrivateKey> MakeRouterKey(const std::string& path);
// PKCS #8 in DER, into a new file (0600).
absl::Status SaveRouterKey(const std::string& path, std::string_view pkcs8);

// The one PKCS #8 private key of a PEM or DER file, in DER.
absl::StatusOr<crypto::Secret> ReadPkcs8(const std::string& path);

// The request in `path`; made, with an empty subject, and kept there when there is none yet: who repeats an enrolment
// has to send the same one. FailedPrecondition when it is for another key.
absl::StatusOr<std::string> KeptRequest(const std::string& path, const crypto::P256PrivateKey& key);

// One certificate, DER or PEM.
absl::StatusOr<std::string> LoadCertificate(const std::string& path);

// What a router finds out about a certificate before it uses it (RFC 8635 section 8).
struct CertificateCheck {
  rpki::RouterFacts facts;
  bool key_match = false;  // something that the key signed verifies under the certificate
  rpki::Refusals path;     // what is wrong on the way to the installed trust anchor; empty: nothing
  bool good() const { return key_match && path.empty(); }
};
// `asn` 0: any. InvalidArgument when `router` is no router certificate at all.
absl::StatusOr<CertificateCheck> CheckInstalled(const crypto::P256PrivateKey& key, const std::string& router,
                                                const std::vector<std::string>& authorities,
                                                const std::string& trust_anchor, std::uint32_t asn);

// Members of the object that is being written: keyMatch, chainValid, asn, keyIdentifier, serial, notBefore, notAfter,
// refusals.
void WriteCheck(frame::JsonWriter& json, const CertificateCheck& check);
std::string CheckTable(const CertificateCheck& check);
void WriteRefusals(frame::JsonWriter& json, const rpki::Refusals& refusals);

rpki::Time SecondsNow();

}  // namespace virp::virpctl
