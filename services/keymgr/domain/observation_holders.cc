// What holders of O-Keys get, and how they hear of changes.
#include <algorithm>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "services/keymgr/domain/observation_keys.h"

namespace virp::keymgr {
namespace {

// What holders see of a key is the same in both.
bool SameForHolders(const ObservationKey& a, const ObservationKey& b) {
  if (a.signers != b.signers || a.carriers != b.carriers || a.first_version != b.first_version ||
      a.activated != b.activated || a.wanted != b.wanted) {
    return false;
  }
  return std::equal(a.versions.begin(), a.versions.end(), b.versions.begin(), b.versions.end(),
                    [](ObservationVersion one, ObservationVersion other) {
                      one.known_by = other.known_by = {};
                      one.released_to = other.released_to = {};
                      return one == other;
                    });
}

bool IsReleased(const ObservationVersion& version, const Holder& holder) {
  return std::find(version.released_to.begin(), version.released_to.end(), holder.identity) !=
         version.released_to.end();
}

}  // namespace

// ---- reading ----

Holding ObservationKeys::HoldingOf(const ObservationKey& key, const Holder& holder) {
  if (key.IsSignedBy(holder.identity)) return Holding::kSigns;
  return holder.verifies_all || key.IsCarriedBy(holder.identity) ? Holding::kVerifies : Holding::kNothing;
}

absl::StatusOr<std::shared_ptr<const crypto::Secret>> ObservationKeys::SecretOf(const KeyIdentity& identity) {
  return secrets_.Get(identity, ledger_.snapshot()->FindKey(identity));
}

std::vector<std::uint32_t> ObservationKeys::Unreleased(const ObservationKey& key, const Holder& holder,
                                                       std::uint32_t version) const {
  std::vector<std::uint32_t> out;
  for (const ObservationVersion& one : key.versions) {
    if (!IsServed(one) || one.algorithm != Algorithm::kHmacSha256 || (version != 0 && one.version != version)) continue;
    if (!IsReleased(one, holder) && one.released_to.size() < kMaxReleases) out.push_back(one.version);
  }
  return out;
}

absl::StatusOr<std::optional<std::shared_ptr<const crypto::Secret>>> ObservationKeys::SecretFor(
    const ObservationKey& key, const ObservationVersion& version, const Holder& holder) {
  std::shared_ptr<const crypto::Secret> none;
  if (!IsReleased(version, holder)) {
    // A version that came meanwhile is not recorded yet: the next look finds it.
    if (version.released_to.size() < kMaxReleases) return std::nullopt;
    return none;
  }
  auto secret = SecretOf(version.identity(key.source));
  if (absl::IsNotFound(secret.status()) || GetReason(secret.status()) == "KEY_DAMAGED") return none;
  return secret;
}

absl::StatusOr<HeldKeys> ObservationKeys::View(const ObservationKey& key, const Holder& holder, std::uint32_t version) {
  HeldKeys out;
  out.source = key.source;
  const Holding holding = HoldingOf(key, holder);
  if (holding == Holding::kNothing) return out;
  out.first_version = key.first_version;
  out.activated = key.activated;
  if (holding == Holding::kSigns) out.wanted = key.wanted;
  out.files_sign_until = key.files_sign_until;
  out.files_accept_until = key.files_accept_until;
  for (const ObservationVersion& from : key.versions) {
    if (!IsServed(from) || (version != 0 && from.version != version)) continue;
    std::shared_ptr<const crypto::Secret> secret;
    if (from.algorithm == Algorithm::kHmacSha256) {
      ASSIGN_OR_RETURN(const auto given, SecretFor(key, from, holder));
      if (!given) continue;
      secret = *given;
    }
    HeldVersion& to = out.versions.emplace_back();
    to.secret = std::move(secret);
    to.version = from.version;
    to.algorithm = from.algorithm;
    to.public_half = from.public_half;
    to.may_sign = holding == Holding::kSigns && from.state == ObservationState::kActive;
    to.accept_from = from.accept_from;
    to.accept_until = from.accept_until;
    to.sign_until = from.sign_until;
    to.compromised_since = from.compromised_since;
  }
  return out;
}

absl::StatusOr<HeldKeys> ObservationKeys::Fetch(const Call& call, const Holder& holder, std::string_view source,
                                                std::uint32_t version) {
  RETURN_IF_ERROR(serving_());
  auto key = ledger_.snapshot()->Find<ObservationKey>(source);
  ++fetched_;
  HeldKeys nothing;
  nothing.source = source;
  if (key == nullptr) return nothing;
  if (HoldingOf(*key, holder) == Holding::kNothing) return nothing;
  if (!Unreleased(*key, holder, version).empty()) {
    ASSIGN_OR_RETURN(auto all, FetchAll(call, holder, {std::string(source)}));
    if (version != 0)
      std::erase_if(all.front().versions, [&](const HeldVersion& one) { return one.version != version; });
    return std::move(all.front());
  }
  return View(*key, holder, version);
}

absl::StatusOr<std::vector<HeldKeys>> ObservationKeys::FetchAll(const Call& call, const Holder& holder,
                                                                const std::vector<std::string>& sources) {
  RETURN_IF_ERROR(serving_());
  // Recorded first, all in as few commits as the ledger likes.
  std::vector<std::future<absl::StatusOr<Receipt>>> records;
  auto now = ledger_.snapshot();
  for (const std::string& source : sources) {
    const auto key = now->Find<ObservationKey>(source);
    if (key == nullptr || HoldingOf(*key, holder) == Holding::kNothing) continue;
    if (Unreleased(*key, holder, 0).empty()) continue;
    records.push_back(
        ledger_.Submit(call, [this, holder, source](const Snapshot& newest, Changes& changes) -> absl::Status {
          const auto before = newest.Find<ObservationKey>(source);
          if (before == nullptr) return NotKnown(source);
          auto after = std::make_shared<ObservationKey>(*before);
          AuditRecord audit;
          audit.event = "observation_key_released";
          audit.source = source;
          for (const std::uint32_t version : Unreleased(*before, holder, 0)) {
            ObservationVersion& to = *after->Find(version);
            to.released_to.push_back(holder.identity);
            audit.keys.push_back(to.identity(source));
          }
          if (audit.keys.empty()) return absl::CancelledError("another call recorded it");
          changes.Put(std::move(after));
          changes.Audit(std::move(audit));
          return absl::OkStatus();
        }));
  }
  absl::Status failed;
  for (auto& record : records) {
    const auto receipt = record.get();
    if (receipt.ok()) ++released_;
    if (!receipt.ok() && !absl::IsCancelled(receipt.status())) failed = receipt.status();
  }
  RETURN_IF_ERROR(failed);
  now = ledger_.snapshot();
  std::vector<HeldKeys> out;
  for (const std::string& source : sources) {
    const auto key = now->Find<ObservationKey>(source);
    HeldKeys& keys = out.emplace_back();
    keys.source = source;
    if (key == nullptr) continue;
    ASSIGN_OR_RETURN(keys, View(*key, holder, 0));
  }
  return out;
}

// ---- news ----

void ObservationKeys::OnCommitted(const Committed& committed) {
  if (committed.loaded) secrets_.Forget();  // of a state that is another manager's now
  const MutexLock lock(mutex_);
  if (committed.loaded) {
    loaded_ = ++serial_;
    news_.clear();
    newest_.clear();
  }
  for (const Committed::Item& item : committed.items) {
    if (item.kind != ObservationKey::kKind) continue;
    if (item.before != nullptr && item.after != nullptr &&
        SameForHolders(static_cast<const ObservationKey&>(*item.before),
                       static_cast<const ObservationKey&>(*item.after))) {
      continue;
    }
    Note(item.id);
  }
  changed_.notify_all();
}

void ObservationKeys::Note(const std::string& source) {
  const auto known = newest_.find(source);
  if (known != newest_.end()) news_.erase(known->second);
  newest_[source] = ++serial_;
  news_[serial_] = source;
}

absl::Status ObservationKeys::RetryDamaged() {
  const std::set<std::string> opened = secrets_.Retry(*ledger_.snapshot());
  if (opened.empty()) return absl::OkStatus();
  const MutexLock lock(mutex_);
  for (const std::string& source : opened) Note(source);
  changed_.notify_all();
  return absl::OkStatus();
}

ObservationKeys::News ObservationKeys::Wait(std::uint64_t serial, std::chrono::milliseconds longest) const {
  News out;
  {
    const MutexLock lock(mutex_);
    const std::uint64_t wakes = wakes_;
    changed_.wait_for(mutex_, longest,
                      [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return serial_ > serial || wakes_ != wakes; });
    out.serial = serial_;
    out.restart = serial < loaded_;
    if (!out.restart) {
      for (auto at = news_.upper_bound(serial); at != news_.end(); ++at) out.sources.push_back(at->second);
      return out;
    }
  }
  // What is committed after the serial was read is told again, and no harm.
  ledger_.snapshot()->ForEach<ObservationKey>([&](const std::shared_ptr<const ObservationKey>& key) {
    out.sources.push_back(key->source);
    return true;
  });
  return out;
}

void ObservationKeys::WakeAll() const {
  const MutexLock lock(mutex_);
  ++wakes_;
  changed_.notify_all();
}

ObservationKeyCounters ObservationKeys::counters() const {
  return {fetched_.load(), released_.load(), secrets_.damaged()};
}

}  // namespace virp::keymgr
