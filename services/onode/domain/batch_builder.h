// Orders checked frames into entries: acceptance steps 4 and 5, gap entries in front of jumps, the O-Node's own
// entries, links and hashes. Works on its own copy of the chain's state, ahead of what is committed; the sequencer
// drops it when the commit did not happen. No I/O but the look-up of held frames. Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "lib/chain/alarm_aggregator.h"
#include "lib/chain/source_book.h"
#include "lib/chain/tiles.h"
#include "lib/frame/key.h"
#include "lib/frame/payload.h"
#include "services/onode/domain/candidate.h"
#include "services/onode/domain/chain_store.h"
#include "services/onode/domain/delivery_order.h"
#include "services/onode/domain/expected_builds.h"
#include "services/onode/domain/source_limits.h"

namespace virp::onode {

// What the O-Node speaks with: the origin's O-Key.
struct OwnKey {
  std::uint32_t version = 0;
  std::shared_ptr<const frame::OKey> key;
};

struct FrameOutcome {
  enum class Result : std::uint8_t { kAppended = 1, kDuplicate = 2, kRefused = 3 };
  std::uint64_t number = 0;  // delivery number
  Result result = Result::kRefused;
  std::uint64_t sequence = 0;  // appended, duplicate
  Hash leaf{};                 // appended, duplicate
  frame::Reason reason = frame::Reason::kNone;
  std::string entry_header{};  // appended, duplicate: the first 128 bytes of the entry
};

struct HeldEntry {
  std::uint64_t sequence = 0;
  Hash leaf{};
  std::string bytes;

  std::string_view header() const { return std::string_view(bytes).substr(0, chain::kEntryHeaderSize); }
  std::string_view frame() const { return std::string_view(bytes).substr(chain::kEntryHeaderSize); }
};

// What the store holds of the numbers that it was asked for; a number that is not here has no entry.
using HeldEntries = absl::flat_hash_map<FrameNumber, HeldEntry>;

// State at the end of the chain, committed or not.
struct ChainTip {
  chain::SourceBook book;
  chain::TileBuilder tree;
  Hash head{};
};

class BatchBuilder {
 public:
  // Finds the committed entries that hold these numbers, at most ChainStore::kMostNumbers, each checked.
  using HeldReader = std::function<absl::StatusOr<HeldEntries>(const std::vector<FrameNumber>& numbers)>;

  // `limits` and `builds` may be null.
  BatchBuilder(ChainTip tip, OwnKey own, std::uint64_t own_epoch, HeldReader held, SourceLimits* limits = nullptr,
               const ExpectedBuilds* builds = nullptr);

  // Asks the store once what it holds of frames that are about to be added, at most kMostNumbers: what a deliverer
  // sends again is not looked up one by one. What was read ahead before is forgotten, by Take as well.
  absl::Status ReadAhead(std::span<const std::unique_ptr<Candidate>> candidates, KeyCache& keys);

  // Enters a frame, or says why not; `held` is its stream's. Error: the store could not be asked; nothing was changed.
  absl::StatusOr<FrameOutcome> Add(Candidate& candidate, HeldSources& held, UnixNanos now, KeyCache& keys,
                                   chain::AlarmAggregator& alarms);

  // Enters an entry that the O-Node signs; its chain sequence.
  absl::StatusOr<std::uint64_t> AddOwn(frame::Type type, frame::Tier tier, const std::string& payload, UnixNanos now);

  void SetOwnKey(OwnKey own) { own_ = std::move(own); }

  std::size_t rows() const { return batch_.rows.size(); }
  std::size_t bytes() const { return bytes_; }
  const ChainTip& tip() const { return tip_; }

  // The batch so far; the builder goes on behind it.
  AppendBatch Take(std::uint64_t term);

 private:
  absl::StatusOr<std::optional<FrameOutcome>> AnswerHeld(const Candidate& candidate) const;
  void Refresh(Candidate& candidate, KeyCache& keys) const;
  bool MayBeHeld(const Candidate& candidate) const;
  absl::StatusOr<std::optional<HeldEntry>> FindHeld(const FrameNumber& number) const;
  FrameOutcome Refuse(const Candidate& candidate, frame::Reason reason, chain::AlarmAggregator& alarms) const;
  absl::StatusOr<FrameOutcome> Settle(const Candidate& candidate, chain::AlarmAggregator& alarms) const;
  std::uint64_t NextReceived(UnixNanos now) const;  // microseconds
  void CheckBuild(const chain::Source& source, std::string_view beat, const frame::Value& payload,
                  chain::AlarmAggregator& alarms) const;
  absl::StatusOr<FrameOutcome> Enter(const Candidate& candidate, frame::Reason behind, UnixNanos now,
                                     chain::AlarmAggregator& alarms);
  absl::StatusOr<std::uint64_t> Append(const frame::Frame& frame, std::uint64_t epoch, const chain::Source& source,
                                       std::uint32_t key_version, std::uint8_t flags, std::uint64_t received_us,
                                       const chain::Statement& statement, const std::optional<frame::Value>& payload);

  ChainTip tip_;
  OwnKey own_;
  std::uint64_t own_epoch_;
  std::uint64_t own_sequence_ = 0;
  HeldReader held_;
  SourceLimits* const limits_;
  const ExpectedBuilds* const builds_;
  frame::PayloadReader reader_;
  frame::PayloadReader own_reader_;  // an entry of ours may come between a frame's parsing and its entry
  AppendBatch batch_;
  std::size_t bytes_ = 0;
  absl::flat_hash_map<FrameNumber, std::size_t> in_batch_;                 // row of this batch
  absl::flat_hash_map<FrameNumber, std::optional<HeldEntry>> read_ahead_;  // nullopt: no entry
};

}  // namespace virp::onode
