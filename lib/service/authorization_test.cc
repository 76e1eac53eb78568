#include "lib/service/authorization.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/base/status.h"
#include "tests/testutil/status_matchers.h"
#include "virp/test/v1/echo.pb.h"

namespace virp::service {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testutil::ReasonIs;
using testutil::StatusIs;

Identity Caller(Role role, std::string name) {
  Identity out;
  out.role = role;
  out.name = std::move(name);
  return out;
}

TEST(AuthorizationTableTest, DeniesWhatHasNoRow) {
  ASSERT_OK_AND_ASSIGN(const auto table, AuthorizationTable::Create({{"/a.v1.S/Get", {Role::kReader, Role::kOperator}},
                                                                     {"/a.v1.S/Set", {Role::kOperator}}}));
  EXPECT_OK(table.Check(Caller(Role::kReader, "r"), "/a.v1.S/Get"));
  EXPECT_OK(table.Check(Caller(Role::kOperator, "o"), "/a.v1.S/Set"));
  EXPECT_THAT(table.Check(Caller(Role::kReader, "r"), "/a.v1.S/Set"),
              StatusIs(StatusCode::kPermissionDenied, HasSubstr("reader/r")));
  for (const char* method :
       {"", "/", "/a.v1.S", "/a.v1.S/", "/a.v1.S/get", "a.v1.S/Get", "/a.v1.S/Get/", "//a.v1.S/Get", "/a.v1.S/Get "}) {
    EXPECT_THAT(table.Check(Caller(Role::kOperator, "o"), method), StatusIs(StatusCode::kPermissionDenied)) << method;
  }
  // A method name with control characters does not reach the log through the error.
  EXPECT_THAT(table.Check(Caller(Role::kReader, "r"), "/a\n/b"),
              StatusIs(StatusCode::kPermissionDenied, testing::Not(HasSubstr("\n"))));
}

TEST(AuthorizationTableTest, HealthIsForEveryRoleAndReflectionByFlag) {
  constexpr char kReflection[] = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
  ASSERT_OK_AND_ASSIGN(const auto without, AuthorizationTable::Create({}));
  ASSERT_OK_AND_ASSIGN(const auto with, AuthorizationTable::Create({}, /*reflection=*/true));
  for (const Role role : kAllRoles) {
    EXPECT_OK(without.Check(Caller(role, "x"), "/grpc.health.v1.Health/Check"));
    EXPECT_FALSE(without.Check(Caller(role, "x"), kReflection).ok());
    EXPECT_OK(with.Check(Caller(role, "x"), kReflection));
  }
}

TEST(AuthorizationTableTest, BadTablesAreRefused) {
  for (const char* method : {"", "Get", "/Get", "//Get", "/a.v1.S/", "/a.v1.S/Get/x", "/a.v1.S/*", "/a.v1.S/a.b"}) {
    EXPECT_THAT(AuthorizationTable::Create({{method, {Role::kReader}}}), StatusIs(StatusCode::kInvalidArgument))
        << method;
  }
  EXPECT_THAT(AuthorizationTable::Create({{"/a.v1.S/Get", {}}}),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("nobody")));
  EXPECT_THAT(AuthorizationTable::Create({{"/a.v1.S/Get", {Role::kReader}}, {"/a.v1.S/Get", {Role::kOperator}}}),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("two rows")));
}

TEST(AuthorizationTableTest, WalkFindsMissingAndStaleRows) {
  const std::vector<const google::protobuf::ServiceDescriptor*> services = {
      google::protobuf::DescriptorPool::generated_pool()->FindServiceByName("virp.test.v1.EchoService")};
  ASSERT_NE(services[0], nullptr);
  std::vector<MethodRule> rows = {{"/virp.test.v1.EchoService/Echo", {Role::kReader}},
                                  {"/virp.test.v1.EchoService/Chat", {Role::kReader}}};
  EXPECT_THAT(AuthorizationTable::Create(rows)->Problems(services),
              ElementsAre("/virp.test.v1.EchoService/Hidden has no row"));
  rows.push_back({"/virp.test.v1.EchoService/Hidden", {Role::kReader}});
  EXPECT_THAT(AuthorizationTable::Create(rows)->Problems(services), IsEmpty());
  rows.push_back({"/virp.test.v1.EchoService/Gone", {Role::kReader}});
  EXPECT_THAT(AuthorizationTable::Create(rows, true)->Problems(services),
              ElementsAre("/virp.test.v1.EchoService/Gone has a row but does not exist"));
}

TEST(PatternTest, StarsStayWithinTheirSegment) {
  EXPECT_TRUE(MatchesPattern("r1", "r1"));
  EXPECT_FALSE(MatchesPattern("r1", "r12"));
  EXPECT_TRUE(MatchesPattern("r*", "r"));
  EXPECT_TRUE(MatchesPattern("r*", "r12"));
  EXPECT_TRUE(MatchesPattern("*-edge-*", "a-edge-edge-b"));
  EXPECT_FALSE(MatchesPattern("*-edge-*", "a-edg-b"));
  EXPECT_TRUE(MatchesPattern("a*b*c", "abbbcbc"));
  EXPECT_FALSE(MatchesPattern("a*b*c", "abbbcb"));
  EXPECT_FALSE(MatchesPattern("*", "site1/main"));
  EXPECT_TRUE(MatchesPattern("site1/*", "site1/main"));
  EXPECT_FALSE(MatchesPattern("site1/*", "site1"));
  EXPECT_FALSE(MatchesPattern("site1/*", "site1/a/b"));
  EXPECT_TRUE(MatchesPattern("site1/**", "site1/a/b"));
  EXPECT_TRUE(MatchesPattern("site1/**", "site1/a"));
  EXPECT_FALSE(MatchesPattern("site1/**", "site1"));
  EXPECT_FALSE(MatchesPattern("site1/**", "site12/a"));
  EXPECT_TRUE(MatchesPattern("**", "a/b/c"));
  EXPECT_FALSE(MatchesPattern("**", ""));
  EXPECT_FALSE(MatchesPattern("a.b", "axb"));  // a dot is a dot
}

TEST(PatternTest, ManyStarsAreNotSlow) {
  const std::string name(255, 'a');
  EXPECT_FALSE(MatchesPattern("*a*a*a*a*a*a*a*b", name));
}

TEST(ScopeRulesTest, OneRuleMustCoverAllThatIsAsked) {
  ASSERT_OK_AND_ASSIGN(const ScopeRules rules, ScopeRules::FromJson(R"({"scopes": [
      {"role": "collector", "name": "c1", "origins": ["site1/main"], "sources": ["r*", "c1"]},
      {"role": "collector", "name": "c1", "origins": ["site2/**"], "sources": ["x1"]},
      {"role": "producer", "name": "ci-*", "origins": ["site1/main"], "sources": ["ci"], "types": [16, 17]}]})"));
  const Identity c1 = Caller(Role::kCollector, "c1");
  EXPECT_OK(rules.Check(c1, {.origin = "site1/main", .source = "r7", .type = 3}));
  EXPECT_OK(rules.Check(c1, {.origin = "site2/a/b", .source = "x1", .type = {}}));
  EXPECT_OK(rules.Check(c1, {.origin = "", .source = "r7", .type = {}}));
  EXPECT_OK(rules.Check(c1, {.origin = "site1/main", .source = "", .type = {}}));
  // Each half by a rule of its own does not do.
  const auto denied = [&](const Identity& identity, const Resource& resource) {
    EXPECT_THAT(rules.Check(identity, resource), StatusIs(StatusCode::kPermissionDenied));
    EXPECT_THAT(rules.Check(identity, resource), ReasonIs("SCOPE_DENIED"));
  };
  denied(c1, {.origin = "site2/a", .source = "r7", .type = {}});
  denied(c1, {.origin = "site1/main", .source = "x1", .type = {}});
  denied(c1, {.origin = "", .source = "", .type = {}});
  denied(c1, {.origin = "", .source = "", .type = 3});
  denied(Caller(Role::kCollector, "c2"), {.origin = "site1/main", .source = "r7", .type = {}});
  denied(Caller(Role::kReader, "c1"),
         {.origin = "site1/main", .source = "r7", .type = {}});  // the name alone is nothing
  EXPECT_OK(rules.Check(Caller(Role::kProducer, "ci-1"), {.origin = "", .source = "ci", .type = 16}));
  denied(Caller(Role::kProducer, "ci-1"), {.origin = "", .source = "ci", .type = 3});
  denied(Caller(Role::kProducer, "ci"), {.origin = "", .source = "ci", .type = 16});

  EXPECT_TRUE(rules.HasAny(c1));
  EXPECT_TRUE(rules.HasAny(Caller(Role::kProducer, "ci-9")));
  EXPECT_FALSE(rules.HasAny(Caller(Role::kCollector, "c2")));
  EXPECT_FALSE(ScopeRules().HasAny(c1));
  EXPECT_FALSE(ScopeRules().Check(c1, {.origin = "site1/main", .source = "r7", .type = {}}).ok());
}

TEST(ScopeRulesTest, BadRulesAreRefused) {
  const auto refused = [](std::string_view rule, std::string_view why) {
    EXPECT_THAT(ScopeRules::FromJson(fmt::format(R"({{"scopes": [{}]}})", rule)),
                StatusIs(StatusCode::kInvalidArgument, HasSubstr(std::string(why))))
        << rule;
  };
  refused(R"({"role": "collector", "name": "c1", "origins": ["a"]})", "'sources'");
  refused(R"({"role": "collector", "name": "c1", "origins": "a", "sources": []})", "'origins'");
  refused(R"({"role": "boss", "name": "c1", "origins": [], "sources": []})", "no role");
  refused(R"({"role": "collector", "name": "C1", "origins": [], "sources": []})", "name");
  refused(R"({"role": "collector", "name": "c1", "origins": ["a//b"], "sources": []})", "origins");
  refused(R"({"role": "collector", "name": "c1", "origins": ["a**"], "sources": []})", "'**'");
  refused(R"({"role": "collector", "name": "c1", "origins": ["**/a"], "sources": []})", "'**'");
  refused(R"({"role": "collector", "name": "c1", "origins": ["a/***"], "sources": []})", "'**'");
  refused(R"({"role": "collector", "name": "c1", "origins": ["*a*a*a*a*a*a*a*a*"], "sources": []})", "stars");
  refused(R"({"role": "collector", "name": "c1", "origins": [""], "sources": []})", "0 bytes");
  refused(R"({"role": "collector", "name": "c1", "origins": [], "sources": [], "types": [-1]})", "types");
  refused(R"({"role": "collector", "name": "c1", "origins": [], "sources": [], "types": [4294967296]})", "types");
  refused(R"({"role": "collector", "name": "c1", "origins": [], "sources": [], "type": [1]})", "unknown key");
  EXPECT_THAT(ScopeRules::FromJson("{}"), StatusIs(StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace virp::service
