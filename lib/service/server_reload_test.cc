// What changes while a server runs: certificates, authorities, the deny list, the time.
#include "lib/service/server_fixture.h"

namespace virp::service {
namespace {

class ServerReloadTest : public ServerTest {};

TEST_F(ServerReloadTest, DeniedIdentityIsRefusedAtOnceAndAtItsNextHandshake) {
  const std::string deny = pki_.dir() + "/denied";
  WriteWhole(deny, "");
  Start(deny);
  const auto open_connection = pki_.Channel(*server_, Role::kReader, "mallory");
  ASSERT_TRUE(Call(open_connection).ok());
  WriteWhole(deny, "id " + pki_.Id(Role::kReader, "mallory") + "\n");
  ASSERT_OK(server_->ReloadDenyList());
  EXPECT_EQ(Call(open_connection).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(Call(pki_.Channel(*server_, Role::kReader, "mallory")).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(Call(pki_.Channel(*server_, Role::kReader, "alice")).ok());
  const std::vector<Refusal> refusals = Refusals();
  ASSERT_GE(refusals.size(), 2U);
  EXPECT_THAT(refusals[0].status, ReasonIs("IDENTITY_DENIED"));
  EXPECT_EQ(refusals[1].method, "(handshake)");
}

TEST_F(ServerReloadTest, DeniedSerialIsRefusedWhateverItsNames) {
  const std::string deny = pki_.dir() + "/denied";
  const TlsFiles files = pki_.Files(Role::kReader, "alice");
  const absl::StatusOr<TlsFilesState> state = InspectTlsFiles(files);
  ASSERT_OK(state);
  WriteWhole(deny, "serial " + state->leaf.serial + "\n");
  Start(deny);
  EXPECT_EQ(Call(pki_.Channel(*server_, Role::kReader, "alice")).error_code(), grpc::StatusCode::UNAVAILABLE);
  pki_.Issue(pki_.Spec(Role::kReader, "alice"), "reader-alice");  // a new certificate for the same id
  EXPECT_TRUE(Call(pki_.Channel(*server_, Role::kReader, "alice")).ok());
}

TEST_F(ServerReloadTest, RevokedCallersOpenStreamEnds) {
  const std::string deny = pki_.dir() + "/denied";
  WriteWhole(deny, "");
  Start(deny);
  const auto channel = pki_.Channel(*server_, Role::kCollector, "edge");
  const auto other = pki_.Channel(*server_, Role::kCollector, "good");
  const auto stub = EchoService::NewStub(channel);
  const auto other_stub = EchoService::NewStub(other);
  grpc::ClientContext context;
  grpc::ClientContext other_context;
  const auto stream = stub->Chat(&context);
  const auto other_stream = other_stub->Chat(&other_context);
  ChatRequest request;
  ChatResponse response;
  ASSERT_TRUE(stream->Write(request) && stream->Read(&response));
  ASSERT_TRUE(other_stream->Write(request) && other_stream->Read(&response));

  WriteWhole(deny, "id " + pki_.Id(Role::kCollector, "edge") + "\n");
  // Nobody sends anything: the handler waits in Read, and the server's own maintenance ends it.
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_FALSE(stream->Finish().ok());
  ASSERT_TRUE(other_stream->Write(request) && other_stream->Read(&response));
  other_stream->WritesDone();
  EXPECT_TRUE(other_stream->Finish().ok());
}

TEST_F(ServerReloadTest, CertificateThatExpiresWhileConnectedIsRefused) {
  FakeClock clock(SystemClock().NowNanos());
  Security security = pki_.MakeSecurity(Rows());
  security.callers = std::make_shared<CallerResolver>(pki_.identities(), nullptr, clock);
  handlers_ = std::make_unique<Handlers>(security.callers);
  server_ = pki_.StartServer(Role::kOnode, security, {{handlers_.get(), EchoService::service_full_name()}});
  const auto channel = pki_.Channel(*server_, Role::kReader);
  const auto collector = pki_.Channel(*server_, Role::kCollector);
  const auto stub = EchoService::NewStub(collector);
  grpc::ClientContext context;
  const auto stream = stub->Chat(&context);
  ChatResponse response;
  ASSERT_TRUE(stream->Write(ChatRequest()) && stream->Read(&response));
  ASSERT_TRUE(Call(channel).ok());
  clock.Advance(std::chrono::hours(25));
  const grpc::Status status = Call(channel);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_THAT(status.error_message(), HasSubstr("expired"));
  EXPECT_FALSE(stream->Read(&response));
}

TEST_F(ServerReloadTest, NewCertificateOfTheServerIsTakenWhileRunning) {
  Start();
  const auto old_connection = pki_.Channel(*server_, Role::kReader);
  ASSERT_TRUE(Call(old_connection).ok());
  const ExpectedServer second{.role = Role::kOnode, .spiffe_id = pki_.Id(Role::kOnode, "second"), .check_host = false};
  const TlsFiles client = pki_.Files(Role::kReader);
  EXPECT_FALSE(Call(pki_.Channel(server_->address(), client, second)).ok());
  pki_.Issue(pki_.Spec(Role::kOnode, "second"), "onode-test");  // same files, new id
  EXPECT_TRUE(Eventually([&] { return Call(pki_.Channel(server_->address(), client, second)).ok(); }));
  EXPECT_TRUE(Call(old_connection).ok());
  EXPECT_OK(server_->Ready());
}

TEST_F(ServerReloadTest, NewAuthorityIsTakenWhileRunning) {
  TestPki next;
  TlsFiles server_files = pki_.Files(Role::kOnode);
  server_files.roots = pki_.dir() + "/server-roots.crt";
  WriteWhole(server_files.roots, pki_.ca().certificate_pem());
  security_ = pki_.MakeSecurity(Rows());
  handlers_ = std::make_unique<Handlers>(security_.callers);
  const SystemClock clock;
  auto server = ServerRunner::Start(pki_.Options(server_files), security_, clock,
                                    {{handlers_.get(), EchoService::service_full_name()}});
  ASSERT_OK(server);
  server_ = *std::move(server);
  TlsFiles newcomer = next.Files(Role::kReader);
  newcomer.roots = pki_.dir() + "/ca.crt";
  const auto call = [&](const TlsFiles& files) {
    return Call(pki_.Channel(server_->address(), files, {.role = Role::kOnode, .spiffe_id = "", .check_host = false}))
        .ok();
  };
  EXPECT_FALSE(call(newcomer));
  WriteWhole(server_files.roots, pki_.ca().certificate_pem() + next.ca().certificate_pem());
  EXPECT_TRUE(Eventually([&] { return call(newcomer); }));
  EXPECT_TRUE(call(pki_.Files(Role::kReader)));
  WriteWhole(server_files.roots, next.ca().certificate_pem());  // and the old one is retired
  EXPECT_TRUE(Eventually([&] { return !call(pki_.Files(Role::kReader)); }));
  EXPECT_TRUE(call(newcomer));
}

TEST_F(ServerReloadTest, ReadinessSpeaksOfTheFilesOnDisk) {
  Start();
  EXPECT_OK(server_->Ready());
  const TlsFiles files = pki_.Files(Role::kOnode);
  const TlsFiles other = pki_.Files(Role::kKeymgr);
  std::filesystem::copy_file(other.private_key, files.private_key, std::filesystem::copy_options::overwrite_existing);
  EXPECT_THAT(server_->Ready(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not the certificate's")));
  crypto::LeafSpec spec = pki_.Spec(Role::kOnode);
  spec.not_after = spec.not_before + kHour / 2;
  pki_.Issue(spec, "onode-test");
  EXPECT_THAT(server_->Ready(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("expired")));
  spec = pki_.Spec(Role::kOnode);
  spec.not_before = spec.not_after - kHour;
  pki_.Issue(spec, "onode-test");
  EXPECT_THAT(server_->Ready(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not valid yet")));
  EXPECT_EQ(server_->certificate_not_after() / 1'000'000'000, spec.not_after / 1'000'000'000);
  std::filesystem::remove(files.certificate);
  EXPECT_EQ(server_->certificate_not_after(), 0);
  EXPECT_THAT(server_->Ready(), StatusIs(absl::StatusCode::kNotFound, HasSubstr(files.certificate)));
  pki_.Issue(pki_.Spec(Role::kOnode), "onode-test");
  EXPECT_OK(server_->Ready());
}

}  // namespace
}  // namespace virp::service
