// What changed at a cache since a serial that the caller names, without the table that it is a change of.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/rtr/pdu.h"
#include "lib/rtr/stream.h"
#include "lib/vrp/builder.h"
#include "tools/virpctl/rtr_link.h"

namespace virp::virpctl {

struct RtrDelta {
  std::uint16_t session = 0;
  std::uint32_t serial = 0;
  vrp::Payloads announced, withdrawn;  // of an ASPA that is withdrawn only the customer counts
};

// The answer to one Serial Query, byte by byte. Not thread-safe.
class RtrDeltaReader {
 public:
  explicit RtrDeltaReader(std::uint8_t version) : version_(version) {}
  // True once the answer is complete; then Take. NotFound for a Cache Reset, Unavailable for an Error Report, Aborted
  // for what no cache may send, ResourceExhausted for more than 512 MiB.
  absl::StatusOr<bool> Feed(std::string_view bytes);
  RtrDelta Take() &&;

 private:
  absl::StatusOr<bool> One(std::string_view pdu);
  vrp::Builder& To(bool announce) { return announce ? announced_ : withdrawn_; }

  const std::uint8_t version_;
  rtr::PduStream stream_;
  std::size_t bytes_ = 0;
  bool answering_ = false;
  RtrDelta delta_;
  vrp::Builder announced_, withdrawn_;
  std::vector<vrp::Aspa> gone_;
};

}  // namespace virp::virpctl
