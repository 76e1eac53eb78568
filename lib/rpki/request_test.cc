#include <gtest/gtest.h>

#include "lib/base/bytes.h"
#include "lib/crypto/p256.h"
#include "lib/rpki/check.h"
#include "lib/rpki/encode.h"
#include "lib/rpki/oids.h"
#include "tests/testutil/rpki_lab.h"
#include "tests/testutil/status_matchers.h"

namespace virp::rpki {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string_view> Check(std::string_view der, std::optional<std::uint32_t> asn = std::nullopt) {
  std::vector<std::string_view> out;
  for (const Refusal& refusal : CheckRouterRequest(der, {.asn = asn})) out.push_back(ReasonName(refusal.reason));
  return out;
}

constexpr std::string_view kExtensionRequest("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e", 9);

std::string Attribute(std::string_view type, std::string_view value) {
  return der::Sequence({der::Tlv(der::kOid, type), der::Tlv(der::kSet, value)});
}

class RequestTest : public testing::Test {
 protected:
  std::string Request(std::string_view attributes, std::string_view subject = std::string_view("\x30\x00", 2),
                      std::uint64_t version = 0, std::string_view algorithm = x509::kEcdsaWithSha256) {
    const std::string info = der::Sequence(
        {der::Integer(version), subject, key_.public_key().spki(), der::Tlv(der::ContextConstructed(0), attributes)});
    return *x509::Sign(info, algorithm, testutil::SignerOf(key_));
  }
  std::string Asking(const std::vector<std::string>& extensions) {
    std::string list;
    for (const std::string& extension : extensions) list += extension;
    return Request(Attribute(kExtensionRequest, der::Sequence({list})));
  }
  const crypto::P256PrivateKey key_ = crypto::P256PrivateKey::Generate();
};

TEST_F(RequestTest, OursIsWithoutFault) {
  for (const auto asn : {std::optional<std::uint32_t>(64496), std::optional<std::uint32_t>()}) {
    ASSERT_OK_AND_ASSIGN(const std::string der,
                         MakeRouterRequest(key_.public_key().spki(), asn, testutil::SignerOf(key_)));
    EXPECT_THAT(Check(der, 64496), IsEmpty());
  }
}

TEST_F(RequestTest, OneOfKrillIsTaken) {
  // From Krill's manual: made by another implementation.
  const std::string der = *HexDecode(
      "3081FB3081A2020100301A3118301606035504030C0F524F555445522D30303030334343413059301306072A8648CE3D020106082A8648"
      "CE3D030107034200044F5D05301C4FE8FDEBE9A1BF202A5FB24B69ED7EB2949218F0AC9EEB391084D3ADD32F9C473627807F0C1B363771"
      "736F67AE33E02A59DB681FE2D7B26C6ABCA3A026302406092A864886F70D01090E3117301530130603551D25040C300A06082B06010505"
      "07031E300A06082A8648CE3D04030203480030450221008A252599785ED71EE1E415E00DEF33B384480CFBA5B26A495A228DC9DE544F9A"
      "02200FD90F48ED008D57F570452742B802E43FF948C694276869DEBF23A0A16ADE10");
  EXPECT_THAT(Check(der, 15562), IsEmpty());
  EXPECT_THAT(Check(der, 64496), ElementsAre("SUBJECT_OF_ANOTHER_AS"));
}

TEST_F(RequestTest, WhatIsNotGrantedIsIgnoredOrRefused) {
  EXPECT_THAT(Check(Request("")), IsEmpty());  // no purpose asked for: the certificate gets it all the same
  EXPECT_THAT(Check(Asking({encode::BgpsecRouter(), encode::Authority(), encode::CertificateAndCrlSign()})), IsEmpty());
  EXPECT_THAT(Check(Asking({encode::Policy()})), ElementsAre("REQUESTED_EXTENSION"));
  EXPECT_THAT(Check(Asking({encode::AsNumbers(AsResources::Single(1))})), ElementsAre("REQUESTED_EXTENSION"));
  const std::string server = der::Sequence({der::Tlv(der::kOid, "\x2b\x06\x01\x05\x05\x07\x03\x01")});
  EXPECT_THAT(Check(Asking({x509::EncodeExtension(oid::kExtendedKeyUsage, false, server)})),
              ElementsAre("EXTENDED_KEY_USAGE_WRONG"));
  EXPECT_THAT(Check(Request(Attribute("\x2a\x03", der::Sequence({""})))), ElementsAre("REQUEST_ATTRIBUTE"));
}

TEST_F(RequestTest, FramesAndSignatures) {
  EXPECT_THAT(Check(Request("", std::string_view("\x30\x00", 2), 1)), ElementsAre("VERSION"));
  EXPECT_THAT(Check(Request("", std::string_view("\x30\x00", 2), 0, x509::kSha256WithRsa)),
              ElementsAre("SIGNATURE_ALGORITHM"));
  const auto other = crypto::P256PrivateKey::Generate();
  ASSERT_OK_AND_ASSIGN(const std::string stolen,
                       MakeRouterRequest(key_.public_key().spki(), 64496, testutil::SignerOf(other)));
  EXPECT_THAT(Check(stolen), ElementsAre("SIGNATURE"));
  ASSERT_OK_AND_ASSIGN(const std::string good,
                       MakeRouterRequest(key_.public_key().spki(), 64496, testutil::SignerOf(key_)));
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::string changed = good;
    changed[at] = static_cast<char>(changed[at] ^ 0x10);
    EXPECT_FALSE(Check(changed).empty()) << at;
    EXPECT_THAT(Check(std::string_view(good).substr(0, at)), ElementsAre("MALFORMED"));
  }
  EXPECT_THAT(Check(std::string(x509::kMaxRequest + 1, '0')), ElementsAre("MALFORMED"));
}

TEST_F(RequestTest, KeysOfOtherKinds) {
  const auto with = [](std::string_view spki) {
    const std::string info = der::Sequence(
        {der::Integer(0), std::string_view("\x30\x00", 2), spki, der::Tlv(der::ContextConstructed(0), "")});
    return der::Sequence({info, x509::kEcdsaWithSha256, der::Bits("x")});
  };
  EXPECT_THAT(Check(with(testutil::RsaKeyForTests(0).public_key().spki())), ElementsAre("PUBLIC_KEY_ALGORITHM"));
  const std::string_view spki = key_.public_key().spki();
  const std::string compressed =
      der::Sequence({spki.substr(2, 21), der::Bits('\x02' + std::string(spki.substr(27, 32)))});
  EXPECT_THAT(Check(with(compressed)), ElementsAre("PUBLIC_KEY_COMPRESSED"));
  std::string off_curve(spki);
  off_curve.back() = static_cast<char>(off_curve.back() ^ 1);
  EXPECT_THAT(Check(with(off_curve)), ElementsAre("PUBLIC_KEY_INVALID"));
}

}  // namespace
}  // namespace virp::rpki
