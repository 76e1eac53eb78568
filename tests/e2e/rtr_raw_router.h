// A router that says what a test writes down, octet by octet.
#pragma once

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/rtr/pdu.h"
#include "lib/rtr/rtr_testing.h"
#include "lib/rtr/stream.h"
#include "tests/testutil/tls_client.h"

namespace virp::rtr {

class RawRouter {
 public:
  explicit RawRouter(int port) : RawRouter(testutil::ConnectTo(port)) {}
  explicit RawRouter(FileDescriptor socket) : socket_(std::move(socket)) {
    const int on = 1;
    ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
  void Send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  // The next PDU, nothing when the connection ends or says nothing for 20 s.
  std::optional<std::string> Next() {
    while (true) {
      if (const auto header = stream_.header()) {
        if (const auto pdu = stream_.Whole(*header)) {
          std::string out(*pdu);
          stream_.Pop(*header);
          return out;
        }
      }
      std::array<char, 65'536> bytes{};
      const ssize_t got = ::recv(socket_.get(), bytes.data(), bytes.size(), 0);
      if (got <= 0) return std::nullopt;
      stream_.Push({bytes.data(), static_cast<std::size_t>(got)});
    }
  }
  // What answers a query: up to End of Data, Cache Reset or Error Report. Notifies are passed over.
  std::vector<std::string> Answer() {
    std::vector<std::string> out;
    while (const auto pdu = Next()) {
      const auto type = static_cast<PduType>(ReadHeader(*pdu).type);
      if (type == PduType::kSerialNotify) continue;
      out.push_back(*pdu);
      if (type == PduType::kEndOfData || type == PduType::kCacheReset || type == PduType::kErrorReport) break;
    }
    return out;
  }
  std::vector<std::string> Ask(const std::string& spaced_hex) {
    Send(testing::Hex(spaced_hex));
    return Answer();
  }
  bool Closed() { return !Next().has_value(); }

 private:
  FileDescriptor socket_;
  PduStream stream_;
};

inline std::string SerialQuery(int version, int session, std::uint32_t serial) {
  return fmt::format("{:02x} 01 {:04x} 0000000c {:08x}", version, session, serial);
}
inline std::string ResetQuery(int version) {
  return fmt::format("{:02x} 02 0000 00000008", version);
}

inline int SessionOf(const std::vector<std::string>& answer) {
  return answer.empty() ? -1 : ReadHeader(answer.back()).field;
}
inline std::uint32_t SerialOf(const std::vector<std::string>& answer) {
  return answer.empty() || answer.back().size() < 12 ? 0 : LoadBe<std::uint32_t>(answer.back().data() + 8);
}
// "VERSION CODE COPY" of an answer that is one Error Report.
inline std::string ErrorOf(const std::vector<std::string>& answer) {
  Body body;
  if (answer.size() != 1 || Decode(answer[0], body) || !std::holds_alternative<ErrorReport>(body)) return "no error";
  const auto& report = std::get<ErrorReport>(body);
  return fmt::format("{} {} {}", ReadHeader(answer[0]).version, report.code, HexEncode(report.pdu));
}
inline std::string Error(int version, int code, const std::string& spaced_hex) {
  return fmt::format("{} {} {}", version, code, HexEncode(testing::Hex(spaced_hex)));
}

}  // namespace virp::rtr
