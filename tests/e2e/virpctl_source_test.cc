// virpctl: sources, alarms and quarantine.
#include "tests/e2e/virpctl_fixture.h"

namespace virp::e2e {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(VirpctlTest, SourcesAreRegisteredListedAndShown) {
  StartONode();
  const std::string file = Write("source.json", R"({"name": "edge-b.bgpd", "suite": "SUITE_ED25519", "keyVersion": 1,
      "vantage": "VANTAGE_DAEMON", "types": [1, 2], "routers": [{"name": "edge-b", "bgpIds": ["192.0.2.9"]}],
      "carriedBy": ["spiffe://test.virp.example/collector/test"]})");
  ProgramResult result = Ctl({"sources", "register", "--file", file, "--reason", "new"}, Role::kOperator);
  EXPECT_EQ(result.exit, kError);
  EXPECT_THAT(result.err, HasSubstr("KEY_MISSING"));
  ASSERT_TRUE(frame::CreateKeyFile(dir_ + "/keys", "edge-b.bgpd", 1, frame::Suite::kEd25519, 1).ok());
  ASSERT_TRUE(keys_->Refresh().ok());
  result = Ctl({"sources", "register", "--file", file, "--validate-only", "--reason", "new"}, Role::kOperator);
  EXPECT_EQ(result.exit, kYes) << result.err;
  EXPECT_THAT(result.out, HasSubstr("can be registered"));
  EXPECT_EQ(Ctl({"sources", "get", "edge-b.bgpd"}).exit, kError);
  EXPECT_EQ(Json({"sources", "register", "--file", file, "--reason", "new"}, kYes, Role::kOperator)["source"]["name"],
            "edge-b.bgpd");
  EXPECT_EQ(Ctl({"sources", "register", "--file", file, "--reason", "new"}, Role::kOperator).exit, kError);

  result = Ctl({"sources", "list"});
  EXPECT_EQ(result.exit, kYes);
  EXPECT_THAT(result.out, AllOf(HasSubstr("edge-b.bgpd"), HasSubstr("DAEMON"), HasSubstr(kOrigin)));
  EXPECT_EQ(Json({"sources", "list"})["sources"].size(), 2U);
  result = Ctl({"sources", "get", "edge-b.bgpd"});
  EXPECT_THAT(result.out, AllOf(HasSubstr("192.0.2.9"), HasSubstr("ED25519"), HasSubstr("carried by")));
  const nlohmann::json source = Json({"sources", "get", "edge-b.bgpd"});
  EXPECT_EQ(source["name"], "edge-b.bgpd");
  EXPECT_EQ(source["routers"][0]["bgpIds"][0], "192.0.2.9");

  EXPECT_EQ(
      Ctl({"sources", "register", "--file", Write("bad.json", "{\"name\": 7"), "--reason", "x"}, Role::kOperator).exit,
      kError);
  result = Ctl({"sources", "register", "--file", file, "--reason", "x"}, Role::kReader);
  EXPECT_EQ(result.exit, kError);
  EXPECT_THAT(result.err, HasSubstr("METHOD_DENIED"));
}

TEST_F(VirpctlTest, AlarmsAreListedAndClearedWithAReason) {
  StartONode();
  RegisterBoth();
  StartCollector();
  EXPECT_EQ(Json({"alarms", "list"})["sources"].size(), 0U);
  Observe(kOutOfScope, frame::Type::kPeerStatusChanged);
  Beat();
  ASSERT_TRUE(Until([this] { return Ctl({"alarms", "list"}).out.find("SCOPE_VIOLATION") != std::string::npos; }));
  EXPECT_THAT(Ctl({"alarms", "list"}).out, HasSubstr("edge-a.bmp"));
  EXPECT_EQ(Json({"alarms", "list"})["sources"][0]["alarms"][0]["cause"], "SCOPE_VIOLATION");

  EXPECT_EQ(Ctl({"alarms", "clear", "edge-a.bmp"}, Role::kOperator).exit, kError) << "without a reason";
  ProgramResult result =
      Ctl({"alarms", "clear", "edge-a.bmp", "--reason", "moved", "--validate-only"}, Role::kOperator);
  EXPECT_EQ(result.exit, kYes) << result.err;
  EXPECT_THAT(result.out, HasSubstr("WOULD BE CLEARED"));
  EXPECT_EQ(Json({"alarms", "list"})["sources"].size(), 1U);
  result = Ctl({"alarms", "clear", "edge-a.bmp", "--cause", "SCOPE_VIOLATION", "--reason", "moved"}, Role::kOperator);
  EXPECT_EQ(result.exit, kYes) << result.err;
  EXPECT_EQ(Json({"alarms", "list"})["sources"].size(), 0U);
}

}  // namespace
}  // namespace virp::e2e
