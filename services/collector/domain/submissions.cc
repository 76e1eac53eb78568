#include "services/collector/domain/submissions.h"

#include <algorithm>

#include "lib/base/status.h"

namespace virp::collector {
namespace {

constexpr std::size_t kReceiptSize = 8 + 8 + sizeof(Hash);

// Length of the key u32, key, request hash, then (epoch, sequence, digest) of each receipt.
std::string Encode(std::string_view key, const Submissions::Answer& answer) {
  std::string out;
  AppendBe<std::uint32_t>(out, static_cast<std::uint32_t>(key.size()));
  out.append(key);
  out.append(View(answer.request));
  for (const deliver::Receipt& receipt : answer.receipts) {
    AppendBe(out, receipt.epoch);
    AppendBe(out, receipt.sequence);
    out.append(View(receipt.digest));
  }
  return out;
}

}  // namespace

deliver::Outbox::Note Submissions::NoteOf(std::string_view key, const Answer& answer) {
  return {"submit", Encode(key, answer)};
}

absl::Status Submissions::Add(std::string_view encoded) {
  if (encoded.size() < 4) return DataLoss("a saved request is cut short");
  const std::size_t size = LoadBe<std::uint32_t>(encoded.data());
  if (encoded.size() < 4 + size + sizeof(Hash) || (encoded.size() - 4 - size - sizeof(Hash)) % kReceiptSize != 0) {
    return DataLoss("a saved request is cut short");
  }
  const std::string key(encoded.substr(4, size));
  Answer answer;
  ASSIGN_OR_RETURN(answer.request, HashFromBytes(encoded.substr(4 + size, sizeof(Hash))));
  for (std::size_t at = 4 + size + sizeof(Hash); at < encoded.size(); at += kReceiptSize) {
    deliver::Receipt& receipt = answer.receipts.emplace_back();
    receipt.epoch = LoadBe<std::uint64_t>(encoded.data() + at);
    receipt.sequence = LoadBe<std::uint64_t>(encoded.data() + at + 8);
    ASSIGN_OR_RETURN(receipt.digest, HashFromBytes(encoded.substr(at + 16, sizeof(Hash))));
  }
  if (answers_.insert_or_assign(key, std::move(answer)).second) order_.push_back(key);
  if (order_.size() > kRemembered) {
    answers_.erase(order_.front());
    order_.pop_front();
  }
  return absl::OkStatus();
}

std::string Submissions::Save() const {
  const MutexLock lock(mutex_);
  std::string out;
  for (const std::string& key : order_) {
    const std::string encoded = Encode(key, answers_.find(key)->second);
    AppendBe<std::uint32_t>(out, static_cast<std::uint32_t>(encoded.size()));
    out += encoded;
  }
  return out;
}

absl::Status Submissions::Load(std::string_view saved) {
  const MutexLock lock(mutex_);
  answers_.clear();
  order_.clear();
  while (!saved.empty()) {
    const std::size_t size = saved.size() < 4 ? saved.size() : LoadBe<std::uint32_t>(saved.data());
    if (saved.size() < 4 + size) return DataLoss("the saved requests are cut short");
    RETURN_IF_ERROR(Add(saved.substr(4, size)));
    saved.remove_prefix(4 + size);
  }
  return absl::OkStatus();
}

absl::Status Submissions::ReplayNote(std::string_view note) {
  const MutexLock lock(mutex_);
  return Add(note);
}

std::optional<Submissions::Answer> Submissions::Find(std::string_view key) const {
  const MutexLock lock(mutex_);
  const auto at = answers_.find(key);
  return at == answers_.end() ? std::nullopt : std::optional(at->second);
}

void Submissions::Remember(std::string_view key, const Answer& answer) {
  const MutexLock lock(mutex_);
  static_cast<void>(Add(Encode(key, answer)));  // what Encode makes, Add reads
}

}  // namespace virp::collector
