#include "lib/rtr/history.h"

#include <algorithm>
#include <utility>

#include "lib/base/status.h"
#include "lib/rtr/history_state.h"
#include "lib/rtr/image.h"

namespace virp::rtr {
namespace {

using history::Lazy;
using history::Line;

constexpr std::size_t kRemembered = 32;  // session ids that are not drawn again

std::size_t RecordsIn(const Line& line, std::uint8_t version) {
  std::size_t records = 0;
  for (const auto& delta : line.deltas) records += delta->SizeIn(version);
  return records;
}

using Deltas = std::vector<std::shared_ptr<const Delta>>;

// The last `steps` (at least two) of them as one.
Delta ComposeSteps(const Deltas& deltas, std::size_t steps) {
  Delta whole = Compose(*deltas[deltas.size() - 2], *deltas.back());
  for (std::size_t i = 3; i <= steps; ++i) whole = Compose(*deltas[deltas.size() - i], whole);
  return whole;
}

// The last change alone is what nearly all ask for: it is always kept.
void MakeAnswer(const Line& line, std::size_t steps, std::uint8_t version, std::size_t max_octets, Lazy& answer) {
  if (steps == 1) {
    answer.value = EncodeDelta(*line.deltas.back(), version);
    return;
  }
  Encoded made = EncodeDelta(ComposeSteps(line.deltas, steps), version);
  const std::size_t octets = made.view().size();
  answer.refused = line.answer_octets.fetch_add(octets) + octets > max_octets;
  if (answer.refused) {
    line.answer_octets -= octets;
  } else {
    answer.value = std::move(made);
  }
}

}  // namespace

const Encoded& Snapshot::Image(std::uint8_t version) const {
  Lazy& image = lines_.at(version)->image;
  std::call_once(image.once, [&] { image.value = EncodeImage(*payloads_, version); });
  return image.value;
}

bool Snapshot::Reaches(std::uint8_t version, std::uint32_t serial) const {
  const Line& line = *lines_.at(version);
  return SerialDistance(serial, line.serial) <= line.deltas.size();
}

std::optional<Encoded> Snapshot::Answer(std::uint8_t version, std::uint32_t serial) const {
  const Line& line = *lines_.at(version);
  const std::uint32_t behind = SerialDistance(serial, line.serial);
  if (behind == 0) return Encoded{};
  if (!Reaches(version, serial)) return std::nullopt;
  std::shared_ptr<Lazy> answer;
  {
    const MutexLock lock(line.mutex);
    std::shared_ptr<Lazy>& slot = line.answers[behind];
    if (slot == nullptr) slot = std::make_shared<Lazy>();
    answer = slot;
  }
  std::call_once(answer->once, [&] { MakeAnswer(line, behind, version, max_answer_octets_, *answer); });
  if (answer->refused) return std::nullopt;
  return answer->value;
}

std::optional<Delta> Snapshot::Changes(std::uint8_t version, std::uint32_t serial) const {
  const Line& line = *lines_.at(version);
  const std::uint32_t behind = SerialDistance(serial, line.serial);
  if (behind == 0) return Delta{};
  if (!Reaches(version, serial)) return std::nullopt;
  return behind == 1 ? *line.deltas.back() : ComposeSteps(line.deltas, behind);
}

History::History(HistoryOptions options, RandomSession random)
    : options_(std::move(options)), random_(std::move(random)) {}

absl::Status History::Restore(std::string_view state) {
  if (snapshot_ != nullptr) return FailedPrecondition("the history has payloads already; restore before the first");
  ASSIGN_OR_RETURN(history::State parsed, history::ParseState(state));
  used_.assign(parsed.used.begin(), parsed.used.end());
  if (parsed.owner != options_.owner) {
    return FailedPrecondition(
        "the state is that of \"{}\", this is \"{}\": sessions are never copied, so new ones are started", parsed.owner,
        options_.owner);
  }
  restored_ = Kept{.hash = parsed.hash, .lines = parsed.lines};
  return absl::OkStatus();
}

History::Outcome History::Update(std::shared_ptr<const vrp::Payloads> payloads, const Hash& hash,
                                 std::shared_ptr<const Delta> delta) {
  Outcome outcome;
  if (snapshot_ == nullptr) {
    outcome.changed = true;
    outcome.resumed = restored_.has_value() && restored_->hash == hash;
    outcome.versions.fill(!outcome.resumed);
    if (outcome.resumed) {
      std::copy(restored_->lines.begin(), restored_->lines.end(), lines_.begin());
    } else {
      lines_ = NewLines();
    }
    restored_.reset();
  } else {
    if (delta == nullptr) delta = std::make_shared<const Delta>(Diff(*payloads_, *payloads));
    outcome.delta = delta;
    for (std::uint8_t version = 0; version < kVersions; ++version) {
      if (delta->SizeIn(version) == 0) continue;
      lines_.at(version) = Next(*lines_.at(version), delta, version);
      outcome.versions.at(version) = outcome.changed = true;
    }
  }
  if (!outcome.changed) return outcome;
  payloads_ = std::move(payloads);
  snapshot_ = std::make_shared<const Snapshot>(payloads_, hash, lines_, options_.max_answer_octets);
  return outcome;
}

std::shared_ptr<Line> History::Next(const Line& line, const std::shared_ptr<const Delta>& delta,
                                    std::uint8_t version) const {
  auto next = std::make_shared<Line>();
  next->session = line.session;
  next->serial = line.serial + 1;
  next->deltas = line.deltas;
  next->deltas.push_back(delta);
  std::size_t records = RecordsIn(*next, version);
  std::size_t dropped = 0;
  while (dropped < next->deltas.size() && (next->deltas.size() - dropped > std::min(options_.max_deltas, kMaxDeltas) ||
                                           records > options_.max_delta_records)) {
    records -= next->deltas[dropped++]->SizeIn(version);
  }
  next->deltas.erase(next->deltas.begin(), next->deltas.begin() + static_cast<std::ptrdiff_t>(dropped));
  return next;
}

void History::StartSessions() {
  if (snapshot_ == nullptr) {
    restored_.reset();
    return;
  }
  lines_ = NewLines();
  snapshot_ = std::make_shared<const Snapshot>(payloads_, snapshot_->hash(), lines_, options_.max_answer_octets);
}

Snapshot::Lines History::NewLines() {
  Snapshot::Lines lines;
  for (auto& line : lines) {
    auto fresh = std::make_shared<Line>();
    fresh->session = DrawSession();
    fresh->serial = options_.first_serial;
    line = fresh;
  }
  return lines;
}

// A router that comes back with an id of the past must not be taken for one of the present.
std::uint16_t History::DrawSession() {
  const auto taken = [&](std::uint16_t id) { return std::find(used_.begin(), used_.end(), id) != used_.end(); };
  std::uint16_t id = random_();
  for (int i = 0; i < 16 && taken(id); ++i) id = random_();
  while (taken(id)) ++id;  // a random source that stands still
  used_.push_back(id);
  if (used_.size() > kRemembered) used_.pop_front();
  return id;
}

std::string History::Save() const {
  if (snapshot_ == nullptr) return {};
  return history::FormatState(options_.owner, snapshot_->hash(), {used_.begin(), used_.end()}, lines_);
}

}  // namespace virp::rtr
