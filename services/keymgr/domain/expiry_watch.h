// Sees to it that no router loses its certificate unnoticed (RFC 8635 section 10.1): each (router, AS) that is in use
// has one that is published, valid and not revoked; people are told 60, 30, 14, 7, 3 and 1 days before one ends, and
// when it has; the authorities above are watched alike. Who was told what is kept in the ledger.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "services/keymgr/domain/expiry_notice.h"
#include "services/keymgr/domain/ledger.h"
#include "services/keymgr/domain/rpki_record.h"

namespace virp::keymgr {

// Days before the end at which people are told; 0: it is over.
inline constexpr std::array<int, 7> kWarningDays{0, 1, 3, 7, 14, 30, 60};

// The warning that is due: the last threshold that was passed. Nothing before the first.
std::optional<int> WarningAt(UnixNanos not_after, UnixNanos now);

inline constexpr std::string_view kImportedCertificate = "imported_certificate";

// A certificate that somebody needs.
struct ExpiringCertificate {
  std::string kind;  // "router_certificate", "rpki_authority", or kImportedCertificate: of an outside authority
  std::string id;
  std::string router;  // empty for an authority
  std::uint32_t asn = 0;
  UnixNanos not_after = 0;
  // Of a router's: whether its router would still have a valid, published certificate for this AS without it.
  bool has_other = false;
  bool is_valid = false;                                       // published, and not over
  std::optional<Acknowledgement> acknowledged = std::nullopt;  // of the warning that is due now

  bool IsRouters() const { return !router.empty(); }
  std::string NoticeId() const { return kind + "/" + id; }
};

struct ExpiryNotice {
  ExpiringCertificate certificate;
  int days = 0;             // threshold that was passed, one of kWarningDays
  std::string key() const;  // the same for the same notice, unlike that of all others: for who must not take it twice
};
// For people: what ends, when, and what to do about it.
std::string Subject(const ExpiryNotice& notice);
std::string Advice(const ExpiringCertificate& certificate);

class NoticeRecipient {
 public:
  virtual ~NoticeRecipient() = default;
  virtual std::string_view name() const = 0;  // in the ledger: [a-z][a-z0-9_-]*
  // Called by one thread. A notice that failed comes again.
  virtual absl::Status Tell(const ExpiryNotice& notice) = 0;
};

struct Coverage {
  // (router, AS): who signs, and whose certificates are in use or to be. Covered is who signs with a key that has a
  // valid, published certificate, and of the others who has one of any key.
  std::size_t covered = 0, uncovered = 0;
  UnixNanos soonest = 0;             // end of the certificate that ends first; 0: there is none
  std::vector<std::string> missing;  // "edge-a AS64496", at most 100
};

// A router that signs in an AS.
struct SigningPlace {
  std::string router;
  std::uint32_t asn = 0;
  bool covered = false;  // the key that it signs with has a certificate that is published, valid and not revoked
};

class ExpiryWatch {
 public:
  // Whether this certificate's key is in use or to be, so that its end matters.
  using InUse = std::function<bool(const Snapshot& state, const RouterCertificateRecord& certificate)>;
  // Certificates that our authority did not make, of keys that are in use or to be; has_other does not matter.
  using Outside = std::function<std::vector<ExpiringCertificate>(const Snapshot& state, UnixNanos now)>;

  // Who signs now, whatever became of its certificates; two keys of one router in one AS are two of them.
  using Signing = std::function<std::vector<SigningPlace>(const Snapshot& state, UnixNanos now)>;

  // All outlive it. `self`: actor of the records.
  ExpiryWatch(
      Ledger& ledger, const Clock& clock, std::vector<NoticeRecipient*> recipients, std::string self,
      InUse in_use = [](const Snapshot&, const RouterCertificateRecord&) { return true; },
      Outside outside = [](const Snapshot&, UnixNanos) { return std::vector<ExpiringCertificate>(); },
      Signing signing = [](const Snapshot&, UnixNanos) { return std::vector<SigningPlace>(); });

  // Tells everybody what they were not told yet and records it, at most 256 notices at once. The first error; those
  // whom it did not concern were told. Whether something was told. One thread.
  absl::StatusOr<std::size_t> Round();

  // Certificates in use that end before `until`, soonest first, at most `most`. A certificate counts until another for
  // the same key and AS ends later, and 30 days beyond its end. Thread-safe, as is the following.
  std::vector<ExpiringCertificate> Expiring(UnixNanos until, std::size_t most) const;
  Coverage coverage() const;

  // The caller has the warning about this certificate in hand: nobody is told of it until the next threshold. `id`: as
  // NoticeId. NotFound when nobody needs such a certificate, FailedPrecondition with reason NOT_DUE when no warning is
  // due. Thread-safe.
  absl::StatusOr<ExpiringCertificate> Acknowledge(const Call& call, std::string_view id) const;
  std::uint64_t told() const;    // notices, since the start
  std::uint64_t failed() const;  // attempts

 private:
  std::vector<ExpiringCertificate> Watched(const Snapshot& state) const;
  std::vector<ExpiringCertificate> OfRouters(const Snapshot& state, UnixNanos now) const;
  absl::Status Record(const std::vector<ExpiryNoticeRecord>& changed, const std::vector<std::string>& gone,
                      std::size_t told);

  Ledger& ledger_;
  const Clock& clock_;
  const std::vector<NoticeRecipient*> recipients_;
  const std::string self_;
  const InUse in_use_;
  const Outside outside_;
  const Signing signing_;
  mutable Mutex mutex_;
  std::uint64_t told_ ABSL_GUARDED_BY(mutex_) = 0, failed_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace virp::keymgr
