#include "services/onode/domain/chain_audit.h"

#include <algorithm>

#include "lib/base/status.h"
#include "services/onode/domain/cache_audit.h"

namespace virp::onode {
namespace {

constexpr std::size_t kRowsAtOnce = 1'024;

// Signed checkpoints that the chain must fit: every one that the store holds, and the one beside it. They are stated to
// the walk before it passes them; one that is wrong by itself is told when the entries are in order.
class Checkpoints {
 public:
  explicit Checkpoints(Chain& chain) : chain_(chain), keys_(chain.vault().Verifiers()) {
    const auto beside = chain_.vault().Largest();
    if (!beside.ok()) {
      Broken(0, beside.status());
    } else if (*beside) {
      beside_ = Open(**beside);
    }
  }

  // Those of sizes up to `size`, all when it is kNoEnd. Errors of the store.
  absl::Status Expect(std::uint64_t size, chain::ChainWalk& walk) {
    if (beside_ && beside_->size <= size) {
      Take(*beside_, walk);
      beside_.reset();
    }
    while (true) {
      if (!next_) {
        auto found = chain_.store().CheckpointAtOrAfter(chain_.info().id, from_);
        if (absl::IsNotFound(found.status())) return absl::OkStatus();
        RETURN_IF_ERROR(found.status());
        next_ = *std::move(found);
      }
      if (next_->size > size) return absl::OkStatus();
      Add(*next_, walk);
      from_ = next_->size + 1;
      next_.reset();
    }
  }
  void SkipTo(std::uint64_t size) { from_ = std::max(from_, size); }

  std::uint64_t largest() const { return largest_; }
  const std::optional<chain::Break>& broken() const { return broken_; }

 private:
  void Add(const StoredCheckpoint& stored, chain::ChainWalk& walk) {
    const auto opened = Open(stored.note);
    if (!opened) return;
    if (opened->size != stored.size || opened->root != stored.root) {
      if (!broken_)
        broken_ = chain::Break{stored.size, chain::BreakKind::kIndex,
                               "the columns of a checkpoint are not what its note says"};
    }
    Take(*opened, walk);
  }
  void Take(const chain::Checkpoint& checkpoint, chain::ChainWalk& walk) {
    largest_ = std::max(largest_, checkpoint.size);
    if (checkpoint.size >= walk.size()) walk.Expect(checkpoint.size, checkpoint.root);  // else it lies before the range
  }
  std::optional<chain::Checkpoint> Open(const std::string& note) {
    auto opened = chain::OpenCheckpoint(note, keys_);
    if (opened.ok()) return *std::move(opened);
    const auto text = chain::ParseCheckpointUnverified(note);
    Broken(text.ok() ? text->size : 0, opened.status());
    return std::nullopt;
  }
  void Broken(std::uint64_t size, const absl::Status& why) {
    if (!broken_) broken_ = chain::Break{size, chain::BreakKind::kCheckpointSignature, std::string(Message(why))};
  }

  Chain& chain_;
  const std::vector<chain::VerifierKey> keys_;
  std::optional<chain::Checkpoint> beside_;
  std::optional<StoredCheckpoint> next_;
  std::uint64_t from_ = 0;
  std::uint64_t largest_ = 0;
  std::optional<chain::Break> broken_;
};

// A walk that begins later starts from the state that a walk from 0 would have there.
absl::StatusOr<chain::ChainWalk> StartAt(Chain& chain, std::uint64_t begin, const chain::WalkOptions& options) {
  chain::WalkOptions quiet = options;
  quiet.check_tags = false;
  quiet.check_subjects = false;
  chain::ChainWalk walk(chain.origin(), begin == 0 ? options : quiet);
  std::vector<EntryRow> rows;
  while (walk.size() < begin) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(kRowsAtOnce, begin - walk.size()));
    RETURN_IF_ERROR(chain.store().ReadEntriesInto(chain.info().id, walk.size(), count, rows));
    if (rows.empty()) break;
    for (const EntryRow& row : rows) {
      walk.Add(row.bytes, nullptr, nullptr);
      if (walk.first_break()) return walk;
    }
  }
  if (begin == 0 || walk.size() < begin) return walk;
  chain::Frontier frontier = walk.frontier();
  const Hash head = walk.head();
  return chain::ChainWalk(std::move(walk).TakeBook(), std::move(frontier), head, options);
}

// A row behind the head was never committed: commits move the head in the same transaction.
absl::StatusOr<std::optional<chain::Break>> CheckNothingBehind(Chain& chain, std::uint64_t end) {
  ASSIGN_OR_RETURN(const auto rows, chain.store().ReadEntries(chain.info().id, end, 1));
  if (rows.empty()) return std::optional<chain::Break>();
  ASSIGN_OR_RETURN(const ChainHead now, chain.store().ReadHead(chain.info().id));
  if (now.size > rows.front().sequence) return std::optional<chain::Break>();  // it grew meanwhile
  return chain::Break{rows.front().sequence, chain::BreakKind::kNotContiguous, "an entry stands behind the head"};
}

// One audit: a walk over the rows of a range, with what has to fit it.
class Audit {
 public:
  Audit(Chain& chain, const ChainHead& head, const AuditRequest& request, chain::ChainWalk walk)
      : chain_(chain),
        head_(head),
        whole_(request.end == 0),
        from_start_(request.begin == 0),
        end_(whole_ ? head.size : request.end),
        total_(end_ - request.begin),
        walk_(std::move(walk)),
        checkpoints_(chain),
        tiles_(chain.store().TilesOf(chain.info().id)) {}

  absl::StatusOr<AuditReport> Run(const std::function<bool(std::uint64_t, std::uint64_t)>& progress) {
    report_.broken = walk_.first_break();
    checkpoints_.SkipTo(walk_.size());
    while (!report_.broken && walk_.size() < end_) {
      RETURN_IF_ERROR(Step());
      if (!progress(report_.checked, total_)) return absl::CancelledError("the caller left");
    }
    if (!report_.broken) RETURN_IF_ERROR(Finish());
    report_.unchecked = walk_.unchecked();
    report_.size = walk_.size();
    report_.root = walk_.Root();
    return std::move(report_);
  }

 private:
  absl::Status Step() {
    const std::uint64_t count = std::min<std::uint64_t>(kRowsAtOnce, end_ - walk_.size());
    RETURN_IF_ERROR(checkpoints_.Expect(walk_.size() + count, walk_));
    RETURN_IF_ERROR(
        chain_.store().ReadEntriesInto(chain_.info().id, walk_.size(), static_cast<std::size_t>(count), rows_));
    if (rows_.empty()) {
      report_.broken = chain::Break{walk_.size(), chain::BreakKind::kTailMissing,
                                    fmt::format("the head says {} entries", head_.size)};
    }
    for (const EntryRow& row : rows_) {
      walk_.Add(row.bytes, &row.leaf, &row.index);
      ++report_.checked;
      if (walk_.first_break()) break;
      if (!from_start_ || caches_broken_) continue;
      ASSIGN_OR_RETURN(caches_broken_, tiles_.Add(row.leaf, walk_.frontier()));
    }
    if (!report_.broken) report_.broken = walk_.first_break();
    return absl::OkStatus();
  }

  // The entries are in order; what is said of them beside them comes after, gravest first.
  absl::Status Finish() {
    if (whole_) {
      RETURN_IF_ERROR(checkpoints_.Expect(~std::uint64_t{0}, walk_));
      report_.broken = walk_.first_break();
      if (report_.broken) return absl::OkStatus();
      ASSIGN_OR_RETURN(const bool shorter, ShorterThan(checkpoints_.largest()));
      if (shorter) {
        report_.broken = chain::Break{walk_.size(), chain::BreakKind::kTailMissing,
                                      fmt::format("a signed checkpoint says {} entries", checkpoints_.largest())};
        return absl::OkStatus();
      }
      ASSIGN_OR_RETURN(report_.broken, CheckNothingBehind(chain_, end_));
    }
    const absl::Status own = chain_.CheckOwnKey(walk_.book());
    if (!report_.broken && !own.ok())
      report_.broken = chain::Break{0, chain::BreakKind::kSourceRules, std::string(Message(own))};
    if (!report_.broken) report_.broken = checkpoints_.broken();
    if (!report_.broken && whole_) {
      ASSIGN_OR_RETURN(report_.broken, CheckHeadCaches(chain_.store(), chain_.info(), head_, walk_));
    }
    if (!report_.broken) report_.broken = caches_broken_;
    return absl::OkStatus();
  }

  // The chain may have grown, and be checkpointed, while the walk went on: that is no missing tail.
  absl::StatusOr<bool> ShorterThan(std::uint64_t checkpoint) {
    if (checkpoint <= walk_.size()) return false;
    ASSIGN_OR_RETURN(const ChainHead now, chain_.store().ReadHead(chain_.info().id));
    return now.size < checkpoint;
  }

  Chain& chain_;
  const ChainHead head_;
  const bool whole_, from_start_;
  const std::uint64_t end_, total_;
  chain::ChainWalk walk_;
  std::vector<EntryRow> rows_;
  Checkpoints checkpoints_;
  TileAudit tiles_;
  std::optional<chain::Break> caches_broken_;
  AuditReport report_;
};

}  // namespace

absl::StatusOr<AuditReport> AuditChain(Chain& chain, const AuditRequest& request,
                                       const std::function<bool(std::uint64_t, std::uint64_t)>& progress) {
  ASSIGN_OR_RETURN(const ChainHead head, chain.store().ReadHead(chain.info().id));
  const std::uint64_t end = request.end == 0 ? head.size : request.end;
  if (request.begin > end) return OutOfRange("begin {} is behind end {}", request.begin, end);
  chain::WalkOptions options;
  options.check_subjects = request.check_subjects;
  options.keys = &chain.keys().provider();
  ASSIGN_OR_RETURN(chain::ChainWalk walk, StartAt(chain, request.begin, options));
  return Audit(chain, head, request, std::move(walk)).Run(progress);
}

}  // namespace virp::onode
