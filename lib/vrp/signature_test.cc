#include "lib/vrp/signature.h"

#include "lib/base/bytes.h"
#include "lib/crypto/sha256.h"
#include "tests/testutil/status_matchers.h"

namespace virp::vrp {
namespace {

using ::testing::HasSubstr;
using ::virp::testutil::IsOk;
using ::virp::testutil::StatusIs;

constexpr auto kNot = absl::StatusCode::kUnauthenticated;
constexpr auto kWrong = absl::StatusCode::kInvalidArgument;

std::string Pem(std::string_view der) {
  const std::string text = Base64Encode(der);
  std::string out = "a comment\n-----BEGIN PUBLIC KEY-----\n";
  for (std::size_t i = 0; i < text.size(); i += 64) out += text.substr(i, 64) + "\n";
  return out + "-----END PUBLIC KEY-----\n";
}
std::string Spki(const crypto::Ed25519PublicKey& key) {
  return *HexDecode("302a300506032b6570032100") + key.bytes();
}

TEST(Signature, DetachedEd25519) {
  const auto key = *crypto::Ed25519PrivateKey::FromSeed(std::string(32, 'k'));
  const auto source = SourceKey::FromPem(Pem(Spki(key.public_key())));
  ASSERT_OK(source);
  const std::string signature = key.Sign("document");
  EXPECT_OK(source->VerifyDetached("document", signature));
  EXPECT_OK(source->VerifyDetached("document", Base64Encode(signature) + "\n"));
  EXPECT_THAT(source->VerifyDetached("documenT", signature), StatusIs(kNot));
  EXPECT_THAT(source->VerifyDetached("document", ""), StatusIs(kNot));
  EXPECT_THAT(source->VerifyDetached("document", signature.substr(1)), StatusIs(kNot));
  EXPECT_THAT(source->VerifyDetached("document", std::string(2'000, 'A')), StatusIs(kNot, HasSubstr("2000 bytes")));
  EXPECT_THAT(source->VerifyEmbedded(R"({"roas":[]})"), StatusIs(kWrong, HasSubstr("of P-256")));
}

TEST(Signature, DetachedP256) {
  const auto key = crypto::P256PrivateKey::Generate();
  const auto source = SourceKey::FromPem(Pem(key.public_key().spki()));
  ASSERT_OK(source);
  const std::string signature = key.SignDigest(crypto::Sha256("document"));
  EXPECT_OK(source->VerifyDetached("document", signature));
  EXPECT_OK(source->VerifyDetached("document", Base64Encode(signature)));
  EXPECT_THAT(source->VerifyDetached("documenT", signature), StatusIs(kNot));
  EXPECT_THAT(SourceKey::FromPem(Pem(crypto::P256PrivateKey::Generate().public_key().spki()))
                  ->VerifyDetached("document", signature),
              StatusIs(kNot));
}

TEST(Signature, RefusesOtherKeys) {
  const auto key = crypto::P256PrivateKey::Generate();
  const std::string pem = Pem(key.public_key().spki());
  EXPECT_THAT(SourceKey::FromPem(""), StatusIs(kWrong));
  EXPECT_THAT(SourceKey::FromPem(pem + pem), StatusIs(kWrong));
  EXPECT_THAT(SourceKey::FromPem(Pem("x")), StatusIs(kWrong, HasSubstr("neither of Ed25519 nor of P-256")));
  EXPECT_THAT(SourceKey::FromPem(Pem(*HexDecode("302a300506032b6570032100") + std::string(32, '\0'))),
              StatusIs(kWrong));
  EXPECT_THAT(SourceKey::FromPem("-----END PUBLIC KEY----------BEGIN PUBLIC KEY-----"), StatusIs(kWrong));
}

// What GoRTR signs, spelled out: the records sorted by their text.
class Embedded : public ::testing::Test {
 protected:
  static constexpr std::string_view kList = "10.0.0.0/8,24,AS64500,10.0.0.0/8,8,AS1,2001:db8::/32,48,AS64500,";

  std::string Document(std::string_view date_signature, std::string_view signature, std::string_view more = "") const {
    return fmt::format(
        R"({{"metadata":{{"counts":3,"generated":1600000000,"valid":1600003600,"signature":"{}","signatureDate":"{}"}},
      "roas":[{{"prefix":"2001:db8::/32","maxLength":48,"asn":"AS64500","ta":"x"}},{{"prefix":"10.0.0.0/8","maxLength":8,"asn":"AS1"}},
              {{"asn":"AS64500","prefix":"10.0.0.0/8","maxLength":24}}]{}}})",
        signature, date_signature, more);
  }
  std::string Sign(const std::string& text) const { return HexEncode(key_.SignDigest(crypto::Sha256(text))); }
  SourceKey Source() const { return *SourceKey::FromPem(Pem(key_.public_key().spki())); }

  crypto::P256PrivateKey key_ = crypto::P256PrivateKey::Generate();
  std::string list_ = Sign(std::string(kList));
  std::string dated_ = Sign("1600000000," + std::string(kList) + "1600003600");
};

TEST_F(Embedded, Verifies) {
  EXPECT_OK(Source().VerifyEmbedded(Document(list_, dated_)));
}

TEST_F(Embedded, NeedsBothSignatures) {
  EXPECT_THAT(Source().VerifyEmbedded(Document("", dated_)), StatusIs(kNot, HasSubstr("signatureDate is missing")));
  EXPECT_THAT(Source().VerifyEmbedded(Document(list_, "")), StatusIs(kNot, HasSubstr("metadata.signature is missing")));
  EXPECT_THAT(Source().VerifyEmbedded(Document(dated_, list_)), StatusIs(kNot));
  EXPECT_THAT(Source().VerifyEmbedded(Document("zz", dated_)), StatusIs(kNot));
  EXPECT_THAT(Source().VerifyEmbedded(Document(list_, Sign("1600000001," + std::string(kList) + "1600003600"))),
              StatusIs(kNot));
}

TEST_F(Embedded, EveryChangedByteOfARecordIsNoticed) {
  const std::string document = Document(list_, dated_);
  for (const auto& [from, to] : {std::pair{"10.0.0.0/8", "10.0.0.0/9"},
                                 {"AS1", "AS2"},
                                 {"\"maxLength\":48", "\"maxLength\":49"},
                                 {"1600000000", "1600000001"},
                                 {"1600003600", "1600003601"}}) {
    std::string changed = document;
    changed.replace(changed.find(from), std::string_view(from).size(), to);
    EXPECT_THAT(Source().VerifyEmbedded(changed), StatusIs(kNot)) << to;
  }
}

TEST_F(Embedded, RefusesWhatItDoesNotCover) {
  EXPECT_THAT(Source().VerifyEmbedded(Document(list_, dated_, R"(,"aspas":[])")),
              StatusIs(kWrong, HasSubstr("does not cover")));
  EXPECT_THAT(Source().VerifyEmbedded(Document(list_, dated_, R"(,"roas":[])")), StatusIs(kWrong));
  std::string expiring = Document(list_, dated_);
  expiring.replace(expiring.find("\"ta\":\"x\""), 8, "\"expires\":1");
  EXPECT_THAT(Source().VerifyEmbedded(expiring), StatusIs(kWrong, HasSubstr("`expires`")));
  const std::string undated = Sign("0," + std::string(kList) + "1600003600");
  std::string built = Document(list_, undated);
  built.replace(built.find("\"generated\":1600000000"), 22, R"("buildtime":"2026-07-01T12:00:00Z")");
  EXPECT_THAT(Source().VerifyEmbedded(built), StatusIs(kWrong, HasSubstr("generated is missing")));
  std::string number = Document(list_, dated_);
  number.replace(number.find("\"AS1\""), 5, "1");
  EXPECT_THAT(Source().VerifyEmbedded(number), StatusIs(kWrong));
  // "10.0.0.0/8,8" as a prefix would read as another record.
  std::string comma = Document(list_, dated_);
  comma.replace(comma.find("\"10.0.0.0/8\""), 12, "\"10.0.0.0/8,8\"");
  EXPECT_THAT(Source().VerifyEmbedded(comma), StatusIs(kWrong, HasSubstr("record 1")));
  EXPECT_THAT(Source().VerifyEmbedded("{"), StatusIs(kWrong));
}

}  // namespace
}  // namespace virp::vrp
