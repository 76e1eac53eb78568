// Certificate requests cannot fill the ledger: they end, and they are forgotten.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "services/keymgr/domain/router_fixture.h"
#include "tests/testutil/status_matchers.h"

namespace virp::keymgr {
namespace {

using absl::StatusCode;
using testing::HasSubstr;
using testutil::StatusIs;

RouterKeyOptions FewRequests() {
  RouterKeyOptions options;
  options.requests.per_router = 16;
  options.requests.in_all = 24;
  return options;
}

class RouterRequestsTest : public testing::Test {
 protected:
  RouterRequestsTest() {
    for (const char* id : {"edge-a", "edge-b"}) EXPECT_OK(keys().Register(fixture_.NewCall(), RouterFixture::Spec(id)));
  }
  RouterKeys& keys() { return *fixture_.keys; }
  absl::StatusOr<RouterKeys::RequestPtr> Send(const std::string& csr, const std::string& router = "edge-a") {
    const RouterCaller agent = RouterFixture::Agent(router);
    return keys().SubmitRequest(fixture_.NewCall(agent.identity), agent, {.usage = "transit", .request = csr});
  }
  static std::string NewCsr() { return RouterFixture::Csr(crypto::P256PrivateKey::Generate()); }
  // A request that is refused, a second after the one before.
  std::string Refused(const std::string& router = "edge-a") {
    const auto sent = Send(NewCsr(), router);
    EXPECT_OK(sent);
    fixture_.ledger.clock.Advance(std::chrono::seconds(1));
    EXPECT_OK(keys().Reject(fixture_.NewCall(kTestApprover), (*sent)->id));
    return (*sent)->id;
  }
  bool IsKept(const std::string& id) const {
    const auto rows = fixture_.ledger.store.rows();
    return std::ranges::any_of(rows,
                               [&](const Row& row) { return row.kind == RouterRequestRecord::kKind && row.id == id; });
  }
  std::size_t Kept() const {
    const auto rows = fixture_.ledger.store.rows();
    return static_cast<std::size_t>(
        std::ranges::count_if(rows, [](const Row& row) { return row.kind == RouterRequestRecord::kKind; }));
  }
  std::string LastPruning() const {
    std::string fields;
    for (const AuditRow& row : fixture_.ledger.store.audit()) {
      if (row.event == "router_requests_pruned") fields = row.frame;
    }
    return fields;
  }

  RouterFixture fixture_{true, RouterFixture::Types(), FewRequests()};
};

TEST_F(RouterRequestsTest, WhatNobodyDecidesEndsAndIsForgotten) {
  const std::string csr = NewCsr();
  ASSERT_OK_AND_ASSIGN(const auto sent, Send(csr));
  fixture_.ledger.clock.Advance(std::chrono::hours(24 * 30 - 1));
  ASSERT_OK(keys().Advance());
  ASSERT_OK_AND_ASSIGN(const auto waits, Send(csr));
  EXPECT_EQ(waits->state, RequestState::kPending);
  fixture_.ledger.clock.Advance(std::chrono::hours(2));
  ASSERT_OK(keys().Advance());
  ASSERT_OK_AND_ASSIGN(const auto ended, Send(csr));
  EXPECT_EQ(ended->state, RequestState::kRejected);
  EXPECT_EQ(ended->decided_by, RouterFixture::kSelf);
  EXPECT_THAT(LastPruning(), HasSubstr(sent->id)) << "the record says which";
  EXPECT_THAT(keys().Approve(fixture_.NewCall(kTestApprover), sent->id), StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_TRUE(keys().ListPending("", 10).empty());

  fixture_.ledger.clock.Advance(std::chrono::hours(24 * 90 + 1));
  ASSERT_OK(keys().Advance());
  EXPECT_EQ(Kept(), 0U);
  EXPECT_THAT(LastPruning(), HasSubstr(sent->id));
  ASSERT_OK_AND_ASSIGN(const auto anew, Send(csr));
  EXPECT_EQ(anew->state, RequestState::kPending) << "it is a new one";
}

TEST_F(RouterRequestsTest, OfOneRouterTheNewestAreKept) {
  std::vector<std::string> refused;
  for (int i = 0; i < 19; ++i) refused.push_back(Refused());
  const std::string other = Refused("edge-b");
  ASSERT_OK(keys().Advance());
  EXPECT_EQ(Kept(), 17U);
  for (std::size_t i = 0; i < refused.size(); ++i) EXPECT_EQ(IsKept(refused[i]), i >= 3) << i;
  EXPECT_TRUE(IsKept(other));
  const auto records = fixture_.ledger.store.audit().size();
  ASSERT_OK(keys().Advance());
  EXPECT_EQ(fixture_.ledger.store.audit().size(), records) << "nothing to do is no record";
}

TEST_F(RouterRequestsTest, OfAllTheNewestAreKept) {
  std::vector<std::string> refused;
  for (int i = 0; i < 14; ++i) refused.push_back(Refused());
  for (int i = 0; i < 12; ++i) refused.push_back(Refused("edge-b"));
  ASSERT_OK(keys().Advance());
  EXPECT_EQ(Kept(), 24U);
  EXPECT_FALSE(IsKept(refused[0]));
  EXPECT_FALSE(IsKept(refused[1]));
  EXPECT_TRUE(IsKept(refused[2]));
}

TEST_F(RouterRequestsTest, AKeyKeepsItsRequestWhateverIsForgotten) {
  const auto key = crypto::P256PrivateKey::Generate();
  ASSERT_OK_AND_ASSIGN(const auto approved, fixture_.Enrol(key));
  for (int i = 0; i < 2; ++i) fixture_.ledger.clock.Advance(std::chrono::seconds(1));
  for (int i = 0; i < 16; ++i) Refused();
  ASSERT_OK(keys().Advance());
  EXPECT_FALSE(IsKept(approved->id));
  ASSERT_OK_AND_ASSIGN(const auto slot, keys().GetSlot("edge-a/64496"));
  EXPECT_EQ(slot->Find(1)->request, approved->request);
}

}  // namespace
}  // namespace virp::keymgr
