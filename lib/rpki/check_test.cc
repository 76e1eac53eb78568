#include "lib/rpki/check.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "lib/base/bytes.h"
#include "lib/rpki/encode.h"
#include "lib/rpki/oids.h"
#include "tests/testutil/rpki_lab.h"
#include "tests/testutil/status_matchers.h"

namespace virp::rpki {
namespace {

using encode::CertificateParts;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testutil::ReasonIs;

std::vector<std::string_view> Names(const Refusals& refusals) {
  std::vector<std::string_view> out;
  for (const Refusal& refusal : refusals) out.push_back(ReasonName(refusal.reason));
  return out;
}

// A router certificate in parts, each of which a test may spoil.
struct Draft {
  std::string serial = RandomSerial();
  std::string subject = *EncodeName("ROUTER-0000FBF0", "C0000201");
  std::string spki;
  std::map<std::string, std::string> extensions;  // by the name of the test's own
  CertificateParts parts;
  x509::Signer signer;
  std::string_view outer_algorithm = x509::kSha256WithRsa;

  std::string Der() {
    parts.serial = serial;
    parts.subject = subject;
    parts.spki = spki;
    parts.extensions.clear();
    for (const auto& [name, extension] : extensions) parts.extensions.push_back(extension);
    const std::string tbs = encode::Tbs(parts);
    return *x509::Sign(tbs, outer_algorithm, signer);
  }
};

class CheckTest : public testing::Test {
 protected:
  CheckTest() : lab_(testutil::NowSeconds()), key_(crypto::P256PrivateKey::Generate()) {}

  Draft NewDraft() {
    Draft out;
    out.spki = key_.public_key().spki();
    out.parts.issuer = lab_.ca_issuer.name;
    out.parts.validity = {lab_.now - std::chrono::hours(1), lab_.now + std::chrono::hours(24)};
    out.signer = lab_.ca_issuer.signer;
    out.extensions = {{"ski", encode::SubjectKeyIdentifier(*KeyIdentifier(out.spki))},
                      {"aki", encode::AuthorityKeyIdentifier(lab_.ca_issuer.key_identifier)},
                      {"ku", encode::DigitalSignature()},
                      {"eku", encode::BgpsecRouter()},
                      {"crldp", encode::CrlAt(lab_.ca_issuer.crl_uri)},
                      {"aia", encode::IssuerAt(lab_.ca_issuer.certificate_uri)},
                      {"policy", encode::Policy()},
                      {"as", encode::AsNumbers(AsResources::Single(64496))}};
    return out;
  }
  std::vector<std::string_view> Check(Draft draft, Origin origin = Origin::kOwn) {
    kept_ = CheckRouterCertificate(draft.Der(), {.origin = origin, .asn = 64496, .now = lab_.now});
    return Names(kept_);
  }

  testutil::RpkiLab lab_;
  crypto::P256PrivateKey key_;
  Refusals kept_;
};

TEST_F(CheckTest, WhatWeIssueIsWithoutFault) {
  const std::string der = lab_.Router(64496, key_.public_key());
  EXPECT_THAT(Names(CheckRouterCertificate(der, {.asn = 64496, .now = lab_.now, .spki = key_.public_key().spki()})),
              IsEmpty());
  EXPECT_THAT(Names(CheckAuthorityCertificate(lab_.ta, AuthorityKind::kTrustAnchor, lab_.now)), IsEmpty());
  EXPECT_THAT(Names(CheckAuthorityCertificate(lab_.ca, AuthorityKind::kSubordinate, lab_.now)), IsEmpty());
  EXPECT_THAT(Names(CheckPath(der, {lab_.ca}, lab_.ta, {}, {.asn = 64496, .now = lab_.now})), IsEmpty());
  EXPECT_THAT(Check(NewDraft()), IsEmpty());
}

// Every row of the tables that relying parties' source and our trials gave: what they refuse, and what they let pass
// though the profile forbids it.
struct Row {
  const char* name;
  std::function<void(Draft&, CheckTest&)> spoil;
  const char* reason;
};

std::string Ext(std::string_view oid, bool critical, std::string_view value) {
  return x509::EncodeExtension(oid, critical, value);
}
std::string Oids(const std::vector<std::string_view>& oids) {
  std::string list;
  for (const std::string_view oid : oids) list += der::Tlv(der::kOid, oid);
  return der::Sequence({list});
}
std::string RawAs(std::string_view content) {
  return der::Sequence({content});
}
const std::string kOneAs = der::Tlv(der::ContextConstructed(0), der::Sequence({der::Integer(64496)}));
constexpr std::string_view kServerAuth("\x2b\x06\x01\x05\x05\x07\x03\x01", 8);
constexpr std::string_view kAnyPurpose("\x55\x1d\x25\x00", 4);
constexpr std::string_view kOrganization("\x55\x04\x0a", 3);
constexpr std::string_view kNobodysOid("\x2a\x03\x04\x05", 4);

std::string SpkiP384() {
  return "\x30\x76\x30\x10" + *HexDecode("06072a8648ce3d020106052b81040022") +
         der::Bits("\x04" + std::string(96, '\x11'));
}
std::string SpkiEd25519() {
  return der::Sequence({*HexDecode("300506032b6570"), der::Bits(std::string(32, '\x22'))});
}
std::string Compressed(std::string_view spki) {
  const std::string_view point = spki.substr(26);
  const char first = (static_cast<unsigned char>(point.back()) & 1) != 0 ? '\x03' : '\x02';
  return der::Sequence({spki.substr(2, 21), der::Bits(first + std::string(point.substr(1, 32)))});
}
void WithKey(Draft& d, std::string spki) {
  d.spki = std::move(spki);
  d.extensions["ski"] = encode::SubjectKeyIdentifier(*KeyIdentifier(d.spki));
}
std::string NameWith(std::string_view type, std::uint8_t tag, std::string_view value) {
  const std::string part = der::Sequence({der::Tlv(der::kOid, type), der::Tlv(tag, value)});
  return der::Tlv(der::kSet, part);
}

const std::vector<Row>& Rows() {
  using D = Draft;
  using T = CheckTest;
  static const auto& rows = *new std::vector<Row>{
      {"SIA present",
       [](D& d, T&) { d.extensions["sia"] = encode::SubjectInfo({{oid::kSignedObject, "rsync://a/b"}}); },
       "SUBJECT_INFO_ACCESS_WRONG"},
      {"IP resources", [](D& d, T&) { d.extensions["ip"] = encode::Addresses(IpResources::Inherit()); },
       "IP_RESOURCES"},
      {"AS inherit", [](D& d, T&) { d.extensions["as"] = encode::AsNumbers(AsResources::Inherit()); },
       "AS_RESOURCES_INHERITED"},
      {"AS not critical",
       [](D& d, T&) { d.extensions["as"] = Ext(oid::kAsResources, false, AsResources::Single(64496).Encode()); },
       "AS_RESOURCES_WRONG"},
      {"RDI present",
       [](D& d, T&) {
         const std::string rdi = der::Tlv(der::ContextConstructed(1), der::Sequence({der::Integer(1)}));
         d.extensions["as"] = Ext(oid::kAsResources, true, RawAs(kOneAs + rdi));
       },
       "AS_RESOURCES_WRONG"},
      {"no EKU", [](D& d, T&) { d.extensions.erase("eku"); }, "EXTENDED_KEY_USAGE_MISSING"},
      {"other EKU", [](D& d, T&) { d.extensions["eku"] = Ext(oid::kExtendedKeyUsage, false, Oids({kServerAuth})); },
       "EXTENDED_KEY_USAGE_WRONG"},
      {"critical EKU",
       [](D& d, T&) { d.extensions["eku"] = Ext(oid::kExtendedKeyUsage, true, Oids({oid::kBgpsecRouter})); },
       "EXTENDED_KEY_USAGE_WRONG"},
      {"any EKU",
       [](D& d, T&) {
         d.extensions["eku"] = Ext(oid::kExtendedKeyUsage, false, Oids({oid::kBgpsecRouter, kAnyPurpose}));
       },
       "EXTENDED_KEY_USAGE_WRONG"},
      {"basic constraints", [](D& d, T&) { d.extensions["bc"] = encode::Authority(); }, "BASIC_CONSTRAINTS"},
      {"basic constraints, no CA",
       [](D& d, T&) { d.extensions["bc"] = Ext(oid::kBasicConstraints, true, "\x30" + std::string(1, '\0')); },
       "BASIC_CONSTRAINTS"},
      {"no policy", [](D& d, T&) { d.extensions.erase("policy"); }, "POLICY_MISSING"},
      {"policy not critical",
       [](D& d, T&) {
         d.extensions["policy"] = Ext(oid::kCertificatePolicies, false, der::Sequence({Oids({oid::kRpkiPolicy})}));
       },
       "POLICY_WRONG"},
      {"wrong policy",
       [](D& d, T&) {
         d.extensions["policy"] = Ext(oid::kCertificatePolicies, true, der::Sequence({Oids({kNobodysOid})}));
       },
       "POLICY_WRONG"},
      {"two policies",
       [](D& d, T&) {
         const std::string one = Oids({oid::kRpkiPolicy});
         d.extensions["policy"] = Ext(oid::kCertificatePolicies, true, der::Sequence({one, one}));
       },
       "POLICY_WRONG"},
      {"no AIA", [](D& d, T&) { d.extensions.erase("aia"); }, "AUTHORITY_INFO_ACCESS_MISSING"},
      {"AIA without rsync", [](D& d, T&) { d.extensions["aia"] = encode::IssuerAt("https://a/b.cer"); },
       "AUTHORITY_INFO_ACCESS_WRONG"},
      {"no CRLDP", [](D& d, T&) { d.extensions.erase("crldp"); }, "CRL_DISTRIBUTION_POINTS_MISSING"},
      {"CRLDP without rsync", [](D& d, T&) { d.extensions["crldp"] = encode::CrlAt("https://a/b.crl"); },
       "CRL_DISTRIBUTION_POINTS_WRONG"},
      {"no SKI", [](D& d, T&) { d.extensions.erase("ski"); }, "SUBJECT_KEY_IDENTIFIER_MISSING"},
      {"SKI of another key", [](D& d, T&) { d.extensions["ski"] = encode::SubjectKeyIdentifier(std::string(20, 'k')); },
       "SUBJECT_KEY_IDENTIFIER_WRONG"},
      {"no AKI", [](D& d, T&) { d.extensions.erase("aki"); }, "AUTHORITY_KEY_IDENTIFIER_MISSING"},
      {"AKI with issuer and serial",
       [](D& d, T& t) {
         const std::string id = der::Tlv(der::Context(0), std::string(20, 'a'));
         d.extensions["aki"] =
             Ext(oid::kAuthorityKeyIdentifier, false, der::Sequence({id, der::Tlv(der::Context(2), "\x01")}));
         (void)t;
       },
       "AUTHORITY_KEY_IDENTIFIER_WRONG"},
      {"P-384", [](D& d, T&) { WithKey(d, SpkiP384()); }, "PUBLIC_KEY_ALGORITHM"},
      {"RSA", [](D& d, T&) { WithKey(d, testutil::RsaKeyForTests(0).public_key().spki()); }, "PUBLIC_KEY_ALGORITHM"},
      {"Ed25519", [](D& d, T&) { WithKey(d, SpkiEd25519()); }, "PUBLIC_KEY_ALGORITHM"},
      {"not on the curve",
       [](D& d, T&) {
         std::string spki = d.spki;
         spki.back() = static_cast<char>(spki.back() ^ 1);
         WithKey(d, spki);
       },
       "PUBLIC_KEY_INVALID"},
      {"AS absent", [](D& d, T&) { d.extensions.erase("as"); }, "AS_RESOURCES_MISSING"},
      {"AS empty", [](D& d, T&) { d.extensions["as"] = encode::AsNumbers(AsResources()); }, "AS_RESOURCES_MISSING"},
      {"AS not canonical",
       [](D& d, T&) {
         const std::string two = der::Sequence({der::Integer(64497), der::Integer(64496)});
         d.extensions["as"] = Ext(oid::kAsResources, true, RawAs(der::Tlv(der::ContextConstructed(0), two)));
       },
       "AS_RESOURCES_WRONG"},
      {"no key usage", [](D& d, T&) { d.extensions.erase("ku"); }, "KEY_USAGE_MISSING"},
      {"key usage with more bits",
       [](D& d, T&) { d.extensions["ku"] = Ext(oid::kKeyUsage, true, der::NamedBits({0, 5})); }, "KEY_USAGE_WRONG"},
      {"key usage not critical", [](D& d, T&) { d.extensions["ku"] = Ext(oid::kKeyUsage, false, der::NamedBits({0})); },
       "KEY_USAGE_WRONG"},
      {"compressed point", [](D& d, T&) { WithKey(d, Compressed(d.spki)); }, "PUBLIC_KEY_COMPRESSED"},
      {"subject with O",
       [](D& d, T&) {
         d.subject = der::Sequence({NameWith(kOrganization, der::kPrintableString, "x"),
                                    NameWith(oid::kCommonName, der::kPrintableString, "ROUTER-0000FBF0")});
       },
       "SUBJECT_NAME"},
      {"empty subject", [](D& d, T&) { d.subject = der::Sequence({""}); }, "SUBJECT_NAME"},
      {"subject of another AS", [](D& d, T&) { d.subject = *EncodeName("ROUTER-0000FBF1", "C0000201"); },
       "SUBJECT_OF_ANOTHER_AS"},
      {"SHA-1",
       [](D& d, T&) {
         static const std::string sha1 = *HexDecode("300d06092a864886f70d0101050500");
         d.parts.algorithm = d.outer_algorithm = sha1;
       },
       "SIGNATURE_ALGORITHM"},
      {"SHA-512",
       [](D& d, T&) {
         static const std::string sha512 = *HexDecode("300d06092a864886f70d01010d0500");
         d.parts.algorithm = d.outer_algorithm = sha512;
       },
       "SIGNATURE_ALGORITHM"},
      {"two algorithms", [](D& d, T&) { d.outer_algorithm = x509::kEcdsaWithSha256; }, "SIGNATURE_ALGORITHM"},
      {"two ASNs",
       [](D& d, T&) { d.extensions["as"] = encode::AsNumbers(AsResources::Of({{64496, 64496}, {64499, 64499}})); },
       "SEVERAL_AS_NUMBERS"},
      {"a range", [](D& d, T&) { d.extensions["as"] = encode::AsNumbers(AsResources::Of({{64496, 64497}})); },
       "SEVERAL_AS_NUMBERS"},
      {"unknown critical extension", [](D& d, T&) { d.extensions["x"] = Ext(kNobodysOid, true, "x"); },
       "UNKNOWN_CRITICAL_EXTENSION"},
      {"version 1", [](D& d, T&) { d.parts.version = std::string_view("\xa0\x03\x02\x01\x00", 5); }, "VERSION"},
      {"serial zero", [](D& d, T&) { d.serial = std::string(1, '\0'); }, "SERIAL_NUMBER"},
      {"serial of 21 octets", [](D& d, T&) { d.serial = std::string(21, '\x01'); }, "SERIAL_NUMBER"},
      {"serial of 2^159", [](D& d, T&) { d.serial = '\x80' + std::string(19, '\x01'); }, "SERIAL_NUMBER"},
      {"expired", [](D& d, T&) { d.parts.validity = {Time(std::chrono::hours(24)), Time(std::chrono::hours(48))}; },
       "EXPIRED"},
      {"not yet valid", [](D& d, T&) { d.parts.validity.not_before += std::chrono::hours(10); }, "NOT_YET_VALID"},
  };
  return rows;
}

TEST_F(CheckTest, EveryRowIsRefusedWithItsReason) {
  for (const Row& row : Rows()) {
    for (const Origin origin : {Origin::kOwn, Origin::kImported}) {
      Draft draft = NewDraft();
      row.spoil(draft, *this);
      EXPECT_THAT(Check(draft, origin), ElementsAre(row.reason)) << row.name;
      EXPECT_THAT(AsStatus(kept_, "x"), ReasonIs(row.reason));
    }
  }
}

TEST_F(CheckTest, WhatTheRfcAllowsIsTakenFromOthersOnly) {
  const std::vector<std::pair<std::function<void(Draft&)>, const char*>> rows{
      {[](Draft& d) {
         d.extensions["eku"] = Ext(oid::kExtendedKeyUsage, false, Oids({oid::kBgpsecRouter, kServerAuth}));
       },
       "EXTENDED_KEY_USAGE_WRONG"},
      {[](Draft& d) { d.extensions["x"] = Ext(kNobodysOid, false, "x"); }, "UNKNOWN_EXTENSION"},
      {[](Draft& d) { d.subject = *EncodeName("edge one"); }, "SUBJECT_NAME"}};
  for (const auto& [change, reason] : rows) {
    Draft draft = NewDraft();
    change(draft);
    EXPECT_THAT(Check(draft, Origin::kImported), IsEmpty()) << reason;
    EXPECT_THAT(Check(draft, Origin::kOwn), ElementsAre(reason));
  }
  Draft utf8 = NewDraft();
  utf8.subject = der::Sequence({NameWith(oid::kCommonName, der::kUtf8String, "ROUTER-0000fbf0")});
  EXPECT_THAT(Check(utf8), IsEmpty());
}

TEST_F(CheckTest, TheExpectedAsAndKeyMustBeThere) {
  const std::string der = lab_.Router(64496, key_.public_key());
  EXPECT_THAT(Names(CheckRouterCertificate(der, {.asn = 64497})), ElementsAre("ANOTHER_AS_NUMBER"));
  const auto other = crypto::P256PrivateKey::Generate();
  EXPECT_THAT(Names(CheckRouterCertificate(der, {.spki = other.public_key().spki()})),
              ElementsAre("PUBLIC_KEY_INVALID"));
  ASSERT_OK_AND_ASSIGN(const RouterFacts facts, RouterFactsOf(der));
  EXPECT_EQ(facts.asn, 64496u);
  EXPECT_EQ(facts.spki, key_.public_key().spki());
}

TEST_F(CheckTest, PathsAreChecked) {
  const auto path = [&](std::string_view router, const std::vector<std::string>& authorities,
                        const std::vector<std::string>& crls = {}) {
    return Names(CheckPath(router, authorities, lab_.ta, crls, {.now = lab_.now}));
  };
  const std::string router = lab_.Router(64496, key_.public_key(), "\x07");
  EXPECT_THAT(path(router, {}), ElementsAre("ISSUER_NAME"));
  EXPECT_THAT(path(router, {lab_.ta, lab_.ca}), IsEmpty());
  EXPECT_THAT(path(lab_.Router(64512, key_.public_key()), {lab_.ca}), ElementsAre("AS_NOT_HELD"));
  // Signed by another key under the CA's name.
  Issuer forger = lab_.ca_issuer;
  forger.signer = testutil::SignerOf(testutil::RsaKeyForTests(2));
  ASSERT_OK_AND_ASSIGN(const std::string forged,
                       IssueRouterCertificate({.asn = 64496,
                                               .serial = "\x08",
                                               .validity = {lab_.now, lab_.now + std::chrono::hours(1)},
                                               .spki = key_.public_key().spki()},
                                              forger));
  EXPECT_THAT(path(forged, {lab_.ca}), ElementsAre("SIGNATURE"));
  const auto crl = [&](std::vector<x509::Revoked> revoked, Time next) {
    return *IssueCrl({.number = 1,
                      .this_update = lab_.now - std::chrono::hours(2),
                      .next_update = next,
                      .revoked = std::move(revoked)},
                     lab_.ca_issuer);
  };
  const Time later = lab_.now + std::chrono::hours(1);
  EXPECT_THAT(path(router, {lab_.ca}, {crl({{"\x08", lab_.now}}, later)}), IsEmpty());
  EXPECT_THAT(path(router, {lab_.ca}, {crl({{"\x07", lab_.now}}, later)}), ElementsAre("REVOKED"));
  EXPECT_THAT(path(router, {lab_.ca}, {crl({}, lab_.now - std::chrono::hours(1))}), ElementsAre("EXPIRED"));
}

TEST_F(CheckTest, AuthoritiesThatAreNone) {
  const std::string router = lab_.Router(64496, key_.public_key());
  EXPECT_FALSE(CheckAuthorityCertificate(router, AuthorityKind::kSubordinate, lab_.now).empty());
  EXPECT_FALSE(CheckAuthorityCertificate(lab_.ca, AuthorityKind::kTrustAnchor, lab_.now).empty());
  EXPECT_FALSE(CheckAuthorityCertificate(lab_.ta, AuthorityKind::kSubordinate, lab_.now).empty());
  EXPECT_THAT(
      Names(CheckAuthorityCertificate(lab_.ca, AuthorityKind::kSubordinate, lab_.now + std::chrono::hours(24 * 4000))),
      ElementsAre("EXPIRED"));
}

TEST_F(CheckTest, EveryChangedBitIsRefused) {
  const std::string der = lab_.Router(64496, key_.public_key());
  for (std::size_t at = 0; at < der.size(); ++at) {
    std::string changed = der;
    changed[at] = static_cast<char>(changed[at] ^ 0x04);
    Refusals refusals = CheckRouterCertificate(changed, {.asn = 64496, .now = lab_.now});
    if (refusals.empty()) refusals = CheckIssuedBy(changed, lab_.ca);
    EXPECT_FALSE(refusals.empty()) << at;
  }
}

}  // namespace
}  // namespace virp::rpki
