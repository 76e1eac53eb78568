// A whole chain from a file: read as a stream, so a chain of any length takes the memory of one bundle and of the
// chain's sources.
#include "absl/status/status.h"
#include "lib/base/status.h"
#include "lib/chain/export.h"
#include "tools/virpctl/offline.h"

namespace virp::virpctl {
namespace {

void Broken(std::uint64_t sequence, chain::BreakKind kind, std::string_view detail, OfflineReport& report) {
  report.result = "BROKEN";
  report.exit = Exit::kNo;
  report.broken = chain::Break{sequence, kind, std::string(detail)};
  report.detail = std::string(detail);
}

// What a break of the file itself is in the words of VerifyChain.
chain::BreakKind KindOf(const absl::Status& status) {
  return absl::IsDataLoss(status) ? chain::BreakKind::kCheckpointRoot : chain::BreakKind::kMalformedEntry;
}

void Walk(chain::ExportReader& reader, const ExportCheck& check, OfflineReport& report) {
  chain::ChainWalk walk(report.checkpoint.origin, check.walk);
  if (check.known && check.known->checkpoint.size <= report.checkpoint.size) {
    walk.Expect(check.known->checkpoint.size, check.known->checkpoint.root);
  }
  walk.Expect(report.checkpoint.size, report.checkpoint.root);
  absl::StatusOr<std::optional<chain::ExportReader::Item>> item = reader.Next();
  for (; item.ok() && *item; item = reader.Next()) {
    walk.Add((*item)->entry, &(*item)->leaf, nullptr);
    if (walk.first_break()) break;
    check.progress(walk.size(), report.checkpoint.size);
  }
  if (item.ok()) walk.Finish();
  report.checked = walk.size();
  report.unchecked = walk.unchecked();
  if (walk.first_break()) {
    Broken(walk.first_break()->sequence, walk.first_break()->kind, walk.first_break()->detail, report);
  } else if (!item.ok()) {
    Broken(walk.size(), KindOf(item.status()), Message(item.status()), report);
  }
}

}  // namespace

bool IsExport(std::string_view beginning) {
  constexpr std::string_view kStart{"checkpoint\0", 11};
  return beginning.starts_with(kStart);
}

absl::StatusOr<OfflineReport> CheckExport(
    chain::ByteSource source, const std::function<absl::StatusOr<ExportCheck>(const std::string&)>& prepare) {
  ASSIGN_OR_RETURN(chain::ExportReader reader, chain::ExportReader::Open(std::move(source)));
  OfflineReport report;
  report.checkpoint = reader.checkpoint();
  ASSIGN_OR_RETURN(const ExportCheck check, prepare(report.checkpoint.origin));
  const absl::Status opened =
      check.keys.empty() ? absl::OkStatus() : chain::OpenCheckpoint(reader.note(), check.keys).status();
  if (!opened.ok() && !absl::IsNotFound(opened)) {
    Broken(report.checkpoint.size, chain::BreakKind::kCheckpointSignature, Message(opened), report);
    return report;
  }
  report.note = reader.note();
  Walk(reader, check, report);
  if (report.broken) return report;
  report.exit = Exit::kCannotSay;
  if (!opened.ok()) {
    report.result = "NOT_TRUSTED";
    report.detail = std::string(Message(opened));
  } else if (check.keys.empty()) {
    report.result = "CONSISTENT_BUT_UNAUTHENTICATED";
    report.detail = "every hash fits, but nobody vouches for the root: give --trust";
  } else if (!report.unchecked.empty()) {
    report.result = "COULD_NOT_CHECK";
    report.detail = "nothing wrong was found, but not all could be checked: give --keys, or say --no-tags";
  } else {
    report.result = "VERIFIED";
    report.exit = Exit::kYes;
  }
  return report;
}

}  // namespace virp::virpctl
