#include "lib/service/wire.h"

#include <algorithm>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/crypto/sha256.h"

namespace virp::service {
namespace {

constexpr std::uint64_t kNanosPerSecond = 1'000'000'000;
constexpr std::int64_t kMaxSeconds = 9'000'000'000;  // fits 64 bits of nanoseconds
constexpr std::size_t kFilterHash = 8;
constexpr char kTokenVersion = 1;
constexpr std::size_t kDefaultPage = 100;
constexpr std::size_t kMaxPage = 1'000;

}  // namespace

google::protobuf::Timestamp TimestampOf(UnixNanos nanos) {
  google::protobuf::Timestamp time;
  time.set_seconds(static_cast<std::int64_t>(nanos / kNanosPerSecond));
  time.set_nanos(static_cast<std::int32_t>(nanos % kNanosPerSecond));
  return time;
}

absl::StatusOr<UnixNanos> NanosOf(const google::protobuf::Timestamp& time, std::string_view field) {
  const bool fits = time.seconds() >= 0 && time.seconds() <= kMaxSeconds && time.nanos() >= 0 &&
                    time.nanos() < static_cast<std::int64_t>(kNanosPerSecond);
  if (!fits) return InvalidField(field, "is not a time between 1970 and 2255");
  return static_cast<UnixNanos>(time.seconds()) * kNanosPerSecond + static_cast<UnixNanos>(time.nanos());
}

absl::StatusOr<std::size_t> PageSizeOf(std::int32_t asked) {
  if (asked < 0) return InvalidField("page_size", "is negative; 0 asks for the default");
  return asked == 0 ? kDefaultPage : std::min(static_cast<std::size_t>(asked), kMaxPage);
}

std::string MakePageToken(std::string_view cursor, std::string_view filter) {
  std::string bytes(1, kTokenVersion);
  const Hash hash = crypto::Sha256(filter);
  bytes.append(View(hash).substr(0, kFilterHash));
  bytes.append(cursor);
  return Base64Encode(bytes);
}

absl::StatusOr<std::string> ReadPageToken(std::string_view token, std::string_view filter) {
  if (token.empty()) return std::string();
  const auto bytes = Base64Decode(token);
  const Hash hash = crypto::Sha256(filter);
  const bool ours = bytes.ok() && bytes->size() > kFilterHash + 1 && bytes->front() == kTokenVersion &&
                    std::string_view(*bytes).substr(1, kFilterHash) == View(hash).substr(0, kFilterHash);
  if (!ours) return InvalidField("page_token", "is not one of ours for this filter; start without a token");
  return bytes->substr(1 + kFilterHash);
}

}  // namespace virp::service
