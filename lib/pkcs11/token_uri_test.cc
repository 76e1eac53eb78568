#include "lib/pkcs11/token_uri.h"

#include "tests/testutil/status_matchers.h"

namespace virp::pkcs11 {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testutil::IsOkAndHolds;
using testutil::StatusIs;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(TokenUri, TakesAllThatItKnows) {
  const TokenUri expected{.token = {.label = "The Software PKCS#11 Softtoken",
                                    .serial = "4fb1",
                                    .manufacturer = "Snake Oil, Inc.",
                                    .model = "1.0&more",
                                    .slot = 7},
                          .module_path = "/usr/lib/libmypkcs11.so",
                          .pin_file = "/etc/token"};
  EXPECT_THAT(ParseTokenUri("pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;"
                            "serial=4fb1;model=1.0&more;slot-id=7?pin-source=file:/etc/token&"
                            "module-path=/usr/lib/libmypkcs11.so"),
              IsOkAndHolds(expected));
}

TEST(TokenUri, FormsOfPinSourceAndScheme) {
  for (const char* source : {"/etc/pin", "file:/etc/pin", "file:///etc/pin", "file:%2Fetc%2fpin"}) {
    ASSERT_OK_AND_ASSIGN(const TokenUri uri, ParseTokenUri(std::string("PKCS11:token=a?pin-source=") + source));
    EXPECT_EQ(uri.pin_file, "/etc/pin") << source;
  }
  EXPECT_THAT(ParseTokenUri("pkcs11:token=a?pin-source=pin"), StatusIs(kInvalid, HasSubstr("absolute")));
  EXPECT_THAT(ParseTokenUri("pkcs11:token=a?pin-source=%7Ccat%20pin"), StatusIs(kInvalid, HasSubstr("absolute")));
  EXPECT_THAT(ParseTokenUri("pkcs11:token=a?pin-source=file:"), StatusIs(kInvalid));
  EXPECT_THAT(ParseTokenUri("pkcs11:token=a?module-path=libx.so"), StatusIs(kInvalid, HasSubstr("module-path")));
}

TEST(TokenUri, RefusesWhatItWouldHaveToGuess) {
  EXPECT_THAT(ParseTokenUri("pkcs11:"), StatusIs(kInvalid, HasSubstr("selects no token")));
  EXPECT_THAT(ParseTokenUri("pkcs11:?pin-source=/etc/pin"), StatusIs(kInvalid, HasSubstr("selects no token")));
  EXPECT_THAT(ParseTokenUri(""), StatusIs(kInvalid, HasSubstr("begins with")));
  EXPECT_THAT(ParseTokenUri("pkcs12:token=a"), StatusIs(kInvalid, HasSubstr("begins with")));
  EXPECT_THAT(ParseTokenUri("pkcs11:token=a;token=b"), StatusIs(kInvalid, HasSubstr("twice")));
  EXPECT_THAT(ParseTokenUri("pkcs11:token="), StatusIs(kInvalid, HasSubstr("empty")));
  EXPECT_THAT(ParseTokenUri("pkcs11:token"), StatusIs(kInvalid, HasSubstr("name=value")));
  EXPECT_THAT(ParseTokenUri("pkcs11:token=a;;serial=1"), StatusIs(kInvalid, HasSubstr("name=value")));
  EXPECT_THAT(ParseTokenUri("pkcs11:token=a;object=key"), StatusIs(kInvalid, HasSubstr("'object' is not understood")));
  EXPECT_THAT(ParseTokenUri("pkcs11:token=a?module-name=x"), StatusIs(kInvalid, HasSubstr("'module-name'")));
  EXPECT_THAT(ParseTokenUri("pkcs11:token=a;pin-source=/etc/pin"), StatusIs(kInvalid, HasSubstr("pin-source")));
  for (const char* slot : {"x", "-1", "1x", "99999999999999999999999", "+1"}) {
    EXPECT_THAT(ParseTokenUri(std::string("pkcs11:slot-id=") + slot), StatusIs(kInvalid, HasSubstr("slot-id"))) << slot;
  }
}

TEST(TokenUri, RefusesBrokenEscapesAndBareBytes) {
  for (const char* uri : {"pkcs11:token=%", "pkcs11:token=%4", "pkcs11:token=%zz", "pkcs11:token=a%00b",
                          "pkcs11:token=a b", "pkcs11:token=a/b", "pkcs11:token=\xc3\xa4", "pkcs11:token=a\"b"}) {
    EXPECT_THAT(ParseTokenUri(uri), StatusIs(kInvalid)) << uri;
  }
  EXPECT_THAT(ParseTokenUri("pkcs11:token=" + std::string(kMaxTokenUri, 'a')), StatusIs(kInvalid, HasSubstr("limit")));
}

TEST(TokenUri, APinInAUriIsRefusedAndNotRepeated) {
  for (const char* uri :
       {"pkcs11:token=a?pin-value=geheim", "pkcs11:pin-value=geheim;token=a", "pkcs11:token=a?pin-value=%zz-geheim"}) {
    EXPECT_THAT(ParseTokenUri(uri), StatusIs(kInvalid, HasSubstr("does not belong into a URI")));
    EXPECT_THAT(ParseTokenUri(uri), StatusIs(kInvalid, Not(HasSubstr("geheim"))));
  }
}

TEST(TokenSelector, SaysWhatIsMeant) {
  EXPECT_EQ((TokenSelector{.label = "virp", .serial = "0a"}.Describe()), "token 'virp', serial 0a");
  EXPECT_EQ((TokenSelector{.model = "m", .slot = 3}.Describe()), "a token, model 'm', in slot 3");
}

}  // namespace
}  // namespace virp::pkcs11
