// O-Keys at work: each operation is one Edit of the ledger, secrets come out of custody and go to whom the record
// names, and watchers hear of what changed for them. Rules of the steps: observation_key.h.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/hash_map.h"
#include "lib/base/mutex.h"
#include "lib/crypto/secret.h"
#include "services/keymgr/domain/custody.h"
#include "services/keymgr/domain/ledger.h"
#include "services/keymgr/domain/observation_key.h"
#include "services/keymgr/domain/observation_secrets.h"

namespace virp::keymgr {

// What somebody may do with a source's keys, by who it is.
enum class Holding : std::uint8_t { kNothing, kSigns, kVerifies };

struct HeldVersion {
  std::uint32_t version = 0;
  Algorithm algorithm = Algorithm::kEd25519;
  // HMAC only. Null: it is not given, since its envelope does not open, or it went to kMaxReleases others; who has it
  // keeps it.
  std::shared_ptr<const crypto::Secret> secret{};
  std::string public_half{};  // Ed25519 only
  bool may_sign = false;
  UnixNanos accept_from = 0;
  std::optional<UnixNanos> accept_until{}, sign_until{}, compromised_since{};
};

// A source's keys for one holder. first_version 0 and nothing wanted: nothing of it is for them.
struct HeldKeys {
  std::string source;
  std::uint32_t first_version = 0;
  bool activated = false;
  std::uint32_t wanted = 0;  // asked of the holder, who signs
  std::optional<UnixNanos> files_sign_until{}, files_accept_until{};
  std::vector<HeldVersion> versions;
};

struct Holder {
  std::string identity;       // SPIFFE id
  bool verifies_all = false;  // an O-Node
};

// A change's outcome.
struct Done {
  std::shared_ptr<const ObservationKey> key;  // after it
  std::uint32_t version = 0;
  std::uint64_t record = 0;  // of the audit
};

struct KnownInChain {
  std::string source;
  std::uint32_t version = 0;
  std::uint64_t entry = 0;
  bool compromised = false;
  std::string statement;  // public half or commitment; of another key: passed over
};

struct ObservationKeyCounters {
  std::uint64_t fetched = 0;   // answers
  std::uint64_t released = 0;  // first ways of a secret to somebody
  std::size_t damaged = 0;     // versions whose secret was asked for and does not open
};

// Thread-safe. What it is given outlives it, but for the ledger's thread: stop the ledger first. Errors of all changes:
// the ledger's and custody's, those of the step, and NotFound for a source that is not known.
class ObservationKeys {
 public:
  // Must be made before the ledger starts. `serving` says whether keys may be read now: FailedPrecondition with reason
  // NOT_ACTIVE or SEALED.
  // Sources of `own` have files for keys, so that everything starts without the manager: they are not taken in.
  ObservationKeys(Ledger& ledger, const Custodies& custodies, std::function<absl::Status()> serving,
                  std::vector<std::string> own = {});

  static RecordType Type() { return TypeOf<ObservationKey>(); }

  // AlreadyExists when the source is known. Only name, form, signers and carriers of `key` count.
  absl::StatusOr<Done> Create(const Call& call, const ObservationKey& key);
  // `revision` 0: whatever it is; else Aborted when it is another.
  absl::StatusOr<Done> Update(const Call& call, std::string_view source, std::vector<std::string> signers,
                              std::vector<std::string> carriers, std::uint64_t revision);
  // Makes an HMAC version, or asks for an Ed25519 one; 0: the next number. Without an algorithm: that of the newest
  // version, HMAC for the first. Aborted when another change came between: try again.
  absl::StatusOr<Done> Prepare(const Call& call, std::string_view source, std::uint32_t version,
                               std::optional<Algorithm> algorithm = std::nullopt);
  // InvalidArgument when `possession` or `succession` does not verify.
  absl::StatusOr<Done> Register(const Call& call, std::string_view source, std::uint32_t version,
                                std::string_view public_half, std::string_view possession, std::string_view succession);
  // FailedPrecondition with reason ANOTHER_KEY when `expected` is not the version's public half or commitment.
  absl::StatusOr<Done> Approve(const Call& call, std::string_view source, std::uint32_t version,
                               std::string_view expected);
  absl::StatusOr<Done> Activate(const Call& call, std::string_view source, std::uint32_t version,
                                const Activation& activation);
  // `since`: nothing means now.
  absl::StatusOr<Done> Taint(const Call& call, std::string_view source, std::uint32_t version,
                             std::optional<UnixNanos> since, bool while_active);
  absl::StatusOr<Done> Revoke(const Call& call, std::string_view source, std::uint32_t version, bool unconfirmed);

  // The file of a foreign producer. FailedPrecondition with reason NOT_FOREIGN for a source of the platform,
  // KEY_ORDER for a version that is not approved, or has no secret (any more).
  struct Exported {
    crypto::Secret file;
    std::uint64_t record = 0;
  };
  absl::StatusOr<Exported> Export(const Call& call, std::string_view source, std::uint32_t version);

  // What an O-Node's chain has. How many were news.
  absl::StatusOr<std::uint32_t> Report(const Call& call, const std::vector<KnownInChain>& known);

  // ---- Reading. Secrets that go to `holder` for the first time are recorded before they are given out; `call` says by
  // what.
  absl::StatusOr<HeldKeys> Fetch(const Call& call, const Holder& holder, std::string_view source,
                                 std::uint32_t version = 0);
  // The same for many, which share commits.
  absl::StatusOr<std::vector<HeldKeys>> FetchAll(const Call& call, const Holder& holder,
                                                 const std::vector<std::string>& sources);

  struct News {
    std::uint64_t serial = 0;          // for the next call
    bool restart = false;              // all that came before is void: these are all sources
    std::vector<std::string> sources;  // that changed for their holders
  };
  // Waits until something changed since `serial` (0: everything, at once), or the time is over.
  News Wait(std::uint64_t serial, std::chrono::milliseconds longest) const;
  void WakeAll() const;  // waiting ends, for a stream that was cancelled and for draining

  // Errors of all reading are of the ledger and of a custody that is not there; a secret that does not open is none.

  // Secrets that did not open and do now, since a token or a backup was brought back: their holders are told. Now and
  // then, on the active manager.
  absl::Status RetryDamaged();

  // Wipes the secrets that are kept for the next fetch: when the manager is sealed, or loses the lease.
  void ForgetSecrets() { secrets_.Forget(); }
  std::size_t kept_secrets() const { return secrets_.kept(); }

  ObservationKeyCounters counters() const;

 private:
  using Step = std::function<absl::Status(ObservationKey& key, UnixNanos now)>;
  struct Event {
    std::string_view name;
    std::uint32_t version = 0;
    frame::Tier tier = frame::Tier::kGreen;
    std::string fields{};  // of the audit record
  };
  static absl::Status NotKnown(std::string_view source);
  absl::StatusOr<Done> Change(const Call& call, std::string_view source, const Event& event, const Step& step,
                              const SealedKey* made = nullptr, bool drop = false);
  absl::StatusOr<Done> DoneOf(const Receipt& receipt, std::string_view source) const;
  absl::StatusOr<Done> MakeHmac(const Call& call, const Snapshot& now, const ObservationKey& key,
                                std::uint32_t version);
  absl::StatusOr<SealedKey> MakeSecret(const ObservationKey& key, std::uint32_t version) const;
  absl::StatusOr<std::string> TagOf(const Snapshot& now, const ObservationKey& key, const ObservationVersion& version,
                                    std::string_view statement) const;
  absl::StatusOr<std::shared_ptr<const crypto::Secret>> SecretOf(const KeyIdentity& identity);
  absl::StatusOr<HeldKeys> View(const ObservationKey& key, const Holder& holder, std::uint32_t version);
  // Its secret for `holder`; null when it cannot be given, and nothing when it is not recorded yet.
  absl::StatusOr<std::optional<std::shared_ptr<const crypto::Secret>>> SecretFor(const ObservationKey& key,
                                                                                 const ObservationVersion& version,
                                                                                 const Holder& holder);
  static Holding HoldingOf(const ObservationKey& key, const Holder& holder);
  std::vector<std::uint32_t> Unreleased(const ObservationKey& key, const Holder& holder, std::uint32_t version) const;
  void OnCommitted(const Committed& committed);
  void Note(const std::string& source) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Ledger& ledger_;
  const Custodies& custodies_;
  const std::function<absl::Status()> serving_;
  const std::vector<std::string> own_;

  ObservationSecrets secrets_;

  mutable Mutex mutex_;
  mutable std::condition_variable_any changed_;
  std::uint64_t serial_ ABSL_GUARDED_BY(mutex_) = 1;
  std::uint64_t loaded_ ABSL_GUARDED_BY(mutex_) = 1;                   // serial at which everything was new
  std::map<std::uint64_t, std::string> news_ ABSL_GUARDED_BY(mutex_);  // source by serial, the newest of each
  StringMap<std::uint64_t> newest_ ABSL_GUARDED_BY(mutex_);            // serial by source
  mutable std::uint64_t wakes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::atomic<std::uint64_t> fetched_{0}, released_{0};
};

}  // namespace virp::keymgr
