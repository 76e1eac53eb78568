// Contents of the object identifiers that the RPKI uses (RFC 5280, 3779, 6487, 8209, 9286, 5958).
#pragma once

#include <string_view>

namespace virp::rpki::oid {

inline constexpr std::string_view kCommonName("\x55\x04\x03", 3);                               // 2.5.4.3
inline constexpr std::string_view kSerialNumber("\x55\x04\x05", 3);                             // 2.5.4.5
inline constexpr std::string_view kSubjectKeyIdentifier("\x55\x1d\x0e", 3);                     // 2.5.29.14
inline constexpr std::string_view kKeyUsage("\x55\x1d\x0f", 3);                                 // 2.5.29.15
inline constexpr std::string_view kBasicConstraints("\x55\x1d\x13", 3);                         // 2.5.29.19
inline constexpr std::string_view kCrlNumber("\x55\x1d\x14", 3);                                // 2.5.29.20
inline constexpr std::string_view kCrlDistributionPoints("\x55\x1d\x1f", 3);                    // 2.5.29.31
inline constexpr std::string_view kCertificatePolicies("\x55\x1d\x20", 3);                      // 2.5.29.32
inline constexpr std::string_view kAuthorityKeyIdentifier("\x55\x1d\x23", 3);                   // 2.5.29.35
inline constexpr std::string_view kExtendedKeyUsage("\x55\x1d\x25", 3);                         // 2.5.29.37
inline constexpr std::string_view kAuthorityInfoAccess("\x2b\x06\x01\x05\x05\x07\x01\x01", 8);  // 1.3.6.1.5.5.7.1.1
inline constexpr std::string_view kSubjectInfoAccess("\x2b\x06\x01\x05\x05\x07\x01\x0b", 8);    // 1.3.6.1.5.5.7.1.11
inline constexpr std::string_view kIpResources("\x2b\x06\x01\x05\x05\x07\x01\x07", 8);          // 1.3.6.1.5.5.7.1.7
inline constexpr std::string_view kAsResources("\x2b\x06\x01\x05\x05\x07\x01\x08", 8);          // 1.3.6.1.5.5.7.1.8
inline constexpr std::string_view kCaIssuers("\x2b\x06\x01\x05\x05\x07\x30\x02", 8);            // 1.3.6.1.5.5.7.48.2
inline constexpr std::string_view kCaRepository("\x2b\x06\x01\x05\x05\x07\x30\x05", 8);         // 1.3.6.1.5.5.7.48.5
inline constexpr std::string_view kRpkiManifest("\x2b\x06\x01\x05\x05\x07\x30\x0a", 8);         // 1.3.6.1.5.5.7.48.10
inline constexpr std::string_view kSignedObject("\x2b\x06\x01\x05\x05\x07\x30\x0b", 8);         // 1.3.6.1.5.5.7.48.11
inline constexpr std::string_view kRpkiNotify("\x2b\x06\x01\x05\x05\x07\x30\x0d", 8);           // 1.3.6.1.5.5.7.48.13
inline constexpr std::string_view kRpkiPolicy("\x2b\x06\x01\x05\x05\x07\x0e\x02", 8);           // 1.3.6.1.5.5.7.14.2
inline constexpr std::string_view kBgpsecRouter("\x2b\x06\x01\x05\x05\x07\x03\x1e", 8);         // 1.3.6.1.5.5.7.3.30
inline constexpr std::string_view kManifestContent("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x1a",
                                                   11);  // 1.2.840.113549.1.9.16.1.26
inline constexpr std::string_view kKeyPackageContent("\x60\x86\x48\x01\x65\x02\x01\x02\x4e\x05",
                                                     10);                                 // 2.16.840.1.101.2.1.2.78.5
inline constexpr std::string_view kSha256Oid("\x60\x86\x48\x01\x65\x03\x04\x02\x01", 9);  // 2.16.840.1.101.3.4.2.1
inline constexpr std::string_view kQualifierCps("\x2b\x06\x01\x05\x05\x07\x02\x01", 8);   // 1.3.6.1.5.5.7.2.1

}  // namespace virp::rpki::oid
