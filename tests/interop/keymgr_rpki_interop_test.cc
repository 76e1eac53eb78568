// The key manager's publication as Debian's rpki-client sees it, through issue, roll, revocation and refresh.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

TEST(KeymgrRpkiInterop, ARelyingPartySeesEachKeyAndNothingElse) {
  const testutil::TempDir dir;
  FolderTarget target(dir.File("publication"));
  const UnixNanos now = SystemClock().NowNanos();
  RpkiFixture rpki(now);
  RpkiOptions options;
  options.base_uri = "rsync://rpki.example.net/repo/";
  options.as_numbers = rpki::AsResources::Of({{64496, 64511}});
  options.addresses = rpki::IpResources::Of({*Prefix::Parse("192.0.2.0/24")});
  RpkiAuthority authority(*rpki.ledger, rpki.custodies, target, rpki.one_time_keys, rpki.ledger.clock, options,
                          "keymgr-1");
  ASSERT_OK(authority.SetUp(TestCall("setup")));
  ASSERT_OK_AND_ASSIGN(const std::string tal, authority.Tal());
  ASSERT_OK_AND_ASSIGN(const std::string anchor, authority.TrustAnchor());
  testutil::RelyingParty party(tal, anchor);
  const auto seen = [&] {
    EXPECT_OK(authority.Publish());
    std::map<std::string, std::string> below;
    const auto tree = rpki::PublicationFolder::Open(dir.File("publication"))->Read();
    EXPECT_OK(tree);
    if (tree.ok()) {
      for (const auto& [path, bytes] : *tree) below["repo/" + path] = bytes;
    }
    party.Fetch(below);
    return party.Validate();
  };
  const auto issue = [&](const crypto::P256PrivateKey& key, std::uint32_t asn, const std::string& router) {
    const std::string request = *rpki::MakeRouterRequest(key.public_key().spki(), asn, testutil::SignerOf(key));
    return authority.Issue(TestCall(), {.router = router, .asn = asn, .bgp_id = 1, .request = request});
  };

  EXPECT_THAT(seen(), IsEmpty());
  const auto first = crypto::P256PrivateKey::Generate(), second = crypto::P256PrivateKey::Generate(),
             third = crypto::P256PrivateKey::Generate();
  ASSERT_OK_AND_ASSIGN(const auto old_one, issue(first, 64496, "edge-a"));
  ASSERT_OK(issue(second, 64497, "edge-b"));
  const auto first_key = KeyOf(64496, first.public_key()), second_key = KeyOf(64497, second.public_key()),
             third_key = KeyOf(64496, third.public_key());
  EXPECT_THAT(seen(), UnorderedElementsAre(first_key, second_key)) << party.log();
  ASSERT_OK(issue(third, 64496, "edge-a"));
  EXPECT_THAT(seen(), UnorderedElementsAre(first_key, second_key, third_key));
  ASSERT_OK(authority.Revoke(TestCall(), old_one->id));
  EXPECT_THAT(seen(), UnorderedElementsAre(second_key, third_key));
  EXPECT_THAT(seen(), UnorderedElementsAre(second_key, third_key));  // a refresh alone
}

}  // namespace
}  // namespace virp::keymgr
