#include "tools/virpctl/rtr_client.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <utility>

#include "lib/base/status.h"

namespace virp::virpctl {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kStopCheck{200};

rtr::ClientSessionOptions SessionOptions(const RtrClientOptions& options) {
  rtr::ClientSessionOptions session = options.session;
  session.version = options.access.max_version;
  session.min_version = options.access.min_version;
  return session;
}

}  // namespace

RtrClient::RtrClient(RtrClientOptions options)
    : options_(std::move(options)),
      session_(SessionOptions(options_)),
      buffer_(std::make_unique<std::array<char, 256 << 10>>()) {}

void RtrClient::Close() {
  if (link_ == nullptr) return;
  link_.reset();
  session_.Disconnected(steady_clock::now());
}

absl::Status RtrClient::Connect(Deadline deadline) {
  const Deadline until = std::min(deadline, steady_clock::now() + options_.timeout);
  ASSIGN_OR_RETURN(link_, OpenRtrLink(options_.place, options_.access, until));
  session_.Connected(steady_clock::now());
  return absl::OkStatus();
}

absl::Status RtrClient::Refresh(const std::stop_token& stop) {
  const Deadline deadline = steady_clock::now() + options_.patience;
  bool kept = link_ != nullptr;
  if (kept) session_.Query(false, steady_clock::now());
  // Caches that do not know a version report an error, or close without a word; a connection that was kept may be gone.
  const int attempts = options_.access.max_version - options_.access.min_version + 1 + (kept ? 1 : 0);
  absl::Status last;
  for (int attempt = 0; attempt < attempts; ++attempt) {
    if (link_ == nullptr) {
      const absl::Status connected = Connect(deadline);
      if (!connected.ok()) return last.ok() ? connected : last;
    }
    last = Answer(deadline, stop);
    if (last.ok()) return last;
    const bool agreed = session_.state().version.has_value();
    const bool again = last.code() == absl::StatusCode::kUnavailable && (kept || (!session_.closing() && !agreed));
    kept = false;
    Close();
    if (!again) return last;
  }
  return last;
}

absl::Status RtrClient::Send() {
  std::array<std::string_view, 1> piece;
  while (session_.Peek(piece) > 0) {
    ASSIGN_OR_RETURN(const auto sent, link_->Write(piece[0]));
    if (!sent) break;
    session_.Consume(*sent);
  }
  return absl::OkStatus();
}

// One round of sending, waiting and reading.
absl::Status RtrClient::Step(Deadline deadline, Deadline& heard) {
  RETURN_IF_ERROR(CheckTime(deadline));
  const absl::Status sent = Send();
  ASSIGN_OR_RETURN(const auto got, link_->Read(*buffer_));
  if (got && *got == 0) return Unavailable("the cache closed the connection");
  if (got) {
    heard = steady_clock::now();
    session_.Feed({buffer_->data(), *got}, heard);
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(sent);  // what it said before it closed comes first
  RETURN_IF_ERROR(CheckTime(heard + options_.timeout));
  const absl::Status came =
      AwaitSocket(link_->socket(), link_->events(),
                  std::min({deadline, heard + options_.timeout, steady_clock::now() + kStopCheck}));
  return came.code() == absl::StatusCode::kDeadlineExceeded ? absl::OkStatus() : came;
}

absl::Status RtrClient::Answer(Deadline deadline, const std::stop_token& stop) {
  const std::uint64_t updates = session_.state().updates, bytes = session_.state().bytes_in;
  Deadline heard = steady_clock::now();
  while (true) {
    if (stop.stop_requested()) return absl::CancelledError("stopped");
    RETURN_IF_ERROR(Step(deadline, heard));
    const rtr::ClientSessionState& state = session_.state();
    // Also when the cache says behind it that it goes for a while.
    if (session_.idle() && state.updates != updates && state.has_data) return absl::OkStatus();
    if (session_.closing()) {
      const absl::Status said = Send();  // the Error Report, if the cache still listens
      static_cast<void>(said);
      return state.error_sent ? Aborted("{}", session_.close_reason()) : Unavailable("{}", session_.close_reason());
    }
    const bool empty = state.error_received && state.error_received->code == 2 && session_.idle();
    if (empty) return Unavailable("the cache has no data (error 2): {}", state.error_received->text);
    if (state.bytes_in - bytes > options_.max_bytes)
      return ResourceExhausted("the cache sends more than {} bytes for one answer", options_.max_bytes);
  }
}

}  // namespace virp::virpctl
