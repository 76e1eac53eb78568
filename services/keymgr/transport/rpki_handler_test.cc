// RpkiService over mutual TLS, and every RPC of it by every role.
#include "services/keymgr/transport/rpki_handler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/crypto/sha256.h"
#include "lib/service/errors.h"
#include "services/keymgr/domain/rpki_fixture.h"
#include "tests/testutil/every_role.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/test_pki.h"

namespace virp::keymgr {
namespace {

using absl::StatusCode;
using service::Role;
using testing::HasSubstr;
using testutil::ReasonIs;
using testutil::StatusIs;
using Stub = v1::RpkiService::Stub;

class RpkiHandlerTest : public testing::Test {
 protected:
  RpkiHandlerTest()
      : feed_(*rpki_.ledger),
        expiry_(*rpki_.ledger, rpki_.ledger.clock, {}, pki_.Id(Role::kKeymgr)),
        keeper_(*rpki_.authority, rpki_.one_time_keys, rpki_.ledger.clock, [] { return true; }) {
    rpki_.Start();
    const service::Security security = pki_.MakeSecurity(RpkiAccess());
    const RpkiParts parts{*rpki_.authority, feed_, expiry_, keeper_, [this] { return Readable(); }};
    handler_ = std::make_unique<RpkiHandler>(parts, security.callers, rpki_.ledger.clock);
    server_ = pki_.StartServer(Role::kKeymgr, security, {{handler_.get(), "virp.keymgr.v1.RpkiService"}});
  }
  ~RpkiHandlerTest() override {
    handler_->Drain();
    server_.reset();
    rpki_.ledger->Stop();
  }

  absl::Status Readable() {
    const MutexLock lock(mutex_);
    return readable_;
  }
  void SetReadable(absl::Status status) {
    const MutexLock lock(mutex_);
    readable_ = std::move(status);
  }
  std::unique_ptr<Stub> As(Role role, std::string_view name = "noc-1") {
    return std::make_unique<Stub>(pki_.Channel(*server_, role, name, Role::kKeymgr));
  }
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                const Request& request, Role role = Role::kOperator) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    Response response;
    const auto stub = As(role);
    const grpc::Status status = (*stub.*method)(&context, request, &response);
    if (!status.ok()) return service::FromGrpcStatus(status);
    return response;
  }
  template <typename Request>
  Request Change(const std::string& request_id = {}) {
    Request request;
    request.set_reason("a test");
    request.set_request_id(request_id.empty() ? "request-" + std::to_string(++requests_) : request_id);
    return request;
  }
  void SetUpAuthority() { ASSERT_OK(Call(&Stub::SetUpAuthority, Change<v1::SetUpAuthorityRequest>()).status()); }
  void Publish() { ASSERT_OK(Call(&Stub::PublishNow, Change<v1::PublishNowRequest>()).status()); }
  std::string Issue(std::uint32_t asn) {
    const auto certificate = rpki_.Issue(key_, asn, "edge-a");
    EXPECT_OK(certificate);
    return (*certificate)->id;
  }
  // Files of an export, put together.
  absl::StatusOr<std::map<std::string, std::string>> Export(v1::RouterKeyFormat format) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    v1::ExportRouterKeysRequest request;
    request.set_format(format);
    const auto stub = As(Role::kRtrBridge);
    const auto reader = stub->ExportRouterKeys(&context, request);
    std::map<std::string, std::string> out;
    v1::ExportRouterKeysResponse part;
    while (reader->Read(&part)) out[part.path()] += part.content();
    const grpc::Status status = reader->Finish();
    if (!status.ok()) return service::FromGrpcStatus(status);
    return out;
  }

  testutil::TestPki pki_;
  RpkiFixture rpki_{RpkiFixture::kLater};
  RouterKeyFeed feed_;
  ExpiryWatch expiry_;
  PublicationKeeper keeper_;
  Mutex mutex_;
  absl::Status readable_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<RpkiHandler> handler_;
  std::unique_ptr<service::ServerRunner> server_;
  const crypto::P256PrivateKey key_ = crypto::P256PrivateKey::Generate();
  int requests_ = 0;
};

// An open watch, as an RTR bridge holds one.
class Watcher {
 public:
  Watcher(std::unique_ptr<Stub> stub, const std::string& session = {}, std::uint64_t serial = 0)
      : stub_(std::move(stub)) {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    v1::WatchRouterKeysRequest request;
    request.set_session(session);
    request.set_serial(serial);
    reader_ = stub_->WatchRouterKeys(&context_, request);
  }
  ~Watcher() {
    context_.TryCancel();
    if (!finished_) reader_->Finish();
  }
  // The next whole set or change; what it says is taken in.
  bool Next() {
    v1::WatchRouterKeysResponse message;
    restarted_ = false;
    do {
      if (!reader_->Read(&message)) return false;
      restarted_ = restarted_ || message.restart();
      if (message.restart()) keys_.clear();
      for (const auto& key : message.announced()) keys_[key.asn()] = key.ski();
      for (const auto& key : message.withdrawn()) keys_.erase(key.asn());
    } while (!message.complete());
    session_ = message.session();
    EXPECT_GE(message.serial(), serial_);
    serial_ = message.serial();
    return true;
  }
  absl::Status End() {
    finished_ = true;
    return service::FromGrpcStatus(reader_->Finish());
  }
  const std::map<std::uint32_t, std::string>& keys() const { return keys_; }
  const std::string& session() const { return session_; }
  std::uint64_t serial() const { return serial_; }
  bool restarted() const { return restarted_; }

 private:
  std::unique_ptr<Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::WatchRouterKeysResponse>> reader_;
  std::map<std::uint32_t, std::string> keys_;
  std::string session_;
  std::uint64_t serial_ = 0;
  bool restarted_ = false, finished_ = false;
};

TEST_F(RpkiHandlerTest, AnAuthorityIsAnOperatorsAct) {
  EXPECT_THAT(Call(&Stub::GetTrustAnchor, v1::GetTrustAnchorRequest()).status(), ReasonIs("NO_AUTHORITY"));
  EXPECT_FALSE(Call(&Stub::GetPublication, v1::GetPublicationRequest())->set_up());
  EXPECT_THAT(Call(&Stub::SetUpAuthority, v1::SetUpAuthorityRequest()).status(),
              StatusIs(StatusCode::kInvalidArgument));
  const auto made = Call(&Stub::SetUpAuthority, Change<v1::SetUpAuthorityRequest>("setup"));
  ASSERT_OK(made.status());
  EXPECT_THAT(made->trust_anchor().tal(), HasSubstr("rsync://rpki.example.net/repo/ta.cer"));
  EXPECT_EQ(made->trust_anchor().sha256(), std::string(View(crypto::Sha256(made->trust_anchor().certificate()))));
  EXPECT_EQ(rpki_.ledger.store.audit().front().actor, pki_.Id(Role::kOperator, "noc-1"));
  EXPECT_EQ(rpki_.ledger.store.audit().front().event, "rpki_authority_created");
  const auto again = Call(&Stub::SetUpAuthority, Change<v1::SetUpAuthorityRequest>("another"));
  EXPECT_EQ(again->trust_anchor().certificate(), made->trust_anchor().certificate());
  EXPECT_EQ(Call(&Stub::GetTrustAnchor, v1::GetTrustAnchorRequest(), Role::kProducer)->trust_anchor().tal(),
            made->trust_anchor().tal());
}

TEST_F(RpkiHandlerTest, PublishesOnRequest) {
  EXPECT_THAT(Call(&Stub::PublishNow, Change<v1::PublishNowRequest>()).status(), ReasonIs("NO_AUTHORITY"));
  SetUpAuthority();
  Issue(64496);
  EXPECT_EQ(Call(&Stub::GetPublication, v1::GetPublicationRequest())->waiting(), 1u);
  const auto published = Call(&Stub::PublishNow, Change<v1::PublishNowRequest>("now"));
  ASSERT_OK(published.status());
  EXPECT_EQ(published->number(), 1u);
  EXPECT_EQ(Call(&Stub::PublishNow, Change<v1::PublishNowRequest>("now"))->number(), 1u) << "a repeat";
  const auto state = Call(&Stub::GetPublication, v1::GetPublicationRequest(), Role::kReader);
  EXPECT_TRUE(state->set_up());
  EXPECT_EQ(state->certificates(), 1u);
  EXPECT_EQ(state->waiting(), 0u);
  EXPECT_EQ(state->until().seconds() - state->published().seconds(), 86'400);
  rpki_.target.fails = Unavailable("disk");
  EXPECT_THAT(Call(&Stub::PublishNow, Change<v1::PublishNowRequest>()).status(), StatusIs(StatusCode::kUnavailable));
}

TEST_F(RpkiHandlerTest, AWatcherSeesAllAndThenEachChange) {
  SetUpAuthority();
  const std::string first = Issue(64496);
  Publish();
  Watcher early(As(Role::kRtrBridge));
  ASSERT_TRUE(early.Next());
  EXPECT_TRUE(early.restarted());
  ASSERT_EQ(early.keys().size(), 1u);
  EXPECT_EQ(early.keys().at(64496), *rpki::KeyIdentifier(key_.public_key().spki()));
  Issue(64497);
  Publish();
  ASSERT_TRUE(early.Next());
  EXPECT_FALSE(early.restarted());
  EXPECT_EQ(early.keys().size(), 2u);
  const std::uint64_t two = early.serial();
  ASSERT_OK(RevokeCertificate(*rpki_.ledger, first));
  ASSERT_TRUE(early.Next());
  EXPECT_FALSE(early.keys().contains(64496)) << "before the CRL is out";
  // Who comes late sees the same; who was away is told the difference, from where it was.
  Watcher late(As(Role::kReader));
  ASSERT_TRUE(late.Next());
  EXPECT_EQ(late.keys(), early.keys());
  Watcher back(As(Role::kRtrBridge), early.session(), two);
  ASSERT_TRUE(back.Next());
  EXPECT_FALSE(back.restarted());
  EXPECT_EQ(back.serial(), early.serial());
  Watcher stranger(As(Role::kRtrBridge), "another session", two);
  ASSERT_TRUE(stranger.Next());
  EXPECT_TRUE(stranger.restarted());
  EXPECT_EQ(stranger.keys(), early.keys());
}

TEST_F(RpkiHandlerTest, AManagerThatMayNotSpeakEndsTheWatchAndWithdrawsNothing) {
  SetUpAuthority();
  Issue(64496);
  Publish();
  Watcher watcher(As(Role::kRtrBridge));
  ASSERT_TRUE(watcher.Next());
  SetReadable(WithReason(FailedPrecondition("stands by"), "NOT_ACTIVE"));
  EXPECT_FALSE(watcher.Next());
  EXPECT_THAT(watcher.End(), ReasonIs("NOT_ACTIVE"));
  EXPECT_EQ(watcher.keys().size(), 1u);
  Watcher another(As(Role::kRtrBridge));
  EXPECT_FALSE(another.Next());
  EXPECT_THAT(another.End(), ReasonIs("NOT_ACTIVE"));
  EXPECT_THAT(Call(&Stub::GetTrustAnchor, v1::GetTrustAnchorRequest()).status(), ReasonIs("NOT_ACTIVE"));
  EXPECT_THAT(Call(&Stub::GetPublication, v1::GetPublicationRequest()).status(), ReasonIs("NOT_ACTIVE"));
  EXPECT_THAT(Call(&Stub::ListExpiringCertificates, v1::ListExpiringCertificatesRequest()).status(),
              ReasonIs("NOT_ACTIVE"));
  EXPECT_THAT(Call(&Stub::ExportExpiryCalendar, v1::ExportExpiryCalendarRequest()).status(), ReasonIs("NOT_ACTIVE"));
  EXPECT_THAT(Export(v1::ROUTER_KEY_FORMAT_SLURM).status(), ReasonIs("NOT_ACTIVE"));
  // And a server that goes down says so.
  SetReadable(absl::OkStatus());
  Watcher last(As(Role::kRtrBridge));
  ASSERT_TRUE(last.Next());
  handler_->Drain();
  EXPECT_FALSE(last.Next());
  EXPECT_THAT(last.End(), StatusIs(StatusCode::kUnavailable));
}

TEST_F(RpkiHandlerTest, WatchersAreBounded) {
  SetUpAuthority();
  std::vector<std::unique_ptr<Watcher>> watchers;
  const auto is_refused = [&](std::string_view name) {
    Watcher one_more(As(Role::kRtrBridge, name));
    EXPECT_FALSE(one_more.Next());
    const absl::Status end = one_more.End();
    EXPECT_THAT(end, StatusIs(StatusCode::kResourceExhausted));
    EXPECT_EQ(GetReason(end), "STREAMS");
  };
  for (int i = 0; i < RpkiHandler::kMostWatchers; ++i) {
    const std::string name = "bridge-" + std::to_string(i / RpkiHandler::kMostOfOne);
    watchers.push_back(std::make_unique<Watcher>(As(Role::kRtrBridge, name)));
    ASSERT_TRUE(watchers.back()->Next());
    if (i + 1 == RpkiHandler::kMostOfOne) is_refused(name);
  }
  EXPECT_EQ(handler_->watchers(), std::size_t{RpkiHandler::kMostWatchers});
  is_refused("another");
}

TEST_F(RpkiHandlerTest, Exports) {
  SetUpAuthority();
  Issue(64496);
  Issue(64497);
  Publish();
  const auto json = Export(v1::ROUTER_KEY_FORMAT_RPKI_CLIENT_JSON);
  ASSERT_OK(json.status());
  EXPECT_EQ(nlohmann::json::parse(json->at("router-keys.json"))["bgpsec_keys"].size(), 2u);
  const auto slurm = Export(v1::ROUTER_KEY_FORMAT_SLURM);
  ASSERT_OK(slurm.status());
  EXPECT_EQ(nlohmann::json::parse(slurm->at("slurm.json"))["locallyAddedAssertions"]["bgpsecAssertions"].size(), 2u);
  const auto srx = Export(v1::ROUTER_KEY_FORMAT_BGP_SRX);
  ASSERT_OK(srx.status());
  EXPECT_THAT(srx->at("ski-list.txt"), testing::AllOf(HasSubstr("64496-SKI: "), HasSubstr("64497-SKI: ")));
  EXPECT_THAT(Export(v1::ROUTER_KEY_FORMAT_UNSPECIFIED).status(), StatusIs(StatusCode::kInvalidArgument));
}

TEST_F(RpkiHandlerTest, WhatEnds) {
  SetUpAuthority();
  Issue(64496);
  v1::ListExpiringCertificatesRequest request;
  const auto soon = Call(&Stub::ListExpiringCertificates, request, Role::kReader);
  ASSERT_OK(soon.status());
  EXPECT_EQ(soon->certificates_size(), 0);
  EXPECT_EQ(soon->uncovered(), 1u);
  ASSERT_EQ(soon->missing_size(), 1);
  EXPECT_EQ(soon->missing(0), "edge-a AS64496");
  Publish();
  request.set_days(366);
  const auto year = Call(&Stub::ListExpiringCertificates, request, Role::kReader);
  ASSERT_EQ(year->certificates_size(), 1);
  EXPECT_EQ(year->certificates(0).router(), "edge-a");
  EXPECT_EQ(year->covered(), 1u);
  EXPECT_EQ(year->uncovered(), 0u);
  request.set_days(3'661);
  EXPECT_THAT(Call(&Stub::ListExpiringCertificates, request).status(), StatusIs(StatusCode::kInvalidArgument));
  const auto calendar = Call(&Stub::ExportExpiryCalendar, v1::ExportExpiryCalendarRequest(), Role::kReader);
  EXPECT_THAT(calendar->calendar(), HasSubstr("SUMMARY:BGPsec certificate of edge-a for AS 64496 ends"));
}

// ---- every RPC, every role ----

testutil::AllowedRoles Allowed() {
  const std::set<Role> readers{Role::kReader, Role::kOperator, Role::kApprover};
  const std::set<Role> feeders{Role::kRtrBridge, Role::kReader, Role::kOperator, Role::kApprover};
  const std::set<Role> operators{Role::kOperator}, all(service::kAllRoles.begin(), service::kAllRoles.end());
  return {{"SetUpAuthority", operators},
          {"PublishNow", operators},
          {"RollAuthority", operators},
          {"AcknowledgeExpiry", {Role::kOperator, Role::kApprover}},
          {"GetTrustAnchor", all},
          {"GetPublication", readers},
          {"ListExpiringCertificates", readers},
          {"ExportExpiryCalendar", readers},
          {"WatchRouterKeys", feeders},
          {"ExportRouterKeys", feeders}};
}

TEST_F(RpkiHandlerTest, EveryRpcByEveryRole) {
  // Streams end at once, so that a unary call of them does, too.
  SetReadable(Unavailable("not now"));
  const auto* const service = v1::TrustAnchor::descriptor()->file()->service(0);
  testutil::ExpectEveryRole(pki_, *server_, Role::kKeymgr, *service, RpkiAccess(), Allowed());
  EXPECT_TRUE(rpki_.ledger.store.audit().empty()) << "empty requests change nothing";
}

}  // namespace
}  // namespace virp::keymgr
