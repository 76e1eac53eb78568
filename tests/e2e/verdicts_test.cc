// Every verdict of docs/claims.md, reached by what really happens: frames that arrive, do not arrive or contradict each
// other, and what operators do. Asked the way grpcurl asks. On SQLite, and on PostgreSQL with two replicas. Then the
// same history again: at every chain size every replica gives the same answer, and the one that the naive evaluator
// gives.
#include <google/protobuf/util/json_util.h>

#include <functional>
#include <set>

#include "tests/e2e/json_client.h"
#include "tests/e2e/verdicts_fixture.h"

namespace virp::e2e {
namespace {

using google::protobuf::util::JsonStringToMessage;
using google::protobuf::util::MessageToJsonString;

// What of an answer is a function of chain, size and time: all but proofs and what checkpoints there are by now.
std::string Essence(ClaimAnswer answer) {
  answer.clear_proofs();
  answer.clear_chain_level();
  return answer.DebugString();
}

class Verdicts : public VerdictsFixture {
 protected:
  // Asks the leader as of `later` after now; keeps the question with the size and time that it was answered for.
  ClaimAnswer Ask(const verify::v1::Claim& claim, const Acceptance& acceptance = {}, std::chrono::seconds later = 0s) {
    verify::v1::VerifyClaimRequest request;
    *request.mutable_claim() = claim;
    *request.mutable_acceptance() = acceptance;
    request.set_at_least_size(size_);
    const auto time = static_cast<std::int64_t>(clock_.NowNanos()) + std::chrono::nanoseconds(later).count();
    *request.mutable_evaluation_time() = TimeUtil::NanosecondsToTimestamp(time);
    const ClaimAnswer answer = AskAsGrpcurlDoes(request);
    request.set_at_least_size(answer.chain_size());
    request.set_chain_size(answer.chain_size());
    *request.mutable_evaluation_time() = answer.evaluated_at();
    asked_.emplace_back(request, answer);
    reached_.insert(answer.verdict());
    return answer;
  }
  ClaimAnswer AskAsGrpcurlDoes(const verify::v1::VerifyClaimRequest& request) {
    std::string json;
    EXPECT_TRUE(MessageToJsonString(request, &json).ok());
    const auto answer = json_->Call("virp.verify.v1.VerifyService/VerifyClaim", json);
    EXPECT_TRUE(answer.ok()) << answer.status() << json;
    verify::v1::VerifyClaimResponse response;
    EXPECT_TRUE(JsonStringToMessage(answer.value_or(""), &response).ok()) << answer.value_or("");
    return response.answer();
  }
  // "VERDICT" or "VERDICT REASON", or for INCOMPLETE the first doubt.
  std::string Verdict(const verify::v1::Claim& claim, const Acceptance& acceptance = {},
                      std::chrono::seconds later = 0s) {
    const ClaimAnswer answer = Ask(claim, acceptance, later);
    std::string out = verify::v1::Verdict_Name(answer.verdict()).substr(std::string_view("VERDICT_").size());
    if (!answer.reason().empty()) out += " " + answer.reason();
    if (answer.verdict() != verify::v1::VERDICT_INCOMPLETE) return out;
    for (const auto& opinion : answer.opinions()) {
      if (opinion.counted() && !opinion.doubt().empty()) return out + " " + opinion.doubt();
    }
    return out;
  }

  void LiveThroughEverything();
  void FactsAndAges();
  void MissingAndLate();
  void ChannelsAndKeys();
  void DownAndRestart();
  void EveryReplicaRepeatsItsAnswers();
  void TurnToTheLeader() {
    json_ = std::make_unique<JsonClient>(PROTOSET, replicas_.front()->Channel(service::Role::kReader));
  }

  std::unique_ptr<JsonClient> json_;
  std::vector<std::pair<verify::v1::VerifyClaimRequest, ClaimAnswer>> asked_;
  std::set<verify::v1::Verdict> reached_;
};

void Verdicts::FactsAndAges() {
  EXPECT_EQ(Verdict(PeerIs()), "NO_EVIDENCE");
  Up(bgpd());
  Beat("collector-1", bgpd());
  EXPECT_EQ(Verdict(PeerIs()), "CONFIRMED");
  EXPECT_EQ(Verdict(PeerIs("", true)), "REFUTED");
  EXPECT_EQ(Verdict(PeerIs(), AtLeast(2)), "INSUFFICIENT MIN_SOURCES");
  EXPECT_EQ(Verdict(PeerIs(), Level(verify::v1::CHAIN_LEVEL_CHECKPOINTED)), "CONFIRMED");
  EXPECT_EQ(Verdict(PeerIs(), Level(verify::v1::CHAIN_LEVEL_WITNESSED)), "INSUFFICIENT LEVEL");
  EXPECT_EQ(Verdict(Route()), "INSUFFICIENT RIB_NOT_MONITORED");
  EXPECT_EQ(Verdict(PeerIs(), MaxAge(5), 7s), "STALE");
  EXPECT_EQ(Verdict(PeerIs(), MaxAge(3600), 40s), "SOURCE_SILENT");

  // The BMP source has not heard of it.
  Say(bmp(), Type::kPeerStatusChanged, PeerStateJson({}, "OpenSent", "Active"));
  EXPECT_EQ(Verdict(PeerIs()), "CONFLICT SETTLING");
  EXPECT_EQ(Verdict(PeerIs(), {}, 4s), "CONFLICT");
  Up(bmp());
  EXPECT_EQ(Verdict(PeerIs(), AtLeast(2)), "CONFIRMED");

  // The daemon's connection is lost: at once, without waiting for three intervals.
  Beat("collector-1", bgpd(), /*connected=*/false);
  EXPECT_EQ(Verdict(PeerIs(), Without("edge-a.bmp")), "SOURCE_SILENT");
  EXPECT_EQ(Verdict(PeerIs()), "CONFIRMED");
  Beat("collector-1", bgpd());
  EXPECT_EQ(Verdict(PeerIs(), Without("edge-a.bmp")), "CONFIRMED");
}

void Verdicts::MissingAndLate() {
  // A relay swallows one frame. The next number shows it.
  bgpd().Skip();
  const std::uint64_t lost = bgpd().last();
  Say(bgpd(), Type::kBgpProcess, testutil::AnnounceJson({}, {}));
  EXPECT_EQ(Verdict(PeerIs()), "INCOMPLETE GAP");
  EXPECT_EQ(Verdict(PeerIs(), Without("edge-a.bgpd")), "CONFIRMED");
  EXPECT_EQ(Verdict(Route()), "CONFIRMED");  // said after the gap
  Arrive(bgpd(), bgpd().Sign(lost, Type::kPeerStatusChanged, PeerStateJson({}, "OpenConfirm", "Established", true)));
  EXPECT_EQ(Verdict(PeerIs()), "CONFIRMED");

  // And when it was the last frame: the next beat.
  Beat("collector-1", bgpd(), true, /*ahead=*/1);
  EXPECT_EQ(Verdict(PeerIs()), "INCOMPLETE TAIL_NOT_ARRIVED");
  Say(bgpd(), Type::kBgpProcess, testutil::TableCompleteJson({}));
  EXPECT_EQ(Verdict(PeerIs()), "CONFIRMED");

  // Absence needs a table that was stated.
  EXPECT_EQ(Verdict(Route(/*absent=*/true)), "REFUTED");
  Say(bgpd(), Type::kBgpProcess, testutil::WithdrawJson({}, {}));
  EXPECT_EQ(Verdict(Route(true)), "CONFIRMED");
  EXPECT_EQ(Verdict(Route(true, "", "192.0.2.9")), "INSUFFICIENT RIB_NOT_MONITORED");
  Say(bgpd(), Type::kBgpProcess, testutil::AnnounceJson({}, {}), Tier::kRed);
  EXPECT_EQ(Verdict(Route()), "INSUFFICIENT TIER");
  EXPECT_EQ(Verdict(Route(), Worst(verify::v1::TIER_RED)), "CONFIRMED");
  EXPECT_EQ(Verdict(Field("bgp/edge-a/default/peer/192.0.2.2", "peer_state_change")), "CONFIRMED");
}

void Verdicts::ChannelsAndKeys() {
  const Acceptance daemon = Without("edge-a.bmp"), other = Without("edge-a.bgpd");
  leader().MarkBlack("edge-a.bgpd");
  EXPECT_EQ(Verdict(PeerIs(), daemon), "CHANNEL_COMPROMISED");
  EXPECT_EQ(Verdict(PeerIs()), "CONFIRMED");  // BLACK takes that source and no other
  EXPECT_GT(leader().ClearAlarms("edge-a.bgpd"), 0);
  EXPECT_EQ(Verdict(PeerIs(), daemon), "CONFIRMED");

  // Two frames with good tags under one number.
  const auto result =
      Deliver(bgpd(), bgpd().Sign(1, Type::kPeerStatusChanged, PeerStateJson({}, "Established", "Idle")));
  EXPECT_EQ(result.reason(), "EQUIVOCATION");
  EXPECT_TRUE(testutil::WaitUntil(
      20s, [&] { return Ask(PeerIs(), daemon).verdict() == verify::v1::VERDICT_CHANNEL_COMPROMISED; }));
  EXPECT_GT(leader().ClearAlarms("edge-a.bgpd"), 0);
  EXPECT_EQ(Verdict(PeerIs(), daemon), "CONFIRMED");

  leader().Suspend("edge-a.bgpd");
  EXPECT_EQ(Verdict(PeerIs(), daemon), "NO_EVIDENCE");
  leader().Resume("edge-a.bgpd");

  // All that the BMP source's key ever tagged goes, and clearing the alarm does not bring it back.
  leader().MarkCompromised("edge-a.bmp", 1, clock_.NowNanos() - 3'600'000'000'000ULL);
  EXPECT_EQ(Verdict(PeerIs(), other), "CHANNEL_COMPROMISED");
  EXPECT_GT(leader().ClearAlarms("edge-a.bmp"), 0);
  EXPECT_EQ(Verdict(PeerIs(), other), "CHANNEL_COMPROMISED");
  EXPECT_EQ(Verdict(PeerIs()), "CONFIRMED");
}

void Verdicts::DownAndRestart() {
  Down(bgpd());
  EXPECT_EQ(Verdict(PeerIs()), "REFUTED");
  EXPECT_EQ(Verdict(PeerIs("down")), "CONFIRMED");
  EXPECT_EQ(Verdict(Route()), "REFUTED");  // the peer took its paths along

  bgpd().Restart();
  Say(bgpd(), Type::kHeartbeat, R"({"domain":"virp","event":"heartbeat"})");
  EXPECT_EQ(Verdict(PeerIs("down")), "INCOMPLETE EPOCH_ENDED");
  Up(bgpd(), /*restated=*/true);
  EXPECT_EQ(Verdict(PeerIs()), "CONFIRMED");

  // It speaks about a router that is not its own: supports nothing.
  testutil::BgpPeer stranger;
  stranger.router_id = "198.51.100.9";
  Say(bgpd(), Type::kPeerStatusChanged, PeerStateJson(stranger, "Established", "Idle"));
  EXPECT_EQ(Verdict(PeerIs()), "CONFIRMED");
}

void Verdicts::LiveThroughEverything() {
  TurnToTheLeader();
  RegisterAll();
  FactsAndAges();
  MissingAndLate();
  ChannelsAndKeys();
  DownAndRestart();
}

void Verdicts::EveryReplicaRepeatsItsAnswers() {
  for (const auto& client : clients_) {
    for (const auto& [request, answer] : asked_) ASSERT_EQ(Essence(client->Ask(request)), Essence(answer));
  }
}

TEST_P(Verdicts, AreReachedByRealEventsAndAreTheSameAtEverySizeOnEveryReplica) {
  LiveThroughEverything();
  if (HasFailure()) return;
  EveryReplicaRepeatsItsAnswers();
  ExpectNaiveAgreement(
      {PeerIs(), PeerIs("", true), PeerIs("down"), Route(), Route(true), Route(false, "loc", ""), Route(true, "", ""),
       Field("bgp/edge-a/default/peer/192.0.2.2", ""), Field("bgp/edge-a/default/adj-in-pre/192.0.2.2", ""),
       Field("source/collector-1", "heartbeat"), Field("source/edge-a.bgpd", "")},
      {{{}, 1}, {AtLeast(2), 4}, {Without("edge-a.bmp"), 9}, {MaxAge(5), 8}, {MaxAge(100), 45}});
  if (HasFailure()) return;

  // Another O-Node over the same store, the leader gone: the same answers, and it goes on.
  clients_.erase(clients_.begin());
  replicas_.erase(replicas_.begin());
  if (!OnPostgres()) StartReplica(url_, "again");
  ASSERT_TRUE(replicas_[0]->AwaitLeading());
  TurnToTheLeader();
  EveryReplicaRepeatsItsAnswers();
  Down(bgpd());
  EXPECT_EQ(Verdict(PeerIs()), "REFUTED");

  // The database is replaced by a new one. The collector, which has seen a checkpoint, notices.
  const auto seen = replicas_[0]->chain().WaitForCheckpoint(size_, std::chrono::steady_clock::now() + 10s);
  ASSERT_TRUE(seen.ok()) << seen.status();
  clients_.clear();
  replicas_.clear();
  StartReplica(NewDatabase("replaced"), "replaced");
  ASSERT_TRUE(replicas_[0]->AwaitLeading());
  TurnToTheLeader();
  size_ = 0;
  EXPECT_EQ(Verdict(PeerIs()), "NO_EVIDENCE");
  leader().Greet("one", seen->note);
  EXPECT_EQ(Verdict(PeerIs()), "CHAIN_FROZEN");
  EXPECT_EQ(Verdict(Route(true)), "CHAIN_FROZEN");
  for (int verdict = verify::v1::VERDICT_CHAIN_FROZEN; verdict <= verify::v1::VERDICT_CONFIRMED; ++verdict) {
    EXPECT_TRUE(reached_.contains(static_cast<verify::v1::Verdict>(verdict)))
        << verify::v1::Verdict_Name(static_cast<verify::v1::Verdict>(verdict));
  }
}

// On the last replica, which follows where there are two: what changes by an event, and what changes by time.
TEST_P(Verdicts, AreToldToWhoeverWatches) {
  RegisterAll();
  verify::v1::WatchClaimRequest request;
  *request.mutable_claim() = PeerIs();
  verify::v1::WatchClaimResponse seen;
  const auto watch = [&](const std::vector<std::function<void()>>& events, const std::vector<std::string>& expected) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 20s);
    const auto stream = clients_.back()->reader().WatchClaim(&context, request);
    auto event = events.begin();
    for (const std::string& verdict : expected) {
      ASSERT_TRUE(stream->Read(&seen)) << stream->Finish().error_message();
      EXPECT_EQ(verify::v1::Verdict_Name(seen.answer().verdict()), "VERDICT_" + verdict);
      if (event != events.end()) (*event++)();
    }
    context.TryCancel();
  };
  watch(
      {[&] { Up(bgpd()); }, [&] { clock_.Advance(31s); }, [&] { Beat("collector-1", bgpd()); }, [&] { Down(bgpd()); }},
      {"NO_EVIDENCE", "CONFIRMED", "SOURCE_SILENT", "CONFIRMED", "REFUTED"});
  // Resumed, it says nothing twice.
  request.set_resume_token(seen.resume_token());
  Up(bgpd());
  watch({}, {"CONFIRMED"});
}

INSTANTIATE_TEST_SUITE_P(Stores, Verdicts, ::testing::Values(VerdictsSetting{"sqlite"}, VerdictsSetting{"postgresql"}),
                         NameOf);

}  // namespace
}  // namespace virp::e2e
