// Ways around, tried on the module inside a real bgpd. docs/bypass.md lists them.
#pragma once

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>

#include "lib/base/file.h"
#include "lib/frame/stream.h"
#include "tests/live/frr_module_fixture.h"

namespace virp::e2e {

class BypassTest : public FrrModuleNativeTest {
 protected:
  static constexpr const char* kOtherSource = "edge-b.bgpd";

  BypassTest() {
    site_.AddKey(kOtherSource, frame::Suite::kHmacSha256);
    chain_options_.builds = expected_;
  }

  std::uint64_t BuildChanges() {
    return chain_->Read([](const onode::ChainState& state) { return state.facts.build_changes(); });
  }

  std::string KeyOf(const std::string& source) const { return fmt::format("{}/keys/{}/1.hmac", dir_, source); }

  // edge-b is a router of its own, with a source that may speak about it.
  void RegisterOther() {
    testutil::LabSource source{
        .name = kOtherSource, .vantage = source::v1::VANTAGE_DAEMON, .types = {1, 2, 3, 4, 22, 24}};
    source.router = "edge-b";
    source.bgp_id = "192.0.2.2";
    ASSERT_EQ(onode_->Register(source).name(), kOtherSource);
  }

  // What the module sends, taken in a collector's place until a payload of that type has `last` in it.
  std::vector<std::string> Record(std::uint32_t type, const std::string& last) {
    ::unlink(socket_.c_str());
    const FileDescriptor listening = Unix(
        [](int at, const sockaddr* to, socklen_t size) { return ::bind(at, to, size) == 0 && ::listen(at, 4) == 0; });
    EXPECT_EQ(::chmod(socket_.c_str(), 0660), 0);
    FileDescriptor connection;
    frame::FrameSplitter splitter(frame::Spelling::kV2);
    std::vector<std::string> frames;
    const bool came = WaitUntil(kPatience, [&] {
      if (!connection) connection = FileDescriptor(::accept4(listening.get(), nullptr, nullptr, SOCK_NONBLOCK));
      char buffer[16 << 10];
      const ssize_t got = connection ? ::recv(connection.get(), buffer, sizeof(buffer), 0) : -1;
      if (got <= 0) return false;
      splitter.Add({buffer, static_cast<std::size_t>(got)}, {});
      while (true) {
        const auto next = splitter.Next({});
        EXPECT_TRUE(next.ok()) << next.status();
        if (!next.ok() || !*next) return false;
        frames.emplace_back((*next)->bytes);
        if (static_cast<std::uint32_t>((*next)->header.type) == type &&
            (*next)->payload.find(last) != std::string_view::npos)
          return true;
      }
    });
    EXPECT_TRUE(came) << Status();
    ::unlink(socket_.c_str());
    return frames;
  }

  // Whoever can reach the collector's socket.
  FileDescriptor Stranger() {
    return Unix([](int at, const sockaddr* to, socklen_t size) { return ::connect(at, to, size) == 0; });
  }
  static bool Send(const FileDescriptor& to, std::string_view bytes) {
    return ::send(to.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  }
  static bool Closed(const FileDescriptor& at) {
    return WaitUntil(kPatience, [&] {
      char byte = 0;
      const ssize_t got = ::recv(at.get(), &byte, 1, MSG_DONTWAIT);
      return got == 0 || (got < 0 && errno != EAGAIN);
    });
  }
  std::uint64_t EndedBy(std::string_view reason) { return listener_->counters().ended_by.count(reason); }

  // The causes of alarms in the chain about that source, the collector's included.
  std::vector<std::string> Alarms(std::string_view about = kSource) {
    EXPECT_OK(forgeries_.Emit(*outbox_, clock_.NowNanos()));
    Beat();
    const auto stub = verify::v1::VerifyService::NewStub(pki_.Channel(*server_, Role::kReader));
    verify::v1::ListObservationsRequest request;
    request.mutable_filter()->add_types(23);
    verify::v1::ListObservationsResponse response;
    grpc::ClientContext context;
    const grpc::Status status = stub->ListObservations(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    frame::PayloadReader reader;
    std::vector<std::string> causes;
    for (const auto& entry : response.observations()) {
      const auto payload = reader.Read(entry.payload());
      EXPECT_OK(payload);
      const auto alarm = chain::ParseAlarm(*payload);
      EXPECT_OK(alarm);
      if (alarm->source == about) causes.push_back(alarm->cause);
    }
    return causes;
  }

  const std::shared_ptr<onode::ExpectedBuilds> expected_ = std::make_shared<onode::ExpectedBuilds>();

 private:
  template <typename F>
  FileDescriptor Unix(F&& open) {
    FileDescriptor out(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    socket_.copy(to.sun_path, sizeof(to.sun_path) - 1);
    EXPECT_TRUE(open(out.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to))) << std::strerror(errno);
    return out;
  }
};

}  // namespace virp::e2e
