#include "lib/service/deny_list.h"

#include <algorithm>
#include <utility>

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/crypto/pki.h"
#include "lib/service/identity.h"

namespace virp::service {
namespace {

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

}  // namespace

absl::StatusOr<DenySnapshot> DenySnapshot::Parse(std::string_view text) {
  if (text.size() > kMaxDenyFile) return InvalidArgument("deny list: {} bytes; at most {}", text.size(), kMaxDenyFile);
  DenySnapshot out;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    const std::string_view whole = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const std::string_view line = Trim(whole.substr(0, whole.find('#')));
    if (line.empty()) continue;
    const std::size_t blank = line.find_first_of(" \t");
    const std::string_view kind = line.substr(0, blank);
    const std::string_view value = blank == std::string_view::npos ? "" : Trim(line.substr(blank));
    const std::string where = fmt::format("deny list: line {}", number);
    if (kind == "id") {
      const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(value);
      if (!id.ok()) return Annotate(id.status(), where);
      out.ids_.insert(id->text());
    } else if (kind == "serial") {
      absl::StatusOr<std::string> serial = crypto::CanonicalSerial(value);
      if (!serial.ok()) return Annotate(serial.status(), where);
      out.serials_.insert(*std::move(serial));
    } else {
      return InvalidArgument("{}: must be 'id spiffe://...', 'serial HEX', or a comment after '#'", where);
    }
  }
  return out;
}

DenySnapshot DenySnapshot::Union(const DenySnapshot& a, const DenySnapshot& b) {
  DenySnapshot out = a;
  out.ids_.insert(b.ids_.begin(), b.ids_.end());
  out.serials_.insert(b.serials_.begin(), b.serials_.end());
  return out;
}

bool DenySnapshot::Covers(const DenySnapshot& other) const {
  return std::all_of(other.ids_.begin(), other.ids_.end(), [&](const std::string& id) { return ids_.contains(id); }) &&
         std::all_of(other.serials_.begin(), other.serials_.end(),
                     [&](const std::string& serial) { return serials_.contains(serial); });
}

absl::StatusOr<std::unique_ptr<DenyList>> DenyList::Open(std::string path, Hook hook) {
  std::unique_ptr<DenyList> list(new DenyList(std::move(path), std::move(hook)));
  if (list->path_.empty()) return list;
  ASSIGN_OR_RETURN(std::string bytes, ReadFile(list->path_, kMaxDenyFile));
  const MutexLock lock(list->poll_mutex_);
  RETURN_IF_ERROR(list->Take(std::move(bytes)));
  return list;
}

absl::Status DenyList::Take(std::string bytes) {
  absl::StatusOr<DenySnapshot> next = DenySnapshot::Parse(bytes);
  if (!next.ok()) return Annotate(next.status(), path_);
  const std::shared_ptr<const DenySnapshot> current = Snapshot();
  if (next->Covers(*current) || bytes == pending_) {
    in_force_ = std::move(bytes);
    pending_.reset();
    Publish(*std::move(next));
    return absl::OkStatus();
  }
  pending_ = std::move(bytes);
  if (!current->Covers(*next)) {
    in_force_.reset();
    Publish(DenySnapshot::Union(*current, *next));
  }
  return absl::OkStatus();
}

void DenyList::Publish(DenySnapshot snapshot) {
  auto next = std::make_shared<const DenySnapshot>(std::move(snapshot));
  const MutexLock lock(mutex_);
  current_ = std::move(next);
}

absl::Status DenyList::Poll() {
  if (path_.empty()) return absl::OkStatus();
  const MutexLock lock(poll_mutex_);
  const std::shared_ptr<const DenySnapshot> before = Snapshot();
  absl::Status status = absl::OkStatus();
  absl::StatusOr<std::string> bytes = ReadFile(path_, kMaxDenyFile);
  if (!bytes.ok()) {
    status = bytes.status();
  } else if (*bytes != in_force_) {
    status = Take(*std::move(bytes));
  } else {
    pending_.reset();  // what was short for a moment is whole again
  }
  const bool changed = status != last_ || Snapshot() != before;
  last_ = status;
  if (changed && hook_) hook_(status);
  return status;
}

absl::Status DenyList::Check(std::string_view spiffe_id, std::string_view serial) const {
  const std::shared_ptr<const DenySnapshot> snapshot = Snapshot();
  if (snapshot->HasId(spiffe_id)) return PermissionDenied("{} is on the deny list", spiffe_id);
  if (snapshot->HasSerial(serial)) return PermissionDenied("certificate serial {} is on the deny list", serial);
  return absl::OkStatus();
}

std::shared_ptr<const DenySnapshot> DenyList::Snapshot() const {
  const MutexLock lock(mutex_);
  return current_;
}

}  // namespace virp::service
