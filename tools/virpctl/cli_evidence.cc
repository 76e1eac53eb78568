// Commands about the chain and what it proves.
#include "tools/virpctl/cli.h"

namespace virp::virpctl {
namespace {

void AddChain(CLI::App& app, State& s) {
  Command(app, s, "status", "How the O-Node and its chain are", [&s] {
    return Status(s.options, s.refuses_strangers);
  })->add_flag("--refuses-strangers", s.refuses_strangers, "Ask without a certificate, too: that must be refused");
  CLI::App* const chain = Group(app, "chain", "The chain of evidence");
  Command(*chain, s, "show", "Size, keys and newest checkpoint", [&s] { return ChainShow(s.options); });
  CLI::App* const verify =
      Command(*chain, s, "verify", "Lets the O-Node check its chain", [&s] { return ChainVerify(s.options, s.chain); });
  verify->add_option("--begin", s.chain.begin, "First entry");
  verify->add_option("--end", s.chain.end, "Entry after the last; 0 is the end of the chain");
  verify->add_flag("--subjects", s.chain.subjects, "Also what payloads say: slower");
  CLI::App* const prove =
      Command(*chain, s, "prove", "Proof file of one entry", [&s] { return ChainProve(s.options, s.chain); });
  prove->add_option("sequence", s.chain.sequence, "Number of the entry")->required();
  prove->add_option("--save", s.chain.save, "Write it to this file");
  CLI::App* const save =
      Command(*chain, s, "export", "Writes the whole chain up to its checkpoint, for verify --offline",
              [&s] { return ChainExport(s.options, s.chain); });
  save->add_option("file", s.chain.save, "File to write: a tar of tlog-tiles")->required();
}

void AddAcceptance(CLI::App& command, State& s) {
  AcceptanceOptions& to = s.claim.acceptance;
  command.add_option("--max-age", to.max_age, "How old the last confirmation may be")->default_str("30s");
  command.add_option("--max-event-age", to.max_event_age, "How old the event itself may be; any age when left out");
  command.add_option("--worst-tier", to.worst_tier, "green, yellow or red")
      ->check(CLI::IsMember({"green", "yellow", "red"}))
      ->default_str("yellow");
  command.add_option("--min-sources", to.min_sources, "Sources that must agree")->default_str("1");
  command.add_option("--max-dissent", to.max_dissent, "Sources that may disagree")->default_str("0");
  command.add_option("--independence", to.independence, "What makes two sources distinct: signer, collector or router")
      ->check(CLI::IsMember({"signer", "collector", "router"}))
      ->default_str("signer");
  command.add_option("--require-source", to.require, "Source that must be among the agreeing; may be repeated")
      ->allow_extra_args(false);
  command.add_option("--exclude-source", to.exclude, "Source that is not asked; may be repeated")
      ->allow_extra_args(false);
  command.add_flag("--refuse-alarmed", to.refuse_alarmed, "Leave out sources whose channel is ALARMED");
  command.add_option("--level", to.level, "How the chain must hold it: committed, checkpointed or witnessed")
      ->check(CLI::IsMember({"committed", "checkpointed", "witnessed"}))
      ->default_str("committed");
  command.add_option("--at-least-size", s.claim.at_least_size, "Wait until the chain has so many entries");
  command.add_option("--chain-size", s.claim.chain_size, "Answer as of this size of the chain");
  command.add_option(
      "--at", s.claim.at,
      "Answer as of this time, such as 2026-01-31T09:00:00Z; before the newest entry only with --chain-size");
  command.add_option("--save", s.claim.save, "Write answer and proofs to this file, for verify --offline");
  command.add_flag("--answer", s.claim.answer, "Exit with 0 for every verdict: that there is an answer is what counts");
}

void AddClaims(CLI::App& app, State& s) {
  CLI::App* const claim = Group(app, "claim", "Asks whether a claim is backed by evidence");
  CLI::App* const peer =
      Command(*claim, s, "peer", "A BGP session is in a state", [&s] { return ClaimPeer(s.options, s.claim); });
  CLI::App* const route =
      Command(*claim, s, "route", "A router has a route", [&s] { return ClaimRoute(s.options, s.claim); });
  CLI::App* const field = Command(*claim, s, "field", "The newest observation of a subject fulfils conditions",
                                  [&s] { return ClaimField(s.options, s.claim); });
  for (CLI::App* const command : {peer, route}) {
    command->add_option("--router", s.claim.router, "Registered name of the router")->required();
    command->add_option("--vrf", s.claim.vrf, "VRF")->default_str("default");
  }
  peer->add_option("--peer", s.claim.peer, "Address of the peer")->required();
  peer->add_option("--peer-as", s.claim.as, "AS of the peer");
  peer->add_option("--peer-state", s.claim.state, "BGP state of the session, or down for any but Established")
      ->transform(CLI::IsMember(PeerStates(), CLI::ignore_case))
      ->default_str("Established");
  peer->add_flag("--not", s.claim.negate, "The session is in another state");
  route->add_option("--prefix", s.claim.prefix, "Prefix with length")->required();
  route->add_option("--rib", s.claim.rib, "adj-in-pre, adj-in-post, loc, adj-out-pre, adj-out-post, best")
      ->default_str("adj-in-pre");
  route->add_option("--origin-as", s.claim.as, "Last AS of the path");
  route->add_option("--next-hop", s.claim.next_hop, "Next hop");
  route->add_option("--peer", s.claim.peer, "Peer that it was learnt from");
  route->add_flag("--absent", s.claim.negate, "There is no such route");
  field->add_option("--subject", s.claim.subject, "Text of the subject, as `subjects` lists it")->required();
  field->add_option("--event", s.claim.event, "Value of the payload's key `event`");
  field
      ->add_option("--where", s.claim.conditions,
                   "Condition on the payload, such as \"new.med <= 100\" or \"holdtime exists\"; may be repeated")
      ->allow_extra_args(false);
  for (CLI::App* const command : {peer, route, field}) AddAcceptance(*command, s);
}

void AddObservations(CLI::App& app, State& s) {
  CLI::App* const observations = Group(app, "observations", "What sources said");
  CLI::App* const list =
      Command(*observations, s, "list", "Newest first", [&s] { return ObservationsList(s.options, s.observations); });
  CLI::App* const watch = Command(*observations, s, "watch", "As they are committed, until Ctrl-C",
                                  [&s] { return ObservationsWatch(s.options, s.observations); });
  for (CLI::App* const command : {list, watch}) {
    command->add_option("--source", s.observations.source, "Only of this source");
    command->add_option("--subject", s.observations.subject, "Only about this subject");
    command->add_option("--type", s.observations.types, "Only of this type number; may be repeated")
        ->allow_extra_args(false);
    command->add_option("--tier", s.observations.tier, "green, yellow, red or black: at least");
  }
  watch->add_option("--after", s.observations.after, "Begin behind this entry; at the end of the chain when left out");
  watch->add_option("--count", s.observations.count, "End after so many");
  list->add_option("--limit", s.observations.limit, "At most so many")
      ->check(CLI::Range(1U, 100'000U))
      ->capture_default_str();

  CLI::App* const subjects = Command(app, s, "subjects", "What anything was said about",
                                     [&s] { return SubjectsList(s.options, s.prefix, s.observations.limit); });
  subjects->add_option("--prefix", s.prefix, "Beginning of the subject's text");
  subjects->add_option("--limit", s.observations.limit, "At most so many")
      ->check(CLI::Range(1U, 100'000U))
      ->capture_default_str();
}

}  // namespace

std::vector<std::string> PeerStates() {
  return {"Established", "Idle",     "Connect", "Active",  "OpenSent",
          "OpenConfirm", "Clearing", "Deleted", "Unknown", "down"};
}

void AddEvidence(CLI::App& app, State& state) {
  AddChain(app, state);
  AddClaims(app, state);
  AddObservations(app, state);
}

}  // namespace virp::virpctl
