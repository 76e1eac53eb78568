#include "tools/virpctl/rtr_counter.h"

#include <variant>

#include "lib/base/status.h"

namespace virp::virpctl {
namespace {

bool IsRecord(std::uint8_t type) {
  return type == static_cast<std::uint8_t>(rtr::PduType::kIpv4Prefix) ||
         type == static_cast<std::uint8_t>(rtr::PduType::kIpv6Prefix) ||
         type == static_cast<std::uint8_t>(rtr::PduType::kRouterKey) ||
         type == static_cast<std::uint8_t>(rtr::PduType::kAspa);
}

absl::Status Broken(std::string_view what) {
  return Aborted("{}", what);
}

}  // namespace

absl::Status RtrCounter::Feed(std::string_view bytes) {
  bytes_ += bytes.size();
  if (!rest_.empty()) {
    rest_.append(bytes);
    bytes = rest_;
  }
  while (bytes.size() >= rtr::kHeaderSize) {
    const rtr::Header header = rtr::ReadHeader(bytes);
    if (const auto fault = rtr::CheckLength(header)) return Broken(fault->text);
    if (bytes.size() < header.length) break;
    if (header.version == version_ && IsRecord(header.type)) {
      ++coming_;
    } else if (absl::Status done = One(header, bytes.substr(0, header.length)); !done.ok()) {
      return done;
    }
    bytes.remove_prefix(header.length);
  }
  rest_ = std::string(bytes);
  return absl::OkStatus();
}

absl::Status RtrCounter::One(const rtr::Header& header, std::string_view pdu) {
  rtr::Body body;
  if (const auto fault = rtr::CheckShape(header, rtr::RulesOf(version_))) return Broken(fault->text);
  if (const auto fault = rtr::Decode(pdu, body)) return Broken(fault->text);
  if (const auto* const report = std::get_if<rtr::ErrorReport>(&body)) {
    return Aborted("the cache reports error {} ({}): {}", report->code, rtr::ErrorCodeName(report->code),
                   rtr::Printable(report->text));
  }
  if (header.version != version_) return Aborted("another version in the session");
  if (std::holds_alternative<rtr::SerialNotify>(body)) {
    ++notifies_;
    notified_ = true;
    if (!awaiting_) Ask();
  } else if (std::holds_alternative<rtr::CacheResponse>(body)) {
    coming_ = 0;
    notified_ = false;  // the answer has what was notified before it
  } else if (std::holds_alternative<rtr::CacheReset>(body)) {
    rtr::AppendResetQuery(output_, version_);
  } else if (const auto* const end = std::get_if<rtr::EndOfData>(&body)) {
    session_ = end->session;
    serial_ = end->serial;
    records_ = coming_;
    ++updates_;
    awaiting_ = false;
    if (notified_) Ask();
  }
  return absl::OkStatus();
}

void RtrCounter::Ask() {
  rtr::AppendSerialQuery(output_, version_, session_, serial_);
  awaiting_ = true;
  notified_ = false;
}

}  // namespace virp::virpctl
