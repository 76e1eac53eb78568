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

}  // namespace

// ---- reading ----

Holding ObservationKeys::HoldingOf(const ObservationKey& key, const Holder& holder) {
  if (key.IsSignedBy(holder.identity)) return Holding::kSigns;
  return holder.verifies_all || key.IsCarriedBy(holder.identity) ? Holding::kVerifies : Holding::kNothing;
}

absl::StatusOr<std::shared_ptr<const crypto::Secret>> ObservationKeys::SecretOf(const KeyIdentity& identity) {
  const std::pair name{identity.id, identity.version};
  const auto sealed = ledger_.snapshot()->FindKey(identity);
  if (sealed == nullptr) return NotFound("{} has no secret any more", ToString(identity));
  ASSIGN_OR_RETURN(Custody* const custody, custodies_.Of(*sealed));
  if (const absl::Status ready = custody->Ready(); !ready.ok()) {
    const WriterLock lock(secrets_mutex_);
    secrets_.clear();
    return ready;
  }
  {
    const ReaderLock lock(secrets_mutex_);
    const auto known = secrets_.find(name);
    if (known != secrets_.end()) return known->second;
  }
  ASSIGN_OR_RETURN(crypto::Secret secret, custody->Export(*sealed));
  const auto shared = std::make_shared<const crypto::Secret>(std::move(secret));
  const WriterLock lock(secrets_mutex_);
  return secrets_.insert_or_assign(name, shared).first->second;
}

std::vector<std::uint32_t> ObservationKeys::Unreleased(const ObservationKey& key, const Holder& holder,
                                                       std::uint32_t version) const {
  std::vector<std::uint32_t> out;
  for (const ObservationVersion& one : key.versions) {
    if (!IsServed(one) || one.algorithm != Algorithm::kHmacSha256 || (version != 0 && one.version != version)) continue;
    if (std::find(one.released_to.begin(), one.released_to.end(), holder.identity) == one.released_to.end())
      out.push_back(one.version);
  }
  return out;
}

absl::StatusOr<HeldKeys> ObservationKeys::View(const ObservationKey& key, Holding holding, std::uint32_t version) {
  HeldKeys out;
  out.source = key.source;
  if (holding == Holding::kNothing) return out;
  out.first_version = key.first_version;
  out.activated = key.activated;
  if (holding == Holding::kSigns) out.wanted = key.wanted;
  out.files_sign_until = key.files_sign_until;
  out.files_accept_until = key.files_accept_until;
  for (const ObservationVersion& from : key.versions) {
    if (!IsServed(from) || (version != 0 && from.version != version)) continue;
    HeldVersion& to = out.versions.emplace_back();
    to.version = from.version;
    to.algorithm = from.algorithm;
    to.public_half = from.public_half;
    to.may_sign = holding == Holding::kSigns && from.state == ObservationState::kActive;
    to.accept_from = from.accept_from;
    to.accept_until = from.accept_until;
    to.sign_until = from.sign_until;
    to.compromised_since = from.compromised_since;
    if (from.algorithm == Algorithm::kHmacSha256) {
      ASSIGN_OR_RETURN(to.secret, SecretOf(from.identity(key.source)));
    }
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
  const Holding holding = HoldingOf(*key, holder);
  if (holding == Holding::kNothing) return nothing;
  if (!Unreleased(*key, holder, version).empty()) {
    ASSIGN_OR_RETURN(auto all, FetchAll(call, holder, {std::string(source)}));
    if (version != 0)
      std::erase_if(all.front().versions, [&](const HeldVersion& one) { return one.version != version; });
    return std::move(all.front());
  }
  return View(*key, holding, version);
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
            if (to.released_to.size() >= kMaxReleases)
              return ResourceExhausted("version {} of {} went to {} identities; roll it", version, source,
                                       kMaxReleases);
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
    const Holding holding = HoldingOf(*key, holder);
    // A version that came meanwhile is not recorded yet: the next look finds it.
    const std::vector<std::uint32_t> unrecorded = Unreleased(*key, holder, 0);
    if (holding != Holding::kNothing && !unrecorded.empty()) {
      ObservationKey shown = *key;
      std::erase_if(shown.versions, [&](const ObservationVersion& version) {
        return std::find(unrecorded.begin(), unrecorded.end(), version.version) != unrecorded.end();
      });
      ASSIGN_OR_RETURN(keys, View(shown, holding, 0));
    } else {
      ASSIGN_OR_RETURN(keys, View(*key, holding, 0));
    }
  }
  return out;
}

// ---- news ----

void ObservationKeys::OnCommitted(const Committed& committed) {
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
    const auto known = newest_.find(item.id);
    if (known != newest_.end()) news_.erase(known->second);
    newest_[item.id] = ++serial_;
    news_[serial_] = item.id;
  }
  changed_.notify_all();
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
  return {fetched_.load(), released_.load()};
}

}  // namespace virp::keymgr
