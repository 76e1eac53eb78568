#include "lib/crypto/p256_file.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "lib/crypto/test_vectors.h"
#include "tests/testutil/program.h"
#include "tests/testutil/status_matchers.h"

namespace virp::crypto {
namespace {

using absl::StatusCode;
using testing::HasSubstr;
using testutil::StatusIs;

// What the openssl program writes, so that the forms are others' and not ours.
class P256File : public testing::Test {
 protected:
  std::string OpenSsl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "/usr/bin/openssl");
    const auto result = testutil::RunProgram(arguments, {"HOME=" + dir_.path()});
    EXPECT_EQ(result.exit, 0) << result.err;
    return result.out;
  }
  // Runs openssl with `-out`, and returns what it wrote.
  std::string Written(std::vector<std::string> arguments, const std::string& name) {
    arguments.insert(arguments.end(), {"-out", dir_.File(name)});
    OpenSsl(std::move(arguments));
    return testutil::FileText(dir_.File(name));
  }
  std::string Key(const std::string& curve = "P-256", const std::string& name = "key.pem") {
    return Written({"genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:" + curve}, name);
  }
  testutil::TempDir dir_;
};

TEST_F(P256File, EveryFormThatOpensslWritesIsRead) {
  const std::string pem = Key();
  const std::string in = dir_.File("key.pem");
  ASSERT_OK_AND_ASSIGN(const auto key, ReadP256PrivateKey(pem));
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"pkey", "-in", in, "-outform", "DER"}, {"ec", "-in", in}, {"ec", "-in", in, "-outform", "DER"}}) {
    ASSERT_OK_AND_ASSIGN(const auto same, ReadP256PrivateKey(Written(arguments, "other")));
    EXPECT_EQ(same.public_key().spki(), key.public_key().spki());
  }
  Written({"req", "-x509", "-key", in, "-subj", "/CN=ROUTER-0000FBF0", "-days", "1"}, "crt.pem");
  for (const auto& arguments :
       std::vector<std::vector<std::string>>{{"pkey", "-in", in, "-pubout"},
                                             {"pkey", "-in", in, "-pubout", "-outform", "DER"},
                                             {"x509", "-in", dir_.File("crt.pem")},
                                             {"x509", "-in", dir_.File("crt.pem"), "-outform", "DER"}}) {
    ASSERT_OK_AND_ASSIGN(const auto same, ReadP256PublicKey(Written(arguments, "other")));
    EXPECT_EQ(same.spki(), key.public_key().spki());
  }
}

TEST_F(P256File, OtherKeysAreRefused) {
  for (const std::string curve : {"P-384", "secp256k1", "brainpoolP256r1"}) {
    const std::string pem = Key(curve);
    EXPECT_THAT(ReadP256PrivateKey(pem).status(), StatusIs(StatusCode::kInvalidArgument, HasSubstr("P-256"))) << curve;
    EXPECT_THAT(ReadP256PublicKey(Written({"pkey", "-in", dir_.File("key.pem"), "-pubout"}, "pub")).status(),
                StatusIs(StatusCode::kInvalidArgument))
        << curve;
  }
  const std::string ed25519 = Written({"genpkey", "-algorithm", "ED25519"}, "ed.pem");
  EXPECT_THAT(ReadP256PrivateKey(ed25519).status(), StatusIs(StatusCode::kInvalidArgument, HasSubstr("P-256")));

  const std::string pem = Key();
  const std::string in = dir_.File("key.pem");
  EXPECT_THAT(ReadP256PublicKey(pem).status(), StatusIs(StatusCode::kInvalidArgument, HasSubstr("PRIVATE KEY")));
  const std::string encrypted =
      Written({"pkcs8", "-topk8", "-in", in, "-passout", "pass:word", "-v2", "aes256"}, "encrypted");
  EXPECT_THAT(ReadP256PrivateKey(encrypted).status(), StatusIs(StatusCode::kInvalidArgument));
  const std::string compressed = Written({"ec", "-in", in, "-pubout", "-conv_form", "compressed"}, "compressed");
  EXPECT_THAT(ReadP256PublicKey(compressed).status(), StatusIs(StatusCode::kInvalidArgument, HasSubstr("8608")));
}

TEST_F(P256File, APrivateKeyWithSomebodyElsesPublicHalfIsRefused) {
  Key();
  std::string der = Written({"ec", "-in", dir_.File("key.pem"), "-outform", "DER"}, "der");
  Key("P-256", "other.pem");
  const std::string other = Written({"ec", "-in", dir_.File("other.pem"), "-outform", "DER"}, "der");
  ASSERT_EQ(der.size(), other.size());
  der.replace(der.size() - kP256PointSize, kP256PointSize, other, other.size() - kP256PointSize, kP256PointSize);
  EXPECT_THAT(ReadP256PrivateKey(der).status(), StatusIs(StatusCode::kInvalidArgument, HasSubstr("public half")));
}

TEST_F(P256File, PartsAndTailsAreRefused) {
  Key();
  const std::string in = dir_.File("key.pem");
  const std::string der = Written({"pkey", "-in", in, "-outform", "DER"}, "der");
  const std::string spki = Written({"pkey", "-in", in, "-pubout", "-outform", "DER"}, "spki");
  const std::string crt =
      Written({"req", "-x509", "-key", in, "-subj", "/CN=ROUTER-0000FBF0", "-days", "1", "-outform", "DER"}, "crt");
  for (std::size_t size = 0; size < der.size(); ++size)
    EXPECT_FALSE(ReadP256PrivateKey(std::string_view(der).substr(0, size)).ok()) << size;
  for (std::size_t size = 0; size < spki.size(); ++size)
    EXPECT_FALSE(ReadP256PublicKey(std::string_view(spki).substr(0, size)).ok()) << size;
  for (std::size_t size = 0; size < crt.size(); ++size)
    EXPECT_FALSE(ReadP256PublicKey(std::string_view(crt).substr(0, size)).ok()) << size;
  EXPECT_FALSE(ReadP256PrivateKey(der + '\0').ok());
  EXPECT_FALSE(ReadP256PublicKey(spki + '\0').ok());
  EXPECT_FALSE(ReadP256PublicKey(crt + '\0').ok());
  EXPECT_FALSE(ReadP256PrivateKey("-----BEGIN PRIVATE KEY-----\n").ok());
  EXPECT_FALSE(ReadP256PublicKey("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n").ok());
  const std::string large(kMaxP256File + 1, 'x');
  EXPECT_THAT(ReadP256PrivateKey(large).status(), StatusIs(StatusCode::kInvalidArgument, HasSubstr("at most")));
  EXPECT_THAT(ReadP256PublicKey(large).status(), StatusIs(StatusCode::kInvalidArgument, HasSubstr("at most")));
}

}  // namespace
}  // namespace virp::crypto
