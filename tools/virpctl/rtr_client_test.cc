// The router's side against caches that behave and caches that do not.
#include "tools/virpctl/rtr_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <functional>
#include <string>
#include <thread>

#include "lib/rtr/pdu.h"
#include "tests/testutil/status_matchers.h"
#include "tools/virpctl/rtr_delta.h"

namespace virp::virpctl {
namespace {

using namespace std::chrono_literals;
using testutil::StatusIs;

// One connection after the other; each query is given to `answer`, which says whether the connection stays.
class FakeCache {
 public:
  using Answer = std::function<bool(int fd, std::string_view query)>;

  // `after`: answers as soon as there are so many octets, whatever they are; 0: at each whole query.
  explicit FakeCache(Answer answer, std::size_t after = 0)
      : answer_(std::move(answer)), at_(after), socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&at), size), 0);
    EXPECT_EQ(::listen(socket_.get(), 8), 0);
    EXPECT_EQ(::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&at), &size), 0);
    port_ = ntohs(at.sin_port);
    thread_ = std::thread([this] { Run(); });
  }
  // Clients have closed their connections by then.
  ~FakeCache() {
    ::shutdown(socket_.get(), SHUT_RDWR);
    thread_.join();
  }

  int connections() const { return connections_; }
  RtrClientOptions options() const {
    RtrClientOptions options;
    options.place.address = {"127.0.0.1", port_};
    options.session.strict = false;
    options.timeout = 5s;
    return options;
  }

 private:
  void Run() {
    while (true) {
      const FileDescriptor peer(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!peer) return;
      ++connections_;
      std::string input;
      for (char octet = 0; ::recv(peer.get(), &octet, 1, 0) == 1;) {
        input += octet;
        const bool whole = input.size() >= 8 && input.size() >= rtr::ReadHeader(input).length;
        if (at_ > 0 ? input.size() < at_ : !whole) continue;
        if (!answer_(peer.get(), input)) break;
        input.clear();
      }
    }
  }

  const Answer answer_;
  const std::size_t at_;
  FileDescriptor socket_;
  std::uint16_t port_ = 0;
  std::atomic<int> connections_ = 0;
  std::thread thread_;
};

// False when the client is gone.
bool Send(int fd, std::string_view bytes) {
  return ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
}

constexpr vrp::Vrp4 kVrp{.address = 0xC0000200, .as = 64'500, .length = 24, .max_length = 24};

// A whole answer with one VRP.
std::string Table(std::uint8_t version, std::uint16_t session = 7, std::uint32_t serial = 3) {
  std::string out;
  rtr::AppendCacheResponse(out, version, session);
  rtr::AppendPrefix(out, version, true, kVrp);
  rtr::AppendEndOfData(out, version, session, serial, {});
  return out;
}

std::uint8_t VersionOf(std::string_view query) {
  return rtr::ReadHeader(query).version;
}

TEST(RtrClientTest, FollowsACacheOverOneConnection) {
  int asked = 0;
  FakeCache cache([&](int fd, std::string_view query) {
    if (++asked == 1) return Send(fd, Table(VersionOf(query)));
    std::string delta;
    rtr::AppendCacheResponse(delta, 2, 7);
    rtr::AppendPrefix(delta, 2, false, kVrp);
    rtr::AppendEndOfData(delta, 2, 7, 4, {});
    return Send(fd, delta);
  });
  RtrClient client(cache.options());
  ASSERT_OK(client.Refresh());
  EXPECT_EQ(client.session().table().vrps4.size(), 1U);
  EXPECT_EQ(client.session().state().version, 2);
  ASSERT_OK(client.Refresh());
  EXPECT_EQ(client.session().table().size(), 0U);
  EXPECT_EQ(client.session().state().serial, 4U);
  EXPECT_EQ(cache.connections(), 1);
  client.Close();
}

TEST(RtrClientTest, ComesDownByError4OnTheSameConnection) {
  FakeCache cache([](int fd, std::string_view query) {
    if (VersionOf(query) <= 1) return Send(fd, Table(VersionOf(query)));
    std::string error;
    rtr::AppendErrorReport(error, 1, rtr::ErrorCode::kUnsupportedVersion, query, "no");
    return Send(fd, error);
  });
  RtrClient client(cache.options());
  ASSERT_OK(client.Refresh());
  EXPECT_EQ(client.session().state().version, 1);
  EXPECT_EQ(cache.connections(), 1);
  client.Close();
}

TEST(RtrClientTest, ComesDownWhenTheCacheClosesWithoutAWord) {
  FakeCache cache([](int fd, std::string_view query) { return VersionOf(query) == 0 && Send(fd, Table(0)); });
  RtrClient client(cache.options());
  ASSERT_OK(client.Refresh());
  EXPECT_EQ(client.session().state().version, 0);
  EXPECT_EQ(cache.connections(), 3);
  client.Close();
  RtrClientOptions options = cache.options();
  options.access.min_version = 1;
  EXPECT_THAT(RtrClient(options).Refresh(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST(RtrClientTest, ConnectsAgainWhenAConnectionThatWasKeptIsGone) {
  FakeCache cache([](int fd, std::string_view query) {
    const rtr::Header header = rtr::ReadHeader(query);
    std::string answer = Table(header.version);
    if (header.type == static_cast<std::uint8_t>(rtr::PduType::kSerialQuery)) {
      answer.clear();
      rtr::AppendCacheResponse(answer, header.version, 7);
      rtr::AppendEndOfData(answer, header.version, 7, 3, {});
    }
    Send(fd, answer);
    return false;
  });
  RtrClient client(cache.options());
  ASSERT_OK(client.Refresh());
  ASSERT_OK(client.Refresh());
  EXPECT_EQ(cache.connections(), 2);
  EXPECT_FALSE(client.session().state().last_update.full);
  EXPECT_EQ(client.session().table().vrps4.size(), 1U);
}

TEST(RtrClientTest, ConnectsAgainToACacheThatHasSaidThatItGoes) {
  FakeCache cache([](int fd, std::string_view query) {
    std::string answer = Table(VersionOf(query));
    rtr::AppendErrorReport(answer, VersionOf(query), rtr::ErrorCode::kCacheRestart, "", "back soon");
    Send(fd, answer);
    return false;
  });
  RtrClient client(cache.options());
  ASSERT_OK(client.Refresh());
  ASSERT_OK(client.Refresh());
  EXPECT_EQ(cache.connections(), 2);
  EXPECT_EQ(client.session().table().size(), 1U);
}

TEST(RtrClientTest, GarbageEndsIt) {
  FakeCache cache([](int fd, std::string_view) { return Send(fd, "HTTP/1.1 400 Bad Request\r\n\r\n"); });
  EXPECT_THAT(RtrClient(cache.options()).Refresh(), StatusIs(absl::StatusCode::kAborted));
}

TEST(RtrClientTest, AWrongSessionEndsIt) {
  FakeCache cache([](int fd, std::string_view query) {
    const bool full = rtr::ReadHeader(query).type == static_cast<std::uint8_t>(rtr::PduType::kResetQuery);
    return Send(fd, Table(2, full ? 7 : 8));
  });
  RtrClient client(cache.options());
  ASSERT_OK(client.Refresh());
  EXPECT_THAT(client.Refresh(), StatusIs(absl::StatusCode::kAborted));
}

TEST(RtrClientTest, NoDataIsSaid) {
  FakeCache cache([](int fd, std::string_view query) {
    std::string error;
    rtr::AppendErrorReport(error, 2, rtr::ErrorCode::kNoDataAvailable, query, "later");
    return Send(fd, error);
  });
  EXPECT_THAT(RtrClient(cache.options()).Refresh(),
              StatusIs(absl::StatusCode::kUnavailable, testing::HasSubstr("no data (error 2): later")));
}

TEST(RtrClientTest, ASilentCacheIsGivenUp) {
  FakeCache cache([](int, std::string_view) { return true; });
  RtrClientOptions options = cache.options();
  options.timeout = 50ms;
  EXPECT_THAT(RtrClient(options).Refresh(), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST(RtrClientTest, ASilentServerOfTlsOrSshIsGivenUp) {
  for (const RtrPlace::Kind kind : {RtrPlace::Kind::kTls, RtrPlace::Kind::kSsh}) {
    FakeCache cache([](int, std::string_view) { return true; });
    RtrClientOptions options = cache.options();
    options.place.kind = kind;
    options.access.insecure = true;
    options.timeout = 50ms;
    EXPECT_THAT(RtrClient(options).Refresh(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  }
}

TEST(RtrClientTest, GarbageInsteadOfTlsOrSshIsRefused) {
  for (const RtrPlace::Kind kind : {RtrPlace::Kind::kTls, RtrPlace::Kind::kSsh}) {
    FakeCache cache(
        [](int fd, std::string_view) {
          Send(fd, std::string(10'000, 'x'));
          return false;
        },
        1);
    RtrClientOptions options = cache.options();
    options.place.kind = kind;
    options.access.insecure = true;
    const absl::Status refused = RtrClient(options).Refresh();
    EXPECT_FALSE(refused.ok());
    EXPECT_NE(refused.code(), absl::StatusCode::kDeadlineExceeded);
  }
}

TEST(RtrClientTest, OneThatTalksOfOtherThingsIsGivenUp) {
  FakeCache cache([](int fd, std::string_view) {
    std::string notify;
    rtr::AppendSerialNotify(notify, 2, 7, 3);
    while (Send(fd, notify)) {
    }
    return false;
  });
  RtrClientOptions options = cache.options();
  options.patience = 100ms;
  EXPECT_THAT(RtrClient(options).Refresh(), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST(RtrClientTest, AnEndlessTableIsGivenUp) {
  FakeCache cache([](int fd, std::string_view) {
    std::string table;
    rtr::AppendCacheResponse(table, 2, 7);
    while (Send(fd, table)) {
      table.clear();
      for (int i = 0; i < 1'000; ++i) rtr::AppendPrefix(table, 2, true, kVrp);
    }
    return false;
  });
  RtrClientOptions options = cache.options();
  options.max_bytes = 1 << 20;
  EXPECT_THAT(RtrClient(options).Refresh(), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(RtrClientTest, DuplicatesAreTakenUnlessItIsStrict) {
  FakeCache cache([](int fd, std::string_view) {
    std::string table;
    rtr::AppendCacheResponse(table, 2, 7);
    for (int i = 0; i < 2; ++i) rtr::AppendPrefix(table, 2, true, kVrp);
    rtr::AppendEndOfData(table, 2, 7, 3, {});
    return Send(fd, table);
  });
  RtrClient client(cache.options());
  ASSERT_OK(client.Refresh());
  EXPECT_EQ(client.session().table().size(), 1U);
  client.Close();
  RtrClientOptions options = cache.options();
  options.session.strict = true;
  EXPECT_THAT(RtrClient(options).Refresh(),
              StatusIs(absl::StatusCode::kAborted, testing::HasSubstr("Duplicate Announcement")));
}

TEST(RtrDeltaReaderTest, ReadsOneAnswerSplitAnywhere) {
  std::string answer;
  rtr::AppendSerialNotify(answer, 2, 7, 5);
  rtr::AppendCacheResponse(answer, 2, 7);
  rtr::AppendPrefix(answer, 2, true, kVrp);
  rtr::AppendAspa(answer, 2, false, {.customer = 64'501, .providers = {}});
  rtr::AppendEndOfData(answer, 2, 7, 5, {});
  RtrDeltaReader reader(2);
  for (std::size_t i = 0; i < answer.size(); ++i) {
    ASSERT_OK_AND_ASSIGN(const bool complete, reader.Feed(std::string_view(answer).substr(i, 1)));
    EXPECT_EQ(complete, i + 1 == answer.size());
  }
  const RtrDelta delta = std::move(reader).Take();
  EXPECT_EQ(delta.session, 7);
  EXPECT_EQ(delta.serial, 5U);
  EXPECT_EQ(delta.announced.vrps4.size(), 1U);
  ASSERT_EQ(delta.withdrawn.aspas.size(), 1U);
  EXPECT_EQ(delta.withdrawn.aspas[0].customer, 64'501U);
}

TEST(RtrDeltaReaderTest, SaysWhyThereIsNone) {
  std::string reset, error, other, query;
  rtr::AppendCacheReset(reset, 1);
  rtr::AppendErrorReport(error, 1, rtr::ErrorCode::kInternalError, "", "oops");
  rtr::AppendCacheResponse(other, 2, 7);
  rtr::AppendResetQuery(query, 1);
  EXPECT_THAT(RtrDeltaReader(1).Feed(reset).status(), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(RtrDeltaReader(1).Feed(error).status(),
              StatusIs(absl::StatusCode::kUnavailable, testing::HasSubstr("oops")));
  EXPECT_THAT(RtrDeltaReader(1).Feed(other).status(), StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(RtrDeltaReader(1).Feed(query).status(), StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(RtrDeltaReader(1).Feed("GET / HTTP/1.1").status(), StatusIs(absl::StatusCode::kAborted));
}

TEST(RtrPlaceTest, TellsCachesUrlsAndFilesApart) {
  ASSERT_OK_AND_ASSIGN(const RtrPlace ssh, ParseRtrPlace("ssh://edge@[2001:db8::1]:2222"));
  EXPECT_EQ(ssh.kind, RtrPlace::Kind::kSsh);
  EXPECT_EQ(ssh.user, "edge");
  EXPECT_EQ(ssh.address.host, "2001:db8::1");
  EXPECT_EQ(ssh.address.port, 2222);
  const auto kind = [](std::string_view text) { return ParseRtrPlace(text)->kind; };
  EXPECT_EQ(kind("cache.example.net:323"), RtrPlace::Kind::kTcp);
  EXPECT_EQ(kind("tcp://127.0.0.1:323"), RtrPlace::Kind::kTcp);
  EXPECT_EQ(kind("tls://127.0.0.1:324"), RtrPlace::Kind::kTls);
  EXPECT_EQ(kind("https://example.net/rpki.json"), RtrPlace::Kind::kUrl);
  EXPECT_EQ(kind("./vrps.json"), RtrPlace::Kind::kFile);
  for (const char* const wrong : {"", "cache", "tcp://cache", "ssh://@cache:22", "vrps.json", "ftp://x/y"})
    EXPECT_THAT(ParseRtrPlace(wrong).status(), StatusIs(absl::StatusCode::kInvalidArgument)) << wrong;
}

}  // namespace
}  // namespace virp::virpctl
