#include "lib/chain/source_book.h"

#include <algorithm>
#include <utility>

#include "lib/base/status.h"
#include "lib/chain/book_impl.h"

namespace virp::chain {

bool Source::MayBeCarriedBy(std::string_view identity) const {
  const auto& carriers = registration.carried_by;
  return std::find(carriers.begin(), carriers.end(), identity) != carriers.end();
}

// ---- the fold ----

SourceBook::Impl::Impl(const Impl& other)
    : origin(other.origin),
      track_subjects(other.track_subjects),
      size(other.size),
      last_received_us(other.last_received_us),
      generation(other.generation),
      slots(other.slots),
      subjects(other.subjects),
      requests(other.requests),
      table(other.table),
      table_is_shared(true) {
  other.table_is_shared.store(true, std::memory_order_relaxed);
}

const SourceBook::Impl::Slot* SourceBook::Impl::Find(std::string_view name) const {
  const auto found = table->find(name);
  return found == table->end() ? nullptr : slots.Find(found->second->short_id);
}

void SourceBook::Impl::Publish(std::uint64_t short_id, std::shared_ptr<const Source> source) {
  if (table_is_shared.load(std::memory_order_relaxed)) {
    table = std::make_shared<SourceTable>(*table);
    table_is_shared.store(false, std::memory_order_relaxed);
  }
  (*table)[source->registration.source] = source;
  slots.Mutable(short_id).source = std::move(source);
  ++generation;
}

template <typename F>
void SourceBook::Impl::ChangeSource(std::uint64_t short_id, F&& change) {
  auto changed = std::make_shared<Source>(*slots.Find(short_id)->source);
  change(*changed);
  Publish(short_id, std::move(changed));
}

void SourceBook::Impl::Commit(const Entry& entry, const frame::Frame& frame, const Statement& statement,
                              const Checked& checked) {
  const EntryHeader& header = entry.header;
  const std::uint64_t at = header.sequence;
  const UnixNanos receipt = ReceiptOf(header);
  const auto* event = std::get_if<SourceEvent>(&checked.control);
  if (size == 0) Fold(*event, at, receipt);  // the O-Node's own registration makes the slot that its frame goes to

  Slot& slot = slots.Mutable(header.source);
  const std::shared_ptr<const Source> signer = slot.source;
  Channel& channel = slot.channel.Mutable();
  EnterFrame(channel, frame.header, header.source_epoch, receipt, at);
  if (frame.header.tier == frame::Tier::kBlack) RaiseAlarm(channel, kCauseTierBlack, ChannelState::kBlack, 1, at);
  if (header.spelling == frame::Spelling::kV2 && !signer->sent_v2) {
    ChangeSource(header.source, [](Source& source) { source.sent_v2 = true; });
  }

  if (event != nullptr && size != 0) Fold(*event, at, receipt);
  if (const auto* key = std::get_if<KeyEvent>(&checked.control)) Fold(*key, at);
  if (const auto* gap = std::get_if<Gap>(&checked.control)) Fold(*gap, IsOwn(*signer), at);
  if (const auto* alarm = std::get_if<Alarm>(&checked.control)) Fold(*alarm, *signer, at);
  if (const auto* cleared = std::get_if<AlarmCleared>(&checked.control))
    Fold(*cleared), Remember(cleared->request_id, at);
  if (const auto* beats = std::get_if<Heartbeat>(&checked.control)) Fold(*beats, *signer, receipt);

  const std::uint64_t subject = SubjectUnder(statement, header.result);
  if (track_subjects && subject != 0) subjects.Mutable(subject) = at;
  last_received_us = header.received_us;
  ++size;
}

void SourceBook::Impl::Fold(const SourceEvent& event, std::uint64_t entry, UnixNanos receipt) {
  using Event = SourceEvent::Event;
  const std::uint64_t id = frame::ShortIdOf(event.source);
  switch (event.event) {
    case Event::kRegistered: {
      auto source = std::make_shared<Source>();
      source->registration = *event.registration;
      source->keys[event.registration->key.version].statement = event.registration->key;
      source->registered_at = entry;
      source->id = frame::SourceIdOf(event.source);
      source->short_id = id;
      Publish(id, std::move(source));
      break;
    }
    case Event::kChanged:
      ChangeSource(id, [&](Source& source) { source.registration = *event.registration; });
      break;
    case Event::kSuspended:
    case Event::kResumed:
      ChangeSource(id, [&](Source& source) { source.suspended = event.event == Event::kSuspended; });
      break;
    case Event::kEpochReset:
      ResetEpochs(ChannelOf(id), event.epoch, receipt);
      ++generation;
      break;
    case Event::kLateAdmitted:
      ChangeSource(id, [&](Source& source) { source.admitted.push_back({event.epoch, event.from, event.to}); });
      break;
  }
  Remember(event.request_id, entry);
}

void SourceBook::Impl::Fold(const KeyEvent& event, std::uint64_t entry) {
  const std::uint64_t id = frame::ShortIdOf(event.source);
  const auto earlier = [](std::optional<UnixNanos>& time, const std::optional<UnixNanos>& limit) {
    if (limit && (!time || *limit < *time)) time = limit;  // a window is narrowed, never widened
  };
  if (event.event == KeyEvent::Event::kVersion) {
    ChangeSource(id, [&](Source& source) {
      KeyState& before = source.keys.rbegin()->second;  // there is always one, and versions rise
      earlier(before.sign_until, event.previous_sign_until);
      earlier(before.statement.accept_until, event.previous_accept_until);
      source.keys[event.key.version].statement = event.key;
    });
  } else if (event.event == KeyEvent::Event::kWindow) {
    ChangeSource(id, [&](Source& source) {
      KeyState& key = source.keys.at(event.version);
      earlier(key.sign_until, event.sign_until);
      earlier(key.statement.accept_until, event.accept_until);
    });
  } else {
    ChangeSource(
        id, [&](Source& source) { earlier(source.keys.at(event.version).compromised_since, event.compromised_since); });
    RaiseAlarm(ChannelOf(id), kCauseKeyCompromised, ChannelState::kBlack, 1, entry);
  }
  Remember(event.request_id, entry);
}

void SourceBook::Impl::Fold(const Gap& gap, bool own, std::uint64_t entry) {
  Channel& channel = ChannelOf(frame::ShortIdOf(gap.source));
  if (own) {
    EnterGap(channel, gap, entry);
  } else {
    EnterLoss(channel, gap);
  }
}

void SourceBook::Impl::Fold(const Alarm& alarm, const Source& signer, std::uint64_t entry) {
  const bool own = IsOwn(signer);
  if (own) Remember(alarm.request_id, entry);
  const Slot* about = Find(alarm.source);
  if (about == nullptr || !MaySpeakFor(signer, *about->source, origin)) return;
  const bool black = own && alarm.state == ChannelState::kBlack;
  RaiseAlarm(ChannelOf(about->source->short_id), alarm.cause, black ? ChannelState::kBlack : ChannelState::kAlarmed,
             alarm.count, entry);
}

void SourceBook::Impl::Fold(const AlarmCleared& cleared) {
  const Slot* about = Find(cleared.source);
  if (about == nullptr || !about->channel->alarms.contains(cleared.cause)) return;
  ChannelOf(about->source->short_id).alarms.erase(cleared.cause);
}

void SourceBook::Impl::Fold(const Heartbeat& heartbeat, const Source& signer, UnixNanos receipt) {
  for (const Beat& beat : heartbeat.sources) {
    const std::uint64_t id = frame::ShortIdOf(beat.source_id);
    const Slot* about = slots.Find(id);
    if (about == nullptr || about->source->id != beat.source_id || !MaySpeakFor(signer, *about->source, origin))
      continue;
    if (!BeatSaysMore(*about->channel, beat.epoch, beat.last_sequence, receipt)) continue;
    EnterBeat(ChannelOf(id), beat.epoch, beat.last_sequence);
  }
}

namespace {
std::uint64_t RequestKey(std::string_view request_id) {
  return SubjectIdOf(request_id);
}
}  // namespace

void SourceBook::Impl::Remember(const std::string& request_id, std::uint64_t entry) {
  if (request_id.empty()) return;
  auto& answered = requests.Mutable(RequestKey(request_id));
  for (const auto& [id, first] : answered) {
    if (id == request_id) return;
  }
  answered.emplace_back(request_id, entry);
}

// ---- the class ----

SourceBook::SourceBook(std::string origin, bool track_subjects)
    : impl_(std::make_unique<Impl>(std::move(origin), track_subjects)) {}
SourceBook::SourceBook(const SourceBook& other) : impl_(std::make_unique<Impl>(*other.impl_)) {}
SourceBook& SourceBook::operator=(const SourceBook& other) {
  if (this != &other) impl_ = std::make_unique<Impl>(*other.impl_);
  return *this;
}
SourceBook::SourceBook(SourceBook&&) noexcept = default;
SourceBook& SourceBook::operator=(SourceBook&&) noexcept = default;
SourceBook::~SourceBook() = default;

std::shared_ptr<const SourceBook::SourceTable> SourceBook::table() const {
  impl_->table_is_shared.store(true, std::memory_order_relaxed);
  return impl_->table;
}
std::uint64_t SourceBook::generation() const {
  return impl_->generation;
}
const std::string& SourceBook::origin() const {
  return impl_->origin;
}
std::uint64_t SourceBook::size() const {
  return impl_->size;
}
std::uint64_t SourceBook::last_received_us() const {
  return impl_->last_received_us;
}

std::shared_ptr<const Source> SourceBook::FindByName(std::string_view name) const {
  const auto* slot = impl_->Find(name);
  return slot == nullptr ? nullptr : slot->source;
}
std::shared_ptr<const Source> SourceBook::FindById(const frame::SourceId& id) const {
  const auto* slot = impl_->Find(frame::ShortIdOf(id));
  return slot == nullptr || slot->source->id != id ? nullptr : slot->source;
}
std::shared_ptr<const Source> SourceBook::FindByShortId(std::uint64_t id) const {
  const auto* slot = impl_->Find(id);
  return slot == nullptr ? nullptr : slot->source;
}
const Channel* SourceBook::FindChannel(std::uint64_t short_id) const {
  const auto* slot = impl_->Find(short_id);
  return slot == nullptr || !slot->channel.allocated() ? nullptr : &*slot->channel;
}

std::uint64_t SourceBook::LastOfSource(std::uint64_t short_id) const {
  const auto* slot = impl_->Find(short_id);
  return slot == nullptr ? kNone : slot->channel->last_entry;
}
std::uint64_t SourceBook::LastOfSubject(std::uint64_t subject_id) const {
  const std::uint64_t* last = impl_->subjects.Find(subject_id);
  return last == nullptr ? kNone : *last;
}

std::optional<std::uint64_t> SourceBook::FindRequest(std::string_view request_id) const {
  const auto* answered = impl_->requests.Find(RequestKey(request_id));
  if (answered == nullptr) return std::nullopt;
  for (const auto& [id, first] : *answered) {
    if (id == request_id) return first;
  }
  return std::nullopt;
}

std::vector<std::shared_ptr<const Source>> SourceBook::Sources() const {
  std::vector<std::shared_ptr<const Source>> out;
  for (const auto& [name, source] : *impl_->table) out.push_back(source);
  std::sort(out.begin(), out.end(),
            [](const auto& a, const auto& b) { return a->registration.source < b->registration.source; });
  return out;
}

absl::Status SourceBook::Apply(const Entry& entry, const frame::Frame& frame, const Statement& statement,
                               const std::optional<frame::Value>& payload) {
  const Checked checked = impl_->Check(entry, frame, statement, payload, true);
  if (checked.broken != Checked::Rule::kKept) return DataLoss("entry {}: {}", entry.header.sequence, checked.detail);
  impl_->Commit(entry, frame, statement, checked);
  return absl::OkStatus();
}

bool operator==(const SourceBook& a, const SourceBook& b) {
  const SourceBook::Impl &x = *a.impl_, &y = *b.impl_;
  return x.origin == y.origin && x.track_subjects == y.track_subjects && x.size == y.size &&
         x.last_received_us == y.last_received_us && x.generation == y.generation && x.slots == y.slots &&
         x.subjects == y.subjects && x.requests == y.requests;
}

}  // namespace virp::chain
