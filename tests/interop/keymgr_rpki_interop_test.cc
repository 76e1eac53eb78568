// The key manager's publication as Debian's rpki-client sees it, through issue, roll, revocation and refresh.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

#include "lib/rpki/publication.h"
#include "services/keymgr/domain/rpki_fixture.h"
#include "services/keymgr/outlets/folder_target.h"
#include "tests/interop/rpki_tools.h"
#include "tests/testutil/status_matchers.h"

namespace virp::keymgr {
namespace {

using testing::IsEmpty;
using testing::UnorderedElementsAre;
using testutil::KeyOf;

struct Publication {
  Publication() {
    RpkiOptions options;
    options.base_uri = "rsync://rpki.example.net/repo/";
    options.as_numbers = rpki::AsResources::Of({{64496, 64511}});
    options.addresses = rpki::IpResources::Of({*Prefix::Parse("192.0.2.0/24")});
    options.roll_staging = std::chrono::seconds(0);
    authority = std::make_unique<RpkiAuthority>(*rpki.ledger, rpki.custodies, target, rpki.one_time_keys,
                                                rpki.ledger.clock, options, "keymgr-1");
    EXPECT_OK(authority->SetUp(TestCall("setup")));
    party = std::make_unique<testutil::RelyingParty>(*authority->Tal(), *authority->TrustAnchor());
  }
  // What rpki-client sees in what is published now.
  auto Seen() {
    EXPECT_OK(authority->Publish());
    std::map<std::string, std::string> below;
    const auto tree = rpki::PublicationFolder::Open(dir.File("publication"))->Read();
    EXPECT_OK(tree);
    if (tree.ok()) {
      for (const auto& [path, bytes] : *tree) below["repo/" + path] = bytes;
    }
    party->Fetch(below);
    return party->Validate();
  }
  absl::StatusOr<RpkiAuthority::CertificatePtr> Issue(const crypto::P256PrivateKey& key, std::uint32_t asn,
                                                      const std::string& router) {
    const std::string request = *rpki::MakeRouterRequest(key.public_key().spki(), asn, testutil::SignerOf(key));
    return authority->Issue(TestCall(), {.router = router, .asn = asn, .bgp_id = 1, .request = request});
  }

  const testutil::TempDir dir;
  FolderTarget target{dir.File("publication")};
  RpkiFixture rpki{SystemClock().NowNanos()};
  std::unique_ptr<RpkiAuthority> authority;
  std::unique_ptr<testutil::RelyingParty> party;
};

TEST(KeymgrRpkiInterop, ARelyingPartySeesEachKeyAndNothingElse) {
  Publication out;
  EXPECT_THAT(out.Seen(), IsEmpty());
  const auto first = crypto::P256PrivateKey::Generate(), second = crypto::P256PrivateKey::Generate(),
             third = crypto::P256PrivateKey::Generate();
  ASSERT_OK_AND_ASSIGN(const auto old_one, out.Issue(first, 64496, "edge-a"));
  ASSERT_OK(out.Issue(second, 64497, "edge-b"));
  const auto first_key = KeyOf(64496, first.public_key()), second_key = KeyOf(64497, second.public_key()),
             third_key = KeyOf(64496, third.public_key());
  EXPECT_THAT(out.Seen(), UnorderedElementsAre(first_key, second_key)) << out.party->log();
  ASSERT_OK(out.Issue(third, 64496, "edge-a"));
  EXPECT_THAT(out.Seen(), UnorderedElementsAre(first_key, second_key, third_key));
  ASSERT_OK(keymgr::RevokeCertificate(*out.rpki.ledger, old_one->id));
  EXPECT_THAT(out.Seen(), UnorderedElementsAre(second_key, third_key));
  EXPECT_THAT(out.Seen(), UnorderedElementsAre(second_key, third_key));  // a refresh alone
}

TEST(KeymgrRpkiInterop, InEveryStepOfTheAuthoritysRoll) {
  Publication out;
  const auto first = crypto::P256PrivateKey::Generate(), second = crypto::P256PrivateKey::Generate(),
             third = crypto::P256PrivateKey::Generate();
  ASSERT_OK(out.Issue(first, 64496, "edge-a"));
  ASSERT_OK_AND_ASSIGN(const auto gone, out.Issue(third, 64498, "edge-c"));
  const auto first_key = KeyOf(64496, first.public_key()), second_key = KeyOf(64497, second.public_key()),
             third_key = KeyOf(64498, third.public_key());
  EXPECT_THAT(out.Seen(), UnorderedElementsAre(first_key, third_key)) << out.party->log();
  ASSERT_OK(out.authority->StartRoll(TestCall("roll")));
  EXPECT_THAT(out.Seen(), UnorderedElementsAre(first_key, third_key)) << "staging: " << out.party->log();
  EXPECT_THAT(out.authority->Advance(), testutil::IsOkAndHolds(true));
  ASSERT_OK(out.Issue(second, 64497, "edge-b"));
  EXPECT_THAT(out.Seen(), UnorderedElementsAre(first_key, second_key, third_key)) << "both issue: " << out.party->log();
  ASSERT_OK(keymgr::RevokeCertificate(*out.rpki.ledger, gone->id));
  EXPECT_THAT(out.authority->Advance(), testutil::IsOkAndHolds(true));
  EXPECT_THAT(out.Seen(), UnorderedElementsAre(first_key, second_key)) << "issued again: " << out.party->log();
  EXPECT_THAT(out.authority->Advance(), testutil::IsOkAndHolds(true));
  EXPECT_EQ(out.authority->Roll().state, AuthorityState::kRetiring);
  EXPECT_THAT(out.Seen(), UnorderedElementsAre(first_key, second_key)) << "the old one revoked: " << out.party->log();
  while (*out.authority->Advance()) EXPECT_THAT(out.Seen(), UnorderedElementsAre(first_key, second_key));
  EXPECT_EQ(out.authority->Roll().version, 2U);
  EXPECT_THAT(out.Seen(), UnorderedElementsAre(first_key, second_key)) << out.party->log();
}

}  // namespace
}  // namespace virp::keymgr
