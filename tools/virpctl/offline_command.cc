// `verify --offline`: what was saved, checked without any O-Node.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "lib/base/bytes.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/chain/claim_bundle.h"
#include "lib/frame/frame.h"
#include "lib/frame/key_directory.h"
#include "lib/frame/payload.h"
#include "tools/virpctl/memory.h"
#include "tools/virpctl/offline.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/progress.h"

namespace virp::virpctl {
namespace {

constexpr std::size_t kMaxFile = chain::kMaxClaimBundle + (8 << 20);  // and the tar's own headers

std::string EntryTable(const std::vector<std::string>& entries) {
  Table table({"ENTRY", "RECEIVED", "TIER", "TYPE", "PAYLOAD"});
  for (const std::string& bytes : entries) {
    const auto entry = chain::DecodeEntry(bytes);
    if (!entry.ok()) continue;  // it was decoded when it was proven
    const auto frame = frame::Decode(entry->frame, entry->header.spelling);
    table.Add({fmt::format("{}", entry->header.sequence), TimeText(entry->header.received_us * 1'000),
               frame.ok() ? std::string(frame::TierName(frame->header.tier)) : "-",
               frame.ok() ? std::string(frame::TypeName(frame->header.type)) : "-",
               frame.ok() ? std::string(frame->payload) : "not a frame"});
  }
  return table.ToString();
}

void PrintReport(const OfflineReport& report) {
  Print(fmt::format("{}\n", report.result));
  if (report.broken) {
    Print(fmt::format("first broken entry: {} ({})\n", report.broken->sequence, BreakKindName(report.broken->kind)));
  }
  if (!report.detail.empty()) Print(fmt::format("{}\n", Printable(report.detail)));
  if (!report.verdict.empty()) Print(fmt::format("verdict as answered: {}\n", report.verdict));
  if (report.checkpoint.size != 0) {
    Print(fmt::format("chain {} at size {}, root {}\n", report.checkpoint.origin, report.checkpoint.size,
                      HexEncode(View(report.checkpoint.root))));
  }
  if (report.checked != 0) Print(fmt::format("{} entries checked\n", report.checked));
  for (const chain::Unchecked& item : report.unchecked) {
    Print(fmt::format("not checked: {} ({} entries)\n", Printable(item.what), item.entries));
  }
  if (!report.entries.empty()) Print(EntryTable(report.entries));
}

void PrintReportJson(const OfflineReport& report) {
  frame::JsonWriter json;
  json.BeginObject().Field("result", std::string_view(report.result)).Field("detail", std::string_view(report.detail));
  json.Field("verdict", std::string_view(report.verdict)).Field("origin", std::string_view(report.checkpoint.origin));
  json.Field("size", std::to_string(report.checkpoint.size));
  json.Field("root", Base64Encode(View(report.checkpoint.root)));
  json.Field("proofs", report.entries.size()).Field("checked", std::to_string(report.checked));
  if (report.broken) {
    json.Field("brokenAt", std::to_string(report.broken->sequence));
    json.Field("brokenKind", BreakKindName(report.broken->kind));
  }
  json.Key("unchecked").BeginArray();
  for (const chain::Unchecked& item : report.unchecked) {
    json.BeginObject().Field("what", std::string_view(item.what)).Field("entries", std::to_string(item.entries));
    json.EndObject();
  }
  PrintJson(json.EndArray().EndObject());
}

// What was seen of the chain before. Checking a file needs no home: without one, there is nothing to compare with.
std::optional<Memory> MemoryIfAny(const Options& options) {
  absl::StatusOr<Memory> memory = Memory::Open(options, nullptr);
  if (memory.ok()) return *std::move(memory);
  std::fputs(fmt::format("virpctl: not compared with what was seen before: {}\n", Message(memory.status())).c_str(),
             stderr);
  return std::nullopt;
}

absl::StatusOr<OfflineReport> CheckExportFile(const Options& options, const OfflineOptions& offline, int fd) {
  std::unique_ptr<frame::KeyDirectory> secrets;
  if (!offline.keys.empty()) {
    ASSIGN_OR_RETURN(secrets, frame::KeyDirectory::Open(offline.keys));
  }
  const std::optional<Memory> memory = MemoryIfAny(options);
  Progress progress("verifying", 0);
  std::vector<chain::VerifierKey> keys;
  std::optional<Memory::Kept> known;
  const auto prepare = [&](const std::string& origin) -> absl::StatusOr<ExportCheck> {
    ExportCheck check;
    ASSIGN_OR_RETURN(keys, ReadTrust(options.trust));
    check.keys = keys;
    check.walk.check_tags = !offline.no_tags;
    check.walk.check_subjects = offline.subjects;
    check.walk.keys = secrets.get();
    check.progress = [&progress](std::uint64_t done, std::uint64_t total) {
      progress.SetTotal(total);
      progress.Update(done);
    };
    if (memory) {
      ASSIGN_OR_RETURN(known, memory->Find(origin));
    }
    check.known = known;
    return check;
  };
  ASSIGN_OR_RETURN(OfflineReport report, CheckExport(chain::SourceFrom(fd, offline.file), prepare));
  const bool contradicts = known && report.broken && report.broken->kind == chain::BreakKind::kCheckpointRoot &&
                           report.broken->sequence == known->checkpoint.size;
  if (contradicts) return Forked(*known, report.note);
  if (memory && report.exit == Exit::kYes) RETURN_IF_ERROR(memory->Keep(report.note, keys));
  return report;
}

// A proof's checkpoint of the size that is kept has the root that is kept; of another size nothing can be said without
// the entries between.
absl::Status Compare(const Options& options, const OfflineReport& report) {
  if (report.result == "BROKEN" || report.result == "NOT_TRUSTED") return absl::OkStatus();
  const std::optional<Memory> memory = MemoryIfAny(options);
  if (!memory) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::optional<Memory::Kept> kept, memory->Find(report.checkpoint.origin));
  if (!kept || kept->checkpoint.size != report.checkpoint.size || kept->checkpoint == report.checkpoint) {
    return absl::OkStatus();
  }
  return Forked(*kept, report.note);
}

}  // namespace

absl::StatusOr<Exit> VerifyOffline(const Options& options, const OfflineOptions& offline) {
  ASSIGN_OR_RETURN(const FileDescriptor fd, OpenFile(offline.file, O_RDONLY));
  std::array<char, 512> beginning{};
  const ssize_t size = pread(fd.get(), beginning.data(), beginning.size(), 0);
  if (size < 0) return ErrnoStatus(errno, "cannot read", offline.file);
  OfflineReport report;
  if (IsExport({beginning.data(), static_cast<std::size_t>(size)})) {
    ASSIGN_OR_RETURN(report, CheckExportFile(options, offline, fd.get()));
  } else {
    ASSIGN_OR_RETURN(const auto keys, ReadTrust(options.trust));
    ASSIGN_OR_RETURN(const std::string bytes, ReadFile(offline.file, kMaxFile));
    ASSIGN_OR_RETURN(report, CheckOffline(bytes, keys));
    RETURN_IF_ERROR(Compare(options, report));
  }
  options.json ? PrintReportJson(report) : PrintReport(report);
  return report.exit;
}

}  // namespace virp::virpctl
