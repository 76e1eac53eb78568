// What sources say about BGP, folded into the facts that claims are answered from. Input: any number of a byte for the
// source, one for the type, one for the time that passes (top bit: the source starts again), a length and the payload.
// The fold takes whatever the chain admitted, and every claim has an answer.
#include <cstdint>
#include <string>
#include <string_view>

#include "services/onode/domain/replay.h"
#include "tests/fuzz/collector_states.h"
#include "tests/fuzz/require.h"
#include "tests/testutil/chain_builder.h"

using namespace virp::onode;  // NOLINT(google-build-using-namespace): a fuzz target is one function
namespace frame = virp::frame;

namespace {

constexpr frame::Type kTypes[] = {frame::Type::kPeerStatusChanged, frame::Type::kPeerBackwardTransition,
                                  frame::Type::kBgpProcess,        frame::Type::kBgpRouteUpdate,
                                  frame::Type::kHeartbeat,         frame::Type::kGap};
const std::string kNames[] = {"edge-a.bgpd", "edge-a.bmp", "collector-1"};

void Ask(const PastState& state, const virp::testutil::ChainBuilder& chain, const Claim& claim) {
  const auto read = [&chain](std::uint64_t sequence) -> absl::StatusOr<std::string> {
    REQUIRE(sequence < chain.entries.size());
    return chain.entries[sequence];
  };
  const auto answer = state.facts().Evaluate(claim, {}, state.sources(), chain.now, false, 0, read);
  REQUIRE(answer.ok());
  REQUIRE(!VerdictName(answer->verdict).empty() && answer->chain_size == chain.entries.size());
  for (const SourceOpinion& opinion : answer->opinions) {
    REQUIRE(opinion.entry == virp::chain::kNone || opinion.entry < chain.entries.size());
  }
}

void AskAll(const PastState& state, const virp::testutil::ChainBuilder& chain) {
  PeerClaim peer;
  peer.router = "edge-a";
  peer.peer = "192.0.2.2";
  Ask(state, chain, peer);
  RouteClaim route;
  route.router = "edge-a";
  route.prefix = "203.0.113.0/24";
  route.origin_as = 64510;
  Ask(state, chain, route);
  route.rib = "best";
  route.next_hop = "192.0.2.2";
  Ask(state, chain, route);
  for (const auto& subject : state.facts().ListSubjects("", "", 20)) {
    REQUIRE(state.facts().FindSubject(subject.subject).has_value() && subject.newest_entry < chain.entries.size());
    FieldClaim field;
    field.subject = subject.subject;
    field.conditions = {{"med", FieldCondition::Op::kGe, std::int64_t{1}}, {"peer", FieldCondition::Op::kExists, true}};
    Ask(state, chain, field);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  virp::fuzz::Input in{{reinterpret_cast<const char*>(data), size}};
  virp::testutil::ChainBuilder chain;
  chain.AddDaemon(kNames[0]);
  chain.AddBmp(kNames[1]);
  chain.AddCollector(kNames[2]);
  for (int i = 0; i < 40 && !in.left.empty(); ++i) {
    const auto who = in.Number<std::uint8_t>();
    const std::string& source = kNames[who % 3];
    const frame::Type type = kTypes[in.Number<std::uint8_t>() % 6];
    const auto time = in.Number<std::uint8_t>();
    chain.now += (time & 0x7fU) * std::uint64_t{250'000'000};
    if ((time & 0x80) != 0) chain.Restart(source);
    if ((who & 0x80) != 0) chain.Lose(source);
    // Not Say: what a payload of this source may not be, the chain refuses.
    const auto sent = chain.Numbered(source, chain.last_number(source) + 1, type, std::string(in.Text()));
    static_cast<void>(chain.Send(source, sent));
  }
  PastState state(chain.origin());
  for (const std::string& entry : chain.entries) REQUIRE(state.Add(entry).ok());
  AskAll(state, chain);
  return 0;
}
