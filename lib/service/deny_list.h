// Identities and certificates that are refused although their certificates are valid: the list that takes effect at
// once, where waiting for a certificate to expire is too long. Thread-safe.
//
// A text file of one entry per line, '#' starts a comment:
//   id spiffe://example.org/collector/edge-7      # decommissioned
//   serial 4f:1c:a0:...                           # the lost laptop
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/hash_map.h"
#include "lib/base/mutex.h"

namespace virp::service {

inline constexpr std::size_t kMaxDenyFile = 1024 * 1024;

// What one version of the file says; immutable.
class DenySnapshot {
 public:
  // InvalidArgument, with the line number, for the first line that is neither entry, comment nor empty. One bad line
  // refuses the file: a typing error must not let somebody in.
  static absl::StatusOr<DenySnapshot> Parse(std::string_view text);

  // Everything that is in either.
  static DenySnapshot Union(const DenySnapshot& a, const DenySnapshot& b);

  // True when every entry of `other` is here too.
  bool Covers(const DenySnapshot& other) const;

  bool HasId(std::string_view spiffe_id) const { return ids_.contains(spiffe_id); }
  bool HasSerial(std::string_view serial) const { return serials_.contains(serial); }  // CertificateInfo's spelling
  std::size_t size() const { return ids_.size() + serials_.size(); }

 private:
  StringSet ids_;
  StringSet serials_;
};

class DenyList {
 public:
  // Called by Poll after each change of state: OK when a new version took effect, otherwise why the file does not do.
  using Hook = std::function<void(const absl::Status&)>;

  // Reads the file. Any error is returned and means: do not start. An empty path is a list that denies nobody.
  static absl::StatusOr<std::unique_ptr<DenyList>> Open(std::string path, Hook hook = nullptr);

  // Reads the file again (it is small, and comparing its bytes is surer than comparing its times). New entries count at
  // once; an entry that is gone is let go only when the next Poll reads the same bytes again, because a file that is
  // being rewritten in place is short for a moment. When the file has become unreadable or broken, the last good
  // version stays in force and the status says why.
  absl::Status Poll();

  // PermissionDenied when the id (may be empty) or the serial is on the list.
  absl::Status Check(std::string_view spiffe_id, std::string_view serial) const;

  std::shared_ptr<const DenySnapshot> Snapshot() const;

 private:
  DenyList(std::string path, Hook hook) : path_(std::move(path)), hook_(std::move(hook)) {}
  absl::Status Take(std::string bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(poll_mutex_);
  void Publish(DenySnapshot snapshot);

  const std::string path_;
  const Hook hook_;
  Mutex poll_mutex_;  // one Poll at a time; readers do not wait for the file
  std::optional<std::string> in_force_ ABSL_GUARDED_BY(poll_mutex_);  // the file that current_ is, exactly
  std::optional<std::string> pending_ ABSL_GUARDED_BY(poll_mutex_);   // read once, and drops entries
  absl::Status last_ ABSL_GUARDED_BY(poll_mutex_);
  mutable Mutex mutex_;
  std::shared_ptr<const DenySnapshot> current_ ABSL_GUARDED_BY(mutex_) = std::make_shared<DenySnapshot>();
};

}  // namespace virp::service
