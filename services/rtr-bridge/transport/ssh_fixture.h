// A gateway with one user, and a client that does what a test says.
#pragma once

#include <gtest/gtest.h>
#include <libssh/libssh.h>
#include <sys/socket.h>

#include <array>
#include <condition_variable>
#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/mutex.h"
#include "lib/base/tcp.h"
#include "services/rtr-bridge/transport/ssh_gateway.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"

namespace virp::rtr_bridge::testing {

class SshClient {
 public:
  explicit SshClient(FileDescriptor socket) : socket_(socket.get()), session_(::ssh_new()) {
    ::ssh_options_set(session_, SSH_OPTIONS_HOST, "127.0.0.1");
    ::ssh_options_set(session_, SSH_OPTIONS_USER, "rpki");
    int fd = socket.Release();  // the session's from here on
    ::ssh_options_set(session_, SSH_OPTIONS_FD, &fd);
  }
  ~SshClient() {
    ::ssh_disconnect(session_);
    ::ssh_free(session_);
  }
  SshClient(const SshClient&) = delete;
  SshClient& operator=(const SshClient&) = delete;

  // Before LogIn: keys are exchanged again each time that so many octets have come or gone.
  bool RekeyEach(std::uint64_t octets) {
    return ::ssh_options_set(session_, SSH_OPTIONS_REKEY_DATA, &octets) == SSH_OK;
  }
  bool LogIn(const std::string& key_file) {
    ssh_key key = nullptr;
    if (::ssh_connect(session_) != SSH_OK ||
        ::ssh_pki_import_privkey_file(key_file.c_str(), nullptr, nullptr, nullptr, &key) != SSH_OK)
      return false;
    const bool good = ::ssh_userauth_publickey(session_, nullptr, key) == SSH_AUTH_SUCCESS;
    ::ssh_key_free(key);
    return good;
  }
  bool AskForRtr() {
    channel_ = ::ssh_channel_new(session_);  // freed with the session
    return channel_ != nullptr && ::ssh_channel_open_session(channel_) == SSH_OK &&
           ::ssh_channel_request_subsystem(channel_, "rpki-rtr") == SSH_OK;
  }
  // What comes on the wire, unread by SSH, so that the window stays as it is. False: the connection has ended.
  bool Drain() const {
    std::array<char, 65536> bytes;
    while (true) {
      const ssize_t got = ::recv(socket_, bytes.data(), bytes.size(), MSG_DONTWAIT);
      if (got <= 0) return got < 0 && (errno == EAGAIN || errno == EINTR);
    }
  }
  std::string ReadToEnd() {
    std::string all;
    std::array<char, 4096> bytes;
    for (int got = 0; (got = ::ssh_channel_read(channel_, bytes.data(), bytes.size(), 0)) > 0;)
      all.append(bytes.data(), static_cast<std::size_t>(got));
    return all;
  }

 private:
  const int socket_;
  const ssh_session session_;
  ssh_channel channel_ = nullptr;
};

class SshGatewayTest : public ::testing::Test {
 protected:
  void SetUp() override {
    MakeKey("host");
    MakeKey("client");
    ssh_key key = nullptr;
    ASSERT_EQ(::ssh_pki_import_privkey_file(dir_.File("client").c_str(), nullptr, nullptr, nullptr, &key), SSH_OK);
    char* text = nullptr;
    ASSERT_EQ(::ssh_pki_export_pubkey_base64(key, &text), SSH_OK);
    std::ofstream(dir_.File("users")) << "rpki ssh-ed25519 " << text << "\n";
    ::ssh_string_free_char(text);
    ::ssh_key_free(key);
    options_.host_keys = {dir_.File("host")};
    options_.users.keys = dir_.File("users");
    ASSERT_OK_AND_ASSIGN(listening_, ListenTcp({"127.0.0.1", 0}));
  }
  void Start() {
    ASSERT_OK_AND_ASSIGN(gateway_, SshGateway::Make(options_, [this](SshRouter router) {
                           const MutexLock lock(mutex_);
                           routers_.push_back(std::move(router));
                           came_.notify_all();
                         }));
  }
  // Connected, and taken by the gateway.
  FileDescriptor Connect() {
    const auto port = LocalPort(listening_.get());
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(static_cast<std::uint16_t>(*port));
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)), 0);
    auto accepted = AcceptTcp(listening_.get());
    EXPECT_OK(accepted.status());
    gateway_->Take(std::move(accepted->socket), accepted->address, accepted->port);
    return socket;
  }
  SshRouter NextRouter() {
    const MutexLock lock(mutex_);
    came_.wait(mutex_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !routers_.empty(); });
    SshRouter router = std::move(routers_.back());
    routers_.pop_back();
    return router;
  }

  testutil::TempDir dir_;
  SshOptions options_;
  FileDescriptor listening_;
  Mutex mutex_;
  std::condition_variable_any came_;
  std::vector<SshRouter> routers_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<SshGateway> gateway_;

 private:
  void MakeKey(const std::string& name) const {
    ssh_key key = nullptr;
    ASSERT_EQ(::ssh_pki_generate(SSH_KEYTYPE_ED25519, 0, &key), SSH_OK);
    ASSERT_EQ(::ssh_pki_export_privkey_file(key, nullptr, nullptr, nullptr, dir_.File(name).c_str()), SSH_OK);
    ::ssh_key_free(key);
  }
};

}  // namespace virp::rtr_bridge::testing
