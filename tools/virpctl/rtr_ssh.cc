// RTR over SSH: the subsystem rpki-rtr of a server whose key is known (RFC 8210 section 9.1). Over libssh, without
// blocking, so that a server that says nothing holds nobody longer than the deadline.
#include <libssh/libssh.h>
#include <poll.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/secret_file.h"
#include "lib/base/status.h"
#include "lib/base/text.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/rtr_link.h"

namespace virp::virpctl {
namespace {

constexpr std::size_t kMaxPassword = 1024;

struct Freed {
  void operator()(ssh_session session) const { ssh_free(session); }
  void operator()(ssh_channel channel) const { ssh_channel_free(channel); }
  void operator()(ssh_key key) const { ssh_key_free(key); }
};
using SessionPtr = std::unique_ptr<ssh_session_struct, Freed>;
using ChannelPtr = std::unique_ptr<ssh_channel_struct, Freed>;
using KeyPtr = std::unique_ptr<ssh_key_struct, Freed>;

std::string ErrorOf(ssh_session session) {
  return Printable(ssh_get_error(session));
}

class SshLink final : public RtrLink {
 public:
  SshLink(FileDescriptor socket, SessionPtr session) : socket_(std::move(socket)), session_(std::move(session)) {}
  ~SshLink() override {
    channel_.reset();
    ssh_silent_disconnect(session_.get());
  }

  absl::Status Open(const RtrPlace& place, const RtrAccess& access, Deadline deadline);

  absl::StatusOr<std::optional<std::size_t>> Read(std::span<char> buffer) override {
    const int got = ssh_channel_read_nonblocking(channel_.get(), buffer.data(),
                                                 static_cast<std::uint32_t>(buffer.size()), /*is_stderr=*/0);
    if (got > 0) return static_cast<std::size_t>(got);
    if (got == SSH_EOF || ssh_channel_is_eof(channel_.get()) != 0 || ssh_is_connected(session_.get()) == 0) return 0;
    if (got == SSH_ERROR) return Unavailable("SSH: {}", ErrorOf(session_.get()));
    return std::nullopt;
  }
  absl::StatusOr<std::optional<std::size_t>> Write(std::string_view bytes) override {
    const int sent = ssh_channel_write(channel_.get(), bytes.data(),
                                       static_cast<std::uint32_t>(std::min<std::size_t>(bytes.size(), 32'768)));
    if (sent == SSH_ERROR) return Unavailable("SSH: {}", ErrorOf(session_.get()));
    if (sent <= 0) return std::nullopt;
    return static_cast<std::size_t>(sent);
  }
  int socket() const override { return socket_.get(); }
  short events() const override { return Events(); }

 private:
  short Events() const {
    return (ssh_get_poll_flags(session_.get()) & SSH_WRITE_PENDING) != 0 ? POLLIN | POLLOUT : POLLIN;
  }
  // Repeats what libssh wants repeated (`again`), until the deadline.
  template <typename Step>
  absl::StatusOr<int> Until(Deadline deadline, int again, const Step& step) {
    while (true) {
      const int done = step();
      if (done != again) return done;
      RETURN_IF_ERROR(AwaitSocket(socket_.get(), Events(), deadline));
    }
  }
  absl::Status CheckServer(const RtrAccess& access);
  absl::Status LogIn(const RtrAccess& access, Deadline deadline);

  FileDescriptor socket_;
  SessionPtr session_;
  ChannelPtr channel_;
};

absl::StatusOr<std::string> ReadPassword(const std::string& path) {
  ASSIGN_OR_RETURN(const FileDescriptor file, OpenSecretFile(path, "SSH password file"));
  std::string text(kMaxPassword + 1, '\0');
  ASSIGN_OR_RETURN(const std::size_t size, ReadUpTo(file.get(), text.data(), text.size(), path));
  if (size > kMaxPassword) return ResourceExhausted("{}: more than {} bytes", path, kMaxPassword);
  text.resize(size);
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  if (text.empty()) return InvalidArgument("{}: holds no password", path);
  return text;
}

absl::Status SshLink::CheckServer(const RtrAccess& access) {
  if (access.insecure) return absl::OkStatus();
  const ssh_known_hosts_e known = ssh_session_is_known_server(session_.get());
  if (known == SSH_KNOWN_HOSTS_OK) return absl::OkStatus();
  if (known == SSH_KNOWN_HOSTS_ERROR) return InvalidArgument("known hosts: {}", ErrorOf(session_.get()));
  ssh_key raw = nullptr;
  std::string shown = "none";
  if (ssh_get_server_publickey(session_.get(), &raw) == SSH_OK) {
    const KeyPtr key(raw);
    char* text = nullptr;
    if (ssh_pki_export_pubkey_base64(key.get(), &text) == SSH_OK) {
      shown = std::string(ssh_key_type_to_char(ssh_key_type(key.get()))) + " " + text;
      ssh_string_free_char(text);
    }
  }
  return Unauthenticated("the server's SSH key is {} in the known hosts; it shows {}",
                         known == SSH_KNOWN_HOSTS_UNKNOWN || known == SSH_KNOWN_HOSTS_NOT_FOUND ? "not" : "another one",
                         shown);
}

absl::Status SshLink::LogIn(const RtrAccess& access, Deadline deadline) {
  int done = SSH_AUTH_ERROR;
  if (!access.ssh_key.empty()) {
    ssh_key raw = nullptr;
    if (ssh_pki_import_privkey_file(access.ssh_key.c_str(), nullptr, nullptr, nullptr, &raw) != SSH_OK)
      return InvalidArgument("{}: is no private SSH key without a passphrase", access.ssh_key);
    const KeyPtr key(raw);
    ASSIGN_OR_RETURN(done, Until(deadline, SSH_AUTH_AGAIN,
                                 [&] { return ssh_userauth_publickey(session_.get(), nullptr, key.get()); }));
  } else if (!access.ssh_password.empty()) {
    ASSIGN_OR_RETURN(const std::string password, ReadPassword(access.ssh_password));
    ASSIGN_OR_RETURN(done, Until(deadline, SSH_AUTH_AGAIN,
                                 [&] { return ssh_userauth_password(session_.get(), nullptr, password.c_str()); }));
  } else {
    ASSIGN_OR_RETURN(done, Until(deadline, SSH_AUTH_AGAIN, [&] { return ssh_userauth_none(session_.get(), nullptr); }));
    if (done == SSH_AUTH_DENIED)
      return InvalidArgument("the server wants to know who we are: give --ssh-key or --ssh-password");
  }
  if (done == SSH_AUTH_SUCCESS) return absl::OkStatus();
  if (done == SSH_AUTH_ERROR) return Unavailable("SSH: {}", ErrorOf(session_.get()));
  return Unauthenticated("the SSH server does not let us in: {}", ErrorOf(session_.get()));
}

absl::Status SshLink::Open(const RtrPlace& place, const RtrAccess& access, Deadline deadline) {
  ssh_session session = session_.get();
  const auto port = static_cast<unsigned>(place.address.port);
  const int fd = socket_.get();
  bool set = ssh_options_set(session, SSH_OPTIONS_HOST, place.address.host.c_str()) == SSH_OK &&
             ssh_options_set(session, SSH_OPTIONS_PORT, &port) == SSH_OK &&
             ssh_options_set(session, SSH_OPTIONS_USER, place.user.c_str()) == SSH_OK &&
             ssh_options_set(session, SSH_OPTIONS_FD, &fd) == SSH_OK;
  const bool off = false;
  set = set && ssh_options_set(session, SSH_OPTIONS_PROCESS_CONFIG, &off) == SSH_OK;
  for (const ssh_options_e hosts : {SSH_OPTIONS_KNOWNHOSTS, SSH_OPTIONS_GLOBAL_KNOWNHOSTS}) {
    if (!access.known_hosts.empty()) set = set && ssh_options_set(session, hosts, access.known_hosts.c_str()) == SSH_OK;
  }
  if (!set) return InvalidArgument("SSH: {}", ErrorOf(session));
  ssh_set_blocking(session, 0);
  ASSIGN_OR_RETURN(int done, Until(deadline, SSH_AGAIN, [&] { return ssh_connect(session); }));
  if (done != SSH_OK) return Unavailable("SSH: {}", ErrorOf(session));
  RETURN_IF_ERROR(CheckServer(access));
  RETURN_IF_ERROR(LogIn(access, deadline));
  channel_.reset(ssh_channel_new(session));
  if (channel_ == nullptr) return ResourceExhausted("libssh gives no channel");
  ASSIGN_OR_RETURN(done, Until(deadline, SSH_AGAIN, [&] { return ssh_channel_open_session(channel_.get()); }));
  if (done == SSH_OK) {
    ASSIGN_OR_RETURN(
        done, Until(deadline, SSH_AGAIN, [&] { return ssh_channel_request_subsystem(channel_.get(), "rpki-rtr"); }));
  }
  if (done != SSH_OK) return Unavailable("SSH: no subsystem rpki-rtr: {}", ErrorOf(session));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<RtrLink>> OpenSshLink(FileDescriptor socket, const RtrPlace& place,
                                                     const RtrAccess& access, Deadline deadline) {
  SessionPtr session(ssh_new());
  if (session == nullptr) return ResourceExhausted("libssh gives no session");
  auto link = std::make_unique<SshLink>(std::move(socket), std::move(session));
  RETURN_IF_ERROR(link->Open(place, access, deadline));
  return link;
}

}  // namespace virp::virpctl
