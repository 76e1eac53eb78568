#include "services/onode/domain/evaluate_source.h"

#include <algorithm>

namespace virp::onode::facts {
namespace {

constexpr std::size_t kMaxMissingListed = 16;

}  // namespace

bool BeatCounts(const FactState& state, const chain::SourceBook& book, const Acceptance& acceptance,
                std::uint32_t signer, const chain::Source& about) {
  const SourceState& by = state.sources[signer];
  if (by.awaits_refold) return false;
  const auto source = book.FindByShortId(by.short_id);
  if (source == nullptr || source->suspended) return false;
  const bool itself = source->short_id == about.short_id;
  // The O-Node may raise alarms about anyone; it hears no source, so it beats for none but itself.
  if (!itself && source->registration.source == book.origin()) return false;
  if (!itself && !chain::SourceBook::MaySpeakFor(*source, about, book.origin())) return false;
  const auto& excluded = acceptance.exclude_sources;
  if (std::find(excluded.begin(), excluded.end(), source->registration.source) != excluded.end()) return false;
  const chain::Channel* channel = book.FindChannel(by.short_id);
  const chain::ChannelState health = channel != nullptr ? channel->State() : chain::ChannelState::kOk;
  if (health == chain::ChannelState::kBlack) return false;
  return health == chain::ChannelState::kOk || acceptance.accept_alarmed;
}

SourceView::SourceView(const FactState& state, const chain::SourceBook& book, const Acceptance& acceptance,
                       std::uint32_t index)
    : state_(state), index_(index), source_(book.FindByShortId(state.sources[index].short_id)) {
  channel_ = book.FindChannel(self().short_id);
  for (const BeatRow& row : self().beats) {
    if (BeatCounts(state, book, acceptance, row.signer, *source_)) beats_.push_back(&row);
  }
}

const chain::EpochState* SourceView::FindEpoch(std::uint32_t run) const {
  const auto it = channel_->epochs.find(EpochOf(run));
  return it == channel_->epochs.end() ? nullptr : &it->second;
}

// An epoch of which a beat tells and no frame has come.
bool SourceView::IsAhead(std::uint64_t epoch) const {
  return epoch > channel_->floor_epoch && !RunOf(*channel_, epoch).has_value();
}

// Another run has begun, here or by the word of a beat, or this one was declared poisoned.
bool SourceView::IsOver(std::uint32_t run) const {
  if (EpochOf(run) != channel_->newest_epoch || channel_->floor_epoch != channel_->newest_epoch) return true;
  return std::any_of(beats_.begin(), beats_.end(), [&](const BeatRow* row) { return IsAhead(row->newest.epoch); });
}

bool SourceView::Covers(const Report& report, const Position& at) const {
  if (report.epoch == EpochOf(at.run)) return report.last >= at.sequence;
  const auto run = RunOf(*channel_, report.epoch);
  return run ? *run > at.run : report.epoch > channel_->floor_epoch;
}

std::string_view SourceView::Doubt(const Mark& mark, Groups groups, std::vector<chain::MissingRange>* missing) const {
  std::string_view doubt;
  const auto because = [&](std::string_view reason) {
    if (doubt.empty()) doubt = reason;
  };
  const auto list = [&](const chain::MissingRange& range) {
    if (missing == nullptr || missing->size() >= kMaxMissingListed) return;
    if (std::find(missing->begin(), missing->end(), range) == missing->end()) missing->push_back(range);
  };
  if (IsOver(mark.run)) because(kDoubtEpochEnded);

  const chain::EpochState* epoch = FindEpoch(mark.run);
  if (epoch != nullptr) {
    for (auto range = epoch->missing.rbegin(); range != epoch->missing.rend() && range->to > mark.sequence; ++range) {
      because(range->why == chain::Gap::Why::kMissing ? kDoubtGap : kDoubtLossRecord);
      list(*range);
      if (missing == nullptr) break;
    }
    std::uint64_t stated = 0;
    for (const BeatRow* row : beats_) {
      if (row->newest.epoch == epoch->epoch) stated = std::max(stated, row->newest.last);
    }
    if (stated >= epoch->next) {
      because(kDoubtTail);
      list({.from = epoch->next, .to = stated, .gap_entry = chain::kNone});
    }
  }
  for (std::size_t group = 0; group < kGroups; ++group) {
    if ((groups & (1U << group)) != 0 && self().unreadable[group] > mark.at()) because(kDoubtUnreadable);
  }
  return doubt;
}

bool SourceView::InDoubt(const Mark& mark, Groups groups) const {
  return !Doubt(mark, groups, nullptr).empty();
}

bool SourceView::AddDoubt(const Mark& mark, Groups groups, Opinion& opinion) const {
  const std::string_view doubt = Doubt(mark, groups, &opinion.missing);
  if (opinion.doubt.empty()) opinion.doubt = doubt;
  return !doubt.empty();
}

bool SourceView::Whole(std::uint32_t run, std::uint64_t from, std::uint64_t to, Groups groups) const {
  if (const chain::EpochState* held = FindEpoch(run); held != nullptr) {
    for (const chain::MissingRange& range : held->missing) {
      if (range.from <= to && range.to >= from) return false;
    }
  }
  for (std::size_t group = 0; group < kGroups; ++group) {
    const Position& newest = self().unreadable[group];
    if ((groups & (1U << group)) != 0 && newest >= Position{run, from} && newest <= Position{run, to}) return false;
  }
  return true;
}

const Report* SourceView::Covering(const Position& at) const {
  const Report* newest = nullptr;
  for (const BeatRow* row : beats_) {
    const Report& report = row->newest_connected;
    if (!report.held() || !Covers(report, at)) continue;
    if (newest == nullptr || std::pair(report.time, report.entry) > std::pair(newest->time, newest->entry))
      newest = &report;
  }
  return newest;
}

bool SourceView::ConnectionLost() const {
  // "Since" means later by the beats' own times and later in the chain: neither a slow clock nor a slow way turns an
  // old word into a newer one.
  const auto since = [&](const BeatRow* lost) {
    return std::any_of(beats_.begin(), beats_.end(), [&](const BeatRow* row) {
      const Report& report = row->newest_connected;
      return row != lost && report.held() && report.entry > lost->newest.entry && report.time >= lost->newest.time;
    });
  };
  return std::any_of(beats_.begin(), beats_.end(),
                     [&](const BeatRow* row) { return !row->newest.connected && !since(row); });
}

}  // namespace virp::onode::facts
