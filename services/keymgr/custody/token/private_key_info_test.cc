#include "services/keymgr/custody/token/private_key_info.h"

#include "lib/base/bytes.h"
#include "lib/crypto/p256.h"
#include "lib/crypto/p256_file.h"
#include "tests/testutil/status_matchers.h"

namespace virp::keymgr {
namespace {

using ::testing::HasSubstr;
using testutil::StatusIs;

crypto::Secret Scalar() {
  return crypto::Secret(std::string(31, '\x5a') + "\x01");
}
std::string Point() {
  return std::string(crypto::P256PrivateKey::FromScalar(Scalar().view())->public_key().point());
}

TEST(PrivateKeyInfo, IsWhatOpenSslReads) {
  const crypto::Secret info = P256PrivateKeyInfo(Scalar(), Point());
  ASSERT_OK_AND_ASSIGN(const auto key, crypto::ReadP256PrivateKey(info.view()));
  EXPECT_EQ(key.public_key().point(), Point());
  ASSERT_OK_AND_ASSIGN(const crypto::Secret scalar, P256ScalarOf(info));
  EXPECT_EQ(scalar.view(), Scalar().view());
}

// Without the public half, as SoftHSM gives it; with the parameters again inside, as others do.
TEST(PrivateKeyInfo, TakesTheFormsOfTokens) {
  const std::string bare = HexDecode("3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420").value() +
                           std::string(Scalar().view());
  const std::string with_parameters =
      HexDecode("304d020100301306072a8648ce3d020106082a8648ce3d030107043330310201010420").value() +
      std::string(Scalar().view()) + HexDecode("a00a06082a8648ce3d030107").value();
  for (const std::string& form : {bare, bare + std::string(5, '\0'), with_parameters}) {
    ASSERT_OK_AND_ASSIGN(const crypto::Secret scalar, P256ScalarOf(crypto::Secret(form)));
    EXPECT_EQ(scalar.view(), Scalar().view());
  }
}

TEST(PrivateKeyInfo, RefusesWhatIsNone) {
  const std::string good(P256PrivateKeyInfo(Scalar(), Point()).view());
  const auto expect_refused = [](const std::string& bytes) {
    EXPECT_THAT(P256ScalarOf(crypto::Secret(bytes)), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("no P-256 key")))
        << HexEncode(bytes);
  };
  for (std::size_t size = 0; size < good.size(); ++size) expect_refused(good.substr(0, size));
  expect_refused(good + std::string(8, '\0'));
  expect_refused(good + '\x01');
  // Every changed byte in front of the scalar: tags, lengths, versions, curve.
  for (std::size_t at = 0; at < good.find(Scalar().view()); ++at) {
    std::string changed = good;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    expect_refused(changed);
  }
  expect_refused("\x30\x80" + good.substr(2));
  expect_refused(std::string("\x30\x84\xff\xff\xff\xff", 6) + good);
}

}  // namespace
}  // namespace virp::keymgr
