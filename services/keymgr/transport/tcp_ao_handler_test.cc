// TcpAoKeyService over mutual TLS, and every RPC of it by every role.
#include "services/keymgr/transport/tcp_ao_handler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "lib/service/errors.h"
#include "services/keymgr/domain/test_custody.h"
#include "services/keymgr/domain/test_ledger.h"
#include "tests/testutil/every_role.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/test_pki.h"
#include "tests/testutil/unary_call.h"

namespace virp::keymgr {
namespace {

using absl::StatusCode;
using service::Role;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testutil::StatusIs;
using Stub = v1::TcpAoKeyService::Stub;

constexpr char kId[] = "edge-a/core-1";

class TcpAoHandlerTest : public testing::Test {
 protected:
  TcpAoHandlerTest() : ledger_({TypeOf<TcpAoPairRecord>()}) {
    custodies_.Add(custody_);
    keys_ = std::make_unique<TcpAoKeys>(ledger_.Start(), custodies_, ledger_.clock, pki_.Id(Role::kKeymgr));
    const service::Security security = pki_.MakeSecurity(TcpAoAccess());
    handler_ = std::make_unique<TcpAoHandler>(*keys_, security.callers, ledger_.clock);
    server_ = pki_.StartServer(Role::kKeymgr, security, {{handler_.get(), "virp.keymgr.v1.TcpAoKeyService"}});
  }

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                const Request& request, Role role = Role::kOperator, std::string_view name = "noc-1") {
    return testutil::UnaryCall(pki_.Channel(*server_, role, name, Role::kKeymgr), method, request);
  }
  // With a reason and a request id that no other call has.
  template <typename Request>
  Request Change() {
    Request request;
    request.set_id(kId);
    request.set_reason("a test");
    request.set_request_id("request-" + std::to_string(++requests_));
    return request;
  }
  template <typename Request>
  static Request Of(v1::TcpAoEnd end) {
    Request request;
    request.set_id(kId);
    request.set_end(end);
    return request;
  }
  v1::CreateTcpAoPairRequest Pair() {
    v1::CreateTcpAoPairRequest request;
    request.set_reason("a new peering");
    request.set_request_id("create");
    v1::TcpAoPair& pair = *request.mutable_pair();
    pair.set_id(kId);
    pair.mutable_a()->set_device("edge-a");
    pair.mutable_a()->set_address("2001:db8::1");
    pair.mutable_a()->set_agent(pki_.Id(Role::kCollector, "edge-a"));
    pair.mutable_b()->set_device("core-1");
    pair.mutable_b()->set_address("2001:db8::2");
    pair.set_algorithm(v1::TCP_AO_ALGORITHM_AES_128_CMAC_96);
    return request;
  }
  // What an end says that did what its plan says: A by its agent, B by an operator.
  void Obey(int times) {
    for (int i = 0; i < times; ++i) {
      for (const v1::TcpAoEnd end : {v1::TCP_AO_END_A, v1::TCP_AO_END_B}) {
        const bool agent = end == v1::TCP_AO_END_A;
        const Role role = agent ? Role::kCollector : Role::kOperator;
        const char* const name = agent ? "edge-a" : "noc-1";
        const auto plan = Call(&Stub::GetTcpAoPlan, Of<v1::GetTcpAoPlanRequest>(end), role, name);
        ASSERT_OK(plan.status());
        auto report = Of<v1::ReportTcpAoEndRequest>(end);
        report.set_serial(plan->serial());
        report.mutable_asked_for()->set_seconds(3'600);
        for (const v1::TcpAoPlannedKey& key : plan->keys()) {
          v1::TcpAoReportedKey& seen = *report.add_keys();
          seen.set_send_id(key.send_id());
          seen.set_recv_id(key.recv_id());
          seen.set_good(1);
          if (key.version() != plan->preferred()) continue;
          v1::TcpAoReportedSession& session = *report.add_sessions();
          session.set_current_send_id(key.send_id());
          session.set_rnext_recv_id(key.recv_id());
        }
        ASSERT_OK(Call(&Stub::ReportTcpAoEnd, report, role, name).status());
      }
    }
  }
  v1::TcpAoPair Get() {
    v1::GetTcpAoPairRequest request;
    request.set_id(kId);
    return Call(&Stub::GetTcpAoPair, request, Role::kReader)->pair();
  }

  testutil::TestPki pki_;
  TestLedger ledger_;
  MemoryCustody custody_;
  Custodies custodies_;
  std::unique_ptr<TcpAoKeys> keys_;
  std::unique_ptr<TcpAoHandler> handler_;
  std::unique_ptr<service::ServerRunner> server_;
  int requests_ = 0;
};

TEST_F(TcpAoHandlerTest, AKeyIsRolledByWhatTheEndsReport) {
  const auto made = Call(&Stub::CreateTcpAoPair, Pair());
  ASSERT_OK(made.status());
  EXPECT_EQ(made->pair().rollover().phase(), v1::TCP_AO_PHASE_PENDING);
  EXPECT_EQ(made->pair().rollover().missing_size(), 2);
  EXPECT_EQ(made->pair().hold().seconds(), 240);
  Obey(4);
  EXPECT_EQ(Get().rollover().phase(), v1::TCP_AO_PHASE_OLD_REMOVED);
  ASSERT_OK(Call(&Stub::StartTcpAoRollover, Change<v1::StartTcpAoRolloverRequest>()).status());
  EXPECT_EQ(Get().keys_size(), 2);
  EXPECT_EQ(Get().rollover().old_key().version(), 1U);

  auto fetch = Change<v1::FetchTcpAoKeysRequest>();
  fetch.set_end(v1::TCP_AO_END_A);
  const auto a = Call(&Stub::FetchTcpAoKeys, fetch, Role::kCollector, "edge-a");
  ASSERT_OK(a.status());
  fetch = Change<v1::FetchTcpAoKeysRequest>();
  fetch.set_end(v1::TCP_AO_END_B);
  const auto b = Call(&Stub::FetchTcpAoKeys, fetch);
  ASSERT_OK(b.status());
  ASSERT_EQ(a->keys_size(), 2);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(a->keys(i).master_key(), b->keys(i).master_key());
    EXPECT_EQ(a->keys(i).send_id(), b->keys(i).recv_id());
    EXPECT_EQ(a->keys(i).recv_id(), b->keys(i).send_id());
    EXPECT_EQ(a->keys(i).master_key().size(), 64U);
  }
  Obey(4);
  const v1::TcpAoPair over = Get();
  EXPECT_EQ(over.rollover().phase(), v1::TCP_AO_PHASE_OLD_REMOVED);
  ASSERT_EQ(over.keys_size(), 1);
  EXPECT_EQ(over.keys(0).version(), 2U);
  EXPECT_EQ(over.rollover().a().good(), 1U);
}

TEST_F(TcpAoHandlerTest, ExportsShowSecretsWhenTheyAreAskedFor) {
  ASSERT_OK(Call(&Stub::CreateTcpAoPair, Pair()).status());
  auto fetch = Change<v1::FetchTcpAoKeysRequest>();
  fetch.set_end(v1::TCP_AO_END_A);
  const std::string secret = Call(&Stub::FetchTcpAoKeys, fetch)->keys(0).master_key();
  for (const v1::TcpAoFormat format :
       {v1::TCP_AO_FORMAT_BIRD, v1::TCP_AO_FORMAT_JUNOS, v1::TCP_AO_FORMAT_IOS_XE, v1::TCP_AO_FORMAT_RFC8177}) {
    auto request = Change<v1::ExportTcpAoKeyChainRequest>();
    request.set_end(v1::TCP_AO_END_B);
    request.set_format(format);
    const std::size_t records = ledger_.store.audit().size();
    EXPECT_THAT(Call(&Stub::ExportTcpAoKeyChain, request)->configuration(), Not(HasSubstr(secret)));
    EXPECT_EQ(ledger_.store.audit().size(), records);
    request.set_include_secrets(true);
    EXPECT_THAT(Call(&Stub::ExportTcpAoKeyChain, request)->configuration(), HasSubstr(secret));
    EXPECT_EQ(ledger_.store.audit().size(), records + 1);
    EXPECT_EQ(ledger_.store.audit().back().event, "tcp_ao_chain_exported");
    EXPECT_EQ(ledger_.store.audit().back().actor, pki_.Id(Role::kOperator, "noc-1"));
  }
  for (const AuditRow& row : ledger_.store.audit()) EXPECT_THAT(row.frame, Not(HasSubstr(secret)));
}

TEST_F(TcpAoHandlerTest, AnAgentActsForItsEndOnly) {
  ASSERT_OK(Call(&Stub::CreateTcpAoPair, Pair()).status());
  const auto plan = [this](v1::TcpAoEnd end, Role role, const char* name) {
    return Call(&Stub::GetTcpAoPlan, Of<v1::GetTcpAoPlanRequest>(end), role, name).status();
  };
  EXPECT_OK(plan(v1::TCP_AO_END_A, Role::kCollector, "edge-a"));
  EXPECT_THAT(plan(v1::TCP_AO_END_B, Role::kCollector, "edge-a"), StatusIs(StatusCode::kPermissionDenied));
  EXPECT_THAT(plan(v1::TCP_AO_END_A, Role::kCollector, "core-1"), StatusIs(StatusCode::kPermissionDenied));
  EXPECT_THAT(plan(v1::TCP_AO_END_A, Role::kProducer, "edge-a"), StatusIs(StatusCode::kPermissionDenied))
      << "the identity counts, not its name";
  auto fetch = Change<v1::FetchTcpAoKeysRequest>();
  fetch.set_end(v1::TCP_AO_END_B);
  EXPECT_THAT(Call(&Stub::FetchTcpAoKeys, fetch, Role::kCollector, "edge-a").status(),
              StatusIs(StatusCode::kPermissionDenied));
  EXPECT_THAT(
      Call(&Stub::ReportTcpAoEnd, Of<v1::ReportTcpAoEndRequest>(v1::TCP_AO_END_B), Role::kCollector, "edge-a").status(),
      StatusIs(StatusCode::kPermissionDenied));
}

TEST_F(TcpAoHandlerTest, WhatDoesNotFitIsToldWithItsField) {
  const auto field = [](const absl::Status& status) {
    const auto fields = GetFields(status);
    return fields.empty() ? std::string(Message(status)) : fields[0].field;
  };
  const auto create = [&](auto change) {
    v1::CreateTcpAoPairRequest request = Pair();
    change(request);
    return field(Call(&Stub::CreateTcpAoPair, request).status());
  };
  EXPECT_EQ(create([](auto& r) { r.clear_reason(); }), "reason");
  EXPECT_EQ(create([](auto& r) { r.clear_request_id(); }), "request_id");
  EXPECT_EQ(create([](auto& r) { r.mutable_pair()->mutable_a()->set_address("2001:db8::/32"); }), "pair.a.address");
  EXPECT_EQ(create([](auto& r) { r.mutable_pair()->mutable_b()->set_agent("operator"); }), "pair.b.agent");
  EXPECT_EQ(create([](auto& r) { r.mutable_pair()->set_algorithm(static_cast<v1::TcpAoAlgorithm>(9)); }),
            "pair.algorithm");
  EXPECT_EQ(create([](auto& r) { r.mutable_pair()->mutable_hold()->set_seconds(-1); }), "pair.hold");
  EXPECT_THAT(create([](auto& r) { r.mutable_pair()->set_octets(15); }), HasSubstr("octets"));
  EXPECT_THAT(create([](auto& r) { r.mutable_pair()->set_id("../x"); }), Not(HasSubstr("pair.")));
  EXPECT_EQ(ledger_.store.audit().size(), 0U);
  ASSERT_OK(Call(&Stub::CreateTcpAoPair, Pair()).status());

  EXPECT_EQ(field(Call(&Stub::GetTcpAoPlan, Of<v1::GetTcpAoPlanRequest>(v1::TCP_AO_END_UNSPECIFIED)).status()), "end");
  auto report = Of<v1::ReportTcpAoEndRequest>(v1::TCP_AO_END_A);
  report.set_serial(99);
  EXPECT_THAT(field(Call(&Stub::ReportTcpAoEnd, report).status()), HasSubstr("serial"));
  report.set_serial(1);
  report.add_keys()->set_send_id(256);
  EXPECT_EQ(field(Call(&Stub::ReportTcpAoEnd, report).status()), "keys.send_id");
  for (int i = 0; i < 300; ++i) report.add_keys();
  EXPECT_EQ(field(Call(&Stub::ReportTcpAoEnd, report).status()), "keys");
  EXPECT_EQ(field(Call(&Stub::ForceTcpAoRollover, Change<v1::ForceTcpAoRolloverRequest>()).status()), "force");
  auto chain = Change<v1::ExportTcpAoKeyChainRequest>();
  chain.set_end(v1::TCP_AO_END_A);
  EXPECT_EQ(field(Call(&Stub::ExportTcpAoKeyChain, chain).status()), "format");
  EXPECT_EQ(GetReason(Call(&Stub::DeleteTcpAoPair, Change<v1::DeleteTcpAoPairRequest>()).status()), "ROLLOVER");
  v1::ListTcpAoPairsRequest list;
  list.set_page_token("nonsense");
  EXPECT_EQ(field(Call(&Stub::ListTcpAoPairs, list).status()), "page_token");
}

TEST_F(TcpAoHandlerTest, PairsComeInPagesAndGo) {
  for (int i = 1; i <= 3; ++i) {
    v1::CreateTcpAoPairRequest request = Pair();
    request.set_request_id("create-" + std::to_string(i));
    request.mutable_pair()->set_id("pair-" + std::to_string(i));
    request.mutable_pair()->mutable_a()->set_address("2001:db8::" + std::to_string(i));
    request.mutable_pair()->mutable_b()->set_address("2001:db8::ff");
    ASSERT_OK(Call(&Stub::CreateTcpAoPair, request).status());
  }
  std::vector<std::string> seen;
  v1::ListTcpAoPairsRequest list;
  list.set_page_size(2);
  do {
    const auto page = Call(&Stub::ListTcpAoPairs, list);
    ASSERT_OK(page.status());
    for (const v1::TcpAoPair& pair : page->pairs()) seen.push_back(pair.id());
    list.set_page_token(page->next_page_token());
  } while (!list.page_token().empty());
  EXPECT_THAT(seen, ElementsAre("pair-1", "pair-2", "pair-3"));
  auto abort = Change<v1::AbortTcpAoRolloverRequest>();
  abort.set_id("pair-2");
  ASSERT_OK(Call(&Stub::AbortTcpAoRollover, abort).status());
  v1::GetTcpAoPairRequest get;
  get.set_id("pair-9");
  EXPECT_THAT(Call(&Stub::GetTcpAoPair, get).status(), StatusIs(StatusCode::kNotFound));
}

// ---- every RPC, every role ----

testutil::AllowedRoles Allowed() {
  const std::set<Role> readers{Role::kReader, Role::kOperator, Role::kApprover};
  const std::set<Role> operators{Role::kOperator};
  const std::set<Role> agents{Role::kRouter, Role::kCollector, Role::kProducer, Role::kRtrBridge, Role::kOperator};
  return {{"GetTcpAoPair", readers},         {"ListTcpAoPairs", readers},       {"CreateTcpAoPair", operators},
          {"DeleteTcpAoPair", operators},    {"StartTcpAoRollover", operators}, {"ForceTcpAoRollover", operators},
          {"AbortTcpAoRollover", operators}, {"GetTcpAoPlan", agents},          {"ReportTcpAoEnd", agents},
          {"FetchTcpAoKeys", agents},        {"ExportTcpAoKeyChain", operators}};
}

TEST_F(TcpAoHandlerTest, EveryRpcByEveryRole) {
  const auto* const service = v1::TcpAoPair::descriptor()->file()->service(0);
  testutil::ExpectEveryRole(pki_, *server_, Role::kKeymgr, *service, TcpAoAccess(), Allowed());
  EXPECT_TRUE(ledger_.store.audit().empty()) << "empty requests change nothing";
}

// Neither "not yours" nor "not there" nor an empty list, which would be taken for an answer.
TEST_F(TcpAoHandlerTest, NothingIsSaidOfAStateThatMayNotBeTheChains) {
  const auto* const service = v1::TcpAoPair::descriptor()->file()->service(0);
  const auto expect = [&](const std::string& reason) {
    for (int i = 0; i < service->method_count(); ++i) {
      const std::string& method = service->method(i)->name();
      const Role role = *Allowed().at(method).begin();
      const auto channel = pki_.Channel(*server_, role, "somebody", Role::kKeymgr);
      EXPECT_EQ(GetReason(testutil::EmptyCall(channel, "/" + service->full_name() + "/" + method)), reason) << method;
    }
  };
  for (const SealReason seal : {SealReason::kStarting, SealReason::kRollback}) {
    ledger_->Seal(seal);
    expect("SEALED");
    ledger_->Unseal(seal);
  }
  ledger_.store.TakeOver("another.example.net:1");
  ASSERT_TRUE(ledger_->WaitActive(false, std::chrono::steady_clock::now() + std::chrono::seconds(30)));
  expect("NOT_ACTIVE");
}

}  // namespace
}  // namespace virp::keymgr
