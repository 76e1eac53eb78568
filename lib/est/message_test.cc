#include "lib/est/message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/crypto/p256.h"
#include "lib/crypto/sha256.h"
#include "lib/crypto/x509.h"
#include "tests/testutil/status_matchers.h"

namespace virp::est {
namespace {

using testing::ElementsAre;
using testutil::IsOkAndHolds;
using testutil::ReasonIs;
using testutil::StatusIs;

// A request with an empty subject.
std::string Csr() {
  const auto key = crypto::P256PrivateKey::Generate();
  const std::string info =
      der::Sequence({der::Integer(0), der::Sequence({}), key.public_key().spki(), std::string_view("\xa0\x00", 2)});
  return *x509::Sign(info, x509::kEcdsaWithSha256,
                     [&](std::string_view message) { return key.SignDigest(crypto::Sha256(message)); });
}

TEST(EstMessageTest, Paths) {
  const auto parsed = [](std::string_view path) -> std::string {
    const auto target = ParsePath(path);
    if (!target.ok()) return GetReason(target.status()).empty() ? "NOT_FOUND" : GetReason(target.status());
    EXPECT_EQ(PathOf(*target), path);
    return std::string(OperationName(target->operation)) + " " + target->label;
  };
  EXPECT_EQ(parsed("/.well-known/est/cacerts"), "cacerts ");
  EXPECT_EQ(parsed("/.well-known/est/simpleenroll"), "simpleenroll ");
  EXPECT_EQ(parsed("/.well-known/est/as64496/simplereenroll"), "simplereenroll as64496");
  EXPECT_EQ(parsed("/.well-known/est/x/csrattrs"), "NOT_OFFERED");
  EXPECT_EQ(parsed("/.well-known/est/serverkeygen"), "NOT_OFFERED");
  for (const std::string& path :
       {std::string(), std::string("/"), std::string("/.well-known/est"), std::string("/.well-known/est/"),
        std::string("/.well-known/est//cacerts"), std::string("/.well-known/est/cacerts/"),
        std::string("/.well-known/est/cacerts/cacerts"), std::string("/.well-known/est/a/b/cacerts"),
        std::string("/.well-known/est/%61/cacerts"), std::string("/.well-known/est/cacerts?x"),
        std::string("/.well-known/EST/cacerts"), "/.well-known/est/" + std::string(65, 'a') + "/cacerts"})
    EXPECT_EQ(parsed(path), "NOT_FOUND") << path;
}

TEST(EstMessageTest, LabelsNameAnAs) {
  EXPECT_THAT(ParseAsLabel(AsLabel(4'294'967'295)), IsOkAndHolds(4'294'967'295));
  for (const std::string_view wrong :
       {"", "a", "as", "64496", "as0", "as064496", "as-1", "as4294967296", "as1x", "AS1"})
    EXPECT_THAT(ParseAsLabel(wrong), StatusIs(absl::StatusCode::kInvalidArgument)) << wrong;
}

TEST(EstMessageTest, RequestsInWhateverLines) {
  const std::string der = Csr(), body = EncodeRequest(der), plain = Base64Encode(der);
  EXPECT_THAT(body, testing::HasSubstr("\r\n"));
  EXPECT_THAT(DecodeRequest("application/pkcs10", body), IsOkAndHolds(der));
  EXPECT_THAT(DecodeRequest("Application/PKCS10; charset=us-ascii", plain), IsOkAndHolds(der));
  EXPECT_THAT(DecodeRequest("application/pkcs10", " " + plain.substr(0, 3) + "\n\n\t" + plain.substr(3) + "\n"),
              IsOkAndHolds(der));
}

TEST(EstMessageTest, RequestsThatAreNone) {
  const std::string der = Csr(), body = EncodeRequest(der), type(kRequestType);
  EXPECT_THAT(DecodeRequest("application/pkcs7-mime", body), ReasonIs("CONTENT_TYPE"));
  EXPECT_THAT(DecodeRequest("", body), ReasonIs("CONTENT_TYPE"));
  EXPECT_THAT(DecodeRequest(type, ""), ReasonIs("BAD_REQUEST"));
  EXPECT_THAT(DecodeRequest(type, der), ReasonIs("BAD_BASE64")) << "binary";
  EXPECT_THAT(DecodeRequest(type, "-----BEGIN CERTIFICATE REQUEST-----\n" + body), ReasonIs("BAD_BASE64"));
  EXPECT_THAT(DecodeRequest(type, body + "!"), ReasonIs("BAD_BASE64"));
  EXPECT_THAT(DecodeRequest(type, Base64Encode("hello")), ReasonIs("BAD_REQUEST"));
  EXPECT_THAT(DecodeRequest(type, Base64Encode(der + "x")), ReasonIs("BAD_REQUEST"));
  EXPECT_THAT(DecodeRequest(type, Base64Encode(der.substr(0, der.size() - 1))), ReasonIs("BAD_REQUEST"));
  EXPECT_THAT(DecodeRequest(type, std::string(kMaxRequestBody + 1, 'A')), ReasonIs("BAD_REQUEST"));
}

TEST(EstMessageTest, CertificatesAreReadAsTheyAreWritten) {
  // Only the frame around certificates is this library's: any two elements do.
  const std::string one = der::Sequence({der::Integer(1)}), two = der::Sequence({der::Integer(2)});
  const std::string body = EncodeCertificates({one, two});
  EXPECT_THAT(DecodeCertificates("application/pkcs7-mime", "x" + body), ReasonIs("BAD_BASE64"));
  EXPECT_THAT(DecodeCertificates("application/pkcs7-mime; smime-type=server-generated-key", body),
              ReasonIs("CONTENT_TYPE"));
  EXPECT_THAT(DecodeCertificates("text/html", body), ReasonIs("CONTENT_TYPE"));
  EXPECT_THAT(DecodeCertificates(kCertsType, Base64Encode("hello")), ReasonIs("BAD_CERTIFICATES"));
  EXPECT_THAT(DecodeCertificates(kCertsType, std::string(kMaxResponseBody + 1, 'A')), ReasonIs("BAD_CERTIFICATES"));
}

TEST(EstMessageTest, WhenToComeBack) {
  using std::chrono::seconds;
  EXPECT_EQ(RetryAfter("7"), seconds(7));
  EXPECT_EQ(RetryAfter("0"), seconds(1));
  EXPECT_EQ(RetryAfter("-5"), seconds(1));
  EXPECT_EQ(RetryAfter("9999999"), seconds(86'400));
  EXPECT_EQ(RetryAfter("Fri, 31 Dec 2027 23:59:59 GMT"), seconds(60));
  EXPECT_EQ(RetryAfter("99999999999999999999999"), seconds(60));
  EXPECT_EQ(RetryAfter(std::nullopt), seconds(60));
}

}  // namespace
}  // namespace virp::est
