// What sources say about BGP, folded into the facts that claims are answered from. Input: any number of a byte for the
// source, one for what happens (a type of frame, or an operator's act), one for the time that passes (top bit: the
// source starts again), a length and a text: the payload, or a domain of subjects. The fold takes whatever the chain
// admitted, and every claim has an answer, before and after what compromised keys said is folded anew.
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>

#include "lib/chain/control.h"
#include "services/onode/domain/replay.h"
#include "tests/fuzz/collector_states.h"
#include "tests/fuzz/require.h"
#include "tests/testutil/chain_builder.h"

using namespace virp::onode;  // NOLINT(google-build-using-namespace): a fuzz target is one function
namespace frame = virp::frame;
using virp::testutil::ChainBuilder;

namespace {

constexpr frame::Type kTypes[] = {frame::Type::kPeerStatusChanged, frame::Type::kPeerBackwardTransition,
                                  frame::Type::kBgpProcess,        frame::Type::kBgpRouteUpdate,
                                  frame::Type::kHeartbeat,         frame::Type::kGap};
constexpr std::size_t kFrames = std::size(kTypes), kActs = 3;
const std::string kNames[] = {"edge-a.bgpd", "edge-a.bmp", "collector-1"};

FactBook::EntryReader ReaderOf(const ChainBuilder& chain) {
  return [&chain](std::uint64_t sequence) -> absl::StatusOr<std::string> {
    REQUIRE(sequence < chain.entries.size());
    return chain.entries[sequence];
  };
}

void Ask(const PastState& state, const ChainBuilder& chain, const Claim& claim) {
  const auto answer = state.facts().Evaluate(claim, {}, state.sources(), chain.now, false, 0, ReaderOf(chain));
  REQUIRE(answer.ok());
  REQUIRE(!VerdictName(answer->verdict).empty() && answer->chain_size == chain.entries.size());
  for (const SourceOpinion& opinion : answer->opinions) {
    REQUIRE(opinion.entry == virp::chain::kNone || opinion.entry < chain.entries.size());
  }
}

void AskAll(const PastState& state, const ChainBuilder& chain) {
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
    // Listed stays what only a compromised key spoke of.
    const bool known = state.facts().FindSubject(subject.subject).has_value();
    REQUIRE(known ? subject.newest_entry < chain.entries.size() : subject.newest_entry == virp::chain::kNone);
    FieldClaim field;
    field.subject = subject.subject;
    field.conditions = {{"med", FieldCondition::Op::kGe, std::int64_t{1}}, {"peer", FieldCondition::Op::kExists, true}};
    Ask(state, chain, field);
  }
}

// What operators do to a source; an act that the chain refuses does nothing.
void Act(ChainBuilder& chain, const std::string& source, std::size_t act, virp::UnixNanos ago, std::string_view text) {
  const auto current = chain.book.FindByName(source);
  if (act == 0) {
    virp::chain::KeyEvent event;
    event.event = virp::chain::KeyEvent::Event::kCompromised;
    event.source = source;
    event.version = static_cast<std::uint32_t>(current->keys.size());
    event.compromised_since = chain.now - ago;
    chain.TryOwn(frame::Type::kKeyEvent, BuildKeyEvent(event)).IgnoreError();
  } else if (act == 1) {
    if (current->keys.size() < 3) chain.AddKey(source, static_cast<std::uint32_t>(current->keys.size() + 1));
  } else {
    virp::chain::SourceEvent event;
    event.event = virp::chain::SourceEvent::Event::kChanged;
    event.source = source;
    event.registration = current->registration;
    event.registration->subject_prefixes = {std::string(text.substr(0, 100))};
    chain.TryOwn(frame::Type::kSourceEvent, BuildSourceEvent(event)).IgnoreError();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  virp::fuzz::Input in{{reinterpret_cast<const char*>(data), size}};
  ChainBuilder chain;
  chain.AddDaemon(kNames[0]);
  chain.AddBmp(kNames[1]);
  chain.AddCollector(kNames[2]);
  for (int i = 0; i < 40 && !in.left.empty(); ++i) {
    const auto who = in.Number<std::uint8_t>();
    const std::string& source = kNames[who % 3];
    const std::size_t what = in.Number<std::uint8_t>() % (kFrames + kActs);
    const auto time = in.Number<std::uint8_t>();
    const virp::UnixNanos passed = (time & 0x7fU) * std::uint64_t{250'000'000};
    chain.now += passed;
    if ((time & 0x80) != 0) chain.Restart(source);
    if ((who & 0x80) != 0) chain.Lose(source);
    const std::string_view text = in.Text();
    if (what >= kFrames) {
      Act(chain, source, what - kFrames, 4 * passed, text);
      continue;
    }
    // Not Say: what a payload of this source may not be, the chain refuses.
    const auto sent = chain.Numbered(source, chain.last_number(source) + 1, kTypes[what], std::string(text));
    static_cast<void>(chain.Send(source, sent));
  }
  PastState state(chain.origin());
  for (const std::string& entry : chain.entries) REQUIRE(state.Add(entry).ok());
  AskAll(state, chain);
  REQUIRE(state.Settle(ReaderOf(chain)).ok() && !state.facts().NeedsRefold());
  AskAll(state, chain);
  REQUIRE(state.facts().MemoryBytes() > 0);
  return 0;
}
