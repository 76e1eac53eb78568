#include "services/keymgr/domain/router_key_feed.h"

#include <set>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/crypto/random.h"
#include "lib/crypto/x509.h"
#include "services/keymgr/domain/rpki_names.h"

namespace virp::keymgr {
namespace {

using RecordPtr = std::shared_ptr<const RouterCertificateRecord>;

std::string NewSession() {
  return HexEncode(crypto::RandomBytes(8));
}

// When the key of this certificate ends: the last of its certificates for this AS counts. Nothing when none is out.
std::optional<rpki::Time> EndOf(const Snapshot& state, std::string_view of_key_and_as) {
  std::optional<rpki::Time> out;
  state.ForEach<RouterCertificateRecord>(
      [&](const RecordPtr& record) {
        if (record->state == CertificateState::kPublished) {
          const rpki::Time end = TimeOf(record->not_after);
          if (!out.has_value() || *out < end) out = end;
        }
        return true;
      },
      of_key_and_as);
  return out;
}

// "<key identifier>/<AS>/", under which all certificates of a key for an AS stand.
std::string_view GroupOf(std::string_view id) {
  return id.substr(0, id.rfind('/') + 1);
}

std::string SpkiOf(const RouterCertificateRecord& record) {
  const auto certificate = x509::ParseCertificate(record.certificate);
  return certificate.ok() ? std::string(certificate->spki) : std::string();  // ours: it parses
}

}  // namespace

RouterKeyFeed::RouterKeyFeed(Ledger& ledger, RouterKeyFeedLimits limits) : limits_(limits), session_(NewSession()) {
  ledger.Subscribe([this](const Committed& committed) { OnCommitted(committed); });
}

std::map<RouterKeyFeed::Place, rpki::Time> RouterKeyFeed::Load(const Snapshot& state) const {
  std::map<Place, rpki::Time> out;
  state.ForEach<RouterCertificateRecord>([&](const RecordPtr& record) {
    if (record->state != CertificateState::kPublished) return true;
    rpki::Time& end = out[{record->asn, SpkiOf(*record)}];
    end = std::max(end, TimeOf(record->not_after));
    return true;
  });
  return out;
}

void RouterKeyFeed::OnCommitted(const Committed& committed) {
  const std::uint64_t record = committed.snapshot->record();
  const MutexLock lock(mutex_);
  // A ledger without any record says the same as a manager that does not lead; its first record tells them apart.
  if (committed.items.empty() || !loaded_) {
    std::map<Place, rpki::Time> loaded = Load(*committed.snapshot);
    // Without a record it is the empty state of a manager that does not lead: nothing is known then, least of all that
    // there are no keys.
    loaded_ = record != 0;
    if (loaded_ && (serial_ == 0 || record < serial_ || loaded != keys_)) {
      if (record <= serial_) session_ = NewSession();  // another history
      keys_ = std::move(loaded);
      deltas_.clear();
      kept_ = 0;
      serial_ = oldest_ = record;
    }
    changed_.notify_all();
    return;
  }
  Delta delta{record, {}};
  std::set<std::string_view> seen;
  for (const Committed::Item& item : committed.items) {
    if (item.kind != RouterCertificateRecord::kKind || !seen.insert(GroupOf(item.id)).second) continue;
    const auto& certificate =
        static_cast<const RouterCertificateRecord&>(*(item.after != nullptr ? item.after : item.before));
    Place place{certificate.asn, SpkiOf(certificate)};
    const auto known = keys_.find(place);
    Change change{std::move(place), std::nullopt, EndOf(*committed.snapshot, GroupOf(item.id))};
    if (known != keys_.end()) change.before = known->second;
    if (change.before == change.after) continue;
    if (change.after.has_value()) {
      keys_[change.place] = *change.after;
    } else {
      keys_.erase(known);
    }
    delta.changes.push_back(std::move(change));
  }
  if (!delta.changes.empty()) Keep(std::move(delta));
}

void RouterKeyFeed::Keep(Delta delta) {
  serial_ = delta.serial;
  kept_ += delta.changes.size();
  deltas_.push_back(std::move(delta));
  while (!deltas_.empty() && (deltas_.size() > limits_.commits || kept_ > limits_.changes)) {
    oldest_ = deltas_.front().serial;
    kept_ -= deltas_.front().changes.size();
    deltas_.pop_front();
  }
  changed_.notify_all();
}

bool RouterKeyFeed::IsBehind(std::string_view session, std::uint64_t serial) const {
  return loaded_ && (session != session_ || serial < oldest_ || serial != serial_);
}

// One key may have come and gone since: only how it was at first and how it is at last counts.
void RouterKeyFeed::Since(std::uint64_t serial, RouterKeyNews& news) const {
  std::map<Place, std::pair<std::optional<rpki::Time>, std::optional<rpki::Time>>> all;
  for (const Delta& delta : deltas_) {
    if (delta.serial <= serial) continue;
    for (const Change& change : delta.changes) {
      const auto [found, fresh] = all.try_emplace(change.place, change.before, change.after);
      if (!fresh) found->second.second = change.after;
    }
  }
  for (const auto& [place, ends] : all) {
    const auto& [before, after] = ends;
    if (before == after) continue;
    news.changes.push_back({!after.has_value(), {place.first, place.second, after.has_value() ? *after : *before}});
  }
}

RouterKeyNews RouterKeyFeed::Wait(std::string_view session, std::uint64_t serial,
                                  std::chrono::milliseconds longest) const {
  const MutexLock lock(mutex_);
  const std::uint64_t wakes = wakes_;
  changed_.wait_for(mutex_, longest, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !loaded_ || IsBehind(session, serial) || wakes_ != wakes;
  });
  RouterKeyNews news;
  news.loaded = loaded_;
  news.session = session_;
  if (!loaded_) return news;
  news.serial = serial_;
  // A serial ahead of ours is of a history that this manager does not have.
  news.restart = session != session_ || serial < oldest_ || serial > serial_;
  if (!news.restart) {
    Since(serial, news);
    return news;
  }
  news.changes.reserve(keys_.size());
  for (const auto& [place, end] : keys_) news.changes.push_back({false, {place.first, place.second, end}});
  return news;
}

void RouterKeyFeed::WakeAll() const {
  const MutexLock lock(mutex_);
  ++wakes_;
  changed_.notify_all();
}

std::size_t RouterKeyFeed::size() const {
  const MutexLock lock(mutex_);
  return keys_.size();
}

std::uint64_t RouterKeyFeed::serial() const {
  const MutexLock lock(mutex_);
  return serial_;
}

}  // namespace virp::keymgr
