#include "lib/rpki/chain.h"

#include <gtest/gtest.h>

#include "tests/testutil/rpki_lab.h"
#include "tests/testutil/status_matchers.h"

namespace virp::rpki {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testutil::ReasonIs;

class ChainTest : public testing::Test {
 protected:
  ChainTest() : key_(crypto::P256PrivateKey::Generate()) {}

  std::vector<std::string_view> Says(std::string_view router, Time now) const {
    const RouterExpectation expected{.asn = 64496, .now = now};
    std::vector<std::string_view> out, of_path;
    for (const Refusal& refusal : chain_->Check(router, expected)) out.push_back(ReasonName(refusal.reason));
    for (const Refusal& refusal : CheckPath(router, {lab_.ca}, lab_.ta, {}, expected))
      of_path.push_back(ReasonName(refusal.reason));
    if (!of_path.empty()) EXPECT_FALSE(out.empty());
    return out;
  }
  std::vector<std::string_view> Says(std::string_view router) const { return Says(router, lab_.now); }
  std::string Signed(const Issuer& issuer, std::uint32_t asn = 64496) const {
    return *IssueRouterCertificate({.asn = asn,
                                    .serial = RandomSerial(),
                                    .validity = {lab_.now, lab_.now + std::chrono::hours(24 * 5'000)},
                                    .spki = key_.public_key().spki()},
                                   issuer);
  }

  testutil::RpkiLab lab_;
  crypto::P256PrivateKey key_;
  std::shared_ptr<const Chain> chain_ = *Chain::Make(lab_.ca, lab_.ta);
};

TEST_F(ChainTest, SaysWhatTheWholePathDoes) {
  const std::string good = lab_.Router(64496, key_.public_key());
  EXPECT_THAT(Says(good), IsEmpty());
  for (std::size_t at = 0; at < good.size(); at += 3) {
    std::string changed = good;
    changed[at] = static_cast<char>(changed[at] ^ 0x04);
    EXPECT_FALSE(Says(changed).empty()) << at;
  }
}

TEST_F(ChainTest, EveryStepIsChecked) {
  Issuer forger = lab_.ca_issuer;
  forger.signer = testutil::SignerOf(testutil::RsaKeyForTests(2));
  EXPECT_THAT(Says(Signed(forger)), ElementsAre("SIGNATURE"));
  EXPECT_THAT(Says(Signed(lab_.ta_issuer)), ElementsAre("ISSUER_NAME"));
  Issuer another_key = lab_.ca_issuer;
  another_key.key_identifier = lab_.ta_issuer.key_identifier;
  EXPECT_THAT(Says(Signed(another_key)), ElementsAre("ISSUER_NAME"));
  // The certificate is good then, the authorities above it are not.
  EXPECT_THAT(Says(Signed(lab_.ca_issuer), lab_.now + std::chrono::hours(24 * 4'000)),
              ElementsAre("EXPIRED", "EXPIRED"));
  const Refusals other_as = chain_->Check(Signed(lab_.ca_issuer, 64999), {.now = lab_.now});
  ASSERT_EQ(other_as.size(), 1U);
  EXPECT_EQ(ReasonName(other_as[0].reason), "AS_NOT_HELD");
}

TEST_F(ChainTest, IsMadeOfAuthoritiesThatHoldOnly) {
  EXPECT_THAT(Chain::Make(lab_.ta, lab_.ta).status(), ReasonIs("AUTHORITY_KEY_IDENTIFIER_MISSING"));
  std::string changed = lab_.ca;
  changed.back() = static_cast<char>(changed.back() ^ 1);
  EXPECT_THAT(Chain::Make(changed, lab_.ta).status(), ReasonIs("SIGNATURE"));
  EXPECT_FALSE(Chain::Make("", lab_.ta).ok());
  EXPECT_FALSE(Chain::Make(lab_.ca, lab_.ca).ok());
  AuthoritySpec more{.common_name = "Greedy",
                     .serial = RandomSerial(),
                     .validity = {lab_.now, lab_.now + std::chrono::hours(24)},
                     .spki = testutil::RsaKeyForTests(1).public_key().spki(),
                     .as_numbers = AsResources::Of({{1, 2}}),
                     .addresses = IpResources::Of({*Prefix::Parse("192.0.2.0/24")}),
                     .repository_uri = testutil::RpkiLab::kCaPoint,
                     .manifest_uri = "rsync://rpki.example.net/ca/ca.mft",
                     .notify_uri = ""};
  EXPECT_THAT(Chain::Make(*IssueAuthorityCertificate(more, lab_.ta_issuer), lab_.ta).status(), ReasonIs("AS_NOT_HELD"));
}

}  // namespace
}  // namespace virp::rpki
