#include "lib/deliver/ledger.h"

#include <algorithm>

#include "lib/deliver/audit.h"

namespace virp::deliver {

Ledger::Open* Ledger::Find(std::uint64_t number) {
  const auto at = std::lower_bound(open_.begin(), open_.end(), number,
                                   [](const Open& open, std::uint64_t n) { return open.number < n; });
  return at != open_.end() && at->number == number ? &*at : nullptr;
}

const Ledger::Open* Ledger::Find(std::uint64_t number) const {
  const auto at = std::lower_bound(open_.begin(), open_.end(), number,
                                   [](const Open& open, std::uint64_t n) { return open.number < n; });
  return at != open_.end() && at->number == number ? &*at : nullptr;
}

bool Ledger::Note(std::uint64_t number, std::string_view source) {
  if (const Open* known = Find(number)) return known->state == State::kUnsent;
  open_.push_back({number, std::string(source), State::kUnsent, 0});
  return true;
}

void Ledger::MarkSent(std::uint64_t number) {
  if (Open* open = Find(number); open != nullptr && open->state == State::kUnsent) {
    open->state = State::kSent;
    ++sent_;
  }
}

bool Ledger::Appended(std::uint64_t number, std::uint64_t chain_sequence) {
  Open* open = Find(number);
  if (open == nullptr || open->state != State::kSent) return false;
  open->state = State::kAppended;
  open->chain_sequence = chain_sequence;
  --sent_;
  return true;
}

bool Ledger::Refused(std::uint64_t number, frame::Reason reason) {
  Open* open = Find(number);
  if (open == nullptr || open->state != State::kSent) return false;
  --sent_;
  if (!frame::IsPassing(reason)) {
    open->state = State::kDropped;
    return true;
  }
  open->state = State::kUnsent;
  Hold(number);
  return true;
}

void Ledger::Hold(std::uint64_t number) {
  Open* open = Find(number);
  if (open == nullptr || open->state != State::kUnsent) return;
  open->state = State::kHeld;
  ++held_[open->source];
}

std::string_view Ledger::SourceOf(std::uint64_t number) const {
  const Open* open = Find(number);
  return open == nullptr ? std::string_view() : std::string_view(open->source);
}

void Ledger::StartOver() {
  for (Open& open : open_) {
    if (open.state != State::kDropped) open.state = State::kUnsent;
  }
  sent_ = 0;
  held_.clear();
}

std::uint64_t Ledger::Settle(const Audit& audit, std::uint64_t read) {
  while (!open_.empty()) {
    const Open& open = open_.front();
    const bool shown = open.state == State::kAppended && audit.Shown(open.chain_sequence);
    if (!shown && open.state != State::kDropped) return open.number - 1;
    open_.pop_front();
  }
  return read;
}

bool Ledger::AllAnswered() const {
  return std::all_of(open_.begin(), open_.end(),
                     [](const Open& open) { return open.state == State::kAppended || open.state == State::kDropped; });
}

std::size_t Ledger::held_frames() const {
  std::size_t all = 0;
  for (const auto& [source, frames] : held_) all += frames;
  return all;
}

}  // namespace virp::deliver
