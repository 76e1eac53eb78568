#include "lib/deliver/outbox.h"

#include <algorithm>
#include <utility>

#include "lib/base/saved.h"
#include "lib/base/status.h"
#include "lib/chain/source_book.h"
#include "lib/crypto/sha256.h"

namespace virp::deliver {
namespace {

constexpr std::uint64_t kSnapshotVersion = 1;
constexpr std::uint64_t kSnapshotShare = 4;

Record FrameRecord(std::string_view source, std::string_view bytes, std::uint64_t epoch, frame::Spelling spelling) {
  Record record;
  record.source = source;
  record.epoch = epoch;
  record.spelling = spelling;
  record.bytes = bytes;
  return record;
}

void AddNote(const Outbox::Note& note, std::vector<Record>& records) {
  if (note.tag.empty()) return;
  Record record;
  record.kind = Record::Kind::kNote;
  record.source = note.tag;
  record.bytes = note.content;
  records.push_back(record);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Outbox>> Outbox::Open(SpoolOptions spool, const frame::KeyProvider& keys,
                                                     const Clock& clock, std::vector<OutboxState*> states,
                                                     EmitGate* gate) {
  std::unique_ptr<Outbox> outbox(new Outbox(keys, clock, std::move(states), gate));
  // Replay runs under the spool's lock, so ours is taken before it, as ever.
  const MutexLock lock(outbox->mutex_);
  ASSIGN_OR_RETURN(
      outbox->spool_,
      Spool::Open(std::move(spool),
                  {[&](std::string_view saved) ABSL_NO_THREAD_SAFETY_ANALYSIS { return outbox->Load(saved); },
                   [&](const Record& record) ABSL_NO_THREAD_SAFETY_ANALYSIS { return outbox->Replay(record); }}));
  return outbox;
}

OutboxState* Outbox::StateOf(std::string_view tag) const {
  const auto at =
      std::find_if(states_.begin(), states_.end(), [&](const OutboxState* state) { return state->tag() == tag; });
  return at == states_.end() ? nullptr : *at;
}

std::string Outbox::Save() const {
  std::string out;
  AppendSaved(out, kSnapshotVersion);
  AppendSaved(out, signers_.size());
  for (const auto& [source, signer] : signers_) {
    AppendSaved(out, source);
    AppendSaved(out, signer.epoch);
    AppendSaved(out, signer.sequence);
    AppendSaved(out, signer.latest);
  }
  AppendSaved(out, positions_.size());
  for (const auto& [source, position] : positions_) {
    AppendSaved(out, source);
    AppendSaved(out, position.epoch);
    AppendSaved(out, position.last_sequence);
  }
  AppendSaved(out, states_.size());
  for (const OutboxState* state : states_) {
    AppendSaved(out, state->tag());
    AppendSaved(out, state->Save());
  }
  return out;
}

absl::Status Outbox::Load(std::string_view snapshot) {
  std::map<std::string_view, std::string_view> parts;
  if (!snapshot.empty()) {
    StateReader reader{snapshot};
    if (reader.Number() != kSnapshotVersion)
      return FailedPrecondition(
          "the spool's snapshot was written by another version of this program; let that version deliver all and stop,"
          " then begin with an empty spool folder");
    for (std::uint64_t left = reader.Number(); left > 0 && !reader.broken; --left) {
      Signer& signer = signers_[std::string(reader.Text())];
      signer.epoch = reader.Number();
      signer.sequence = reader.Number();
      signer.latest = reader.Number();
    }
    for (std::uint64_t left = reader.Number(); left > 0 && !reader.broken; --left) {
      Position& position = positions_[std::string(reader.Text())];
      position.epoch = reader.Number();
      position.last_sequence = reader.Number();
    }
    for (std::uint64_t left = reader.Number(); left > 0 && !reader.broken; --left) {
      const std::string_view tag = reader.Text();
      parts[tag] = reader.Text();
    }
    if (reader.broken) return DataLoss("the spool's snapshot is cut short");
  }
  for (OutboxState* state : states_) {
    RETURN_IF_ERROR(state->Load(parts[state->tag()]));
    for (const std::string& source : state->Forgotten()) {
      const auto signer = signers_.find(source);
      if (signer != signers_.end() && signer->second.epoch != 0) OpenEpoch(signer->second, clock_.NowNanos());
    }
  }
  return absl::OkStatus();
}

// Whether that is beyond all that came before.
bool Outbox::Advance(std::string_view source, std::uint64_t epoch, std::uint64_t sequence) {
  auto at = positions_.find(source);
  if (at == positions_.end()) at = positions_.emplace(std::string(source), Position{}).first;
  Position& position = at->second;
  const bool later = std::pair(epoch, sequence) > std::pair(position.epoch, position.last_sequence);
  const UnixNanos now = clock_.NowNanos();
  if (!later || (epoch > now && epoch - now > chain::kSkewNanos)) return false;
  position.epoch = epoch;
  position.last_sequence = sequence;
  return true;
}

absl::Status Outbox::Replay(const Record& record) {
  if (record.kind == Record::Kind::kNote) {
    OutboxState* state = StateOf(record.source);
    return state == nullptr ? absl::OkStatus() : state->ReplayNote(record.bytes);
  }
  ASSIGN_OR_RETURN(const frame::Frame frame, frame::Decode(record.bytes, record.spelling));
  Advance(record.source, record.epoch, frame.header.sequence);
  if (frame.header.spelling == frame::Spelling::kV2) {
    // Harmless for a relayed source: the collector never signs for it.
    Signer& signer = signers_[std::string(record.source)];
    signer.epoch = record.epoch;
    signer.sequence = frame.header.sequence;
    signer.latest = std::max(signer.latest, frame.header.timestamp);
  }
  for (OutboxState* state : states_) RETURN_IF_ERROR(state->ReplayFrame(record.source, frame, record.epoch));
  return absl::OkStatus();
}

// The newest version that may sign now; looked up again when the provider changed or the version ran out.
absl::Status Outbox::ChooseKey(Signer& signer, std::string_view source, UnixNanos now) const {
  const std::uint64_t generation = keys_.Generation();
  if (signer.key_generation == generation && signer.key.SignsAt(now)) return absl::OkStatus();
  const auto versions = keys_.Versions(source);
  for (auto version = versions.rbegin(); version != versions.rend(); ++version) {
    if (!version->SignsAt(now)) continue;
    signer.key = *version;
    signer.key_generation = generation;
    return absl::OkStatus();
  }
  return NotFound("no key that signs for source {} now: its key folder needs a <version>.seed or <version>.hmac",
                  source);
}

// A clock that steps back by more than the skew would make every frame suspect: a new epoch says it honestly.
bool Outbox::OpensEpoch(const Signer& signer, UnixNanos now) {
  return signer.epoch == 0 || now + chain::kSkewNanos < signer.latest;
}

void Outbox::OpenEpoch(Signer& signer, UnixNanos now) {
  signer.epoch = std::max(now, signer.epoch + 1);
  signer.sequence = 0;
}

absl::StatusOr<std::string> Outbox::SignNext(Signer& signer, std::string_view source, const Observation& observation,
                                             UnixNanos now) const {
  RETURN_IF_ERROR(ChooseKey(signer, source, now));
  if (OpensEpoch(signer, now)) {
    OpenEpoch(signer, now);
    signer.latest = now;
  }
  if (observation.epoch != 0 && observation.epoch != signer.epoch) {
    return Aborted("an observation of source {} belongs to epoch {}, the next frame to {}", source, observation.epoch,
                   signer.epoch);
  }
  frame::Header header;
  header.type = observation.type;
  header.tier = observation.tier;
  header.suite = signer.key.key->suite();
  header.timestamp = std::max(now, signer.latest);
  header.sequence = signer.sequence + 1;
  header.key_version = signer.key.version;
  header.boot_epoch = signer.epoch;
  header.source_id = frame::SourceIdOf(source);
  ASSIGN_OR_RETURN(std::string bytes, frame::EncodeUnsigned(header, observation.payload));
  ASSIGN_OR_RETURN(const std::string tag, signer.key.key->Sign(bytes));
  bytes += tag;
  signer.latest = header.timestamp;
  ++signer.sequence;
  return bytes;
}

absl::StatusOr<std::vector<Receipt>> Outbox::Emit(std::string_view source,
                                                  const std::vector<Observation>& observations) {
  std::vector<Item> items;
  items.reserve(observations.size());
  for (const Observation& observation : observations) items.push_back({source, &observation});
  return Emit(items);
}

absl::StatusOr<std::vector<Receipt>> Outbox::Emit(const std::vector<Item>& items, const NoteOf& note_of) {
  const MutexLock lock(mutex_);
  if (gate_ == nullptr || note_of) return EmitAll(items, note_of);
  const EmitGate::Plan plan = gate_->Decide(items);
  auto receipts = EmitAll(*plan.items, nullptr);
  gate_->Done(receipts.ok());
  if (!receipts.ok() || plan.places.empty()) return receipts;
  const std::uint64_t last = spool_->stats().last;
  std::vector<Receipt> placed;
  placed.reserve(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (plan.places[i] != EmitGate::kFolded) {
      placed.push_back((*receipts)[plan.places[i]]);
      continue;
    }
    const auto signer = signers_.find(items[i].source);
    placed.push_back({.number = last, .epoch = signer == signers_.end() ? 0 : signer->second.epoch});
  }
  return placed;
}

absl::StatusOr<std::uint64_t> Outbox::EmitDue() {
  const MutexLock lock(mutex_);
  if (gate_ == nullptr) return 0;
  const EmitGate::Plan plan = gate_->Due();
  std::vector<Item> items;
  for (const Item& item : *plan.items) {
    if (!IsVoid(item)) items.push_back(item);
  }
  const auto receipts = EmitAll(items, nullptr);
  gate_->Done(receipts.ok());
  RETURN_IF_ERROR(receipts.status());
  return receipts->empty() ? 0 : receipts->back().number;
}

// Whether the item's epoch is over, or would be by its own signature.
bool Outbox::IsVoid(const Item& item) const {
  const std::uint64_t epoch = item.observation->epoch;
  if (epoch == 0) return false;
  const auto signer = signers_.find(item.source);
  return signer == signers_.end() || signer->second.epoch != epoch || OpensEpoch(signer->second, clock_.NowNanos());
}

absl::StatusOr<std::vector<Receipt>> Outbox::EmitAll(const std::vector<Item>& items, const NoteOf& note_of) {
  const UnixNanos now = clock_.NowNanos();
  // Worked out on copies: all are taken or none, and a number that was not spooled is not used up.
  std::map<std::string_view, Signer> changed;
  Signer* signer = nullptr;
  std::vector<std::string> frames;
  std::vector<Receipt> receipts;
  frames.reserve(items.size());
  receipts.reserve(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::string_view source = items[i].source;
    if (i == 0 || source != items[i - 1].source) {
      const auto known = signers_.find(source);
      signer = &changed.try_emplace(source, known == signers_.end() ? Signer{} : known->second).first->second;
    }
    ASSIGN_OR_RETURN(std::string frame, SignNext(*signer, source, *items[i].observation, now));
    receipts.push_back({0, signer->epoch, signer->sequence, crypto::Sha256(frame)});
    frames.push_back(std::move(frame));
  }
  std::vector<Record> records;
  records.reserve(items.size() + 1);
  for (std::size_t i = 0; i < items.size(); ++i) {
    records.push_back(FrameRecord(items[i].source, frames[i], receipts[i].epoch, frame::Spelling::kV2));
  }
  const Note note = note_of ? note_of(receipts) : Note{};
  AddNote(note, records);
  if (records.empty()) return receipts;
  ASSIGN_OR_RETURN(const std::uint64_t first, spool_->Append(records));
  for (std::size_t i = 0; i < receipts.size(); ++i) {
    receipts[i].number = first + i;
    bytes_since_snapshot_ += frames[i].size();
  }
  for (auto& [source, now_signer] : changed) {
    auto position = positions_.find(source);
    if (position == positions_.end()) position = positions_.emplace(std::string(source), Position{}).first;
    const auto before = signers_.find(source);
    const bool same_epoch = before != signers_.end() && before->second.epoch == now_signer.epoch;
    const std::uint64_t added = now_signer.sequence - (same_epoch ? before->second.sequence : 0);
    position->second = {now_signer.epoch, now_signer.sequence, position->second.frames + added};
    signers_.insert_or_assign(std::string(source), now_signer);
  }
  return receipts;
}

absl::StatusOr<Outbox::Relayed> Outbox::Relay(std::string_view source, const frame::Frame& frame, std::uint64_t epoch,
                                              const Note& note) {
  const MutexLock lock(mutex_);
  std::vector<Record> records{FrameRecord(source, frame.bytes, epoch, frame.header.spelling)};
  AddNote(note, records);
  ASSIGN_OR_RETURN(const std::uint64_t number, spool_->Append(records));
  bytes_since_snapshot_ += frame.bytes.size();
  const bool news = Advance(source, epoch, frame.header.sequence);
  ++positions_.find(source)->second.frames;
  return Relayed{number, news};
}

Position Outbox::position(std::string_view source) const {
  const MutexLock lock(mutex_);
  const auto at = positions_.find(source);
  return at == positions_.end() ? Position{} : at->second;
}

Position Outbox::signing(std::string_view source) const {
  const MutexLock lock(mutex_);
  const auto at = signers_.find(source);
  return at == signers_.end() ? Position{} : Position{.epoch = at->second.epoch, .last_sequence = at->second.sequence};
}

absl::Status Outbox::SnapshotIfDue(std::uint64_t bytes) {
  {
    const MutexLock lock(mutex_);
    // Large states less often: writing them stays a small part of the work. A small spool sooner: what is behind the
    // snapshot cannot be freed.
    const std::uint64_t due =
        std::min(std::max(bytes, kSnapshotShare * snapshot_bytes_), spool_->stats().limit / kSnapshotShare);
    if (bytes_since_snapshot_ < due) return absl::OkStatus();
  }
  return Snapshot();
}

absl::Status Outbox::Snapshot() {
  std::string saved;
  std::uint64_t number = 0;
  for (OutboxState* state : states_) state->BeforeSave();
  {
    const MutexLock lock(mutex_);
    number = spool_->stats().last;
    saved = Save();
    bytes_since_snapshot_ = 0;
    snapshot_bytes_ = saved.size();
  }
  for (OutboxState* state : states_) state->AfterSave();
  return spool_->WriteSnapshot(number, saved);
}

}  // namespace virp::deliver
