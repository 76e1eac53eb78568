#include "tests/e2e/verdicts_fixture.h"

#include "services/onode/transport/claim_wire.h"

namespace virp::e2e {

using testutil::NaiveAnswer;
using testutil::NaiveOpinion;

namespace {

const std::map<std::string, std::string>& Carriers() {
  static const std::map<std::string, std::string> carriers{
      {"edge-a.bgpd", "one"}, {"collector-1", "one"}, {"edge-a.bmp", "two"}, {"collector-2", "two"}};
  return carriers;
}

frame::Suite SuiteOf(const std::string& source) {
  return source == "edge-a.bmp" ? frame::Suite::kEd25519 : frame::Suite::kHmacSha256;
}

void ExpectSame(const verify::v1::SourceOpinion& opinion, const NaiveOpinion& naive) {
  EXPECT_EQ(opinion.source(), naive.source);
  EXPECT_EQ(static_cast<int>(opinion.says()), static_cast<int>(naive.says));
  EXPECT_EQ(opinion.left_out(), naive.left_out);
  EXPECT_EQ(opinion.counted(), naive.counted);
  EXPECT_EQ(!opinion.doubt().empty(), naive.in_doubt) << opinion.doubt();
  EXPECT_EQ(opinion.entries_size() == 0 ? chain::kNone : opinion.entries(0), naive.entry);
  const auto confirmed = opinion.has_confirmed_at() ? TimeUtil::TimestampToNanoseconds(opinion.confirmed_at()) : 0;
  EXPECT_EQ(static_cast<UnixNanos>(confirmed), naive.confirmed_at);
}

void ExpectSame(const ClaimAnswer& answer, const NaiveAnswer& naive) {
  EXPECT_EQ(static_cast<int>(answer.verdict()), static_cast<int>(naive.verdict));
  EXPECT_EQ(answer.reason(), naive.reason);
  EXPECT_EQ(static_cast<UnixNanos>(TimeUtil::TimestampToNanoseconds(answer.evaluated_at())), naive.evaluated_at);
  ASSERT_EQ(answer.opinions_size(), static_cast<int>(naive.opinions.size()));
  for (int i = 0; i < answer.opinions_size(); ++i) {
    ExpectSame(answer.opinions(i), naive.opinions[static_cast<std::size_t>(i)]);
  }
}

}  // namespace

VerdictsFixture::VerdictsFixture() {
  for (const auto& [source, carrier] : Carriers()) {
    site_.AddKey(source, SuiteOf(source));
    producers_.emplace(source, Producer(source, site_.keys().Find(source, 1), clock_));
  }
  url_ = NewDatabase("chain");
  StartReplica(url_, "one");
  EXPECT_TRUE(replicas_[0]->AwaitLeading());
  if (OnPostgres()) StartReplica(url_, "two");
}

std::string VerdictsFixture::NewDatabase(const std::string& name) const {
  if (!OnPostgres()) return "sqlite:" + site_.File(name + ".db");
  return testutil::Must(testutil::PostgresCluster::Shared().CreateDatabase());
}

void VerdictsFixture::StartReplica(const std::string& url, const std::string& name) {
  testutil::OnodeLabOptions options{.store_url = url, .state = "state-" + name};
  options.chain.instance = name;
  options.chain.lease = 2s;
  options.chain.follow_interval = 10ms;
  options.chain.checkpoint_interval = 20ms;
  options.keys = &joined_;
  replicas_.push_back(std::make_unique<testutil::OnodeLab>(site_, std::move(options)));
  clients_.push_back(std::make_unique<OnodeClient>(site_, *replicas_.back()));
}

void VerdictsFixture::RegisterAll() {
  using namespace source::v1;
  for (const auto& [name, carrier] : Carriers()) {
    testutil::LabSource source{.name = name, .types = {22, 23, 24}, .carrier = carrier};
    source.suite = SuiteOf(name) == frame::Suite::kEd25519 ? SUITE_ED25519 : SUITE_HMAC_SHA256;
    source.vantage = VANTAGE_SERVICE;
    if (name.starts_with("edge-a.")) {
      source.vantage = name == "edge-a.bgpd" ? VANTAGE_DAEMON : VANTAGE_BMP;
      source.types = {1, 2, 3, 4, 22, 24};
      source.router = "edge-a";
      source.bgp_id = "192.0.2.1";
    }
    replicas_.front()->Register(source);
  }
}

ingest::v1::FrameResult VerdictsFixture::Deliver(const Producer& producer, const std::string& frame) {
  return leader().Deliver(Carriers().at(producer.name()), producer.name(), frame);
}

void VerdictsFixture::Arrive(const Producer& producer, const std::string& frame) {
  const auto result = Deliver(producer, frame);
  ASSERT_EQ(result.outcome(), ingest::v1::FrameResult::OUTCOME_APPENDED) << result.reason();
  size_ = result.chain_sequence() + 1;
}

void VerdictsFixture::Say(Producer& producer, Type type, const std::string& payload, Tier tier) {
  Arrive(producer, producer.Say(type, payload, tier));
}

void VerdictsFixture::Up(Producer& producer, bool restated) {
  Say(producer, Type::kPeerStatusChanged, PeerStateJson({}, "OpenConfirm", "Established", restated));
}

void VerdictsFixture::Down(Producer& producer) {
  Say(producer, Type::kPeerStatusChanged, PeerStateJson({}, "Established", "Idle"), Tier::kYellow);
  Say(producer, Type::kPeerBackwardTransition, PeerDownJson({}), Tier::kYellow);
}

std::string VerdictsFixture::BeatOf(const Producer& about, bool connected, std::uint64_t ahead) const {
  chain::Heartbeat heartbeat;
  heartbeat.sources = {
      {frame::SourceIdOf(about.name()), about.epoch(), about.last() + ahead, connected, clock_.NowNanos(), 0, false}};
  return chain::BuildHeartbeat(heartbeat);
}

void VerdictsFixture::Beat(const std::string& collector, const Producer& about, bool connected, std::uint64_t ahead) {
  Say(producers_.at(collector), Type::kHeartbeat, BeatOf(about, connected, ahead));
}

void VerdictsFixture::ExpectNaiveAgreement(const std::vector<verify::v1::Claim>& claims,
                                           const std::vector<Asked>& asked) {
  verify::v1::VerifyClaimsRequest request;
  request.set_omit_proofs(true);
  for (const auto& claim : claims) *request.add_claims() = claim;
  const std::vector<std::string> entries = leader().Entries();
  ASSERT_FALSE(entries.empty());
  const testutil::NaiveChain naive = testutil::ParseNaively(site_.origin(), entries);
  for (std::uint64_t size = 1; size <= entries.size() && !HasFailure(); ++size) {
    const testutil::NaiveWorld world(naive, size);
    request.set_chain_size(size);
    request.set_at_least_size(size);
    for (const auto& [acceptance, later] : asked) {
      const UnixNanos now = naive.entries[size - 1].received + static_cast<UnixNanos>(later) * 1'000'000'000;
      *request.mutable_acceptance() = acceptance;
      *request.mutable_evaluation_time() = TimeUtil::NanosecondsToTimestamp(static_cast<std::int64_t>(now));
      for (const auto& client : clients_) {
        const auto answers = client->AskMany(request);
        ASSERT_EQ(answers.answers_size(), request.claims_size());
        for (int i = 0; i < request.claims_size(); ++i) {
          const ClaimAnswer& answer = answers.answers(i);
          EXPECT_EQ(answer.chain_size(), size);
          ++seen_[answer.verdict()];
          ExpectSame(answer, world.Evaluate(testutil::Must(onode::ClaimOf(request.claims(i), "claim")),
                                            testutil::Must(onode::AcceptanceOf(acceptance)), now, false, 0));
          ASSERT_FALSE(HasFailure()) << "replica " << (client == clients_[0] ? "one" : "two") << ", size " << size
                                     << "\n"
                                     << answer.DebugString();
        }
      }
    }
  }
}

}  // namespace virp::e2e
