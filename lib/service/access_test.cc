#include "lib/service/access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/base/file.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"
#include "tests/testutil/test_pki.h"

namespace virp::service {
namespace {

using absl::StatusCode;
using testing::HasSubstr;
using testutil::StatusIs;

class AccessTest : public testing::Test {
 protected:
  std::string File(const std::string& name, std::string_view text) {
    EXPECT_OK(ReplaceFile(dir_.File(name), text));
    return dir_.File(name);
  }
  absl::StatusOr<Security> Load(const AccessOptions& options) const {
    return LoadSecurity(options, {{"/a.v1.S/Get", {Role::kReader}}}, /*reflection=*/false, clock_);
  }

  testutil::TempDir dir_;
  const SystemClock clock_;
};

TEST_F(AccessTest, FilesBecomeSecurity) {
  testutil::TestPki pki("t");
  const auto leaf = [&](std::string uri) {
    crypto::LeafSpec spec = pki.Spec(Role::kReader);
    spec.uri_sans = {std::move(uri)};
    return pki.ca().IssueUnchecked(spec)->certificate_pem;
  };
  AccessOptions options;
  options.trust_domain = "t";
  options.identity_map_file =
      File("map", R"({"trust_domain": "t", "rules": [{"path": "/x/{n}", "role": "collector", "name": "{n}"}]})");
  options.scopes_file =
      File("scopes", R"({"scopes": [{"role": "collector", "name": "c1", "origins": ["a"], "sources": ["r1"]}]})");
  options.deny_file = File("denied", "id spiffe://t/x/c2\n");
  ASSERT_OK_AND_ASSIGN(const Security security, Load(options));
  ASSERT_OK_AND_ASSIGN(const Identity c1, security.callers->FromCertificate(leaf("spiffe://t/x/c1")));
  EXPECT_EQ(Describe(c1), "collector/c1");
  EXPECT_OK(security.scopes->Check(c1, {.origin = "a", .source = "r1", .type = {}}));
  EXPECT_THAT(security.callers->FromCertificate(leaf("spiffe://t/x/c2")), testutil::ReasonIs("IDENTITY_DENIED"));
  EXPECT_THAT(security.callers->FromCertificate(leaf("spiffe://t/reader/r")), testutil::ReasonIs("UNKNOWN_IDENTITY"));
  EXPECT_FALSE(security.table->Check(c1, "/a.v1.S/Get").ok());

  // Without files: the default map, no scopes, nobody denied.
  ASSERT_OK_AND_ASSIGN(const Security plain,
                       Load({.trust_domain = "t", .identity_map_file = "", .scopes_file = "", .deny_file = ""}));
  ASSERT_OK_AND_ASSIGN(const Identity reader, plain.callers->FromCertificate(leaf("spiffe://t/reader/r")));
  EXPECT_OK(plain.table->Check(reader, "/a.v1.S/Get"));
  EXPECT_FALSE(plain.scopes->HasAny(reader));
}

TEST_F(AccessTest, ErrorsNameTheFile) {
  const auto refused = [&](const AccessOptions& options, StatusCode code, const std::string& text) {
    EXPECT_THAT(Load(options), StatusIs(code, HasSubstr(text)));
  };
  AccessOptions good;
  good.trust_domain = "t";
  refused({}, StatusCode::kInvalidArgument, "trust domain");
  for (std::string AccessOptions::* member :
       {&AccessOptions::identity_map_file, &AccessOptions::scopes_file, &AccessOptions::deny_file}) {
    AccessOptions options = good;
    options.*member = dir_.File("absent");
    refused(options, StatusCode::kNotFound, options.*member);
    options.*member = File("broken", "oops");
    refused(options, StatusCode::kInvalidArgument, options.*member);
  }
  AccessOptions other = good;
  other.identity_map_file =
      File("map", R"({"trust_domain": "u", "rules": [{"path": "/a", "role": "reader", "name": "x"}]})");
  refused(other, StatusCode::kInvalidArgument, "trust domain u");
}

}  // namespace
}  // namespace virp::service
