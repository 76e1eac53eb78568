#include "tools/virpctl/rtr_delta.h"

#include <type_traits>
#include <utility>

#include "lib/base/status.h"

namespace virp::virpctl {
namespace {

constexpr std::size_t kMaxBytes = std::size_t{512} << 20;

absl::Status Broken(const rtr::Fault& fault) {
  return Aborted("the cache breaks the protocol: {}", fault.text);
}

}  // namespace

absl::StatusOr<bool> RtrDeltaReader::Feed(std::string_view bytes) {
  bytes_ += bytes.size();
  if (bytes_ > kMaxBytes) return ResourceExhausted("the cache sends more than {} bytes for one answer", kMaxBytes);
  stream_.Push(bytes);
  while (const auto header = stream_.header()) {
    if (const auto fault = rtr::CheckLength(*header)) return Broken(*fault);
    const bool report = header->type == static_cast<std::uint8_t>(rtr::PduType::kErrorReport);
    if (const auto fault = rtr::CheckShape(*header, rtr::RulesOf(report ? 0 : version_))) return Broken(*fault);
    if (!report && header->version != version_) return Aborted("the cache answers in version {}", header->version);
    const auto pdu = stream_.Whole(*header);
    if (!pdu) break;
    ASSIGN_OR_RETURN(const bool complete, One(*pdu));
    if (complete) return true;
    stream_.Pop(*header);
  }
  return false;
}

absl::StatusOr<bool> RtrDeltaReader::One(std::string_view pdu) {
  rtr::Body body;
  if (const auto fault = rtr::Decode(pdu, body)) return Broken(*fault);
  return std::visit(
      [&](const auto& content) -> absl::StatusOr<bool> {
        using T = std::decay_t<decltype(content)>;
        if constexpr (std::is_same_v<T, rtr::SerialNotify>) {
          return false;
        } else if constexpr (std::is_same_v<T, rtr::CacheReset>) {
          return NotFound("the cache does not know that session and serial any more: it says Cache Reset");
        } else if constexpr (std::is_same_v<T, rtr::ErrorReport>) {
          return Unavailable("the cache reports error {} ({}): {}", content.code, rtr::ErrorCodeName(content.code),
                             rtr::Printable(content.text));
        } else if constexpr (std::is_same_v<T, rtr::CacheResponse>) {
          answering_ = true;
          delta_.session = content.session;
          return false;
        } else if constexpr (std::is_same_v<T, rtr::EndOfData>) {
          delta_.serial = content.serial;
          if (!answering_) return Aborted("an End of Data that ends no answer");
          return true;
        } else if constexpr (std::is_same_v<T, rtr::Ipv4Prefix> || std::is_same_v<T, rtr::Ipv6Prefix>) {
          RETURN_IF_ERROR(To(content.announce).Add(content.vrp));
          return false;
        } else if constexpr (std::is_same_v<T, rtr::RouterKey>) {
          RETURN_IF_ERROR(To(content.announce).Add(content.Value()));
          return false;
        } else if constexpr (std::is_same_v<T, rtr::Aspa>) {
          if (content.announce) {
            RETURN_IF_ERROR(announced_.Add(content.Value()));
          } else {
            gone_.push_back(content.Value());
          }
          return false;
        } else {
          return Aborted("a cache sends no queries");
        }
      },
      body);
}

RtrDelta RtrDeltaReader::Take() && {
  delta_.announced = std::move(announced_).Build().payloads;
  delta_.withdrawn = std::move(withdrawn_).Build().payloads;
  delta_.withdrawn.aspas = std::move(gone_);
  return std::move(delta_);
}

}  // namespace virp::virpctl
