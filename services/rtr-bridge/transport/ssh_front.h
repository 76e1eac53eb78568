// Stands between a router and libssh during the key exchange. libssh 0.10 as a server says which signatures it takes
// (EXT_INFO, RFC 8308) only once it has the client's NEWKEYS; the same libssh as a client (BIRD, rtrlib) asks for that
// list as soon as it has the server's NEWKEYS, and without it tries no RSA key. So the server's NEWKEYS waits here for
// what comes behind it. RFC 4253 section 7.3 lets either side send its own first.
#pragma once

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/file.h"

namespace virp::rtr_bridge {

// Belongs to one thread.
class SshFront {
 public:
  // Longer than this NEWKEYS does not wait: a client may want it before it sends its own.
  static constexpr std::chrono::milliseconds kMaxWait{200};

  // Takes the router's socket over.
  static absl::StatusOr<SshFront> Make(FileDescriptor router);

  // libssh's end of the pair, for it to own; once.
  int TakeEnd() { return end_.Release(); }
  // Moves what is there, after waiting up to `wait` for something. `reads`: from the router, too; only then an end of
  // its connection is noticed. Unavailable when it is gone.
  absl::Status Relay(std::chrono::milliseconds wait, bool reads);
  // NEWKEYS waits no longer.
  void Release();
  // Whether all that libssh wrote is with the router.
  bool empty() const;
  // Whether libssh has read all that came.
  bool all_read() const;
  // From here on `end`, as TakeEnd gave it, is the router's socket itself.
  absl::Status StepAside(int end);

 private:
  SshFront(FileDescriptor router, FileDescriptor ours, FileDescriptor end);
  void Sort();
  std::chrono::milliseconds Until(std::chrono::milliseconds wait) const;

  FileDescriptor router_, ours_, end_;
  int libssh_ = -1;        // end_'s number
  std::string unsorted_;   // of libssh: a packet that is not whole, or what waits
  std::string to_router_;  // on its way
  bool named_ = false;     // libssh's version line is over
  bool waits_ = false, released_ = false;
  std::chrono::steady_clock::time_point waits_until_{};
};

}  // namespace virp::rtr_bridge
