// ObservationKeyService over mutual TLS: who may call what, and what collectors and O-Nodes make of it.
#include "services/keymgr/transport/observation_handler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/crypto/ed25519.h"
#include "lib/frame/key_statements.h"
#include "lib/keys/key_client.h"
#include "lib/service/errors.h"
#include "services/keymgr/domain/observation_test_util.h"
#include "services/keymgr/transport/observation_wire.h"
#include "tests/testutil/every_role.h"
#include "tests/testutil/test_pki.h"
#include "tests/testutil/wait.h"

namespace virp::keymgr {
namespace {

using service::Role;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Property;
using ::testing::SizeIs;
using namespace std::chrono_literals;

const std::string kEdge = "edge-a.bgpd";

class ObservationHandlerTest : public ::testing::Test {
 protected:
  ObservationHandlerTest() {
    security_ = pki_.MakeSecurity(ObservationAccess());
    handler_ = std::make_unique<ObservationHandler>(lab_.keys, *lab_.ledger, security_.callers);
    server_ =
        pki_.StartServer(Role::kKeymgr, security_, {{handler_.get(), v1::ObservationKeyService::service_full_name()}});
  }
  ~ObservationHandlerTest() override {
    handler_->Drain();
    server_.reset();
  }

  std::unique_ptr<v1::ObservationKeyService::Stub> As(Role role, std::string_view name = "test") {
    return v1::ObservationKeyService::NewStub(pki_.Channel(*server_, role, name, Role::kKeymgr));
  }
  template <typename Request>
  Request Asking(std::uint32_t version = 0) {
    Request request;
    if constexpr (requires { request.set_source(kEdge); }) request.set_source(kEdge);
    if constexpr (requires { request.set_version(version); }) request.set_version(version);
    if constexpr (requires { request.set_reason("a test"); }) request.set_reason("a test");
    if constexpr (requires { request.set_request_id("x"); })
      request.set_request_id("wire-" + std::to_string(++requests_));
    return request;
  }
  // Calls a unary method of the stub; the response, or nothing and the status in `status_`.
  template <typename Response, typename Stub, typename Method, typename Request>
  Response Do(Stub& stub, Method method, const Request& request) {
    grpc::ClientContext context;
    Response response;
    status_ = service::FromGrpcStatus((stub.get()->*method)(&context, request, &response));
    return response;
  }
  v1::CreateObservationKeyRequest Source() {
    auto request = Asking<v1::CreateObservationKeyRequest>();
    request.mutable_key()->set_source(kEdge);
    request.mutable_key()->add_signers(pki_.Id(Role::kCollector, "edge-a"));
    return request;
  }
  // What a client of that identity has.
  struct Client {
    std::unique_ptr<keys::ManagedKeys> keys;
    std::unique_ptr<keys::KeyClient> client;
  };
  Client Watch(Role role, const std::string& name, std::function<std::vector<keys::KnownVersion>()> known = nullptr) {
    Client out;
    out.keys = *keys::ManagedKeys::Open("");
    keys::KeyClientOptions options;
    options.addresses = {"the manager"};
    options.known = std::move(known);
    options.report_interval = 10ms;
    options.backoff_min = options.backoff_max = 50ms;
    out.client = std::make_unique<keys::KeyClient>(
        options,
        [this, role, name](const std::string&) -> absl::StatusOr<std::shared_ptr<grpc::Channel>> {
          return pki_.Channel(*server_, role, name, Role::kKeymgr);
        },
        *out.keys);
    out.client->Start();
    return out;
  }
  static bool Eventually(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + 60s;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(5ms);
    }
    return true;
  }

  testutil::TestPki pki_;
  ObservationLab lab_;
  service::Security security_;
  std::unique_ptr<ObservationHandler> handler_;
  std::unique_ptr<service::ServerRunner> server_;
  absl::Status status_;
  int requests_ = 0;
};

TEST_F(ObservationHandlerTest, EveryRpcByEveryRole) {
  handler_->Drain();  // streams that would wait for news end
  const std::set<Role> operators{Role::kOperator}, readers{Role::kReader, Role::kOperator, Role::kApprover};
  const std::set<Role> holders{Role::kCollector, Role::kProducer, Role::kRtrBridge, Role::kOnode};
  const google::protobuf::ServiceDescriptor* const service =
      v1::ObservationKey::descriptor()->file()->FindServiceByName("ObservationKeyService");
  testutil::ExpectEveryRole(
      pki_, *server_, Role::kKeymgr, *service, ObservationAccess(),
      {{"CreateObservationKey", operators},
       {"UpdateObservationKey", operators},
       {"PrepareObservationKey", operators},
       {"ActivateObservationKey", operators},
       {"TaintObservationKey", operators},
       {"RevokeObservationKey", operators},
       {"ExportObservationKey", operators},
       {"ApproveObservationKey", {Role::kOperator, Role::kApprover}},
       {"RegisterPublicKey", {Role::kOperator, Role::kCollector, Role::kProducer, Role::kRtrBridge}},
       {"GetObservationKey", readers},
       {"ListObservationKeys", readers},
       {"FetchObservationKeys", holders},
       {"WatchObservationKeys", holders},
       {"ReportObservationKeys", {Role::kOnode}}});
  EXPECT_TRUE(lab_.ledger.store.audit().empty()) << "empty requests change nothing";
}

TEST_F(ObservationHandlerTest, NothingIsSaidOfAStateThatMayNotBeTheChains) {
  using Stub = v1::ObservationKeyService::Stub;
  lab_.Sign(kEdge);
  auto reader = As(Role::kReader), signer = As(Role::kCollector, "nobody"), noc1 = As(Role::kOperator, "noc-1");
  const auto expect = [&](const std::string& reason) {
    Do<v1::GetObservationKeyResponse>(reader, &Stub::GetObservationKey, Asking<v1::GetObservationKeyRequest>());
    EXPECT_EQ(GetReason(status_), reason);
    Do<v1::ListObservationKeysResponse>(reader, &Stub::ListObservationKeys, Asking<v1::ListObservationKeysRequest>());
    EXPECT_EQ(GetReason(status_), reason);
    Do<v1::RegisterPublicKeyResponse>(signer, &Stub::RegisterPublicKey, Asking<v1::RegisterPublicKeyRequest>(2));
    EXPECT_EQ(GetReason(status_), reason) << "not SCOPE_DENIED";
    Do<v1::ActivateObservationKeyResponse>(noc1, &Stub::ActivateObservationKey,
                                           Asking<v1::ActivateObservationKeyRequest>(2));
    EXPECT_EQ(GetReason(status_), reason);
  };
  for (const SealReason seal : {SealReason::kStarting, SealReason::kRollback}) {
    lab_.ledger->Seal(seal);
    expect("SEALED");
    lab_.ledger->Unseal(seal);
  }
  lab_.ledger.store.TakeOver("another.example.net:1");
  ASSERT_TRUE(lab_.ledger->WaitActive(false, std::chrono::steady_clock::now() + 30s));
  expect("NOT_ACTIVE");
}

// An empty list that is complete would make holders forget their keys.
TEST_F(ObservationHandlerTest, AWatchEndsWhenTheStateIsNoLongerKnown) {
  lab_.Sign(kEdge);
  auto onode = As(Role::kOnode, "onode-1");
  const auto read = [](auto& stream) {
    v1::WatchObservationKeysResponse message;
    return stream.Read(&message) ? message.sources_size() : -1;
  };
  const auto expect = [&](const std::function<void()>& happens, const std::string& reason) {
    grpc::ClientContext before, after;
    before.set_deadline(std::chrono::system_clock::now() + 30s);
    after.set_deadline(std::chrono::system_clock::now() + 30s);
    const auto stream = onode->WatchObservationKeys(&before, {});
    EXPECT_EQ(read(*stream), 1);
    happens();
    EXPECT_EQ(read(*stream), -1) << "what comes then is said as if it were all";
    EXPECT_EQ(GetReason(service::FromGrpcStatus(stream->Finish())), reason);
    const auto late = onode->WatchObservationKeys(&after, {});
    EXPECT_EQ(read(*late), -1);
    EXPECT_EQ(GetReason(service::FromGrpcStatus(late->Finish())), reason);
  };
  for (const SealReason seal : {SealReason::kStarting, SealReason::kRollback}) {
    expect([&] { lab_.ledger->Seal(seal); }, "SEALED");
    lab_.ledger->Unseal(seal);
  }
  expect([&] { lab_.ledger.store.TakeOver("another.example.net:1"); }, "NOT_ACTIVE");
}

TEST_F(ObservationHandlerTest, ARollFromTheFirstKeyToTheEndOfTheOldOneReachesHoldersLive) {
  using Stub = v1::ObservationKeyService::Stub;
  auto noc1 = As(Role::kOperator, "noc-1"), noc2 = As(Role::kOperator, "noc-2");
  Do<v1::CreateObservationKeyResponse>(noc1, &Stub::CreateObservationKey, Source());
  ASSERT_TRUE(status_.ok()) << status_;
  const auto first = Do<v1::PrepareObservationKeyResponse>(noc1, &Stub::PrepareObservationKey,
                                                           Asking<v1::PrepareObservationKeyRequest>());
  ASSERT_TRUE(status_.ok()) << status_;
  EXPECT_EQ(first.version(), 1U);
  Do<v1::ApproveObservationKeyResponse>(noc1, &Stub::ApproveObservationKey,
                                        Asking<v1::ApproveObservationKeyRequest>(1));
  EXPECT_EQ(GetReason(status_), "SAME_PERSON");
  Do<v1::ApproveObservationKeyResponse>(noc2, &Stub::ApproveObservationKey,
                                        Asking<v1::ApproveObservationKeyRequest>(1));
  ASSERT_TRUE(status_.ok()) << status_;

  // An O-Node enters what it is told, and says so.
  std::atomic<keys::ManagedKeys*> chain{nullptr};
  auto onode = Watch(Role::kOnode, "onode-1", [&chain] {
    std::vector<keys::KnownVersion> known;
    keys::ManagedKeys* const held = chain;
    if (held == nullptr) return known;
    for (const frame::KeyVersion& version : held->Versions(kEdge)) {
      known.push_back({kEdge, version.version, 7, version.compromised_since.has_value(),
                       version.key->Commitment(kEdge, version.version)});
    }
    return known;
  });
  auto collector = Watch(Role::kCollector, "edge-a");
  auto other = Watch(Role::kCollector, "other");
  ASSERT_TRUE(Eventually([&] { return onode.keys->Has(kEdge) && collector.keys->Has(kEdge); }));
  EXPECT_FALSE(collector.keys->Versions(kEdge)[0].may_sign);
  Do<v1::ActivateObservationKeyResponse>(noc1, &Stub::ActivateObservationKey,
                                         Asking<v1::ActivateObservationKeyRequest>(1));
  EXPECT_EQ(GetReason(status_), "NOT_IN_CHAIN") << "the O-Node first";
  chain = onode.keys.get();
  ASSERT_TRUE(Eventually([&] { return !lab_.Get(kEdge)->versions[0].known_by.empty(); }));
  Do<v1::ActivateObservationKeyResponse>(noc1, &Stub::ActivateObservationKey,
                                         Asking<v1::ActivateObservationKeyRequest>(1));
  ASSERT_TRUE(status_.ok()) << status_;
  ASSERT_TRUE(Eventually([&] { return collector.keys->Versions(kEdge)[0].may_sign; }));
  EXPECT_FALSE(onode.keys->Versions(kEdge)[0].may_sign);

  // The next one: told to all, then in the chain, then in use.
  Do<v1::PrepareObservationKeyResponse>(noc1, &Stub::PrepareObservationKey, Asking<v1::PrepareObservationKeyRequest>());
  ASSERT_TRUE(Eventually([&] {
    return lab_.Get(kEdge)->versions.size() == 2 && !lab_.Get(kEdge)->versions[1].known_by.empty() &&
           collector.keys->Versions(kEdge).size() == 2;
  }));
  auto activate = Asking<v1::ActivateObservationKeyRequest>(2);
  activate.mutable_sign_for()->set_seconds(60);
  activate.mutable_accept_for()->set_seconds(3600);
  Do<v1::ActivateObservationKeyResponse>(noc1, &Stub::ActivateObservationKey, activate);
  ASSERT_TRUE(status_.ok()) << status_;
  ASSERT_TRUE(Eventually([&] { return collector.keys->Versions(kEdge)[1].may_sign; }));
  EXPECT_FALSE(collector.keys->Versions(kEdge)[0].may_sign) << "both at once";
  ASSERT_TRUE(Eventually([&] { return onode.keys->Versions(kEdge)[0].sign_until.has_value(); }));
  EXPECT_TRUE(onode.keys->Versions(kEdge)[0].accept_until.has_value());

  Do<v1::TaintObservationKeyResponse>(noc1, &Stub::TaintObservationKey, Asking<v1::TaintObservationKeyRequest>(1));
  ASSERT_TRUE(status_.ok()) << status_;
  ASSERT_TRUE(Eventually([&] { return onode.keys->Versions(kEdge)[0].compromised_since.has_value(); }));
  ASSERT_TRUE(Eventually([&] {
    const auto& known = lab_.Get(kEdge)->versions[0].known_by;
    return !known.empty() && known[0].compromised;
  }));
  Do<v1::RevokeObservationKeyResponse>(noc1, &Stub::RevokeObservationKey, Asking<v1::RevokeObservationKeyRequest>(1));
  ASSERT_TRUE(status_.ok()) << status_;
  ASSERT_TRUE(Eventually([&] { return onode.keys->Versions(kEdge).size() == 1; }));
  EXPECT_EQ(onode.keys->FirstVersion(kEdge), 1U);
  EXPECT_THAT(other.keys->Sources(), IsEmpty());
  EXPECT_GE(other.client->status().lists, 1U) << "it was told of nothing";
}

TEST_F(ObservationHandlerTest, ACollectorCannotReadAnothersKey) {
  using Stub = v1::ObservationKeyService::Stub;
  auto noc1 = As(Role::kOperator, "noc-1"), noc2 = As(Role::kOperator, "noc-2");
  Do<v1::CreateObservationKeyResponse>(noc1, &Stub::CreateObservationKey, Source());
  Do<v1::PrepareObservationKeyResponse>(noc1, &Stub::PrepareObservationKey, Asking<v1::PrepareObservationKeyRequest>());
  Do<v1::ApproveObservationKeyResponse>(noc2, &Stub::ApproveObservationKey,
                                        Asking<v1::ApproveObservationKeyRequest>(1));
  ASSERT_TRUE(status_.ok()) << status_;
  const auto fetch = [&](Role role, const std::string& name) {
    const auto stub = As(role, name);
    grpc::ClientContext context;
    const auto stream = stub->FetchObservationKeys(&context);
    v1::FetchObservationKeysResponse response;
    EXPECT_TRUE(stream->Write(Asking<v1::FetchObservationKeysRequest>()));
    EXPECT_TRUE(stream->Read(&response));
    stream->WritesDone();
    EXPECT_TRUE(stream->Finish().ok());
    return response.keys();
  };
  ASSERT_THAT(fetch(Role::kCollector, "edge-a").versions(), SizeIs(1));
  EXPECT_EQ(fetch(Role::kCollector, "edge-a").versions(0).secret().size(), 32U);
  EXPECT_THAT(fetch(Role::kCollector, "edge-b").versions(), IsEmpty());
  EXPECT_EQ(fetch(Role::kCollector, "edge-b").first_version(), 0U);
  EXPECT_THAT(fetch(Role::kProducer, "edge-a").versions(), IsEmpty()) << "another role is another identity";
  EXPECT_THAT(fetch(Role::kOnode, "onode-1").versions(), SizeIs(1));
  // Who reads records sees no secret.
  auto reader = As(Role::kReader);
  const auto got =
      Do<v1::GetObservationKeyResponse>(reader, &Stub::GetObservationKey, Asking<v1::GetObservationKeyRequest>());
  ASSERT_TRUE(status_.ok()) << status_;
  const std::string secret = fetch(Role::kCollector, "edge-a").versions(0).secret();
  EXPECT_EQ(got.SerializeAsString().find(secret), std::string::npos);
  EXPECT_THAT(got.key().versions(0).released_to(), SizeIs(2));
}

TEST_F(ObservationHandlerTest, AProducerRegistersForItsOwnSourceOnlyAndNoPrivateHalfIsEverHere) {
  using Stub = v1::ObservationKeyService::Stub;
  auto noc1 = As(Role::kOperator, "noc-1");
  Do<v1::CreateObservationKeyResponse>(noc1, &Stub::CreateObservationKey, Source());
  ASSERT_TRUE(status_.ok()) << status_;
  const auto key = *crypto::Ed25519PrivateKey::FromSeed(std::string(32, 's'));
  const auto registration = [&] {
    auto request = Asking<v1::RegisterPublicKeyRequest>(1);
    request.set_public_key(key.public_key().bytes());
    request.set_possession(key.Sign(frame::PossessionStatement(kEdge, 1, key.public_key().bytes())));
    return request;
  };
  auto stranger = As(Role::kCollector, "edge-b"), own = As(Role::kCollector, "edge-a");
  Do<v1::RegisterPublicKeyResponse>(stranger, &Stub::RegisterPublicKey, registration());
  EXPECT_EQ(GetReason(status_), "SCOPE_DENIED");
  Do<v1::RegisterPublicKeyResponse>(own, &Stub::RegisterPublicKey, registration());
  ASSERT_TRUE(status_.ok()) << status_;
  Do<v1::ApproveObservationKeyResponse>(noc1, &Stub::ApproveObservationKey,
                                        Asking<v1::ApproveObservationKeyRequest>(1));
  ASSERT_TRUE(status_.ok()) << status_;
  auto onode = Watch(Role::kOnode, "onode-1");
  ASSERT_TRUE(Eventually([&] { return onode.keys->Has(kEdge); }));
  EXPECT_EQ(onode.keys->Find(kEdge, 1)->public_key(), key.public_key().bytes());
  EXPECT_FALSE(onode.keys->Find(kEdge, 1)->can_sign());
}

TEST_F(ObservationHandlerTest, RequestsThatCannotBeAreNamedByTheirField) {
  using Stub = v1::ObservationKeyService::Stub;
  auto noc1 = As(Role::kOperator, "noc-1");
  auto create = Source();
  create.clear_request_id();
  Do<v1::CreateObservationKeyResponse>(noc1, &Stub::CreateObservationKey, create);
  EXPECT_THAT(std::string(status_.message()), HasSubstr("request_id"));
  create = Source();
  create.clear_reason();
  Do<v1::CreateObservationKeyResponse>(noc1, &Stub::CreateObservationKey, create);
  EXPECT_THAT(std::string(status_.message()), HasSubstr("reason"));
  create = Source();
  create.mutable_key()->set_form(static_cast<v1::ConsumerForm>(9));
  Do<v1::CreateObservationKeyResponse>(noc1, &Stub::CreateObservationKey, create);
  EXPECT_THAT(std::string(status_.message()), HasSubstr("form"));
  Do<v1::CreateObservationKeyResponse>(noc1, &Stub::CreateObservationKey, Source());
  ASSERT_TRUE(status_.ok());
  auto update = Asking<v1::UpdateObservationKeyRequest>();
  update.set_etag("nonsense");
  Do<v1::UpdateObservationKeyResponse>(noc1, &Stub::UpdateObservationKey, update);
  EXPECT_THAT(std::string(status_.message()), HasSubstr("etag"));
  auto activate = Asking<v1::ActivateObservationKeyRequest>(1);
  activate.mutable_sign_for()->set_seconds(-1);
  Do<v1::ActivateObservationKeyResponse>(noc1, &Stub::ActivateObservationKey, activate);
  EXPECT_THAT(std::string(status_.message()), HasSubstr("sign_for"));
  Do<v1::GetObservationKeyResponse>(noc1, &Stub::GetObservationKey, v1::GetObservationKeyRequest());
  EXPECT_EQ(status_.code(), absl::StatusCode::kNotFound);
  auto onode = As(Role::kOnode, "onode-1");
  v1::ReportObservationKeysRequest report;
  for (int i = 0; i < 1'001; ++i) report.add_known()->set_source(kEdge);
  Do<v1::ReportObservationKeysResponse>(onode, &Stub::ReportObservationKeys, report);
  EXPECT_THAT(std::string(status_.message()), HasSubstr("known"));
}

TEST_F(ObservationHandlerTest, ListsComeInPages) {
  using Stub = v1::ObservationKeyService::Stub;
  for (int i = 0; i < 5; ++i) lab_.Create("edge-" + std::to_string(i));
  ObservationLab::Must(lab_.keys.Prepare(lab_.By(kOperator1), "edge-3", 0));
  auto reader = As(Role::kReader);
  v1::ListObservationKeysRequest request;
  request.set_page_size(2);
  std::vector<std::string> names;
  do {
    const auto page = Do<v1::ListObservationKeysResponse>(reader, &Stub::ListObservationKeys, request);
    ASSERT_TRUE(status_.ok()) << status_;
    for (const v1::ObservationKey& key : page.keys()) names.push_back(key.source());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  EXPECT_THAT(names, ElementsAre("edge-0", "edge-1", "edge-2", "edge-3", "edge-4"));
  request.set_pending_only(true);
  const auto pending = Do<v1::ListObservationKeysResponse>(reader, &Stub::ListObservationKeys, request);
  ASSERT_THAT(pending.keys(), SizeIs(1));
  EXPECT_EQ(pending.keys(0).source(), "edge-3");
  EXPECT_EQ(pending.keys(0).versions(0).state(), v1::OBSERVATION_KEY_STATE_PENDING);
}

TEST_F(ObservationHandlerTest, NumbersOfStatesAndFormsAreTheWires) {
  EXPECT_EQ(static_cast<int>(ObservationState::kRevoked), v1::OBSERVATION_KEY_STATE_REVOKED);
  EXPECT_EQ(static_cast<int>(ObservationState::kTainted), v1::OBSERVATION_KEY_STATE_TAINTED);
  EXPECT_EQ(static_cast<int>(ObservationState::kRetired), v1::OBSERVATION_KEY_STATE_RETIRED);
  EXPECT_EQ(static_cast<int>(ObservationState::kActive), v1::OBSERVATION_KEY_STATE_ACTIVE);
  EXPECT_EQ(static_cast<int>(ObservationState::kPrepared), v1::OBSERVATION_KEY_STATE_PREPARED);
  EXPECT_EQ(static_cast<int>(ConsumerForm::kPlatform), v1::CONSUMER_FORM_PLATFORM);
  EXPECT_EQ(static_cast<int>(ConsumerForm::kHexText), v1::CONSUMER_FORM_HEX_TEXT);
  EXPECT_EQ(static_cast<int>(ConsumerForm::kRaw), v1::CONSUMER_FORM_RAW);
}

}  // namespace
}  // namespace virp::keymgr
