// Reflection by flag. In this program, because once the library is loaded every later server of the process has it; the
// authorization table is what keeps it shut.
#include "lib/service/server_fixture.h"

namespace virp::service {
namespace {

constexpr char kMethod[] = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
constexpr char kNewMethod[] = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

class ReflectionTest : public ServerTest {
 protected:
  void Start(bool row, bool load) {
    server_.reset();
    security_ = pki_.MakeSecurity(Rows());
    security_.table = std::make_shared<const AuthorizationTable>(*AuthorizationTable::Create(Rows(), row));
    handlers_ = std::make_unique<Handlers>(security_.callers);
    ServerOptions options = pki_.Options(pki_.Files(Role::kOnode));
    options.reflection = load;
    auto server =
        ServerRunner::Start(options, security_, clock_, {{handlers_.get(), EchoService::service_full_name()}});
    ASSERT_OK(server);
    server_ = *std::move(server);
  }

  // The services that the server lists, as bytes of its answer; empty when it refuses.
  std::string List(grpc::StatusCode* code, const char* method = kMethod) {
    const auto channel = pki_.Channel(*server_, Role::kReader);
    grpc::GenericStub stub(channel);
    grpc::ClientContext context;
    grpc::CompletionQueue queue;
    const auto next = [&] {
      void* tag = nullptr;
      bool ok = false;
      return queue.Next(&tag, &ok) && ok;
    };
    const auto call = stub.PrepareCall(&context, method, &queue);
    call->StartCall(nullptr);
    std::string out;
    if (next()) {
      const grpc::Slice list_services("\x3a\x00", 2);  // ServerReflectionRequest.list_services = ""
      call->Write(grpc::ByteBuffer(&list_services, 1), nullptr);
      grpc::ByteBuffer answer;
      if (next()) {
        call->Read(&answer, nullptr);
        if (next()) {
          grpc::Slice slice;
          EXPECT_TRUE(answer.DumpToSingleSlice(&slice).ok());
          out.assign(reinterpret_cast<const char*>(slice.begin()), slice.size());
          call->WritesDone(nullptr);
          next();
        }
      }
    }
    grpc::Status status;
    call->Finish(&status, nullptr);
    next();
    *code = status.error_code();
    return out;
  }

  const SystemClock clock_;
};

TEST_F(ReflectionTest, OnByFlagAndRowOnly) {
  grpc::StatusCode code = grpc::StatusCode::OK;
  Start(/*row=*/true, /*load=*/false);
  EXPECT_EQ(List(&code), "");
  EXPECT_EQ(code, grpc::StatusCode::UNIMPLEMENTED);
  Start(/*row=*/true, /*load=*/true);
  EXPECT_THAT(List(&code), HasSubstr("virp.test.v1.EchoService"));
  EXPECT_EQ(code, grpc::StatusCode::OK);
  // What grpcurl asks for first; anything but UNIMPLEMENTED ends its attempts.
  EXPECT_EQ(List(&code, kNewMethod), "");
  EXPECT_EQ(code, grpc::StatusCode::UNIMPLEMENTED);
  Start(/*row=*/false, /*load=*/false);  // loaded by now, and still denied
  for (const char* method : {kMethod, kNewMethod}) {
    EXPECT_EQ(List(&code, method), "");
    EXPECT_EQ(code, grpc::StatusCode::PERMISSION_DENIED);
  }
}

}  // namespace
}  // namespace virp::service
