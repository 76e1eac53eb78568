#include "services/rtr-bridge/transport/ssh_pump.h"

#include <libssh/callbacks.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/status.h"
#include "lib/crypto/sha256.h"
#include "services/rtr-bridge/transport/ssh_front.h"
#include "services/rtr-bridge/transport/stall_watch.h"

namespace virp::rtr_bridge {
namespace {

using std::chrono::steady_clock;

constexpr std::string_view kSubsystem = "rpki-rtr";
constexpr int kTickMs = 250;
// For the router's close after ours: libssh as a client throws away what it has not handed on when the end comes with
// it.
constexpr std::chrono::milliseconds kLinger{1'000};
constexpr std::size_t kPacket = 32 << 10;  // what OpenSSH's packets carry at most
// BIRD reads at most 4,096 octets each time its socket is readable, and libssh as a client takes as much from the
// socket at once: what it decrypted beyond that BIRD does not see until more comes. So a burst to libssh ends in
// packets so small that what such a piece holds fits BIRD's buffer, over more than one piece.
constexpr std::size_t kSmallPacket = 256, kSmallTail = 8 << 10;
constexpr std::string_view kLibssh = "SSH-2.0-libssh";
constexpr std::size_t kMaxUser = 64;
// The fastest of the sound ones first; what the client prefers decides.
constexpr const char* kCiphers =
    "aes256-gcm@openssh.com,aes128-gcm@openssh.com,chacha20-poly1305@openssh.com,aes256-ctr,aes128-ctr";
constexpr const char* kMacs = "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512";
// The last two for routers that know nothing newer.
constexpr const char* kKeyExchanges =
    "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521,"
    "diffie-hellman-group16-sha512,diffie-hellman-group14-sha256";

struct SessionFree {
  void operator()(ssh_session session) const { ::ssh_free(session); }
};
struct EventFree {
  void operator()(ssh_event event) const { ::ssh_event_free(event); }
};

std::string Fingerprint(std::string_view blob) {
  std::string text = Base64Encode(View(crypto::Sha256(blob)));
  while (text.ends_with('=')) text.pop_back();
  return "SHA256:" + text;
}

// The key as it crosses the wire; empty when libssh cannot say.
std::string BlobOf(ssh_key key) {
  char* base64 = nullptr;
  if (::ssh_pki_export_pubkey_base64(key, &base64) != SSH_OK) return "";
  const auto blob = Base64Decode(base64);
  ::ssh_string_free_char(base64);
  return blob.value_or("");
}

bool IsPlainName(std::string_view user) {
  return !user.empty() && user.size() <= kMaxUser &&
         std::all_of(user.begin(), user.end(), [](char c) { return c > ' ' && c < 127 && c != '/'; });
}

}  // namespace

struct SshPump::Impl {
  SshPumpOptions options;
  std::unique_ptr<ssh_session_struct, SessionFree> session;
  std::unique_ptr<ssh_event_struct, EventFree> event;
  ssh_channel channel = nullptr;  // the session's
  std::optional<SshFront> front;  // while keys are exchanged
  ssh_server_callbacks_struct server{};
  ssh_channel_callbacks_struct of_channel{};
  FileDescriptor ours, theirs;
  std::string identity;
  bool authenticated = false, subsystem = false;
  bool closed = false, said_all = false;  // by the router; by the bridge, whose close is on its way
  bool small_tails = false;               // the client is libssh
  int refused = 0;
  std::size_t widest = 0;  // window that the router has offered
  std::string late;        // read from the bridge, and libssh did not take it yet
  std::uint64_t forwarded = 0;
  StallWatch stall;

  absl::Status ExchangeKeys();
  absl::Status PassOnSocket();
  absl::Status MayGoOn(std::string_view what) const;
  int Refuse() {
    ++refused;
    return SSH_AUTH_DENIED;
  }
  bool MayTry(std::string_view user) const { return refused < options.max_attempts && IsPlainName(user); }
  int CheckKey(std::string_view user, ssh_key key, char state);
  int CheckPassword(std::string_view user, const char* password);
  std::size_t TakeData(const char* bytes, std::size_t size);
  absl::Status Forward();
  absl::Status ForwardLate();
  bool Stalled(steady_clock::time_point now);
  bool MayWrite();
  bool BridgeHungUp() const;
  std::size_t NextPacket() const;
  void SetCallbacks();
  void SetChannelCallbacks();
  bool gone() const { return closed || (::ssh_get_status(session.get()) & (SSH_CLOSED | SSH_CLOSED_ERROR)) != 0; }
};

namespace {

template <typename Impl>
Impl& Of(void* data) {
  return *static_cast<Impl*>(data);
}

}  // namespace

absl::StatusOr<SshBindPtr> OpenSshBind(const std::vector<std::string>& host_keys) {
  if (host_keys.empty()) return InvalidArgument("SSH needs a host key");
  SshBindPtr bind(::ssh_bind_new());
  if (bind == nullptr) return ResourceExhausted("libssh has no memory");
  bool process_config = false;  // no system-wide file changes what we offer
  const bool set = ::ssh_bind_options_set(bind.get(), SSH_BIND_OPTIONS_PROCESS_CONFIG, &process_config) == SSH_OK &&
                   ::ssh_bind_options_set(bind.get(), SSH_BIND_OPTIONS_CIPHERS_C_S, kCiphers) == SSH_OK &&
                   ::ssh_bind_options_set(bind.get(), SSH_BIND_OPTIONS_CIPHERS_S_C, kCiphers) == SSH_OK &&
                   ::ssh_bind_options_set(bind.get(), SSH_BIND_OPTIONS_HMAC_C_S, kMacs) == SSH_OK &&
                   ::ssh_bind_options_set(bind.get(), SSH_BIND_OPTIONS_HMAC_S_C, kMacs) == SSH_OK &&
                   ::ssh_bind_options_set(bind.get(), SSH_BIND_OPTIONS_KEY_EXCHANGE, kKeyExchanges) == SSH_OK;
  if (!set) return Internal("libssh: {}", ::ssh_get_error(bind.get()));
  for (const std::string& path : host_keys) {
    ssh_key key = nullptr;
    if (::ssh_pki_import_privkey_file(path.c_str(), nullptr, nullptr, nullptr, &key) != SSH_OK)
      return InvalidArgument("{}: no private key that libssh reads without a passphrase", path);
    // On success the bind owns the key.
    if (::ssh_bind_options_set(bind.get(), SSH_BIND_OPTIONS_IMPORT_KEY, key) != SSH_OK) {
      ::ssh_key_free(key);
      return InvalidArgument("{}: {}", path, ::ssh_get_error(bind.get()));
    }
  }
  return bind;
}

SshPump::SshPump(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

SshPump::~SshPump() {
  if (impl_->session != nullptr && impl_->event != nullptr) {
    ::ssh_event_remove_session(impl_->event.get(), impl_->session.get());
    ::ssh_disconnect(impl_->session.get());
  }
}

absl::StatusOr<std::unique_ptr<SshPump>> SshPump::Make(ssh_bind bind, FileDescriptor socket, SshPumpOptions options) {
  auto impl = std::make_unique<Impl>();
  impl->options = std::move(options);
  impl->session.reset(::ssh_new());
  impl->event.reset(::ssh_event_new());
  if (impl->session == nullptr || impl->event == nullptr) return ResourceExhausted("libssh has no memory");
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair.data()) != 0)
    return ErrnoStatus(errno, "no socket pair for", "an SSH connection");
  impl->ours.Reset(pair[0]);
  impl->theirs.Reset(pair[1]);
  ASSIGN_OR_RETURN(impl->front, SshFront::Make(std::move(socket)));
  FileDescriptor end(impl->front->TakeEnd());
  if (::ssh_bind_accept_fd(bind, impl->session.get(), end.get()) != SSH_OK)
    return Unavailable("libssh: {}", ::ssh_get_error(bind));
  end.Release();  // the session's now
  ::ssh_set_blocking(impl->session.get(), 0);
  impl->SetCallbacks();
  return std::unique_ptr<SshPump>(new SshPump(std::move(impl)));
}

FileDescriptor SshPump::TakeSocket() {
  return std::move(impl_->theirs);
}
const std::string& SshPump::identity() const {
  return impl_->identity;
}
int SshPump::refused() const {
  return impl_->refused;
}

void SshPump::Impl::SetCallbacks() {
  unsigned methods = 0;
  if (options.users->any_keys()) methods |= SSH_AUTH_METHOD_PUBLICKEY;
  if (options.users->any_passwords()) methods |= SSH_AUTH_METHOD_PASSWORD;
  ::ssh_set_auth_methods(session.get(), static_cast<int>(methods));
  server.userdata = this;
  server.auth_pubkey_function = [](ssh_session, const char* user, ssh_key key, char state, void* data) {
    return Of<Impl>(data).CheckKey(user, key, state);
  };
  server.auth_password_function = [](ssh_session, const char* user, const char* password, void* data) {
    return Of<Impl>(data).CheckPassword(user, password);
  };
  server.channel_open_request_session_function = [](ssh_session of, void* data) -> ssh_channel {
    Impl& self = Of<Impl>(data);
    if (!self.authenticated || self.channel != nullptr) return nullptr;  // one channel a connection
    self.channel = ::ssh_channel_new(of);
    if (self.channel != nullptr) self.SetChannelCallbacks();
    return self.channel;
  };
  ssh_callbacks_init(&server);
  ::ssh_set_server_callbacks(session.get(), &server);
}

void SshPump::Impl::SetChannelCallbacks() {
  of_channel.userdata = this;
  of_channel.channel_subsystem_request_function = [](ssh_session, ssh_channel, const char* name, void* data) {
    const bool known = name == kSubsystem;
    if (known) Of<Impl>(data).subsystem = true;
    return known ? 0 : 1;
  };
  of_channel.channel_data_function = [](ssh_session, ssh_channel, void* bytes, std::uint32_t size, int is_stderr,
                                        void* data) -> int {
    if (is_stderr != 0) return static_cast<int>(size);
    return static_cast<int>(Of<Impl>(data).TakeData(static_cast<const char*>(bytes), size));
  };
  of_channel.channel_eof_function = [](ssh_session, ssh_channel, void* data) { Of<Impl>(data).closed = true; };
  of_channel.channel_close_function = [](ssh_session, ssh_channel, void* data) { Of<Impl>(data).closed = true; };
  ssh_callbacks_init(&of_channel);
  ::ssh_set_channel_callbacks(channel, &of_channel);
}

// The client first asks whether a key would do (`state` none), then proves that it has it.
int SshPump::Impl::CheckKey(std::string_view user, ssh_key key, char state) {
  if (!MayTry(user)) return Refuse();
  const std::string blob = BlobOf(key);
  if (blob.empty() || !options.users->KeyFits(user, blob)) return Refuse();
  if (state == SSH_PUBLICKEY_STATE_NONE) return SSH_AUTH_SUCCESS;
  if (state != SSH_PUBLICKEY_STATE_VALID) return Refuse();
  authenticated = true;
  identity = "ssh:" + std::string(user) + "/" + Fingerprint(blob);
  return SSH_AUTH_SUCCESS;
}

int SshPump::Impl::CheckPassword(std::string_view user, const char* password) {
  if (!MayTry(user) || !options.users->PasswordFits(user, password)) return Refuse();
  authenticated = true;
  identity = "ssh:" + std::string(user) + "/password";
  return SSH_AUTH_SUCCESS;
}

// Queries are a few octets: a router whose queries fill the socket pair does not read what it asked for.
std::size_t SshPump::Impl::TakeData(const char* bytes, std::size_t size) {
  const ssize_t sent = ::send(ours.get(), bytes, size, MSG_NOSIGNAL);
  if (sent != static_cast<ssize_t>(size)) closed = true;
  return size;
}

absl::Status SshPump::Impl::MayGoOn(std::string_view what) const {
  if (options.stop.stop_requested()) return Unavailable("the listener stops");
  if (steady_clock::now() >= options.deadline) return DeadlineExceeded("no {} in time", what);
  return absl::OkStatus();
}

absl::Status SshPump::Impl::ExchangeKeys() {
  while (true) {
    RETURN_IF_ERROR(MayGoOn("key exchange"));
    const int result = ::ssh_handle_key_exchange(session.get());
    if (result == SSH_OK) break;
    if (result == SSH_ERROR) {
      front->Release();  // it may say why
      static_cast<void>(front->Relay(std::chrono::milliseconds(0), /*reads=*/false));
      return Unauthenticated("key exchange: {}", ::ssh_get_error(session.get()));
    }
    const bool pending = (::ssh_get_poll_flags(session.get()) & SSH_WRITE_PENDING) != 0 || !front->all_read();
    RETURN_IF_ERROR(front->Relay(std::chrono::milliseconds(pending ? 0 : kTickMs), /*reads=*/true));
  }
  if (::ssh_event_add_session(event.get(), session.get()) != SSH_OK)
    return Unavailable("libssh: {}", ::ssh_get_error(session.get()));
  return PassOnSocket();
}

// Once each side has what the other said.
absl::Status SshPump::Impl::PassOnSocket() {
  front->Release();
  while (true) {
    RETURN_IF_ERROR(MayGoOn("key exchange"));
    const bool pending = (::ssh_get_poll_flags(session.get()) & SSH_WRITE_PENDING) != 0;
    if (!pending && front->all_read() && front->empty()) break;
    if ((pending || !front->all_read()) && ::ssh_event_dopoll(event.get(), 0) == SSH_ERROR)
      return Unavailable("libssh: {}", ::ssh_get_error(session.get()));
    RETURN_IF_ERROR(front->Relay(std::chrono::milliseconds(front->empty() ? 0 : kTickMs), /*reads=*/false));
  }
  const char* const banner = ::ssh_get_clientbanner(session.get());
  small_tails = banner != nullptr && std::string_view(banner).starts_with(kLibssh);
  RETURN_IF_ERROR(front->StepAside(::ssh_get_fd(session.get())));
  front.reset();
  return absl::OkStatus();
}

absl::Status SshPump::LogIn() {
  Impl& self = *impl_;
  RETURN_IF_ERROR(self.ExchangeKeys());
  while (!self.subsystem) {
    RETURN_IF_ERROR(self.MayGoOn("login"));
    if (self.refused >= self.options.max_attempts)
      return Unauthenticated("too many keys and passwords that do not fit");
    if (::ssh_event_dopoll(self.event.get(), kTickMs) == SSH_ERROR || self.gone())
      return self.refused > 0 ? Unauthenticated("no key or password of the router fits")
                              : Unavailable("the router closed before it asked for {}", kSubsystem);
  }
  return absl::OkStatus();
}

// Not while libssh still has bytes that the socket did not take; and not in crumbs: a router that opens its window by a
// few octets at a time gets whole packets all the same.
bool SshPump::Impl::MayWrite() {
  if (!late.empty()) return false;
  if ((::ssh_get_poll_flags(session.get()) & SSH_WRITE_PENDING) != 0) return false;
  const std::size_t window = ::ssh_channel_window_size(channel);
  widest = std::max(widest, window);
  if (window >= std::min(kPacket, std::max<std::size_t>(widest / 2, 1))) return true;
  int waiting = 0;
  return window > 0 && ::ioctl(ours.get(), FIONREAD, &waiting) == 0 && waiting > 0 &&
         static_cast<std::size_t>(waiting) <= window;
}

// How many octets the next packet to the router may carry, its window apart.
std::size_t SshPump::Impl::NextPacket() const {
  if (!small_tails) return kPacket;
  int waiting = 0;
  if (::ioctl(ours.get(), FIONREAD, &waiting) != 0) return kSmallPacket;
  const auto size = static_cast<std::size_t>(std::max(waiting, 0));
  return size <= kSmallTail + kSmallPacket ? kSmallPacket : std::min(kPacket, size - kSmallTail);
}

// While keys are exchanged again, libssh takes nothing.
absl::Status SshPump::Impl::ForwardLate() {
  if (late.empty() || gone()) return absl::OkStatus();
  const int sent = ::ssh_channel_write(channel, late.data(), static_cast<std::uint32_t>(late.size()));
  if (sent < 0) return Unavailable("libssh: {}", ::ssh_get_error(session.get()));
  forwarded += static_cast<std::uint64_t>(sent);
  late.erase(0, static_cast<std::size_t>(sent));
  return absl::OkStatus();
}

// Whether the router takes nothing of what is for it: its window is closed, that of SSH or that of TCP.
bool SshPump::Impl::Stalled(steady_clock::time_point now) {
  int inside = 0, outside = 0;
  if (::ioctl(ours.get(), FIONREAD, &inside) != 0 || inside < 0) inside = 0;
  if (::ioctl(::ssh_get_fd(session.get()), SIOCOUTQ, &outside) != 0 || outside < 0) outside = 0;
  const std::uint64_t before = forwarded + late.size() + static_cast<std::uint64_t>(inside);
  const std::uint64_t waiting = late.size() + static_cast<std::uint64_t>(inside) + static_cast<std::uint64_t>(outside);
  return stall.Stalled(before, waiting, now, options.stall_timeout);
}

// What the bridge says, into the channel: as much as the router's window takes, and only while the socket keeps up.
absl::Status SshPump::Impl::Forward() {
  std::array<char, kPacket> buffer;
  RETURN_IF_ERROR(ForwardLate());
  while (!gone() && !said_all && MayWrite()) {
    const std::size_t window = ::ssh_channel_window_size(channel);
    const ssize_t got = ::recv(ours.get(), buffer.data(), std::min(window, NextPacket()), 0);
    if (got == 0) {
      said_all = true;
      ::ssh_channel_send_eof(channel);
      ::ssh_channel_close(channel);
      return absl::OkStatus();
    }
    if (got < 0) return absl::OkStatus();  // nothing now
    late.assign(buffer.data(), static_cast<std::size_t>(got));
    RETURN_IF_ERROR(ForwardLate());
  }
  return absl::OkStatus();
}

bool SshPump::Impl::BridgeHungUp() const {
  pollfd end{ours.get(), 0, 0};
  return ::poll(&end, 1, 0) > 0;
}

absl::Status SshPump::Run() {
  Impl& self = *impl_;
  std::optional<steady_clock::time_point> until;  // once the bridge has closed
  while (!self.options.stop.stop_requested() && !self.gone()) {
    RETURN_IF_ERROR(self.Forward());
    const auto now = steady_clock::now();
    if (self.Stalled(now)) return DeadlineExceeded("the router takes nothing");
    if (!until && self.BridgeHungUp()) until = now + self.options.flush_timeout;
    if (self.said_all) until = std::min(until.value_or(now + kLinger), now + kLinger);
    if (until && now >= *until) {
      if (self.said_all) break;
      return DeadlineExceeded("the router does not read");
    }
    const bool pending = (::ssh_get_poll_flags(self.session.get()) & SSH_WRITE_PENDING) != 0;
    // poll(2) tells of an end that hung up whoever asks: while the router takes nothing, nobody may ask.
    const bool may_write = !self.said_all && self.MayWrite();
    std::array<pollfd, 2> ready{
        {{::ssh_get_fd(self.session.get()), POLLIN, 0}, {may_write ? self.ours.get() : -1, POLLIN, 0}}};
    if (pending) ready[0].events |= POLLOUT;
    if (::poll(ready.data(), ready.size(), kTickMs) > 0 && ready[0].revents != 0 &&
        ::ssh_event_dopoll(self.event.get(), 0) == SSH_ERROR)
      return absl::OkStatus();  // the router is gone
  }
  ::ssh_blocking_flush(self.session.get(), kTickMs);
  return absl::OkStatus();
}

}  // namespace virp::rtr_bridge
