#include "lib/service/receive_budget.h"

#include <linux/tcp.h>  // glibc's own tcp_info is too old for the bytes
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <string>
#include <utility>

namespace virp::service {

std::optional<PeerPort> ParsePeer(std::string_view text) {
  const bool v6 = text.starts_with("ipv6:");
  if (!v6 && !text.starts_with("ipv4:")) return std::nullopt;
  text.remove_prefix(5);
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  PeerPort out;
  const auto [stop, error] = std::from_chars(text.data() + colon + 1, text.data() + text.size(), out.port);
  if (error != std::errc() || stop != text.data() + text.size()) return std::nullopt;
  if (v6) {
    constexpr std::string_view kOpen = "%5B", kClose = "%5D";
    if (!host.starts_with(kOpen) || !host.ends_with(kClose)) return std::nullopt;
    host = host.substr(kOpen.size(), host.size() - kOpen.size() - kClose.size());
    host = host.substr(0, host.find('%'));  // the zone of a link-local address
  }
  const absl::StatusOr<IpAddress> address = IpAddress::Parse(host);
  if (!address.ok()) return std::nullopt;
  out.address = address->Unmapped();
  return out;
}

void ReceiveBudget::Opened(const PeerPort& peer) {
  const MutexLock lock(mutex_);
  open_[peer] = {};
}

std::uint64_t ReceiveBudget::Ended(const PeerPort& peer) {
  const MutexLock lock(mutex_);
  const auto found = open_.find(peer);
  if (found == open_.end()) return 0;
  const std::uint64_t held = found->second.held();
  left_behind_ += held;
  open_.erase(found);
  return held;
}

void ReceiveBudget::Freed(std::uint64_t bytes) {
  const MutexLock lock(mutex_);
  left_behind_ -= std::min(left_behind_, bytes);
}

bool ReceiveBudget::full() const {
  const MutexLock lock(mutex_);
  return left_behind_ > limits_.bytes / 2;
}

void ReceiveBudget::Arrived(const PeerPort& peer, std::uint64_t total) {
  const MutexLock lock(mutex_);
  if (const auto found = open_.find(peer); found != open_.end()) found->second.arrived = total;
}

void ReceiveBudget::Delivered(const PeerPort& peer, std::uint64_t bytes) {
  const MutexLock lock(mutex_);
  if (const auto found = open_.find(peer); found != open_.end()) found->second.delivered += bytes;
}

std::uint64_t ReceiveBudget::held(const PeerPort& peer) const {
  const MutexLock lock(mutex_);
  const auto found = open_.find(peer);
  return found == open_.end() ? 0 : found->second.held();
}

std::uint64_t ReceiveBudget::held() const {
  const MutexLock lock(mutex_);
  return Sum();
}

std::uint64_t ReceiveBudget::Sum() const {
  std::uint64_t sum = 0;
  for (const auto& [peer, account] : open_) sum += account.held();
  return sum;
}

std::vector<PeerPort> ReceiveBudget::Excess() const {
  const MutexLock lock(mutex_);
  std::uint64_t left = Sum();
  std::vector<PeerPort> out;
  if (left + left_behind_ <= limits_.bytes) return out;
  std::vector<std::pair<std::uint64_t, PeerPort>> by_size;
  for (const auto& [peer, account] : open_) by_size.emplace_back(account.held(), peer);
  std::sort(by_size.begin(), by_size.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  for (const auto& [held, peer] : by_size) {
    const bool too_much = left > limits_.bytes / 2 || (left + left_behind_ > limits_.bytes && held > kMessage);
    if (!too_much || held == 0) break;
    out.push_back(peer);
    left -= held;
  }
  return out;
}

std::uint64_t BytesReceived(int socket) {
  tcp_info info{};
  socklen_t size = sizeof(info);
  if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return 0;
  return info.tcpi_bytes_received;
}

std::size_t ResidentBytes() {
  std::size_t size = 0, resident = 0, shared = 0;
  std::ifstream("/proc/self/statm") >> size >> resident >> shared;
  static const auto kPage = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return resident > shared ? (resident - shared) * kPage : 0;
}

}  // namespace virp::service
