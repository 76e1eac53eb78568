// Who was told how soon something ends, so that nobody is told twice, and who has taken notice: one record for each
// certificate of which somebody was told.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "services/keymgr/domain/record.h"

namespace virp::keymgr {

// Somebody has a warning in hand: it is quiet until the next threshold.
struct Acknowledgement {
  int days = 0;  // threshold of the warning
  std::string by;
  std::string why;
  UnixNanos at = 0;
  bool operator==(const Acknowledgement&) const = default;
};

struct ExpiryNoticeRecord final : Record {
  static constexpr std::string_view kKind = "expiry_notice";

  std::string id;  // kind of the record that it is about, '/', its id
  UnixNanos not_after = 0;
  std::map<std::string, int> told;  // recipient: the days before the end of which it was told last
  std::optional<Acknowledgement> acknowledged;

  Row ToRow() const override;
  static absl::StatusOr<std::shared_ptr<Record>> FromRow(const Row& row);
};

}  // namespace virp::keymgr
