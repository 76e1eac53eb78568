#include "services/rtr-bridge/transport/ssh_front.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/status.h"

namespace virp::rtr_bridge {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr char kNewKeys = 21;          // RFC 4253 section 12
constexpr std::size_t kUpToType = 6;   // packet_length (4), padding_length, then the payload's first octet
constexpr std::size_t kPiece = 16384;  // that is moved at once

bool WouldBlock() {
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

std::size_t Unread(int fd) {
  int waiting = 0;
  return ::ioctl(fd, FIONREAD, &waiting) == 0 && waiting > 0 ? static_cast<std::size_t>(waiting) : 0;
}

}  // namespace

SshFront::SshFront(FileDescriptor router, FileDescriptor ours, FileDescriptor end)
    : router_(std::move(router)), ours_(std::move(ours)), end_(std::move(end)), libssh_(end_.get()) {}

absl::StatusOr<SshFront> SshFront::Make(FileDescriptor router) {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair.data()) != 0)
    return ErrnoStatus(errno, "no socket pair for", "an SSH key exchange");
  return SshFront(std::move(router), FileDescriptor(pair[0]), FileDescriptor(pair[1]));
}

// Whole packets go on their way, up to NEWKEYS: behind it all is encrypted.
void SshFront::Sort() {
  if (waits_) return;
  std::size_t done = 0;
  if (!named_) {
    const std::size_t line = unsorted_.find('\n');
    if (line == std::string::npos) return;
    named_ = true;
    done = line + 1;
  }
  while (unsorted_.size() - done >= kUpToType) {
    const char* const packet = unsorted_.data() + done;
    if (packet[kUpToType - 1] == kNewKeys) {
      waits_ = true;
      waits_until_ = steady_clock::now() + kMaxWait;
      break;
    }
    const std::size_t size = std::size_t{4} + LoadBe<std::uint32_t>(packet);
    if (unsorted_.size() - done < size) break;
    done += size;
  }
  to_router_.append(unsorted_, 0, done);
  unsorted_.erase(0, done);
}

void SshFront::Release() {
  released_ = true;
  to_router_ += std::exchange(unsorted_, {});
}

milliseconds SshFront::Until(milliseconds wait) const {
  if (!waits_ || released_) return wait;
  const auto left = std::chrono::ceil<milliseconds>(waits_until_ - steady_clock::now());
  return std::clamp(left, milliseconds(0), wait);
}

absl::Status SshFront::Relay(milliseconds wait, bool reads) {
  reads = reads && all_read();  // what libssh has not read yet is not added to
  std::array<pollfd, 2> ready{{{router_.get(), 0, 0}, {ours_.get(), POLLIN, 0}}};
  if (reads) ready[0].events |= POLLIN;
  if (!to_router_.empty()) ready[0].events |= POLLOUT;
  ::poll(ready.data(), ready.size(), static_cast<int>(Until(wait).count()));

  std::array<char, kPiece> piece;
  const ssize_t said = ::recv(ours_.get(), piece.data(), piece.size(), MSG_DONTWAIT);
  if (said > 0) unsorted_.append(piece.data(), static_cast<std::size_t>(said));
  Sort();
  if (released_ || (waits_ && steady_clock::now() >= waits_until_)) Release();
  if (!to_router_.empty()) {
    const ssize_t sent = ::send(router_.get(), to_router_.data(), to_router_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && !WouldBlock()) return ErrnoStatus(errno, "send to", "an SSH router");
    if (sent > 0) to_router_.erase(0, static_cast<std::size_t>(sent));
  }
  if (!reads) return absl::OkStatus();
  const ssize_t got = ::recv(router_.get(), piece.data(), piece.size(), MSG_DONTWAIT);
  if (got == 0) return Unavailable("the router closed during the key exchange");
  if (got < 0) return WouldBlock() ? absl::OkStatus() : ErrnoStatus(errno, "receive from", "an SSH router");
  // The pair's buffer is empty, and larger than a piece.
  if (::send(ours_.get(), piece.data(), static_cast<std::size_t>(got), MSG_DONTWAIT | MSG_NOSIGNAL) != got)
    return Unavailable("libssh takes no more of the key exchange");
  return absl::OkStatus();
}

bool SshFront::empty() const {
  return to_router_.empty() && unsorted_.empty() && Unread(ours_.get()) == 0;
}

bool SshFront::all_read() const {
  return Unread(libssh_) == 0;
}

absl::Status SshFront::StepAside(int end) {
  if (::dup3(router_.get(), end, O_CLOEXEC) < 0) return ErrnoStatus(errno, "cannot pass on", "an SSH router's socket");
  router_.Reset();
  ours_.Reset();
  return absl::OkStatus();
}

}  // namespace virp::rtr_bridge
