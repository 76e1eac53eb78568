#include "lib/service/identity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/base/status.h"
#include "tests/testutil/status_matchers.h"

namespace virp::service {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;
using testutil::StatusIs;

TEST(SpiffeIdTest, PartsOfAGoodId) {
  ASSERT_OK_AND_ASSIGN(const SpiffeId id, SpiffeId::Parse("spiffe://example.org/ns/virp/sa/o-node_1.A"));
  EXPECT_EQ(id.trust_domain(), "example.org");
  EXPECT_EQ(id.path(), "/ns/virp/sa/o-node_1.A");
  EXPECT_THAT(id.Segments(), ElementsAre("ns", "virp", "sa", "o-node_1.A"));
  EXPECT_TRUE(SpiffeId::Parse("spiffe://a/b").ok());
  EXPECT_TRUE(SpiffeId::Parse("spiffe://a/...").ok());  // three dots are a name
}

TEST(SpiffeIdTest, EverythingElseIsRefused) {
  const std::string long_domain(256, 'a');
  const std::string long_id = "spiffe://a/" + std::string(2048, 'b');
  std::string deep = "spiffe://a";
  for (int i = 0; i < 17; ++i) deep += "/b";
  const std::string bad[] = {"",
                             "spiffe:",
                             "spiffe://",
                             "spiffe:///",
                             "spiffe:///reader/x",
                             "spiffe://a",
                             "spiffe://a/",
                             "spiffe://a//b",
                             "spiffe://a/b/",
                             "spiffe://a/b//c",
                             "spiffe://a/./b",
                             "spiffe://a/../b",
                             "spiffe://a/b/..",
                             "SPIFFE://a/b",
                             "Spiffe://a/b",
                             "spiffe://A/b",
                             "spiffe://a:80/b",
                             "spiffe://u@a/b",
                             "spiffe://a/b?c",
                             "spiffe://a/b#c",
                             "spiffe://a?b/c",
                             "spiffe://a#b/c",
                             "spiffe://a/b%2fc",
                             "spiffe://a/%2e%2e",
                             "spiffe://a/b c",
                             "spiffe://a/b\n",
                             " spiffe://a/b",
                             "spiffe://a/b\\c",
                             "spiffe:/a/b",
                             "spiffe:a/b",
                             "https://a/b",
                             "spiffe://a\xc3\xa9/b",
                             "spiffe://a/\xc3\xa9",
                             "spiffe://[::1]/b",
                             "spiffe://a,b/c",
                             "spiffe://a/b;c",
                             "spiffe://a/*",
                             std::string("spiffe://a/b\0", 13),
                             std::string("spiffe://a\0/b", 13),
                             "spiffe://" + long_domain + "/b",
                             long_id,
                             deep};
  for (const std::string& text : bad)
    EXPECT_THAT(SpiffeId::Parse(text), StatusIs(StatusCode::kInvalidArgument)) << text;
}

TEST(SpiffeIdTest, ErrorsDoNotRepeatAStrangersText) {
  EXPECT_THAT(std::string(Message(SpiffeId::Parse("spiffe://a/\x1b[31mred").status())), testing::Not(HasSubstr("red")));
}

TEST(RoleTest, NamesAreExact) {
  for (const Role role : kAllRoles) EXPECT_EQ(ParseRole(RoleName(role)), role);
  for (const char* bad : {"", "Reader", "reader ", "rtr_bridge", "admin", "o-node"})
    EXPECT_EQ(ParseRole(bad), std::nullopt) << bad;
  const RoleSet some = {Role::kReader, Role::kKeymgr};
  EXPECT_TRUE(some.Has(Role::kReader));
  EXPECT_FALSE(some.Has(Role::kOperator));
  for (const Role role : kAllRoles) EXPECT_TRUE(RoleSet::All().Has(role));
}

std::string Found(const IdentityMap& map, std::string_view id) {
  const absl::StatusOr<IdentityMap::Entry> entry = map.Find(*SpiffeId::Parse(id));
  if (!entry.ok()) {
    EXPECT_THAT(entry, StatusIs(StatusCode::kPermissionDenied)) << id;
    return "none";
  }
  return fmt::format("{}/{}", RoleName(entry->role), entry->name);
}

TEST(IdentityMapTest, DefaultReadsRoleAndName) {
  ASSERT_OK_AND_ASSIGN(const IdentityMap map, IdentityMap::Default("example.org"));
  EXPECT_EQ(Found(map, "spiffe://example.org/rtr-bridge/b1"), "rtr-bridge/b1");
  EXPECT_EQ(Found(map, "spiffe://example.org/reader/prom.1_a-b"), "reader/prom.1_a-b");
  EXPECT_EQ(Found(map, "spiffe://example.com/reader/x"), "none");
  EXPECT_EQ(Found(map, "spiffe://example.org.evil/reader/x"), "none");
  EXPECT_EQ(Found(map, "spiffe://example.org/root/x"), "none");
  EXPECT_EQ(Found(map, "spiffe://example.org/Reader/x"), "none");
  EXPECT_EQ(Found(map, "spiffe://example.org/reader"), "none");
  EXPECT_EQ(Found(map, "spiffe://example.org/reader/x/y"), "none");
  EXPECT_EQ(Found(map, "spiffe://example.org/reader/X"), "none");  // not a source name
  EXPECT_EQ(Found(map, "spiffe://example.org/reader/-x"), "none");
  EXPECT_THAT(IdentityMap::Default("Example.org"), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(IdentityMap::Default(""), StatusIs(StatusCode::kInvalidArgument));
}

TEST(IdentityMapTest, KubernetesFormsAndExactIds) {
  ASSERT_OK_AND_ASSIGN(const IdentityMap map, IdentityMap::FromJson(R"({
      "trust_domain": "cluster.local",
      "rules": [
        {"id": "spiffe://cluster.local/ns/virp/sa/onode", "role": "onode", "name": "onode-main"},
        {"path": "/ns/virp/sa/{sa}", "role": "reader", "name": "virp.{sa}"},
        {"path": "/ns/edge/sa/{sa}/pod/{_pod}", "role": "collector", "name": "{sa}"},
        {"path": "/{role}/{name}", "role": "{role}", "name": "{name}"}]})"));
  EXPECT_EQ(Found(map, "spiffe://cluster.local/ns/virp/sa/onode"), "onode/onode-main");
  EXPECT_EQ(Found(map, "spiffe://cluster.local/ns/virp/sa/grafana"), "reader/virp.grafana");
  EXPECT_EQ(Found(map, "spiffe://cluster.local/ns/edge/sa/col-1/pod/col-1-7f9"), "collector/col-1");
  EXPECT_EQ(Found(map, "spiffe://cluster.local/ns/edge/sa/col-1"), "none");
  EXPECT_EQ(Found(map, "spiffe://cluster.local/ns/other/sa/onode"), "none");
  EXPECT_EQ(Found(map, "spiffe://cluster.local/operator/alice"), "operator/alice");
}

// `rules` inside a map of the trust domain "t".
absl::Status Load(std::string_view rules) {
  return IdentityMap::FromJson(fmt::format(R"({{"trust_domain": "t", "rules": [{}]}})", rules)).status();
}

TEST(IdentityMapTest, MalformedMapsAreRefused) {
  const auto refused = [](std::string_view rules, std::string_view why) {
    EXPECT_THAT(Load(rules), StatusIs(StatusCode::kInvalidArgument, HasSubstr(std::string(why)))) << rules;
  };
  refused(R"()", "1 to");
  refused(R"("x")", "object");
  refused(R"({"path": "/a/b", "role": "reader"})", "'name'");
  refused(R"({"path": "/a/b", "role": 7, "name": "x"})", "'role'");
  refused(R"({"role": "reader", "name": "x"})", "either");
  refused(R"({"id": "spiffe://t/a", "path": "/a", "role": "reader", "name": "x"})", "either");
  refused(R"({"path": "/a/b", "role": "reader", "name": "x", "rolle": "operator"})", "unknown key 'rolle'");
  refused(R"({"path": "/a/b", "role": "admin", "name": "x"})", "no role");
  refused(R"({"path": "a/b", "role": "reader", "name": "x"})", "begin with '/'");
  refused(R"({"path": "/a//b", "role": "reader", "name": "x"})", "empty");
  refused(R"({"path": "/a/../b", "role": "reader", "name": "x"})", "'..'");
  refused(R"({"path": "/a/*", "role": "reader", "name": "x"})", "outside");
  refused(R"({"path": "/a/x{b}", "role": "reader", "name": "x"})", "outside");
  refused(R"({"path": "/a/{B}", "role": "reader", "name": "x"})", "outside");
  refused(R"({"path": "/{a}/{a}", "role": "reader", "name": "{a}"})", "twice");
  refused(R"({"path": "/x/{a}", "role": "{b}", "name": "{a}"})", "no part");
  refused(R"({"path": "/x/{a}", "role": "reader", "name": "{a"})", "not in the path");
  refused(R"({"path": "/x/{a}", "role": "reader", "name": "{a}{b}"})", "not in the path");
  refused(R"({"path": "/x/{a}", "role": "reader", "name": ""})", "name of 0 bytes");
  refused(R"({"path": "/x/{a}", "role": "reader", "name": "A{a}"})", "outside");
  refused(R"({"path": "/x/{a}", "role": "reader", "name": "}{a}"})", "outside");
  refused(R"({"id": "spiffe://other/a", "role": "reader", "name": "x"})", "not in t");
  refused(R"({"id": "spiffe://t/a?b", "role": "reader", "name": "x"})", "rule 1");
  // Two namespaces would be one caller: it has to be said.
  refused(R"({"path": "/ns/{ns}/sa/{sa}", "role": "reader", "name": "{sa}"})", "call it {_ns}");
  refused(R"({"path": "/ns/{_ns}/sa/{sa}", "role": "reader", "name": "{_ns}.{sa}"})", "says that it is not");
  EXPECT_OK(Load(R"({"path": "/ns/{_ns}/sa/{sa}", "role": "reader", "name": "{sa}"})"));

  EXPECT_THAT(IdentityMap::FromJson("{"), StatusIs(StatusCode::kInvalidArgument));
  const std::string good = R"({"trust_domain": "t", "rules": [{"path": "/a", "role": "reader", "name": "x"}]})";
  EXPECT_OK(IdentityMap::FromJson(good));
  EXPECT_THAT(IdentityMap::FromJson(good + std::string("\0and more", 9)), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(IdentityMap::FromJson("\xef\xbb\xbf" + good), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(IdentityMap::FromJson("[]"), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(IdentityMap::FromJson(R"({"rules": []})"), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(IdentityMap::FromJson(std::string(100'000, '[')), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(IdentityMap::FromJson(R"({"trust_domain": "t", "trust_domain": "u", "rules": []})"),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("twice")));
  EXPECT_THAT(Load(R"({"path": "/a", "role": "reader", "name": "x", "role": "operator"})"),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("twice")));
}

TEST(IdentityMapTest, NoIdHoldsTwoSeparatedRoles) {
  const auto refused = [](std::string_view rules) {
    EXPECT_THAT(Load(rules), StatusIs(StatusCode::kInvalidArgument, HasSubstr("no id may hold two"))) << rules;
  };
  const std::string generic = R"({"path": "/{role}/{name}", "role": "{role}", "name": "{name}"})";
  // An exact id before, after, or below a pattern of another of the three roles.
  refused(
      R"({"path": "/ci/{n}", "role": "producer", "name": "{n}"}, {"id": "spiffe://t/ci/x", "role": "approver", "name": "x"})");
  refused(
      R"({"id": "spiffe://t/ci/x", "role": "approver", "name": "x"}, {"path": "/ci/{n}", "role": "producer", "name": "{n}"})");
  refused(
      R"({"path": "/ci/{n}", "role": "producer", "name": "{n}"}, {"path": "/{n}/x", "role": "operator", "name": "{n}"})");
  refused(R"({"id": "spiffe://t/operator/x", "role": "producer", "name": "x"},)" + generic);
  refused(generic + R"(,{"path": "/{a}/{_b}", "role": "approver", "name": "{a}"})");
  // The same words in another order: /operator/producer could be both.
  refused(generic + R"(,{"path": "/{name}/{role}", "role": "{role}", "name": "{name}"})");

  // Roles that may go together, paths that never meet, and one role twice are fine.
  EXPECT_OK(Load(R"({"id": "spiffe://t/reader/x", "role": "operator", "name": "x"},)" + generic));
  EXPECT_OK(Load(R"({"id": "spiffe://t/operator/x", "role": "operator", "name": "other"},)" + generic));
  EXPECT_OK(Load(
      R"({"path": "/ci/{n}", "role": "producer", "name": "{n}"}, {"path": "/people/{n}", "role": "operator", "name": "{n}"})"));
  EXPECT_OK(Load(
      R"({"path": "/a/{n}", "role": "producer", "name": "{n}"}, {"path": "/a/{n}/b", "role": "operator", "name": "{n}"})"));
  EXPECT_OK(Load(R"({"path": "/ci/{n}", "role": "producer", "name": "{n}"},)" + generic));  // "ci" is no role

  EXPECT_THAT(
      Load(
          R"({"id": "spiffe://t/a", "role": "reader", "name": "x"}, {"id": "spiffe://t/a", "role": "reader", "name": "y"})"),
      StatusIs(StatusCode::kInvalidArgument, HasSubstr("already")));
}

TEST(IdentityMapTest, FirstRuleThatMatchesDecides) {
  ASSERT_OK_AND_ASSIGN(const IdentityMap map, IdentityMap::FromJson(R"({"trust_domain": "t", "rules": [
      {"path": "/{role}/{name}", "role": "{role}", "name": "{name}"},
      {"path": "/{a}/{_b}", "role": "reader", "name": "{a}"}]})"));
  EXPECT_EQ(Found(map, "spiffe://t/keymgr/k"), "keymgr/k");
  EXPECT_EQ(Found(map, "spiffe://t/stranger/k"), "reader/stranger");
  EXPECT_EQ(Found(map, "spiffe://t/keymgr/K"), "none");  // the first rule matches, and its name does not do
}

}  // namespace
}  // namespace virp::service
