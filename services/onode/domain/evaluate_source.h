// One source as a claim sees it: which beats count for it, what is missing after a statement, and what it says.
// Internal to the evaluation of claims.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/chain/source_book.h"
#include "services/onode/domain/claim.h"
#include "services/onode/domain/fact_book.h"
#include "services/onode/domain/fact_state.h"

namespace virp::onode::facts {

// Which groups of unreadable frames put a statement in doubt.
using Groups = std::uint8_t;
constexpr Groups GroupBit(Group group) {
  return static_cast<Groups>(1U << static_cast<unsigned>(group));
}
inline constexpr Groups kPeerDoubts = GroupBit(Group::kPeer);
inline constexpr Groups kPathDoubts = kPeerDoubts | GroupBit(Group::kPath);
inline constexpr Groups kBestDoubts = kPathDoubts | GroupBit(Group::kBest);

// What a source says to a claim, before time and the other sources are looked at.
struct Opinion {
  SourceOpinion::Says says = SourceOpinion::Says::kNothing;
  std::string_view left_out;  // why it says nothing
  std::vector<Mark> bases;    // statements that it rests on; the newest first
  bool is_event = true;       // the newest base is an event of the subject, not a table's statement
  std::string_view doubt;
  std::vector<chain::MissingRange> missing;
};

class SourceView {
 public:
  // `state`, `book` and `acceptance` must outlive the view.
  SourceView(const FactState& state, const chain::SourceBook& book, const Acceptance& acceptance, std::uint32_t index);

  std::uint32_t index() const { return index_; }
  const FactState& state() const { return state_; }
  const SourceState& self() const { return state_.sources[index_]; }
  const chain::Source& source() const { return *source_; }
  const std::shared_ptr<const chain::Source>& shared_source() const { return source_; }
  chain::ChannelState channel() const { return channel_ != nullptr ? channel_->State() : chain::ChannelState::kOk; }

  // Records in `opinion` why a statement may have been overtaken unseen; true when it may.
  bool AddDoubt(const Mark& mark, Groups groups, Opinion& opinion) const;
  bool InDoubt(const Mark& mark, Groups groups) const;
  // Nothing from number `from` to `to` of this run is missing or unreadable.
  bool Whole(std::uint32_t run, std::uint64_t from, std::uint64_t to, Groups groups) const;

  // The newest beat that covers a statement at this position; null when none does.
  const Report* Covering(const Position& at) const;
  // The connection was last reported lost, and nobody reports it connected since.
  bool ConnectionLost() const;

 private:
  std::string_view Doubt(const Mark& mark, Groups groups, std::vector<chain::MissingRange>* missing) const;
  std::uint64_t EpochOf(std::uint32_t run) const { return (*channel_->opened)[run]; }
  const chain::EpochState* FindEpoch(std::uint32_t run) const;
  bool IsOver(std::uint32_t run) const;
  bool IsAhead(std::uint64_t epoch) const;
  bool Covers(const Report& report, const Position& at) const;

  const FactState& state_;
  std::uint32_t index_;
  std::shared_ptr<const chain::Source> source_;
  const chain::Channel* channel_ = nullptr;  // never null where the source has said something
  std::vector<const BeatRow*> beats_;        // by signers that count
};

// Whether signer's beats about `about` count for this asker now.
bool BeatCounts(const FactState& state, const chain::SourceBook& book, const Acceptance& acceptance,
                std::uint32_t signer, const chain::Source& about);

Opinion PeerOpinion(const SourceView& view, const PeerClaim& claim);
Opinion RouteOpinion(const SourceView& view, const RouteClaim& claim);
// Errors: the reader's, DataLoss when an entry is not the one that was folded.
absl::StatusOr<Opinion> FieldOpinion(const SourceView& view, const FieldClaim& claim,
                                     const FactBook::EntryReader& read);

}  // namespace virp::onode::facts
