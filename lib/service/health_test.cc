// gRPC's own health service, which answers by gRPC's callback API.
#include "grpc/health/v1/health.grpc.pb.h"
#include "lib/service/server_fixture.h"

namespace virp::service {
namespace {

using HealthTest = ServerTest;

TEST_F(HealthTest, HealthFollowsServing) {
  Start();
  const auto stub = grpc::health::v1::Health::NewStub(pki_.Channel(*server_, Role::kProducer));
  const auto status = [&](const std::string& service) {
    grpc::ClientContext context;
    grpc::health::v1::HealthCheckRequest request;
    grpc::health::v1::HealthCheckResponse response;
    request.set_service(service);
    const grpc::Status result = stub->Check(&context, request, &response);
    return result.ok() ? grpc::health::v1::HealthCheckResponse::ServingStatus_Name(response.status())
                       : result.error_message();
  };
  EXPECT_EQ(status(""), "SERVING");
  EXPECT_EQ(status("virp.test.v1.EchoService"), "SERVING");
  server_->SetServing(false);
  EXPECT_EQ(status(""), "NOT_SERVING");
  EXPECT_EQ(status("virp.test.v1.EchoService"), "NOT_SERVING");
  server_->SetServing(true);
  EXPECT_EQ(status(""), "SERVING");
}

}  // namespace
}  // namespace virp::service
