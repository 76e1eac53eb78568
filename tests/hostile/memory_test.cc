// Who has a certificate and means ill: calls whose messages never end. The limit on calls does not count them, since a
// call begins with its whole message, and gRPC looks at its length when it is there. The budget of what has arrived and
// was not delivered does: lib/service/receive_budget.h.
#include "tests/hostile/http2_flood.h"
#include "tests/hostile/ports_fixture.h"

namespace virp::hostile {
namespace {

using service::Role;

class MemoryTest : public PortsTest {
 protected:
  // docs/operations: "messages on the gRPC port that do not end".
  static constexpr std::size_t kStatedMiB = 1'024;

  // Several times what is stated, or the client would be the reason that it holds.
  static constexpr std::uint64_t kEnough = 3 * kStatedMiB * kMiB;

  struct Sum {
    std::atomic<std::uint64_t> sent{0};  // bytes
    std::atomic<int> ended{0};           // connections, by the server
  };

  // Whoever is closed comes again at once.
  void Flood(FloodOptions options, Role role, int connections, Sum& sum) {
    const service::TlsFiles files = lab_->pki().Files(role, "flood");
    options.tls.roots = files.roots;
    options.tls.certificate = files.certificate;
    options.tls.private_key = files.private_key;
    options.tls.alpn = "h2";
    const auto deadline = std::chrono::steady_clock::now() + 90s;
    const auto more = [&] { return sum.sent < kEnough && std::chrono::steady_clock::now() < deadline; };
    std::vector<std::jthread> threads;
    threads.reserve(static_cast<std::size_t>(connections));
    for (int i = 0; i < connections; ++i) {
      threads.emplace_back([&] {
        while (more()) {
          Http2Flood flood(options);
          flood.Run(more, sum.sent);
          sum.ended += flood.up() ? 0 : 1;
        }
      });
    }
    threads.clear();
    std::cout << (sum.sent >> 20) << " MiB sent, " << sum.ended << " connections ended\n" << std::flush;
  }

  static FloodOptions OnTheONode() {
    FloodOptions options;
    options.port = std::stoi(lab_->onode_address().substr(lab_->onode_address().rfind(':') + 1));
    options.method = "/virp.verify.v1.VerifyService/VerifyClaim";
    return options;
  }
};

// 32 connections of 128 calls each: 16 GB, if somebody took them.
TEST_F(MemoryTest, MessagesThatNeverEndOnTheONode) {
  may_grow_[1] = kStatedMiB * kMiB;
  Sum sum;
  Flood(OnTheONode(), Role::kReader, 32, sum);
  EXPECT_GE(sum.sent, kEnough);
  EXPECT_GE(Metric(lab_->onode_admin(), "virp_onode_refused_calls_total", {"reason=\"UNREAD_MESSAGES\""}),
            sum.ended / 2);
}

TEST_F(MemoryTest, OneMessageOfGigabytesOnTheONode) {
  may_grow_[1] = kStatedMiB * kMiB;
  FloodOptions options = OnTheONode();
  options.streams = 1;
  options.message_bytes = 4'000'000'000;  // the limit is 4 MiB: gRPC says so at the end of it
  Sum sum;
  Flood(options, Role::kReader, 1, sum);
  EXPECT_GE(sum.sent, kEnough);
  EXPECT_GT(sum.ended, 0);
}

TEST_F(MemoryTest, MessagesThatNeverEndOnTheCollector) {
  may_grow_[0] = kStatedMiB * kMiB;
  FloodOptions options;
  options.port = lab_->collector_port().port();
  options.method = "/virp.collector.v1.CollectorService/Submit";
  Sum sum;
  Flood(options, Role::kProducer, 32, sum);
  EXPECT_GE(sum.sent, kEnough);
  EXPECT_GT(sum.ended, 0);
}

}  // namespace
}  // namespace virp::hostile
