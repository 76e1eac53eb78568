// virp-keymgr as it is run makes keys, hands them out and goes on; then its memory, its log and all that it and its
// database have written are searched for what must not be there.
#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "lib/base/file.h"
#include "lib/base/sanitizers.h"
#include "lib/crypto/p256.h"
#include "lib/crypto/sha256.h"
#include "lib/rpki/check.h"
#include "lib/rpki/key_package.h"
#include "lib/service/errors.h"
#include "tests/testutil/keymgr_lab.h"
#include "tests/testutil/postgres.h"
#include "tests/testutil/router_desk.h"
#include "tests/testutil/secret_search.h"
#include "tests/testutil/status_matchers.h"
#include "virp/keymgr/v1/observation_key.grpc.pb.h"
#include "virp/keymgr/v1/tcp_ao_key.grpc.pb.h"

namespace virp::keymgr {
namespace {

using service::Role;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testutil::KeymgrLab;
using testutil::SecretSearch;
using ObservationStub = v1::ObservationKeyService::Stub;
using TcpAoStub = v1::TcpAoKeyService::Stub;

class KeymgrLeakTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
#ifdef VIRP_SANITIZED_HEAP
    GTEST_SKIP() << "a sanitizer keeps what was freed";
#endif
    testutil::KeymgrLabOptions options;
    options.binaries = VIRP_BINARY_DIR;
    options.options = testutil::RouterDesk::Options(published_.path());
    if (GetParam() == "postgres") {
      testutil::PostgresClusterOptions cluster;
      cluster.settings = {"log_statement = all", "log_min_error_statement = debug5"};
      auto started = testutil::PostgresCluster::Start(cluster);
      ASSERT_OK(started);
      postgres_ = *std::move(started);
      const auto url = postgres_->CreateDatabase();
      ASSERT_OK(url);
      options.store = *url;
    }
    lab_ = std::make_unique<KeymgrLab>(options, pki_);
    ASSERT_OK(lab_->Start());
    const auto kek = ReadFile(lab_->kek_folder() + "/1.kek");
    ASSERT_OK(kek);
    search_.Add("kek", *kek);
  }

  template <typename Stub, typename Request, typename Response>
  void Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*), Stub& stub,
            const Request& request, Response& response) {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    const grpc::Status status = (stub.*method)(&context, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  template <typename Request>
  Request Asking() {
    Request out;
    out.set_reason("leak test");
    out.set_request_id("00000000-0000-4000-8000-" + std::to_string(100'000'000'000 + ++requests_));
    return out;
  }

  // An HMAC O-Key that edge-a gets over its own connection, which is closed again.
  std::string FetchObservationKey() {
    const auto noc1 = v1::ObservationKeyService::NewStub(lab_->Channel(Role::kOperator, "noc-1"));
    const auto noc2 = v1::ObservationKeyService::NewStub(lab_->Channel(Role::kOperator, "noc-2"));
    auto create = Asking<v1::CreateObservationKeyRequest>();
    create.mutable_key()->set_source("edge-a.bgpd");
    create.mutable_key()->add_signers(pki_.Id(Role::kCollector, "edge-a"));
    v1::CreateObservationKeyResponse created;
    Call(&ObservationStub::CreateObservationKey, *noc1, create, created);
    auto prepare = Asking<v1::PrepareObservationKeyRequest>();
    prepare.set_source("edge-a.bgpd");
    v1::PrepareObservationKeyResponse prepared;
    Call(&ObservationStub::PrepareObservationKey, *noc1, prepare, prepared);
    auto approve = Asking<v1::ApproveObservationKeyRequest>();
    approve.set_source("edge-a.bgpd");
    approve.set_version(1);
    v1::ApproveObservationKeyResponse approved;
    Call(&ObservationStub::ApproveObservationKey, *noc2, approve, approved);

    const auto edge = v1::ObservationKeyService::NewStub(lab_->Channel(Role::kCollector, "edge-a"));
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    const auto stream = edge->FetchObservationKeys(&context);
    v1::FetchObservationKeysRequest fetch;
    fetch.set_source("edge-a.bgpd");
    stream->Write(fetch);
    v1::FetchObservationKeysResponse fetched;
    EXPECT_TRUE(stream->Read(&fetched));
    stream->WritesDone();
    EXPECT_TRUE(stream->Finish().ok());
    EXPECT_EQ(fetched.keys().versions_size(), 1);
    return fetched.keys().versions_size() == 1 ? fetched.keys().versions(0).secret() : "";
  }

  void CreatePair() {
    const auto noc = v1::TcpAoKeyService::NewStub(lab_->Channel(Role::kOperator, "noc-1"));
    auto create = Asking<v1::CreateTcpAoPairRequest>();
    v1::TcpAoPair& pair = *create.mutable_pair();
    pair.set_id("edge-a/core-1");
    pair.set_algorithm(v1::TCP_AO_ALGORITHM_HMAC_SHA1_96);
    pair.mutable_a()->set_device("edge-a");
    pair.mutable_a()->set_address("192.0.2.1");
    pair.mutable_b()->set_device("core-1");
    pair.mutable_b()->set_address("192.0.2.2");
    v1::CreateTcpAoPairResponse created;
    Call(&TcpAoStub::CreateTcpAoPair, *noc, create, created);
  }
  std::string FetchPair() {
    const auto noc = v1::TcpAoKeyService::NewStub(lab_->Channel(Role::kOperator, "noc-1"));
    auto fetch = Asking<v1::FetchTcpAoKeysRequest>();
    fetch.set_id("edge-a/core-1");
    fetch.set_end(v1::TCP_AO_END_A);
    v1::FetchTcpAoKeysResponse fetched;
    Call(&TcpAoStub::FetchTcpAoKeys, *noc, fetch, fetched);
    return fetched.keys_size() == 1 ? fetched.keys(0).master_key() : "";
  }

  // What a call leaves in buffers of its connection is gone when that is: the manager sees the end a little later.
  std::vector<std::string> MemoryLeaks() {
    std::vector<std::string> found;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    do {
      const auto now = search_.InMemory(lab_->process().pid());
      if (!now.ok()) return {std::string(now.status().message())};
      found = *now;
    } while (!found.empty() && std::chrono::steady_clock::now() < deadline);
    return found;
  }
  std::vector<std::string> DiskLeaks() {
    // The KEK's own file, and the manager's own O-Key, are files.
    std::vector<std::string> found = search_.InFolder(lab_->folder(), ".kek");
    if (postgres_ != nullptr) {
      for (std::string& more : search_.InFolder(postgres_->data_folder())) found.push_back(std::move(more));
      for (std::string& more : search_.InText(postgres_->log())) found.push_back("PostgreSQL's log: " + more);
    }
    return found;
  }

  // A call that is refused, and what it says: nothing that was to be kept from others.
  void ExpectRefusedWithoutSecrets(const absl::Status& status) {
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(search_.InText(status.ToString()), IsEmpty()) << "in an error, with its details";
  }

  std::unique_ptr<testutil::PostgresCluster> postgres_;
  testutil::TestPki pki_;
  const testutil::TempDir published_;
  std::unique_ptr<KeymgrLab> lab_;
  SecretSearch search_;
  int requests_ = 0;
};

TEST_P(KeymgrLeakTest, SecretsAreInTheArenaAndInEnvelopesOnly) {
  const std::string observation = FetchObservationKey();
  ASSERT_EQ(observation.size(), 32U);
  search_.Add("O-Key", observation);
  CreatePair();
  const auto before = testutil::DumpMemory(lab_->process().pid());
  ASSERT_OK(before);
  const std::string master = FetchPair();
  ASSERT_EQ(master.size(), 64U);
  search_.Add("TCP-AO key", master);
  // Before it was asked for, it was nowhere.
  for (const std::string& mapping : *before) EXPECT_THAT(search_.InText(mapping), Not(Contains(HasSubstr("TCP-AO"))));

  EXPECT_THAT(MemoryLeaks(), IsEmpty());
  EXPECT_THAT(DiskLeaks(), IsEmpty());

  // The search finds what is there: the key as the name of a source, which is kept in memory and on disk.
  auto leak = Asking<v1::CreateObservationKeyRequest>();
  leak.mutable_key()->set_source(HexEncode(observation));
  leak.mutable_key()->add_signers(pki_.Id(Role::kCollector, "edge-a"));
  const auto noc = v1::ObservationKeyService::NewStub(lab_->Channel(Role::kOperator, "noc-1"));
  v1::CreateObservationKeyResponse leaked;
  Call(&ObservationStub::CreateObservationKey, *noc, leak, leaked);
  const auto memory = search_.InMemory(lab_->process().pid());
  ASSERT_OK(memory);
  EXPECT_THAT(*memory, Contains(HasSubstr("O-Key, hex")));
  EXPECT_THAT(DiskLeaks(), Contains(HasSubstr("O-Key, hex")));
}

// A router's key that is made here, leaves once and is refused then.
TEST_P(KeymgrLeakTest, ARouterKeyIsInTheArenaInEnvelopesAndInItsOnePackage) {
  testutil::RouterDesk desk(*lab_);
  const auto anchor = desk.SetUpAuthority();
  ASSERT_OK(anchor);
  ASSERT_OK(desk.Register("edge-a", 64496, v1::ROUTER_KEY_METHOD_OPERATOR_DRIVEN, v1::ROUTER_EXPORT_POLICY_ONCE));
  ASSERT_OK(desk.Create("edge-a", 64496).status());
  ASSERT_OK(desk.Issue("edge-a/64496", 1));
  const auto before = testutil::DumpMemory(lab_->process().pid());
  ASSERT_OK(before);
  {
    const auto package = desk.Package("edge-a/64496", 1);
    ASSERT_OK(package);
    const auto opened = rpki::OpenKeyPackage(*package, *anchor, std::nullopt);
    ASSERT_OK(opened);
    const auto scalar = rpki::DecodePkcs8(opened->pkcs8.view());
    ASSERT_OK(scalar);
    search_.Add("router key", scalar->view());
    EXPECT_THAT(search_.InText(*package), Contains("router key, raw")) << "the search would find the package, too";
  }
  for (const std::string& mapping : *before)
    EXPECT_THAT(search_.InText(mapping), IsEmpty()) << "made and not asked for";
  ExpectRefusedWithoutSecrets(desk.Package("edge-a/64496", 1).status());
  EXPECT_THAT(MemoryLeaks(), IsEmpty());
  EXPECT_THAT(DiskLeaks(), IsEmpty());
  EXPECT_THAT(search_.InFolder(published_.path()), IsEmpty());
}

// A router's own key that it deposits, and that a replacement takes; and what is said to those who bring it wrongly.
TEST_P(KeymgrLeakTest, AKeyInEscrowIsInTheArenaAndInEnvelopesOnly) {
  testutil::RouterDesk desk(*lab_);
  using Desk = testutil::RouterDesk;
  ASSERT_OK(desk.SetUpAuthority().status());
  ASSERT_OK(desk.Register("edge-b", 64497, v1::ROUTER_KEY_METHOD_ROUTER_DRIVEN, v1::ROUTER_EXPORT_POLICY_NEVER));
  const crypto::Secret scalar = crypto::Secret::Random(32);
  const auto key = crypto::P256PrivateKey::FromScalar(scalar.view());
  ASSERT_OK(key);
  search_.Add("escrowed key", scalar.view());
  const auto pkcs8 = rpki::EncodePkcs8(scalar.view(), key->public_key().point());
  ASSERT_OK(pkcs8);
  const auto csr = rpki::MakeRouterRequest(key->public_key().spki(), 64497, [&](std::string_view message) {
    return key->SignDigest(crypto::Sha256(message));
  });
  ASSERT_OK(csr);
  const std::string pem =
      "-----BEGIN PRIVATE KEY-----\n" + Base64Encode(pkcs8->view()) + "\n-----END PRIVATE KEY-----\n";
  const auto submit = [&](std::string_view what) {
    auto request = desk.Change<v1::SubmitCsrRequest>();
    request.set_csr(std::string(what));
    return desk.Ask(&Desk::Stub::SubmitCsr, request, Role::kRouter, "edge-b").status();
  };
  const auto deposit = [&](std::string_view what, std::uint32_t version = 1) {
    auto request = desk.Of<v1::EscrowDepositRequest>("edge-b/64497", version);
    request.set_private_key(std::string(what));
    return desk.Ask(&Desk::Stub::EscrowDeposit, request, Role::kRouter, "edge-b").status();
  };
  // The key in place of the request for it, and of the names of things.
  ExpectRefusedWithoutSecrets(submit(pkcs8->view()));
  ExpectRefusedWithoutSecrets(submit(pem));
  ASSERT_OK(desk.Enrol("edge-b", *csr));
  ExpectRefusedWithoutSecrets(deposit(pem));
  ExpectRefusedWithoutSecrets(deposit(pkcs8->view().substr(0, pkcs8->size() - 1)));
  ExpectRefusedWithoutSecrets(deposit(std::string(scalar.view()) + std::string(scalar.view())));
  ExpectRefusedWithoutSecrets(deposit(pkcs8->view(), 2));
  ASSERT_OK(deposit(pkcs8->view()));
  ExpectRefusedWithoutSecrets(deposit(pkcs8->view()));
  EXPECT_THAT(MemoryLeaks(), IsEmpty()) << "deposited";

  auto ask = desk.Of<v1::RequestEscrowReleaseRequest>("edge-b/64497", 1);
  ask.set_agent(pki_.Id(Role::kRouter, "edge-b2"));
  const auto asked = desk.Ask(&Desk::Stub::RequestEscrowRelease, ask);
  ASSERT_OK(asked);
  auto approval = desk.Of<v1::ApproveEscrowReleaseRequest>("edge-b/64497", 1);
  approval.set_expected(asked->request().digest());
  ASSERT_OK(desk.Ask(&Desk::Stub::ApproveEscrowRelease, approval, Role::kApprover, "second").status());
  {
    const auto taken = desk.Ask(&Desk::Stub::EscrowRelease, desk.Of<v1::EscrowReleaseRequest>("edge-b/64497", 1));
    ASSERT_OK(taken);
    EXPECT_THAT(search_.InText(taken->package()), Contains("escrowed key, raw"));
  }
  ExpectRefusedWithoutSecrets(
      desk.Ask(&Desk::Stub::EscrowRelease, desk.Of<v1::EscrowReleaseRequest>("edge-b/64497", 1)).status());
  EXPECT_THAT(MemoryLeaks(), IsEmpty()) << "and taken";
  EXPECT_THAT(DiskLeaks(), IsEmpty());
  EXPECT_THAT(search_.InFolder(published_.path()), IsEmpty());
}

TEST_P(KeymgrLeakTest, NoCoreDumpIsWritten) {
  std::ifstream limits("/proc/" + std::to_string(lab_->process().pid()) + "/limits");
  std::string core;
  for (std::string line; std::getline(limits, line);) {
    if (line.starts_with("Max core file size")) core = line;
  }
  EXPECT_THAT(core, testing::ContainsRegex("Max core file size +0 +0"));
}

INSTANTIATE_TEST_SUITE_P(Stores, KeymgrLeakTest, testing::Values("sqlite", "postgres"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace virp::keymgr
