#include "lib/base/error_info.h"

namespace virp {
namespace {

constexpr const char* kPayloadUrl = "virp/reason";

}  // namespace

void SetReason(absl::Status& status, std::string_view reason) {
  if (status.ok()) return;
  status.SetPayload(kPayloadUrl, absl::Cord(absl::string_view(reason.data(), reason.size())));
}

std::string GetReason(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayloadUrl);
  return payload.has_value() ? std::string(*payload) : std::string();
}

}  // namespace virp
