// A small RPKI for tests: a trust anchor and an issuing authority below it, both with their keys at hand.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <string>
#include <utility>

#include "lib/crypto/p256.h"
#include "lib/crypto/rsa.h"
#include "lib/crypto/sha256.h"
#include "lib/rpki/issue.h"
#include "lib/rpki/point.h"

namespace virp::testutil {

inline rpki::Time NowSeconds() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

// Keys of 2048 bits take long to make and are the same all through a test program.
inline const crypto::RsaPrivateKey& RsaKeyForTests(std::size_t number) {
  static auto& keys = *new std::map<std::size_t, crypto::RsaPrivateKey>();
  auto found = keys.find(number);
  if (found == keys.end()) found = keys.emplace(number, crypto::RsaPrivateKey::Generate()).first;
  return found->second;
}

// The same key each time: making one takes 140 ms.
inline crypto::RsaPrivateKey OneTimeKeyForTests() {
  return *crypto::RsaPrivateKey::FromPkcs8(RsaKeyForTests(99).Pkcs8().view());
}

inline x509::Signer SignerOf(const crypto::RsaPrivateKey& key) {
  return [&key](std::string_view message) { return key.Sign(message); };
}
inline x509::Signer SignerOf(const crypto::P256PrivateKey& key) {
  return [&key](std::string_view message) { return key.SignDigest(crypto::Sha256(message)); };
}

struct RpkiLab {
  static constexpr const char* kTaUri = "rsync://rpki.example.net/ta/ta.cer";
  static constexpr const char* kTaPoint = "rsync://rpki.example.net/ta/";
  static constexpr const char* kCaPoint = "rsync://rpki.example.net/ca/";

  explicit RpkiLab(rpki::Time at = NowSeconds()) : now(at) {
    using std::chrono::hours;
    const rpki::Validity years{now - hours(24), now + hours(24 * 3650)};
    rpki::AuthoritySpec spec{.common_name = "Test TA",
                             .serial = "\x01",
                             .validity = years,
                             .spki = RsaKeyForTests(0).public_key().spki(),
                             .as_numbers = rpki::AsResources::Of({{64496, 64511}, {65536, 65551}}),
                             .addresses = rpki::IpResources::Of({*Prefix::Parse("192.0.2.0/24")}),
                             .repository_uri = kTaPoint,
                             .manifest_uri = std::string(kTaPoint) + "ta.mft",
                             .notify_uri = ""};
    ta = *rpki::IssueTrustAnchor(spec, SignerOf(RsaKeyForTests(0)));
    ta_issuer = {.name = *rpki::EncodeName("Test TA"),
                 .key_identifier = *rpki::KeyIdentifier(RsaKeyForTests(0).public_key().spki()),
                 .certificate_uri = kTaUri,
                 .crl_uri = std::string(kTaPoint) + "ta.crl",
                 .signer = SignerOf(RsaKeyForTests(0))};
    spec.common_name = "Test CA";
    spec.serial = rpki::RandomSerial();
    spec.spki = RsaKeyForTests(1).public_key().spki();
    spec.repository_uri = kCaPoint;
    spec.manifest_uri = std::string(kCaPoint) + "ca.mft";
    ca = *rpki::IssueAuthorityCertificate(spec, ta_issuer);
    ca_issuer = {.name = *rpki::EncodeName("Test CA"),
                 .key_identifier = *rpki::KeyIdentifier(RsaKeyForTests(1).public_key().spki()),
                 .certificate_uri = std::string(kTaPoint) + "ca.cer",
                 .crl_uri = std::string(kCaPoint) + "ca.crl",
                 .signer = SignerOf(RsaKeyForTests(1))};
    tal = *rpki::EncodeTal({kTaUri}, RsaKeyForTests(0).public_key().spki());
  }

  std::string Router(std::uint32_t asn, const crypto::P256PublicKey& key,
                     std::string serial = rpki::RandomSerial()) const {
    return *rpki::IssueRouterCertificate({.asn = asn,
                                          .bgp_id = 0xc0000201,
                                          .serial = std::move(serial),
                                          .validity = {now - std::chrono::hours(1), now + std::chrono::hours(24 * 365)},
                                          .spki = key.spki()},
                                         ca_issuer);
  }

  rpki::Files TaPoint(std::uint64_t number) const {
    return Point(kTaPoint, "ta.mft", number, ta_issuer, {{"ca.cer", ca}});
  }
  rpki::Files CaPoint(std::uint64_t number, rpki::Files certificates, std::vector<x509::Revoked> revoked = {}) const {
    return Point(kCaPoint, "ca.mft", number, ca_issuer, std::move(certificates), std::move(revoked));
  }
  rpki::Files Point(const char* repository, const char* manifest, std::uint64_t number, const rpki::Issuer& issuer,
                    rpki::Files certificates, std::vector<x509::Revoked> revoked = {}) const {
    auto files = rpki::BuildPoint({.repository_uri = repository,
                                   .manifest_uri = std::string(repository) + manifest,
                                   .number = number,
                                   .this_update = now - std::chrono::hours(1),
                                   .next_update = now + std::chrono::hours(24),
                                   .revoked = std::move(revoked),
                                   .certificates = std::move(certificates)},
                                  issuer, RsaKeyForTests(2));
    EXPECT_TRUE(files.ok()) << files.status();
    return files.ok() ? *std::move(files) : rpki::Files();
  }

  rpki::Time now;
  std::string ta, ca, tal;
  rpki::Issuer ta_issuer, ca_issuer;
};

}  // namespace virp::testutil
