// A TLS client over a socket, for tests of our TLS servers that are not gRPC.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "lib/base/file.h"
#include "lib/service/credentials.h"

namespace virp::testutil {

// A blocking TCP connection to 127.0.0.1 that gives up reading and writing after 20 s. Ends the test program when
// nobody listens.
FileDescriptor ConnectTo(int port);

// Whether the peer closes within 20 s; eats what comes before.
bool ClosedByPeer(int socket);

class TlsClient {
 public:
  // `roots`: what the server is verified against. Without `certificate` the client shows none. `max_version` 0 is the
  // newest.
  struct Options {
    std::string roots;
    std::string certificate, private_key;
    int max_version = 0;
    std::string alpn{};  // the one protocol that is offered; empty: none
  };
  // Handshakes at once; `ok` says whether it worked for this end. With TLS 1.3 the server may refuse the client's
  // certificate after that, which shows when reading.
  TlsClient(FileDescriptor socket, const Options& options);
  ~TlsClient();

  bool ok() const { return ok_; }
  const std::string& error() const { return error_; }
  bool Write(std::string_view bytes);
  // What has come; empty when nothing came within the socket's time limit, nothing when the line is closed.
  std::optional<std::string> ReadSome();
  // The serial number of the server's certificate, as crypto::CertificateInfo has it.
  std::string ServerSerial() const;
  void Close();  // with a goodbye
  int socket() const { return socket_.get(); }

 private:
  struct Impl;
  FileDescriptor socket_;
  std::unique_ptr<Impl> impl_;
  bool ok_ = false;
  std::string error_;
};

}  // namespace virp::testutil
