// Producer to verdict through the real parts: outbox and spool, mutually authenticated delivery, sequencer on SQLite,
// checkpoints, audit, claims and proofs; all in one process, on free ports.
#include <gtest/gtest.h>

#include <filesystem>

#include "lib/base/error_info.h"
#include "lib/chain/proof.h"
#include "lib/service/errors.h"
#include "tests/e2e/platform_fixture.h"

namespace virp::e2e {
namespace {

TEST_F(PlatformTest, PeerClaimIsConfirmedWithProofsAndRefutedWhenThePeerGoesDown) {
  StartONode();
  EXPECT_EQ(Ask().verdict(), verify::v1::VERDICT_NO_EVIDENCE);
  RegisterBoth();
  StartCollector();
  Observe(kPeerUp, frame::Type::kPeerStatusChanged);
  Beat();
  const auto up = Ask();
  EXPECT_EQ(up.verdict(), verify::v1::VERDICT_CONFIRMED) << up.ShortDebugString();
  EXPECT_EQ(up.origin_strength(), verify::v1::ORIGIN_STRENGTH_COLLECTOR_ASSERTED);

  ASSERT_TRUE(Until([&] { return Ask().proofs_size() >= 2; }));
  const auto proven = Ask();
  for (const std::string& text : proven.proofs()) {
    const auto proof = chain::DecodeProof(text);
    ASSERT_TRUE(proof.ok()) << proof.status();
    EXPECT_TRUE(chain::VerifyProof(*proof, chain_->vault().Verifiers()).ok());
  }

  Observe(kPeerDown, frame::Type::kPeerBackwardTransition, frame::Tier::kYellow);
  Beat();
  EXPECT_EQ(Ask().verdict(), verify::v1::VERDICT_REFUTED) << Ask().ShortDebugString();
  EXPECT_EQ(Ask(/*negate=*/true).verdict(), verify::v1::VERDICT_CONFIRMED);
  const auto report = VerifyChain(/*subjects=*/true);
  EXPECT_EQ(report.result(), chain::v1::VerifyReport::RESULT_VERIFIED) << report.ShortDebugString();
}

TEST_F(PlatformTest, SpoolIsFreedOnlyWhenACheckpointShowsItAndRestartsLoseNothing) {
  StartONode();
  RegisterBoth();
  StartCollector();
  Observe(kPeerUp, frame::Type::kPeerStatusChanged);
  Beat();
  ASSERT_TRUE(Until([this] { return outbox_->spool().stats().first == outbox_->spool().stats().last + 1; }))
      << deliverer_->status().audit_problem;
  const std::uint64_t size = chain_->size();

  StopONode();
  Observe(kPeerDown, frame::Type::kPeerBackwardTransition, frame::Tier::kYellow);
  StopCollector();
  StartONode();
  EXPECT_GE(chain_->size(), size);
  EXPECT_EQ(chain_->frozen(), "");
  StartCollector();
  Beat();
  EXPECT_EQ(Ask().verdict(), verify::v1::VERDICT_REFUTED) << Ask().ShortDebugString();
  EXPECT_EQ(VerifyChain(true).result(), chain::v1::VerifyReport::RESULT_VERIFIED);
  EXPECT_TRUE(audit_failures_.empty());
}

TEST_F(PlatformTest, FramesOfAnUnregisteredSourceWaitAndEnterInOrderOnceItIsRegistered) {
  StartONode();
  StartCollector();
  for (int i = 0; i < 5; ++i) Observe(kPeerUp, frame::Type::kPeerStatusChanged);
  ASSERT_TRUE(Until([this] { return !deliverer_->status().held.empty(); }));
  RegisterBoth();
  ASSERT_TRUE(deliverer_->Flush(std::chrono::steady_clock::now() + 20s));
  const auto source = chain_->Read([](const onode::ChainState& state) { return state.book.FindByName("edge-a.bmp"); });
  const auto next = chain_->Read([&](const onode::ChainState& state) {
    const chain::Channel* channel = state.book.FindChannel(source->short_id);
    return channel->epochs.at(channel->newest_epoch).missing.empty() ? channel->epochs.at(channel->newest_epoch).next
                                                                     : 0;
  });
  EXPECT_EQ(next, 6U);
}

TEST_F(PlatformTest, AnONodeRestoredToAnEarlierStateFreezesAndTheDelivererNamesIt) {
  StartONode();
  RegisterBoth();
  StartCollector();
  Observe(kPeerUp, frame::Type::kPeerStatusChanged);
  Beat();
  ASSERT_TRUE(Until([this] { return deliverer_->status().audited_size == chain_->size(); }));
  StopCollector();
  StopONode();
  std::filesystem::copy_file(dir_ + "/chain.db", dir_ + "/yesterday.db");
  StartONode();
  StartCollector();
  Observe(kPeerDown, frame::Type::kPeerBackwardTransition, frame::Tier::kYellow);
  Beat();
  ASSERT_TRUE(Until([this] { return deliverer_->status().audited_size == chain_->size(); }));
  StopCollector();
  StopONode();
  for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(dir_ + "/chain.db" + suffix);
  std::filesystem::copy_file(dir_ + "/yesterday.db", dir_ + "/chain.db");

  std::filesystem::remove_all(dir_ + "/state");  // restored together with the database: only the deliverer knows better
  StartONode();
  StartCollector();
  ASSERT_TRUE(Until([this] { return !chain_->frozen().empty(); }));
  EXPECT_NE(chain_->frozen().find("rolled back"), std::string::npos) << chain_->frozen();
  EXPECT_EQ(Ask().verdict(), verify::v1::VERDICT_CHAIN_FROZEN);
  ASSERT_TRUE(Until([this] { return !deliverer_->status().audit_problem.empty(); }));
  EXPECT_NE(deliverer_->status().audit_problem.find("rolled back"), std::string::npos)
      << deliverer_->status().audit_problem;
}

TEST_F(PlatformTest, OfManyClaimsTheOneThatIsWrongIsNamedWithItsField) {
  StartONode();
  const auto stub = verify::v1::VerifyService::NewStub(pki_.Channel(*server_, Role::kReader));
  verify::v1::VerifyClaimsRequest request;
  for (int i = 0; i < 3; ++i) {
    verify::v1::RouteClaim& route = *request.add_claims()->mutable_route();
    route.set_router("edge-a");
    route.set_prefix("203.0.113.0/24");
  }
  request.mutable_claims(2)->mutable_route()->set_vrf("a/b");
  verify::v1::VerifyClaimsResponse response;
  grpc::ClientContext context;
  const absl::Status refused = service::FromGrpcStatus(stub->VerifyClaims(&context, request, &response));
  EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
  const std::vector<FieldViolation> fields = GetFields(refused);
  ASSERT_EQ(fields.size(), 1U) << refused;
  EXPECT_EQ(fields[0].field, "claims[2].route.vrf");
}

TEST_F(PlatformTest, EveryMethodHasARowAndOthersAreRefused) {
  const auto table = service::AuthorizationTable::Create(onode::AccessTable());
  ASSERT_TRUE(table.ok()) << table.status();
  const std::vector<const google::protobuf::ServiceDescriptor*> services{
      ingest::v1::DeliverRequest::descriptor()->file()->service(0), verify::v1::Claim::descriptor()->file()->service(0),
      chain::v1::GetChainRequest::descriptor()->file()->service(0),
      chain::v1::CreateChainRequest::descriptor()->file()->service(0),
      source::v1::Source::descriptor()->file()->service(0)};
  EXPECT_TRUE(table->Problems(services).empty()) << table->Problems(services).front();
  StartONode();
  const auto stub = source::v1::SourceService::NewStub(pki_.Channel(*server_, Role::kReader));
  grpc::ClientContext context;
  source::v1::SuspendSourceRequest request;
  source::v1::SuspendSourceResponse response;
  EXPECT_EQ(stub->SuspendSource(&context, request, &response).error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

}  // namespace
}  // namespace virp::e2e
