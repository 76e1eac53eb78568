// virp-keymgr as it is run: what it publishes is what rpki-client lists and what an RTR client is told, through issue,
// roll, revocation, refresh and kill -9.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "lib/crypto/x509.h"
#include "lib/rpki/publication.h"
#include "lib/service/errors.h"
#include "tests/interop/rpki_tools.h"
#include "tests/testutil/keymgr_lab.h"
#include "tests/testutil/status_matchers.h"
#include "virp/keymgr/v1/router_key.grpc.pb.h"
#include "virp/keymgr/v1/rpki.grpc.pb.h"

namespace virp {
namespace {

using service::Role;
using testing::IsEmpty;
using testing::UnorderedElementsAre;
using testutil::RelyingParty;
namespace v1 = keymgr::v1;

class KeymgrProgramTest : public testing::Test {
 protected:
  KeymgrProgramTest()
      : keymgr_({.binaries = VIRP_BINARY_DIR,
                 .options = {"--rpki-base-uri", "rsync://rpki.example.net/repo/", "--rpki-publication",
                             dir_.File("pub"), "--rpki-as", "64496-64511", "--rpki-address", "192.0.2.0/24",
                             "--expiry-calendar", dir_.File("expiry.ics")}},
                pki_) {}

  void SetUp() override {
    ASSERT_OK(keymgr_.Start());
    Connect();
    const auto made = Call(*rpki_, &v1::RpkiService::Stub::SetUpAuthority, Change<v1::SetUpAuthorityRequest>());
    ASSERT_OK(made.status());
    party_ = std::make_unique<RelyingParty>(made->trust_anchor().tal(), made->trust_anchor().certificate());
    ASSERT_TRUE(AwaitPublished(0)) << keymgr_.process().log();
  }
  void Connect() {
    rpki_ = v1::RpkiService::NewStub(keymgr_.Channel(Role::kOperator, "noc-1"));
    routers_ = v1::RouterKeyService::NewStub(keymgr_.Channel(Role::kOperator, "noc-1"));
  }
  void KillAndRestart() {
    keymgr_.process().Kill();
    ASSERT_OK(keymgr_.Start());
    Connect();
  }

  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(Stub& stub,
                                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                const Request& request) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    Response response;
    const grpc::Status status = (stub.*method)(&context, request, &response);
    if (!status.ok()) return service::FromGrpcStatus(status);
    return response;
  }
  template <typename Request>
  Request Change() {
    Request request;
    request.set_reason("a test");
    request.set_request_id("request-" + std::to_string(++requests_));
    return request;
  }
  template <typename Request>
  Request Of(const std::string& slot, std::uint32_t version) {
    auto request = Change<Request>();
    request.set_slot(slot);
    request.set_version(version);
    return request;
  }

  // Until what was issued and revoked is out, and so many certificates are listed.
  bool AwaitPublished(std::uint64_t certificates) {
    return testutil::Eventually([&] {
      const auto state = Call(*rpki_, &v1::RpkiService::Stub::GetPublication, v1::GetPublicationRequest());
      return state.ok() && state->number() != 0 && state->waiting() == 0 && state->certificates() == certificates;
    });
  }
  // What a relying party finds now, fetched as rsync would.
  std::set<RelyingParty::RouterKey> Seen() {
    std::map<std::string, std::string> files;
    const auto folder = rpki::PublicationFolder::Open(dir_.File("pub"));
    EXPECT_OK(folder.status());
    const auto tree = folder->Read();
    EXPECT_OK(tree.status());
    for (const auto& [path, bytes] : *tree) files["repo/" + path] = bytes;
    party_->Fetch(files);
    return party_->Validate();
  }
  void Register(const std::string& id, std::uint32_t asn) {
    auto request = Change<v1::RegisterRouterRequest>();
    v1::Router& router = *request.mutable_router();
    router.set_id(id);
    router.set_bgp_id(0xc0000201);
    router.add_asns(asn);
    router.set_method(v1::ROUTER_KEY_METHOD_OPERATOR_DRIVEN);
    router.set_policy(v1::ROUTER_EXPORT_POLICY_NEVER);
    router.set_bootstrap(v1::ROUTER_BOOTSTRAP_CRAFT_PORT);
    router.set_no_next_key(true);
    ASSERT_OK(Call(*routers_, &v1::RouterKeyService::Stub::RegisterRouter, request).status());
  }
  // Makes and certifies the next key; what relying parties are to see of it.
  RelyingParty::RouterKey Issue(const std::string& router, std::uint32_t asn, std::uint32_t version) {
    auto create = Change<v1::CreateRouterKeyRequest>();
    create.set_router(router);
    create.set_asn(asn);
    const auto made = Call(*routers_, &v1::RouterKeyService::Stub::CreateRouterKey, create);
    EXPECT_OK(made.status());
    if (!made.ok()) return {};
    EXPECT_EQ(made->version(), version);
    EXPECT_OK(Call(*routers_, &v1::RouterKeyService::Stub::IssueRouterCertificate,
                   Of<v1::IssueRouterCertificateRequest>(made->slot().slot(), version))
                  .status());
    const auto csr = x509::ParseRequest(made->csr());
    EXPECT_OK(csr.status());
    return testutil::KeyOf(asn, *crypto::P256PublicKey::FromSpki(csr->spki));
  }
  // The operator's word for a router that has no agent, as soon as the manager has noticed that the key is out.
  void SignWith(const std::string& slot, std::uint32_t version) {
    ASSERT_TRUE(testutil::Eventually([&] {
      auto activate = Of<v1::ActivateRouterKeyRequest>(slot, version);
      activate.set_emergency(true);
      activate.set_unconfirmed(true);
      return Call(*routers_, &v1::RouterKeyService::Stub::ActivateRouterKey, activate).ok();
    }));
    auto confirm = Of<v1::ConfirmInstallRequest>(slot, version);
    confirm.set_event(v1::ROUTER_EVENT_SIGNING);
    ASSERT_OK(Call(*routers_, &v1::RouterKeyService::Stub::ConfirmInstall, confirm).status());
  }
  // AS numbers and keys that a watcher is told first.
  std::set<RelyingParty::RouterKey> Fed() {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    const auto stub = v1::RpkiService::NewStub(keymgr_.Channel(Role::kRtrBridge, "rtr-1"));
    const auto reader = stub->WatchRouterKeys(&context, {});
    std::set<RelyingParty::RouterKey> out;
    v1::WatchRouterKeysResponse message;
    do {
      EXPECT_TRUE(reader->Read(&message));
      for (const auto& key : message.announced())
        out.insert(testutil::KeyOf(key.asn(), *crypto::P256PublicKey::FromSpki(key.spki())));
    } while (!message.complete() && !testing::Test::HasFailure());
    EXPECT_TRUE(message.restart());
    EXPECT_GE(message.serial(), serial_) << "serials grow over restarts";
    serial_ = message.serial();
    context.TryCancel();
    reader->Finish();
    return out;
  }
  std::string ExportJson() {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    v1::ExportRouterKeysRequest request;
    request.set_format(v1::ROUTER_KEY_FORMAT_RPKI_CLIENT_JSON);
    const auto reader = rpki_->ExportRouterKeys(&context, request);
    std::string out;
    v1::ExportRouterKeysResponse part;
    while (reader->Read(&part)) out += part.content();
    EXPECT_TRUE(reader->Finish().ok());
    return out;
  }

  testutil::TestPki pki_;
  testutil::TempDir dir_;
  testutil::KeymgrLab keymgr_;
  std::unique_ptr<v1::RpkiService::Stub> rpki_;
  std::unique_ptr<v1::RouterKeyService::Stub> routers_;
  std::unique_ptr<RelyingParty> party_;
  int requests_ = 0;
  std::uint64_t serial_ = 0;
};

TEST_F(KeymgrProgramTest, RelyingPartiesSeeEachIssuedKeyAndNothingElse) {
  EXPECT_THAT(Seen(), IsEmpty());
  Register("edge-a", 64496);
  Register("edge-b", 64497);
  const auto first = Issue("edge-a", 64496, 1), other = Issue("edge-b", 64497, 1);
  ASSERT_TRUE(AwaitPublished(2));
  EXPECT_THAT(Seen(), UnorderedElementsAre(first, other)) << party_->log();
  EXPECT_THAT(Fed(), UnorderedElementsAre(first, other));

  // A roll: the next key is out beside the first, then the first is revoked.
  SignWith("edge-a/64496", 1);
  const auto next = Issue("edge-a", 64496, 2);
  ASSERT_TRUE(AwaitPublished(3));
  EXPECT_THAT(Seen(), UnorderedElementsAre(first, next, other));
  KillAndRestart();
  EXPECT_THAT(Fed(), UnorderedElementsAre(first, next, other));
  auto taint = Of<v1::TaintRouterKeyRequest>("edge-a/64496", 1);
  taint.set_continuity(v1::ROUTER_CONTINUITY_DISABLE_BGPSEC);
  ASSERT_OK(Call(*routers_, &v1::RouterKeyService::Stub::TaintRouterKey, taint).status());
  auto revoke = Of<v1::RevokeRouterKeyRequest>("edge-a/64496", 1);
  revoke.set_continuity(v1::ROUTER_CONTINUITY_DISABLE_BGPSEC);
  ASSERT_OK(Call(*routers_, &v1::RouterKeyService::Stub::RevokeRouterKey, revoke).status());
  KillAndRestart();  // it may have published by then or not
  ASSERT_TRUE(AwaitPublished(2));
  EXPECT_THAT(Seen(), UnorderedElementsAre(next, other));
  EXPECT_THAT(Fed(), UnorderedElementsAre(next, other));

  // A refresh changes nothing that anybody sees.
  const auto before = Call(*rpki_, &v1::RpkiService::Stub::GetPublication, v1::GetPublicationRequest());
  const auto again = Call(*rpki_, &v1::RpkiService::Stub::PublishNow, Change<v1::PublishNowRequest>());
  ASSERT_OK(again.status());
  EXPECT_GT(again->number(), before->number());
  EXPECT_THAT(Seen(), UnorderedElementsAre(next, other));

  // Routers are told the same: our JSON over stayrtr to an RTR client.
  testutil::WriteBytes(dir_.File("router-keys.json"), ExportJson());
  testutil::ExpectServed(dir_.File("router-keys.json"), {next, other});
  EXPECT_TRUE(testutil::Eventually([&] {
    const auto calendar = ReadFile(dir_.File("expiry.ics"));
    return calendar.ok() && calendar->find("BGPsec certificate of edge-b for AS 64497 ends") != std::string::npos;
  }));
}

}  // namespace
}  // namespace virp
