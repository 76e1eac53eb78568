// That an escrowed router key is to go to a replacement (RFC 8635 section 10.4): asked for by one person, approved by
// another, taken once.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "services/keymgr/domain/record.h"

namespace virp::keymgr {

enum class EscrowState : std::uint8_t { kRequested = 1, kApproved = 2, kReleased = 3 };
std::string_view EscrowStateName(EscrowState state);

// The newest one of a key.
struct EscrowReleaseRecord final : Record {
  static constexpr std::string_view kKind = "router_escrow_release";

  std::string slot;
  std::uint32_t version = 0;
  EscrowState state = EscrowState::kRequested;
  std::string agent;      // of the replacement
  std::string recipient;  // certificate that the key is encrypted for, DER; may be empty
  std::string requested_by, approved_by;
  UnixNanos until = 0;  // then it has to be asked for again

  // Over all that an approver agrees to: key, replacement, recipient, and who is to take it. 32 bytes.
  std::string Digest() const;
  static std::string IdOf(std::string_view slot, std::uint32_t version);
  Row ToRow() const override;
  static absl::StatusOr<std::shared_ptr<Record>> FromRow(const Row& row);
};

}  // namespace virp::keymgr
