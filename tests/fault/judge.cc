#include "tests/fault/judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "lib/base/status.h"
#include "lib/chain/control.h"
#include "lib/chain/entry.h"
#include "lib/crypto/sha256.h"
#include "lib/frame/frame.h"
#include "lib/frame/payload.h"

namespace virp::fault {
namespace {

using testutil::ServiceLab;

constexpr std::size_t kMaxFindings = 20;

// Numbers of one source and epoch.
struct Numbers {
  std::map<std::uint64_t, std::uint64_t> entered;  // to chain sequence
  std::map<std::uint64_t, std::uint64_t> missing;  // from to last, as gap entries say
  std::uint64_t newest = 0;

  bool Missing(std::uint64_t number) const {
    const auto gap = missing.upper_bound(number);
    return gap != missing.begin() && std::prev(gap)->second >= number;
  }
};

class Reading {
 public:
  void Read(const std::vector<std::string>& entries);
  void Hold(const Ledger& ledger);
  std::vector<std::string> findings;

 private:
  template <typename... Args>
  void Find(fmt::format_string<Args...> format, Args&&... args) {
    if (findings.size() < kMaxFindings) findings.push_back(fmt::format(format, std::forward<Args>(args)...));
  }
  void ReadEntry(const chain::Entry& entry);
  void ReadGap(std::string_view payload);
  void ReadBmp(const frame::Frame& frame);
  void HoldSubmitted(const std::vector<Ledger::Submitted>& answers);
  void HoldDelivered(const std::vector<Ledger::Delivered>& answers);
  void HoldSent(const std::string& source, const Ledger::Sent& sent);
  void HoldRouter(const Ledger& ledger);

  const std::vector<std::string>* entries_ = nullptr;
  std::vector<Hash> leaves_;
  std::map<std::pair<std::uint64_t, std::uint64_t>, Numbers> numbers_;  // by short id and epoch
  std::set<std::string> said_;
  std::set<std::string> peers_up_;
  std::map<std::pair<std::string, std::string>, std::uint32_t> routes_;
  frame::PayloadReader reader_;
};

void Reading::Read(const std::vector<std::string>& entries) {
  entries_ = &entries;
  Hash previous = chain::GenesisOf(ServiceLab::kOrigin);
  for (const std::string& bytes : entries) {
    const auto entry = chain::DecodeEntry(bytes);
    if (!entry.ok()) return Find("entry {} is none: {}", leaves_.size(), Message(entry.status()));
    if (entry->header.sequence != leaves_.size())
      Find("entry {} says that it is {}", leaves_.size(), entry->header.sequence);
    if (entry->header.previous != previous) Find("entry {} does not link to the one before", leaves_.size());
    ReadEntry(*entry);
    previous = chain::LeafHash(bytes);
    leaves_.push_back(previous);
  }
}

void Reading::ReadEntry(const chain::Entry& entry) {
  const chain::EntryHeader& header = entry.header;
  Numbers& numbers = numbers_[{header.source, header.source_epoch}];
  const auto [at, first] = numbers.entered.emplace(header.source_sequence, header.sequence);
  if (!first)
    Find("number {} of source {:x} stands at {} and at {}", header.source_sequence, header.source, at->second,
         header.sequence);
  const bool next = header.source_sequence == numbers.newest + 1 || numbers.Missing(numbers.newest + 1);
  if (header.source_sequence <= numbers.newest ? !numbers.Missing(header.source_sequence) : !next) {
    Find("entry {}: number {} of source {:x} comes after {}", header.sequence, header.source_sequence, header.source,
         numbers.newest);
  }
  numbers.newest = std::max(numbers.newest, header.source_sequence);

  const auto frame = frame::Decode(entry.frame, header.spelling);
  if (!frame.ok()) return Find("the frame of entry {} is none: {}", header.sequence, Message(frame.status()));
  if (header.result != 0) Find("entry {} has flags {}", header.sequence, header.result);
  if (header.kind == chain::Kind::kGap) ReadGap(frame->payload);
  if (header.source == frame::ShortIdOf(ServiceLab::kBmp)) ReadBmp(*frame);
  if (const std::size_t said = frame->payload.find("\"said\":\""); said != std::string_view::npos) {
    const std::string_view text = frame->payload.substr(said + 8);
    if (!said_.insert(std::string(text.substr(0, text.find('"')))).second)
      Find("entry {} was said before: {}", header.sequence, text);
  }
}

void Reading::ReadGap(std::string_view payload) {
  const auto value = reader_.Read(payload);
  const auto gap = value.ok() ? chain::ParseGap(*value) : value.status();
  if (!gap.ok()) return Find("a gap entry does not parse: {}", Message(gap.status()));
  numbers_[{frame::ShortIdOf(gap->source), gap->epoch}].missing[gap->from] = gap->to;
}

void Reading::ReadBmp(const frame::Frame& frame) {
  const auto value = reader_.Read(frame.payload);
  if (!value.ok()) return Find("a payload does not parse: {}", Message(value.status()));
  const auto text = [&](std::string_view key) { return std::string((*value)[key].AsString().value_or("")); };
  const std::string peer = text("peer_addr"), event = text("event");
  const std::pair<std::string, std::string> at{peer, text("prefix")};
  const bool down = frame.header.type == frame::Type::kPeerBackwardTransition ||
                    (frame.header.type == frame::Type::kPeerStatusChanged && text("new_state") != "Established");
  if (down) {
    peers_up_.erase(peer);
    std::erase_if(routes_, [&](const auto& route) { return route.first.first == peer; });
  } else if (frame.header.type == frame::Type::kPeerStatusChanged) {
    peers_up_.insert(peer);
  } else if (event == "route_withdraw") {
    routes_.erase(at);
  } else if (event == "route_announce") {
    const std::string path = text("as_path");
    routes_[at] = static_cast<std::uint32_t>(std::stoul(path.substr(path.rfind(' ') + 1)));
  }
}

void Reading::Hold(const Ledger& ledger) {
  for (const auto& answers : ledger.submitted) HoldSubmitted(answers);
  HoldDelivered(ledger.delivered);
  for (const auto& [source, sent] : ledger.sent) HoldSent(source, sent);
  if (!ledger.peers_up.empty()) HoldRouter(ledger);
}

void Reading::HoldSubmitted(const std::vector<Ledger::Submitted>& answers) {
  const std::uint64_t source = frame::ShortIdOf(ServiceLab::kSubmitted);
  std::pair<std::uint64_t, std::uint64_t> before{};
  for (const Ledger::Submitted& answer : answers) {
    if (std::pair(answer.epoch, answer.sequence) <= before)
      Find("Submit answered number {} after {}", answer.sequence, before.second);
    before = {answer.epoch, answer.sequence};
    const auto& entered = numbers_[{source, answer.epoch}].entered;
    const auto at = entered.find(answer.sequence);
    if (at == entered.end()) {
      Find("Submit answered number {} of epoch {}, and the chain does not hold it", answer.sequence, answer.epoch);
    } else if (crypto::Sha256(std::string_view((*entries_)[at->second]).substr(chain::kEntryHeaderSize)) !=
               answer.digest) {
      Find("number {} of epoch {} is another frame than Submit answered", answer.sequence, answer.epoch);
    }
  }
}

void Reading::HoldDelivered(const std::vector<Ledger::Delivered>& answers) {
  std::optional<std::uint64_t> before;
  for (const Ledger::Delivered& answer : answers) {
    if (before && answer.chain_sequence <= *before)
      Find("Deliver answered entry {} after {}", answer.chain_sequence, *before);
    before = answer.chain_sequence;
    if (answer.chain_sequence >= entries_->size()) {
      Find("Deliver answered entry {}, and the chain ends at {}", answer.chain_sequence, entries_->size());
    } else if (leaves_[answer.chain_sequence] != answer.leaf ||
               std::string_view((*entries_)[answer.chain_sequence]).substr(chain::kEntryHeaderSize) != answer.frame) {
      Find("entry {} is not the one that Deliver answered", answer.chain_sequence);
    }
  }
}

void Reading::HoldSent(const std::string& source, const Ledger::Sent& sent) {
  std::vector<const Numbers*> epochs;
  for (const auto& [at, numbers] : numbers_) {
    if (at.first == frame::ShortIdOf(source) && (sent.epoch == 0 || at.second == sent.epoch))
      epochs.push_back(&numbers);
  }
  if (epochs.size() != 1) return Find("source {} has {} epochs", source, epochs.size());
  for (std::uint64_t number = 1; number <= sent.last; ++number) {
    if (epochs[0]->entered.count(number) == 0 && !epochs[0]->Missing(number))
      Find("number {} of source {} is neither held nor missing", number, source);
  }
  if (epochs[0]->newest > sent.last)
    Find("source {} sent {} numbers, the chain holds {}", source, sent.last, epochs[0]->newest);
}

void Reading::HoldRouter(const Ledger& ledger) {
  for (const std::string& peer : ledger.peers_up) {
    if (peers_up_.count(peer) == 0) Find("peer {} is up, and the chain says otherwise", peer);
  }
  for (const auto& [at, learnt_from] : ledger.routes) {
    const auto held = routes_.find(at);
    if (held == routes_.end())
      Find("{} from {} is in the router's table and not in the chain's", at.second, at.first);
    else if (held->second != learnt_from)
      Find("{} from {} is by AS {}, not {}", at.second, at.first, learnt_from, held->second);
  }
  for (const auto& [at, learnt_from] : routes_) {
    if (ledger.routes.count(at) == 0)
      Find("{} from {} is in the chain's table and not in the router's", at.second, at.first);
  }
}

}  // namespace

std::vector<std::string> Judge(const std::vector<std::string>& entries, const Ledger& ledger) {
  Reading reading;
  reading.Read(entries);
  if (reading.findings.empty()) reading.Hold(ledger);
  return reading.findings;
}

}  // namespace virp::fault
