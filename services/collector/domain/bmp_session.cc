#include "services/collector/domain/bmp_session.h"

#include <algorithm>
#include <variant>

#include "lib/base/bytes.h"
#include "lib/base/status.h"
#include "lib/bmp/message.h"

namespace virp::collector {

BmpSession::~BmpSession() {
  if (router_ != nullptr) router_->Disconnected();
}

// Takes the Initiation off the front of `bytes`, binds the session by it, and starts the decoder with it.
absl::Status BmpSession::FeedInitiation(std::string_view& bytes) {
  const auto take = [&](std::size_t upto) {
    const std::size_t size = std::min(bytes.size(), upto > head_.size() ? upto - head_.size() : 0);
    head_.append(bytes.substr(0, size));
    bytes.remove_prefix(size);
  };
  take(bmp::kCommonHeaderSize);
  if (!head_.empty() && static_cast<std::uint8_t>(head_[0]) != bmp::kVersion) {
    return InvalidArgument("not BMP version 3: the first byte is {}", static_cast<std::uint8_t>(head_[0]));
  }
  if (head_.size() < bmp::kCommonHeaderSize) return absl::OkStatus();
  if (bmp::TypeOf(head_) != static_cast<std::uint8_t>(bmp::MessageType::kInitiation)) {
    return InvalidArgument("the first message is of type {}, not an Initiation", bmp::TypeOf(head_));
  }
  const auto size = LoadBe<std::uint32_t>(head_.data() + 1);
  if (size < bmp::kCommonHeaderSize || size > kMaxInitiation) return InvalidArgument("an Initiation of {} bytes", size);
  take(size);
  if (head_.size() < size) return absl::OkStatus();

  ASSIGN_OR_RETURN(const auto message, bmp::Decode(head_));
  const auto& initiation = std::get<bmp::Initiation>(message);
  sys_name_ = initiation.sys_name;
  ASSIGN_OR_RETURN(router_, binder_.Bind(initiation));
  bmp::SessionOptions options;
  options.max_peers = router_->options().max_peers;
  options.path_ids = router_->options().path_ids;
  decoder_.emplace(static_cast<bmp::SessionVisitor&>(*this), options);
  RETURN_IF_ERROR(decoder_->Feed(head_));
  std::string().swap(head_);
  return absl::OkStatus();
}

absl::Status BmpSession::Feed(std::string_view bytes) {
  if (!decoder_) RETURN_IF_ERROR(FeedInitiation(bytes));
  if (!decoder_ || bytes.empty()) return absl::OkStatus();
  router_->NoteBytes();
  RETURN_IF_ERROR(decoder_->Feed(bytes));
  return violation_;
}

void BmpSession::OnInitiation(const bmp::Initiation& message) {
  if (message.sys_name != sys_name_) {
    violation_ = PermissionDenied("the session of '{}' now says that it is '{}'", sys_name_, message.sys_name);
  }
}

}  // namespace virp::collector
