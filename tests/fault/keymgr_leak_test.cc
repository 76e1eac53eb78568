// virp-keymgr as it is run makes keys, hands them out and goes on; then its memory, its log and all that it and its
// database have written are searched for what must not be there.
#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "lib/base/file.h"
#include "lib/service/errors.h"
#include "tests/testutil/keymgr_lab.h"
#include "tests/testutil/postgres.h"
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
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    GTEST_SKIP() << "a sanitizer keeps what was freed";
#endif
#endif
    testutil::KeymgrLabOptions options;
    options.binaries = VIRP_BINARY_DIR;
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

  std::unique_ptr<testutil::PostgresCluster> postgres_;
  testutil::TestPki pki_;
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
