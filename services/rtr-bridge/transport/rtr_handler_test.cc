// RtrService over mutual TLS, and every RPC of it by every role.
#include "services/rtr-bridge/transport/rtr_handler.h"

#include <gmock/gmock.h>

#include <atomic>
#include <set>
#include <thread>

#include "lib/base/error_info.h"
#include "lib/service/errors.h"
#include "services/rtr-bridge/transport/access.h"
#include "services/rtr-bridge/transport/handler_fixture.h"
#include "tests/testutil/every_role.h"
#include "tests/testutil/test_pki.h"
#include "tests/testutil/wait.h"

namespace virp::rtr_bridge {
namespace {

namespace pb = ::virp::rtr::v1;
using absl::StatusCode;
using service::Role;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ManyRoas;
using testing::Roa;
using testing::RtrHandlerTest;
using ::testing::SizeIs;
using testutil::ReasonIs;
using testutil::StatusIs;
using Stub = pb::RtrService::Stub;

TEST_F(RtrHandlerTest, EveryRpcByEveryRole) {
  const std::set<Role> readers{Role::kReader, Role::kOperator};
  const testutil::AllowedRoles allowed{{"GetStatus", readers},
                                       {"ListVrps", readers},
                                       {"ListRouterKeys", readers},
                                       {"ListAspas", readers},
                                       {"ValidateRoute", readers},
                                       {"ValidateRoutes", readers},
                                       {"ListSessions", readers},
                                       {"Refresh", {Role::kOperator}},
                                       {"ListGenerations", readers},
                                       {"GetGeneration", readers},
                                       {"WatchPayloads", {Role::kReader, Role::kOperator, Role::kRtrBridge}}};
  handler_->Drain();  // streams end
  const auto* const service = pb::GetStatusRequest::descriptor()->file()->service(0);
  testutil::ExpectEveryRole(pki_, *grpc_, Role::kRtrBridge, *service, AccessTable(), allowed);
  EXPECT_THAT(recorder_.observations, IsEmpty()) << "empty requests change nothing";
  for (const std::string& method : BreakGlassMethods()) {
    const auto name = method.substr(method.rfind('/') + 1);
    EXPECT_TRUE(allowed.contains(name)) << method << " is no method";
  }
}

TEST_F(RtrHandlerTest, BeforeThereAreDataItSaysSo) {
  EXPECT_THAT(Page(0, "").status(), ReasonIs("NO_DATA"));
  EXPECT_THAT(Call(&Stub::ListRouterKeys, pb::ListRouterKeysRequest()).status(), ReasonIs("NO_DATA"));
  EXPECT_THAT(Call(&Stub::ListAspas, pb::ListAspasRequest()).status(), ReasonIs("NO_DATA"));
  pb::ValidateRouteRequest routes;
  routes.add_routes()->set_prefix("10.0.0.0/24");
  EXPECT_THAT(Call(&Stub::ValidateRoute, routes).status(), ReasonIs("NO_DATA"));
  const auto status = Call(&Stub::GetStatus, pb::GetStatusRequest());
  ASSERT_OK(status);
  EXPECT_FALSE(status->has_serving());
  EXPECT_EQ(status->sources(0).name(), "validator-a");
  EXPECT_FALSE(status->sources(0).has_last_good());
}

TEST_F(RtrHandlerTest, VrpsComeInPagesOfOneGeneration) {
  std::vector<Roa> roas = ManyRoas(2'500);
  for (int i = 0; i < 500; ++i) roas.push_back({fmt::format("2001:db8:{:x}::/48", i), 48, 64497});
  Serve(roas);
  std::set<std::string> prefixes;
  std::string token;
  std::vector<int> sizes;
  do {
    const auto page = Page(0, token);
    ASSERT_OK(page);
    EXPECT_EQ(page->generation(), 1U);
    sizes.push_back(page->vrps_size());
    for (const pb::Vrp& vrp : page->vrps()) EXPECT_TRUE(prefixes.insert(vrp.prefix()).second) << vrp.prefix();
    token = page->next_page_token();
  } while (!token.empty());
  EXPECT_THAT(sizes, ElementsAre(1'000, 1'000, 1'000)) << "and no empty one behind them";
  EXPECT_EQ(prefixes.size(), 3'000U);

  const auto first = Page(10, "");
  ASSERT_OK(first);
  EXPECT_THAT(Page(10, first->next_page_token(), "10.0.0.0/8").status(), StatusIs(StatusCode::kInvalidArgument))
      << "a token of another question";
  for (const std::string& bad : {std::string("x"), std::string(100'000, 'A'), first->next_page_token() + "A"})
    EXPECT_THAT(Page(10, bad).status(), StatusIs(StatusCode::kInvalidArgument)) << bad.substr(0, 20);
  EXPECT_THAT(Page(-1, "").status(), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_EQ(Page(1'000'000, "")->vrps_size(), 3'000);
  roas.pop_back();
  Serve(roas);
  EXPECT_THAT(Page(10, first->next_page_token()).status(), ReasonIs("GENERATION_CHANGED"));
}

TEST_F(RtrHandlerTest, VrpsAreFilteredByPrefixAndOrigin) {
  Serve({{"10.0.0.0/8", 24, 1}, {"10.1.0.0/16", 16, 2}, {"10.1.2.0/24", 24, 3}, {"11.0.0.0/8", 8, 1}, {"::/0", 0, 1}});
  const auto page = Page(0, "", "10.1.0.0/16");
  ASSERT_OK(page);
  EXPECT_THAT(page->vrps(), SizeIs(3)) << "what covers it, it, and what lies inside";
  pb::ListVrpsRequest request;
  request.set_asn(1);
  EXPECT_THAT(Call(&Stub::ListVrps, request)->vrps(), SizeIs(3));
  for (const char* bad : {"10.0.0.1/8", "10.0.0.0", "10.0.0.0/33", "x", "2001:db8::/129"})
    EXPECT_THAT(Page(0, "", bad).status(), StatusIs(StatusCode::kInvalidArgument)) << bad;
}

TEST_F(RtrHandlerTest, RoutesAreValidatedWithWhatTheAnswerRestsOn) {
  Serve({{"10.0.0.0/16", 20, 1}, {"10.0.0.0/16", 24, 2}});
  pb::ValidateRouteRequest request;
  const auto add = [&](const char* prefix, std::uint32_t as) {
    request.add_routes()->set_prefix(prefix);
    request.mutable_routes(request.routes_size() - 1)->set_origin_asn(as);
  };
  add("10.0.16.0/20", 1);
  add("10.0.1.0/24", 1);
  add("10.0.1.0/24", 3);
  add("192.0.2.0/24", 1);
  const auto answer = Call(&Stub::ValidateRoute, request);
  ASSERT_OK(answer);
  ASSERT_EQ(answer->validities_size(), 4);
  EXPECT_EQ(answer->sha256(), std::string(View(board_.view()->generation().sha256)));
  EXPECT_EQ(answer->validities(0).state(), pb::VALIDITY_STATE_VALID);
  EXPECT_THAT(answer->validities(0).matched(), SizeIs(1));
  EXPECT_THAT(answer->validities(0).unmatched_as(), SizeIs(1));
  EXPECT_EQ(answer->validities(1).reason(), pb::INVALID_REASON_LENGTH);
  EXPECT_THAT(answer->validities(1).unmatched_length(), SizeIs(1));
  EXPECT_EQ(answer->validities(2).reason(), pb::INVALID_REASON_AS);
  EXPECT_EQ(answer->validities(3).state(), pb::VALIDITY_STATE_NOT_FOUND);

  EXPECT_THAT(Call(&Stub::ValidateRoute, pb::ValidateRouteRequest()).status(), StatusIs(StatusCode::kInvalidArgument));
  add("10.0.0.1/24", 1);
  EXPECT_THAT(Call(&Stub::ValidateRoute, request).status(),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("routes[4].prefix")));
  while (request.routes_size() < 1'001) add("10.0.0.0/24", 1);
  EXPECT_THAT(Call(&Stub::ValidateRoute, request).status(), StatusIs(StatusCode::kInvalidArgument, HasSubstr("1001")));
}

TEST_F(RtrHandlerTest, AStreamOfRoutesIsAnsweredInOrderUntilOneIsWrong) {
  Serve({{"10.0.0.0/16", 16, 1}});
  Stub stub(channel_);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  const auto stream = stub.ValidateRoutes(&context);
  pb::ValidateRoutesRequest request;
  request.add_routes()->set_prefix("10.0.0.0/16");
  pb::ValidateRoutesResponse response;
  for (std::uint32_t as = 1; as <= 3; ++as) {
    request.mutable_routes(0)->set_origin_asn(as);
    ASSERT_TRUE(stream->Write(request));
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.validities(0).state(), as == 1 ? pb::VALIDITY_STATE_VALID : pb::VALIDITY_STATE_INVALID);
  }
  request.mutable_routes(0)->set_prefix("x");
  ASSERT_TRUE(stream->Write(request));
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(RtrHandlerTest, SessionsComeInPagesWithThoseThatLeft) {
  Serve(ManyRoas(3));
  std::vector<FileDescriptor> routers;
  for (int i = 0; i < 5; ++i) {
    routers.push_back(Connect(fmt::format("127.0.0.{}", 31 + i)));
    ASSERT_TRUE(IsServed(routers.back()));
  }
  const auto all_sent = [&] {
    const auto status = Call(&Stub::GetStatus, pb::GetStatusRequest());
    return status.ok() && status->routers() == 5 && status->routers_current() == 5;
  };
  EXPECT_TRUE(testutil::Eventually(all_sent));
  routers.resize(3);
  pb::ListSessionsRequest request;
  EXPECT_TRUE(testutil::Eventually([&] { return Call(&Stub::ListSessions, request)->sessions_size() == 3; }));
  request.set_include_closed(true);
  request.set_page_size(2);
  std::vector<std::uint64_t> seen;
  int closed = 0;
  do {
    const auto page = Call(&Stub::ListSessions, request);
    ASSERT_OK(page);
    for (const pb::RouterSession& session : page->sessions()) {
      seen.push_back(session.connection());
      closed += session.has_closed() ? 1 : 0;
      EXPECT_EQ(session.transport(), pb::TRANSPORT_TCP);
      EXPECT_EQ(session.version(), 1U);
      EXPECT_EQ(session.reset_queries(), 1U);
      EXPECT_EQ(session.sent_sha256(), std::string(View(board_.view()->generation().sha256)));
      EXPECT_FALSE(session.has_confirmed_serial());
    }
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  EXPECT_THAT(seen, SizeIs(5));
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_EQ(closed, 2);
  request.set_page_size(-5);
  EXPECT_THAT(Call(&Stub::ListSessions, request).status(), StatusIs(StatusCode::kInvalidArgument));
  request.set_page_size(1);
  request.set_page_token("nonsense");
  EXPECT_THAT(Call(&Stub::ListSessions, request).status(), StatusIs(StatusCode::kInvalidArgument));
}

TEST_F(RtrHandlerTest, ARefreshNeedsAReasonAndIsDoneOnce) {
  std::ofstream(dir_.File("vrps.json")) << R"({"roas": [{"prefix": "10.0.0.0/8", "asn": 1}]})";
  sources_->Start();
  ASSERT_TRUE(testutil::Eventually([&] { return board_.view() != nullptr; }));
  std::vector<pb::RefreshRequest> bad(4, RefreshOf("1"));
  bad[0].clear_reason();
  bad[1].set_reason(std::string(1'001, 'x'));
  bad[2].clear_request_id();
  bad[3].set_request_id(std::string(65, 'x'));
  for (const pb::RefreshRequest& request : bad)
    EXPECT_THAT(Call(&Stub::Refresh, request).status(), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_EQ(recorder_.Count("sources_refreshed"), 0U);

  const auto done = Call(&Stub::Refresh, RefreshOf("1"));
  ASSERT_OK(done);
  EXPECT_EQ(done->serving().counts().vrps_ipv4(), 1);
  ASSERT_OK(Call(&Stub::Refresh, RefreshOf("1")));
  EXPECT_EQ(recorder_.Count("sources_refreshed"), 1U) << "the second is the first again";
  EXPECT_EQ(recorder_.Count(pki_.Id(Role::kOperator, "noc-1")), 1U);
  EXPECT_THAT(Call(&Stub::Refresh, RefreshOf("1", 7)).status(), ReasonIs("REQUEST_ID_REUSED"));
  channel_ = pki_.Channel(*grpc_, Role::kOperator, "noc-2", Role::kRtrBridge);
  ASSERT_OK(Call(&Stub::Refresh, RefreshOf("1")));
  EXPECT_EQ(recorder_.Count("sources_refreshed"), 2U) << "another caller's";
}

TEST_F(RtrHandlerTest, WhatIsHeldIsServedOnceItIsAccepted) {
  Serve(ManyRoas(100));
  Serve(ManyRoas(10));
  const auto status = Call(&Stub::GetStatus, pb::GetStatusRequest());
  ASSERT_OK(status);
  EXPECT_EQ(status->serving().counts().vrps_ipv4(), 100);
  EXPECT_EQ(status->held().generation(), 2U);
  EXPECT_THAT(status->held().reasons(), ElementsAre(HasSubstr("90 of 100")));
  const std::string seen = status->held().sha256();
  EXPECT_THAT(Call(&Stub::Refresh, RefreshOf("1", 3, seen)).status(), ReasonIs("NOT_HELD"));
  EXPECT_THAT(Call(&Stub::Refresh, RefreshOf("1", 2, std::string(32, 'x'))).status(), ReasonIs("NOT_HELD"));
  EXPECT_THAT(Call(&Stub::Refresh, RefreshOf("1", 2)).status(), StatusIs(StatusCode::kInvalidArgument));
  const auto accepted = Call(&Stub::Refresh, RefreshOf("2", 2, seen));
  ASSERT_OK(accepted);
  EXPECT_EQ(accepted->serving().counts().vrps_ipv4(), 10);
  EXPECT_FALSE(accepted->has_held());
  ASSERT_OK(Call(&Stub::Refresh, RefreshOf("2", 2, seen)))
      << "it is not held any more, and was accepted by this very call";
  EXPECT_EQ(recorder_.Count(pki_.Id(Role::kOperator, "noc-1")), 1U);
}

// A source that counts no more as soon as it fails.
class ForgottenSourceTest : public RtrHandlerTest {
 protected:
  ForgottenSourceTest() { expire_ = std::chrono::nanoseconds(1); }
  absl::StatusOr<pb::GetStatusResponse> Status() { return Call(&Stub::GetStatus, pb::GetStatusRequest()); }
  void ServeAndFail() {
    Reading reading = testing::ReadingOf(testing::SetOf(ManyRoas(2)));
    reading.live = true;
    cache_->TakeGood(0, std::move(reading));
    EXPECT_EQ(Status()->serving_state(), pb::SERVING_STATE_CURRENT);
    cache_->TakeFailure(0, Unavailable("no route to it"));
    EXPECT_TRUE(testutil::Eventually([this] {
      cache_->Tick();
      return cache_->status().stale_since.has_value();
    }));
  }
};

TEST_F(ForgottenSourceTest, StatusSaysWhatStandsBehindTheSet) {
  EXPECT_EQ(Status()->serving_state(), pb::SERVING_STATE_NOTHING);
  ServeAndFail();
  const auto stale = Status();
  ASSERT_OK(stale);
  EXPECT_EQ(stale->serving_state(), pb::SERVING_STATE_STALE);
  EXPECT_TRUE(stale->has_stale_since());
  EXPECT_THAT(stale->merge_problem(), HasSubstr("0 of 1 sources"));
  EXPECT_TRUE(stale->sources(0).expired());
  EXPECT_EQ(stale->serving().counts().vrps_ipv4(), 2);
}

class StoppedTest : public ForgottenSourceTest {
 protected:
  StoppedTest() { cache_options_.when_stale = WhenStale::kStop; }
};

TEST_F(StoppedTest, NothingIsServedAnyMore) {
  ServeAndFail();
  EXPECT_EQ(Status()->serving_state(), pb::SERVING_STATE_STOPPED);
  EXPECT_FALSE(Status()->has_serving());
  EXPECT_THAT(Page(10, "").status(), ReasonIs("NO_DATA"));
}

// protobuf refuses a message whose text is no UTF-8: nobody could see the status any more.
TEST_F(RtrHandlerTest, WhatOthersWroteBlindsNobody) {
  Serve(ManyRoas(2));
  cache_->TakeFailure(0, InvalidArgument("\"\xc3\" is no prefix"));
  const auto status = Call(&Stub::GetStatus, pb::GetStatusRequest());
  ASSERT_OK(status);
  EXPECT_EQ(status->sources(0).problem(), "\"\xef\xbf\xbd\" is no prefix");
}

TEST_F(RtrHandlerTest, AGenerationComesWithItsRecordAndItsProofOrWhyThereIsNone) {
  Serve(ManyRoas(3));
  Serve(ManyRoas(4));
  pb::GetGenerationRequest request;
  request.set_generation(3);
  EXPECT_THAT(Call(&Stub::GetGeneration, request).status(),
              StatusIs(StatusCode::kNotFound, HasSubstr("bridge-1/cache")));
  request.set_generation(1);
  auto answer = Call(&Stub::GetGeneration, request);
  ASSERT_OK(answer);
  EXPECT_EQ(answer->evidence().frame(), "frame 1");
  EXPECT_EQ(AskedFor(), "frame 1");
  EXPECT_EQ(answer->evidence().problem(), "not in the chain yet");
  EXPECT_EQ(answer->evidence().proof_file(), "");
  Prove("c2sp.org/tlog-proof@v1");
  answer = Call(&Stub::GetGeneration, request);
  EXPECT_EQ(answer->evidence().proof_file(), "c2sp.org/tlog-proof@v1");
  EXPECT_EQ(answer->evidence().problem(), "");
  recorder_.full = true;
  Serve(ManyRoas(5));
  request.set_generation(3);
  answer = Call(&Stub::GetGeneration, request);
  EXPECT_EQ(answer->evidence().frame(), "");
  EXPECT_THAT(answer->evidence().problem(), HasSubstr("no room"));

  pb::ListGenerationsRequest list;
  list.set_page_size(2);
  const auto page = Call(&Stub::ListGenerations, list);
  ASSERT_OK(page);
  ASSERT_EQ(page->generations_size(), 2);
  EXPECT_EQ(page->generations(0).generation(), 3U);
  list.set_page_token(page->next_page_token());
  const auto last = Call(&Stub::ListGenerations, list);
  ASSERT_EQ(last->generations_size(), 1);
  EXPECT_EQ(last->generations(0).generation(), 1U);
  EXPECT_EQ(last->next_page_token(), "");
}

// What is held at the first start after an accident: nothing is served, and the refusal tells what to do.
TEST_F(RtrHandlerTest, ARefreshThatServesNothingSaysWhatHoldsIt) {
  Serve(ManyRoas(100));
  const std::string saved = state_.written;
  grpc_.reset();
  handler_.reset();
  TearDown();
  SetUp();
  ASSERT_OK(cache_->Restore(saved));
  std::ofstream(dir_.File("vrps.json")) << R"({"roas": [{"prefix": "10.0.0.0/8", "asn": 1}]})";
  sources_->Start();
  ASSERT_TRUE(testutil::Eventually([&] { return cache_->status().held.has_value(); }));
  const auto refused = Call(&Stub::Refresh, RefreshOf("1"));
  EXPECT_THAT(refused.status(), ReasonIs("NO_DATA"));
  EXPECT_THAT(refused.status(), StatusIs(StatusCode::kUnavailable, HasSubstr("generation 2: 99 of 100 IPv4 VRPs")));
  const std::string held = Call(&Stub::GetStatus, pb::GetStatusRequest())->held().sha256();
  ASSERT_OK(Call(&Stub::Refresh, RefreshOf("2", 2, held)));
}

TEST_F(RtrHandlerTest, SlurmFilesAreShownWithWhatTheySay) {
  auto slurm = std::make_shared<vrp::Slurm>();
  slurm->files.push_back({"/etc/virp/slurm.json", {}, 3, 4});
  cache_->TakeSlurm(slurm);
  cache_->TakeSlurm(InvalidArgument("no JSON"));
  const auto status = Call(&Stub::GetStatus, pb::GetStatusRequest());
  ASSERT_OK(status);
  ASSERT_EQ(status->slurm_files_size(), 1);
  EXPECT_EQ(status->slurm_files(0).filters(), 3);
  EXPECT_EQ(status->slurm_files(0).assertions(), 4);
  EXPECT_EQ(status->slurm_problem(), "no JSON");
}

// The same set for longer: no generation, and all that a bridge behind us goes by.
TEST_F(RtrHandlerTest, WhoWatchesHearsOfExpiriesThatAreRenewed) {
  const auto soon = static_cast<vrp::Expires>(clock_.NowNanos() / 1'000'000'000 + 1'000'000);
  FakeClock clock;
  const service::Security security = pki_.MakeSecurity(AccessTable());
  RtrHandler handler(RtrHandlerParts{.name = "bridge-1",
                                     .cache = *cache_,
                                     .board = board_,
                                     .routers = *server_,
                                     .sessions = log_,
                                     .sources = *sources_,
                                     .clock = clock,
                                     .callers = security.callers,
                                     .prove = {}});
  const auto server = pki_.StartServer(Role::kRtrBridge, security, {{&handler, "virp.rtr.v1.RtrService"}});
  Stub stub(pki_.Channel(*server, Role::kRtrBridge, "behind", Role::kRtrBridge));
  // What is said last to who has got as far as that: first, and when these are served. Time passes until something is
  // said: who has all hears only that the bridge is there.
  const auto next = [&](const pb::WatchPayloadsRequest& request, const std::vector<Roa>& roas) {
    grpc::ClientContext context;
    const auto stream = stub.WatchPayloads(&context, request);
    pb::WatchPayloadsResponse message;
    std::atomic<bool> said{false};
    std::thread time([&] {
      static_cast<void>(testutil::Eventually([&] {
        clock.Advance(std::chrono::seconds(1));
        return said.load();
      }));
    });
    EXPECT_TRUE(stream->Read(&message));
    said = true;
    time.join();
    if (!roas.empty()) {
      Serve(roas);
      EXPECT_TRUE(stream->Read(&message));
    }
    context.TryCancel();
    return message;
  };
  Serve({{"10.0.0.0/8", 8, 1, soon}});
  const pb::WatchPayloadsResponse whole = next({}, {});
  EXPECT_TRUE(whole.restart());
  EXPECT_EQ(whole.announced().vrps(0).expires(), soon);
  const pb::WatchPayloadsResponse renewed = next({}, {{"10.0.0.0/8", 8, 1, soon + 900}});
  EXPECT_FALSE(renewed.restart());
  EXPECT_EQ(renewed.generation(), whole.generation());
  EXPECT_EQ(renewed.sha256(), whole.sha256());
  ASSERT_EQ(renewed.announced().vrps_size(), 1);
  EXPECT_EQ(renewed.announced().vrps(0).expires(), soon + 900);
  // Who was away meanwhile is told all, who was not goes on.
  pb::WatchPayloadsRequest away;
  away.set_session(whole.session());
  away.set_generation(whole.generation());
  EXPECT_TRUE(next(away, {}).restart());
  away.set_session(renewed.session());
  const pb::WatchPayloadsResponse changed = next(away, {{"10.0.0.0/8", 8, 1, soon + 900}, {"11.0.0.0/8", 8, 1, soon}});
  EXPECT_FALSE(changed.restart());
  ASSERT_EQ(changed.announced().vrps_size(), 1);
  EXPECT_EQ(changed.announced().vrps(0).prefix(), "11.0.0.0/8");
}

}  // namespace
}  // namespace virp::rtr_bridge
