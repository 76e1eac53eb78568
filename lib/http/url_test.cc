#include "lib/http/url.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testutil/status_matchers.h"

namespace virp::http {
namespace {

TEST(ParseUrl, SaysSchemeAndHost) {
  ASSERT_OK_AND_ASSIGN(const Url url, ParseUrl("HTTPS://rpki.example.net:8443/vrps.json?x=1"));
  EXPECT_EQ(url.scheme, "https");
  EXPECT_EQ(url.host, "rpki.example.net");
  EXPECT_EQ(ParseUrl("http://[::1]:80/")->host, "[::1]");
}

TEST(ParseUrl, RefusesWhatIsNoneAndWhatWouldTellASecret) {
  for (const char* bad : {"", "vrps.json", "https://", "http://exa mple.net/", "https://user@example.net/",
                          "https://user:secret@example.net/", "https://:secret@example.net/"}) {
    const auto url = ParseUrl(bad);
    EXPECT_EQ(url.status().code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_EQ(url.status().message().find("secret"), std::string::npos) << bad;
  }
}

}  // namespace
}  // namespace virp::http
