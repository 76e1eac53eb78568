// The real programs, with a good producer that goes on whatever the test does to their ports.
#pragma once

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/frame/frame.h"
#include "lib/frame/key.h"
#include "tests/testutil/must.h"
#include "tests/testutil/process.h"
#include "tests/testutil/service_lab.h"
#include "tests/testutil/wait.h"

namespace virp::hostile {

using namespace std::chrono_literals;
using testutil::ServiceLab;
using testutil::WaitUntil;

// 127.0.0.`host`, so that a test comes from as many addresses as it likes. Blocking, with time limits on both ways.
inline FileDescriptor ConnectFrom(int host, int port) {
  FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval patience{20, 0};
  const int on = 1;
  sockaddr_in from{}, to{};
  from.sin_family = to.sin_family = AF_INET;
  from.sin_addr.s_addr = htonl(0x7f000000U + static_cast<std::uint32_t>(host));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(static_cast<std::uint16_t>(port));
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  ::setsockopt(socket.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&from), sizeof(from)) != 0 ||
      ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) {
    return {};
  }
  return socket;
}

inline FileDescriptor ConnectUnix(const std::string& path) {
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  path.copy(to.sun_path, sizeof(to.sun_path) - 1);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) return {};
  return socket;
}

inline bool SendAll(const FileDescriptor& socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

// All that the peer says until it closes; nothing when it does not within the time.
inline std::optional<std::string> ReadToEnd(const FileDescriptor& socket, std::chrono::milliseconds patience = 20s) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  std::string out, buffer(16 << 10, '\0');
  while (true) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd at{socket.get(), POLLIN, 0};
    if (left <= 0ms || ::poll(&at, 1, static_cast<int>(left.count())) <= 0) return std::nullopt;
    const ssize_t got = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (got <= 0) return out;  // a reset is an end
    out.append(buffer, 0, static_cast<std::size_t>(got));
  }
}

inline bool IsOpen(const FileDescriptor& socket) {
  pollfd at{socket.get(), POLLRDHUP | POLLIN, 0};
  return ::poll(&at, 1, 0) == 0;
}

// A line of /proc/<pid>/status, in bytes.
inline std::size_t MemoryOf(pid_t pid, std::string_view line) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string word; status >> word;) {
    std::size_t kib = 0;
    if (word == std::string(line) + ":" && status >> kib) return kib << 10;
  }
  return 0;
}

// Version 2 frames of one source; each instance is an epoch of its own.
class FrameMaker {
 public:
  FrameMaker(std::string source, std::shared_ptr<const frame::OKey> key)
      : source_(std::move(source)), key_(std::move(key)) {
    header_.spelling = frame::Spelling::kV2;
    header_.type = frame::Type::kPeerStatusChanged;
    header_.suite = key_->suite();
    header_.key_version = 1;
    header_.boot_epoch = SystemClock().NowNanos();
    header_.source_id = frame::SourceIdOf(source_);
  }
  std::string Next(std::string_view payload) {
    ++header_.sequence;
    header_.timestamp = SystemClock().NowNanos();
    return Make(header_, payload);
  }
  std::string Make(const frame::Header& header, std::string_view payload) const {
    return frame::EncodeSigned(header, payload, *key_).value();
  }
  const frame::Header& header() const { return header_; }

 private:
  const std::string source_;
  const std::shared_ptr<const frame::OKey> key_;
  frame::Header header_;
};

inline constexpr const char* kNeighborUp =
    R"({"domain":"bgp","event":"peer_state_change","peer_addr":"192.0.2.2","peer_as":64501,"old_state":"OpenConfirm","new_state":"Established","router_id":"192.0.2.1"})";

// One connection for the whole test, 50 frames a second.
class SteadyProducer {
 public:
  SteadyProducer(ServiceLab& lab, FrameMaker& frames)
      : thread_([&lab, &frames, this](const std::stop_token& stop) { Run(lab, frames, stop); }) {}
  std::uint64_t Stop() {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
    return sent_;
  }
  bool cut() const { return cut_; }

 private:
  void Run(ServiceLab& lab, FrameMaker& frames, const std::stop_token& stop) {
    const FileDescriptor socket = ConnectFrom(1, lab.frame_port().port());
    while (!stop.stop_requested() && !cut_) {
      if (SendAll(socket, frames.Next(kNeighborUp)) && IsOpen(socket))
        ++sent_;
      else
        cut_ = true;
      std::this_thread::sleep_for(20ms);
    }
  }

  std::atomic<std::uint64_t> sent_{0};
  std::atomic<bool> cut_{false};
  std::jthread thread_;
};

class PortsTest : public ::testing::Test {
 protected:
  // It keeps what was freed, hundreds of megabytes, and borders around what was not: no measure of ours.
#if defined(__SANITIZE_ADDRESS__)  // GCC's
  static constexpr bool kAddressSanitizer = true;
#elif defined(__has_feature)
  static constexpr bool kAddressSanitizer = __has_feature(address_sanitizer);
#else
  static constexpr bool kAddressSanitizer = false;
#endif
  static constexpr std::size_t kMiB = std::size_t{1} << 20;
  // Collector and O-Node: what a test may make them hold beyond what they hold anyway. As it stands here: what
  // docs/threat-model.md says of strangers.
  std::array<std::size_t, 2> may_grow_{128 * kMiB, 64 * kMiB};

  // "**At most N MiB**" in the service's document, beside the facts and tables that no test here makes.
  static std::size_t StatedBound(std::string_view service) {
    const auto page = ReadFile(fmt::format("{}/docs/operations/{}.md", VIRP_SOURCE_DIR, service), kMiB);
    const std::size_t at = page.ok() ? page->find("**At most ") : std::string::npos;
    std::size_t mib = 0;
    if (at != std::string::npos) {
      for (const char c : std::string_view(*page).substr(at + 10)) {
        if (c >= '0' && c <= '9') mib = 10 * mib + static_cast<std::size_t>(c - '0');
        if (c == ' ') break;
      }
    }
    return mib * kMiB;
  }

  static void SetUpTestSuite() {
    // The programs begin with what most systems give; the test itself needs more.
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = std::min<rlim_t>(1'024, limit.rlim_max);
    ::setrlimit(RLIMIT_NOFILE, &limit);
    lab_ = new ServiceLab({.binaries = VIRP_BINARY_DIR});
    testutil::Must(lab_->Start());
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    operator_ = new std::shared_ptr<grpc::Channel>(lab_->ONodeChannel(service::Role::kOperator));
    frames_ = new FrameMaker(ServiceLab::kNative, lab_->keys().Find(ServiceLab::kNative, 1));
  }
  static void TearDownTestSuite() {
    delete operator_;
    delete frames_;
    delete lab_;
  }

  void SetUp() override {
    producer_ = std::make_unique<SteadyProducer>(*lab_, *frames_);
    pids_ = {lab_->collector().pid(), lab_->onode().pid()};
    for (std::size_t i = 0; i < 2; ++i) {
      std::ofstream("/proc/" + std::to_string(pids_[i]) + "/clear_refs") << 5;  // the peak begins anew
      before_[i] = MemoryOf(pids_[i], "VmRSS");
    }
  }
  // Whatever was done: both programs live, their memory is bounded, and the good producer lost nothing.
  void TearDown() override {
    producer_->Stop();
    EXPECT_FALSE(producer_->cut());
    EXPECT_TRUE(lab_->collector().running() && lab_->collector().pid() == pids_[0]) << lab_->collector().log();
    EXPECT_TRUE(lab_->onode().running() && lab_->onode().pid() == pids_[1]) << lab_->onode().log();
    EXPECT_TRUE(WaitUntil(20s, [] { return HeldOfGood() == frames_->header().sequence; }))
        << HeldOfGood() << " of " << frames_->header().sequence;
    for (std::size_t i = 0; i < 2; ++i) {
      const std::size_t peak = MemoryOf(pids_[i], "VmHWM");
      if (!kAddressSanitizer) {
        EXPECT_LT(peak - std::min(peak, before_[i]), may_grow_[i]) << (i == 0 ? "collector" : "O-Node");
        EXPECT_LT(peak, StatedBound(i == 0 ? "collector" : "onode"));
      }
      RecordProperty(i == 0 ? "collector_grew_kib" : "onode_grew_kib",
                     static_cast<int>((peak - std::min(peak, before_[i])) >> 10));
      std::cout << (i == 0 ? "collector" : "O-Node") << ": " << (before_[i] >> 20) << " MiB, at most " << (peak >> 20)
                << " MiB\n"
                << std::flush;
    }
  }

  // The good producer's last number that the chain holds, when nothing is missing before it.
  static std::uint64_t HeldOfGood() {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 5s);
    source::v1::GetSourceRequest request;
    source::v1::GetSourceResponse response;
    request.set_name(ServiceLab::kNative);
    const auto stub = source::v1::SourceService::NewStub(operator_channel());
    if (!stub->GetSource(&context, request, &response).ok()) return 0;
    return response.source().missing_size() == 0 && response.source().next_sequence() > 0
               ? response.source().next_sequence() - 1
               : 0;
  }
  static std::shared_ptr<grpc::Channel> operator_channel() { return *operator_; }

  static std::string Http(const testutil::ReservedPort& port, std::string_view request) {
    const FileDescriptor socket = ConnectFrom(1, port.port());
    if (!SendAll(socket, request)) return "";
    return ReadToEnd(socket).value_or("");
  }
  static std::string Get(const testutil::ReservedPort& port, std::string_view path) {
    return Http(port, fmt::format("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", path));
  }
  // A value of the collector's or the O-Node's metrics; labels as they stand in the page, in any part of the line.
  static double Metric(const testutil::ReservedPort& port, std::string_view name,
                       const std::vector<std::string>& labels = {}) {
    const std::string page = Get(port, "/metrics");
    for (std::size_t at = 0; at < page.size();) {
      const std::size_t end = std::min(page.find('\n', at), page.size());
      const std::string_view line = std::string_view(page).substr(at, end - at);
      at = end + 1;
      const bool named = line.starts_with(name) && (line.size() > name.size()) &&
                         (line[name.size()] == '{' || line[name.size()] == ' ');
      if (!named) continue;
      const bool fits =
          std::all_of(labels.begin(), labels.end(), [&](const auto& label) { return line.find(label) != line.npos; });
      if (fits) return std::strtod(std::string(line.substr(line.rfind(' ') + 1)).c_str(), nullptr);
    }
    ADD_FAILURE() << "no metric " << name;
    return -1;
  }

  static ServiceLab* lab_;
  static FrameMaker* frames_;
  static std::shared_ptr<grpc::Channel>* operator_;
  std::unique_ptr<SteadyProducer> producer_;
  std::array<pid_t, 2> pids_{};
  std::array<std::size_t, 2> before_{};
};

}  // namespace virp::hostile
