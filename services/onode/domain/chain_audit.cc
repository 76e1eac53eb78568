#include "services/onode/domain/chain_audit.h"

#include <algorithm>

#include "lib/base/status.h"

namespace virp::onode {
namespace {

constexpr std::size_t kRowsAtOnce = 512;

// Signed checkpoints that the chain must fit, or the break that one of them is by itself.
struct Known {
  std::vector<chain::Checkpoint> checkpoints;
  std::optional<chain::Break> broken;
};

void AddNote(const absl::StatusOr<std::string>& note, const std::vector<chain::VerifierKey>& keys, Known& known) {
  if (absl::IsNotFound(note.status())) return;
  auto opened = note.ok() ? chain::OpenCheckpoint(*note, keys) : note.status();
  if (opened.ok()) {
    known.checkpoints.push_back(*opened);
  } else if (!known.broken) {
    const auto text = note.ok() ? chain::ParseCheckpointUnverified(*note) : note.status();
    known.broken = chain::Break{text.ok() ? text->size : 0, chain::BreakKind::kCheckpointSignature, std::string(Message(opened.status()))};
  }
}

absl::StatusOr<Known> KnownCheckpoints(Chain& chain) {
  Known known;
  const auto keys = chain.vault().Verifiers();
  const auto stored = chain.store().LatestCheckpoint(chain.info().id);
  AddNote(stored.ok() ? absl::StatusOr<std::string>(stored->note) : stored.status(), keys, known);
  const auto beside = chain.vault().Largest();
  if (!beside.ok()) AddNote(beside.status(), keys, known);
  else if (*beside) AddNote(**beside, keys, known);
  return known;
}

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

}  // namespace

absl::StatusOr<AuditReport> AuditChain(Chain& chain, const AuditRequest& request,
                                       const std::function<bool(std::uint64_t, std::uint64_t)>& progress) {
  ASSIGN_OR_RETURN(const ChainHead head, chain.store().ReadHead(chain.info().id));
  ASSIGN_OR_RETURN(const Known known, KnownCheckpoints(chain));
  std::uint64_t end = request.end == 0 ? head.size : request.end;
  if (request.begin > end) return OutOfRange("begin {} is behind end {}", request.begin, end);

  chain::WalkOptions options;
  options.check_subjects = request.check_subjects;
  options.keys = &chain.keys().provider();
  ASSIGN_OR_RETURN(chain::ChainWalk walk, StartAt(chain, request.begin, options));
  for (const chain::Checkpoint& checkpoint : known.checkpoints) walk.Expect(checkpoint.size, checkpoint.root);

  AuditReport report;
  report.broken = walk.first_break();
  std::vector<EntryRow> rows;
  while (!report.broken && walk.size() < end) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(kRowsAtOnce, end - walk.size()));
    RETURN_IF_ERROR(chain.store().ReadEntriesInto(chain.info().id, walk.size(), count, rows));
    if (rows.empty()) {
      report.broken = chain::Break{walk.size(), chain::BreakKind::kTailMissing, fmt::format("the head says {} entries", head.size)};
      break;
    }
    for (const EntryRow& row : rows) {
      walk.Add(row.bytes, &row.leaf, &row.index);
      ++report.checked;
      if (walk.first_break()) break;
    }
    report.broken = walk.first_break();
    if (!progress(report.checked, end - request.begin)) return absl::CancelledError("the caller left");
  }
  for (const chain::Checkpoint& checkpoint : known.checkpoints) {
    if (report.broken || request.end != 0 || checkpoint.size <= walk.size()) continue;
    report.broken = chain::Break{walk.size(), chain::BreakKind::kTailMissing, fmt::format("a signed checkpoint says {} entries", checkpoint.size)};
  }
  if (!report.broken && request.end == 0 && walk.head() != head.head) {
    report.broken = chain::Break{walk.size(), chain::BreakKind::kIndex, "the stored head is not the leaf hash of the newest entry"};
  }
  if (!report.broken) report.broken = known.broken;
  report.unchecked = walk.unchecked();
  report.size = walk.size();
  report.root = walk.Root();
  return report;
}

}  // namespace virp::onode
