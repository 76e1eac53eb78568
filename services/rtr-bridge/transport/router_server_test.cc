#include "services/rtr-bridge/transport/router_server.h"

#include <gmock/gmock.h>

#include "services/rtr-bridge/transport/router_fixture.h"

namespace virp::rtr_bridge {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::RouterServerTest;
using testutil::StatusIs;

TEST_F(RouterServerTest, AKeyFileWithoutAKeyStopsTheStartAndChangesNothingAtAReload) {
  for (const char* text : {"", "\n", "\nsecret\n", "hex:", "hex:\n", "hex:xyz"}) {
    WriteSecret("key", text);
    PeerKey key;
    key.peer = *IpAddress::Parse("127.0.0.1");
    key.key_file = dir_.File("key");
    options_.listeners.front().keys = {key};
    const auto server = RouterServer::Start(options_, log_, clock_);
    EXPECT_THAT(server.status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(dir_.File("key")))) << text;
  }
  WriteSecret("key", "secret\n");
  auto server = RouterServer::Start(options_, log_, clock_);
  if (absl::IsFailedPrecondition(server.status())) GTEST_SKIP() << server.status();
  ASSERT_OK(server.status());
  WriteSecret("key", "");
  EXPECT_THAT((*server)->Reload(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("first line is empty")));
}

}  // namespace
}  // namespace virp::rtr_bridge
