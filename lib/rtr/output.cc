#include "lib/rtr/output.h"

#include <algorithm>
#include <utility>

#include "lib/rtr/pdu.h"

namespace virp::rtr {
namespace {

constexpr std::size_t kSmall = 4096;  // own PDUs are joined up to that

}  // namespace

void OutputQueue::Append(std::string_view pdus) {
  if (pdus.empty()) return;
  appended_ += pdus.size();
  if (!segments_.empty() && segments_.back().shared == nullptr && segments_.back().own.size() < kSmall) {
    segments_.back().own.append(pdus);
    return;
  }
  segments_.push_back({.shared = nullptr, .own = std::string(pdus)});
}

void OutputQueue::Append(std::shared_ptr<const Bytes> pdus) {
  if (pdus == nullptr || pdus->view().empty()) return;
  appended_ += pdus->view().size();
  segments_.push_back({.shared = std::move(pdus), .own = {}});
}

std::vector<std::pair<const Bytes*, std::size_t>> OutputQueue::shared() const {
  std::vector<std::pair<const Bytes*, std::size_t>> out;
  for (const Segment& segment : segments_) {
    if (segment.shared != nullptr) out.emplace_back(segment.shared.get(), segment.whole().size());
  }
  return out;
}

std::size_t OutputQueue::Peek(std::span<std::string_view> pieces) const {
  const std::size_t count = std::min(pieces.size(), segments_.size());
  for (std::size_t i = 0; i < count; ++i) pieces[i] = segments_[i].rest();
  return count;
}

void OutputQueue::Consume(std::size_t bytes) {
  consumed_ += bytes;
  while (bytes > 0) {
    Segment& front = segments_.front();
    const std::size_t part = std::min(bytes, front.rest().size());
    front.start += part;
    bytes -= part;
    if (front.rest().empty()) segments_.pop_front();
  }
}

void OutputQueue::CutToPdu() {
  if (segments_.empty()) return;
  const Segment& front = segments_.front();
  const std::string_view whole = front.whole();
  std::size_t pdu = 0;
  while (pdu < front.start) pdu += ReadHeader(whole.substr(pdu)).length;
  const std::string rest(whole.substr(front.start, pdu - front.start));
  Clear();
  Append(rest);
}

void OutputQueue::Clear() {
  segments_.clear();
  appended_ = consumed_;
}

}  // namespace virp::rtr
