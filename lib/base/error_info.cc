#include "lib/base/error_info.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/cord.h"
#include "lib/base/bytes.h"
#include "lib/base/status.h"

namespace virp {
namespace {

// Payloads never leave the process, so their form is ours: a list of strings, each with a 4-byte length before it.
constexpr char kReasonUrl[] = "virp/reason";
constexpr char kFieldsUrl[] = "virp/fields";
constexpr char kHiddenUrl[] = "virp/hidden";
constexpr char kRetryUrl[] = "virp/retry";

void Put(std::string& out, std::string_view text) {
  AppendBe(out, static_cast<std::uint32_t>(text.size()));
  out.append(text);
}

std::vector<std::string> Load(const absl::Status& status, const char* url) {
  std::vector<std::string> out;
  const auto payload = status.GetPayload(url);
  if (!payload) return out;
  const std::string bytes(*payload);
  std::size_t at = 0;
  while (bytes.size() - at >= sizeof(std::uint32_t)) {
    const std::size_t size = LoadBe<std::uint32_t>(bytes.data() + at);
    at += sizeof(std::uint32_t);
    if (size > bytes.size() - at) break;
    out.emplace_back(bytes, at, size);
    at += size;
  }
  return out;
}

}  // namespace

void SetReason(absl::Status& status, std::string_view reason, const std::map<std::string, std::string>& metadata) {
  std::string bytes;
  Put(bytes, reason);
  for (const auto& [key, value] : metadata) {
    Put(bytes, key);
    Put(bytes, value);
  }
  status.SetPayload(kReasonUrl, absl::Cord(bytes));
}

std::string GetReason(const absl::Status& status) {
  std::vector<std::string> list = Load(status, kReasonUrl);
  return list.empty() ? std::string() : std::move(list[0]);
}

std::map<std::string, std::string> GetMetadata(const absl::Status& status) {
  std::vector<std::string> list = Load(status, kReasonUrl);
  std::map<std::string, std::string> out;
  for (std::size_t i = 1; i + 1 < list.size(); i += 2) out[list[i]] = std::move(list[i + 1]);
  return out;
}

absl::Status WithReason(absl::Status status, std::string_view reason,
                        const std::map<std::string, std::string>& metadata) {
  SetReason(status, reason, metadata);
  return status;
}

void AddField(absl::Status& status, std::string_view field, std::string_view description) {
  const auto payload = status.GetPayload(kFieldsUrl);
  std::string bytes = payload ? std::string(*payload) : std::string();
  Put(bytes, field);
  Put(bytes, description);
  status.SetPayload(kFieldsUrl, absl::Cord(bytes));
}

std::vector<FieldViolation> GetFields(const absl::Status& status) {
  std::vector<std::string> list = Load(status, kFieldsUrl);
  std::vector<FieldViolation> out;
  for (std::size_t i = 0; i + 1 < list.size(); i += 2) out.push_back({std::move(list[i]), std::move(list[i + 1])});
  return out;
}

absl::Status InvalidField(std::string_view field, std::string_view description) {
  absl::Status status = InvalidArgument("{}: {}", field, description);
  AddField(status, field, description);
  return status;
}

void Hide(absl::Status& status) {
  status.SetPayload(kHiddenUrl, absl::Cord());
}

bool IsHidden(const absl::Status& status) {
  return status.GetPayload(kHiddenUrl).has_value();
}

void SetRetryAfter(absl::Status& status, std::chrono::milliseconds delay) {
  std::string bytes;
  AppendBe(bytes, static_cast<std::uint64_t>(std::max<std::int64_t>(delay.count(), 0)));
  status.SetPayload(kRetryUrl, absl::Cord(bytes));
}

std::optional<std::chrono::milliseconds> GetRetryAfter(const absl::Status& status) {
  const auto payload = status.GetPayload(kRetryUrl);
  if (!payload || payload->size() != sizeof(std::uint64_t)) return std::nullopt;
  const std::string bytes(*payload);
  return std::chrono::milliseconds(static_cast<std::int64_t>(LoadBe<std::uint64_t>(bytes.data())));
}

}  // namespace virp
