// A router that counts what a cache sends and keeps nothing: for load, where a real one would measure itself.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "lib/rtr/pdu.h"

namespace virp::virpctl {

// The router's side of one connection in one version, without the connection. Trusts the cache as far as lengths and
// types go. Not thread-safe.
class RtrCounter {
 public:
  explicit RtrCounter(std::uint8_t version) : version_(version) { rtr::AppendResetQuery(output_, version_); }

  // Aborted for what ends the session: an Error Report, a PDU of another version or an impossible length.
  absl::Status Feed(std::string_view bytes);

  // What is to be sent; the sender erases what it sent.
  std::string& output() { return output_; }

  std::uint64_t updates() const { return updates_; }  // answers that were complete
  std::uint64_t notifies() const { return notifies_; }
  std::uint64_t records() const { return records_; }  // of the newest answer that was complete
  std::uint64_t bytes() const { return bytes_; }      // in all

 private:
  absl::Status One(const rtr::Header& header, std::string_view pdu);
  void Ask();

  const std::uint8_t version_;
  std::string output_, rest_;  // rest_: a PDU that is not whole yet
  std::uint16_t session_ = 0;
  std::uint32_t serial_ = 0;
  bool awaiting_ = true, notified_ = false;
  std::uint64_t updates_ = 0, notifies_ = 0, records_ = 0, coming_ = 0, bytes_ = 0;
};

}  // namespace virp::virpctl
