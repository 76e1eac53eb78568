#include "services/rtr-bridge/transport/listeners_file.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testutil/status_matchers.h"

namespace virp::rtr_bridge {
namespace {

using absl::StatusCode;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testutil::StatusIs;
using Client = service::TlsAcceptor::ClientCertificate;

absl::StatusOr<std::vector<ListenerOptions>> Parse(const std::string& listeners) {
  return ParseListeners("{\"listeners\": [" + listeners + "]}");
}
constexpr char kTcp[] = R"({"transport": "tcp", "address": "127.0.0.1:323"})";

TEST(ListenersFile, ReadsAListenerOfEachTransport) {
  const auto listeners = Parse(R"(
    // what the edge comes in by
    {"transport": "tcp", "address": "[::]:323", "allow": ["192.0.2.0/24", "2001:db8::/32"], "max_version": 1,
     "keys_required": true,
     "peers": [{"peers": "192.0.2.1", "md5_key_file": "/etc/virp/md5"},
               {"peers": "192.0.2.128/25", "min_version": 1, "max_version": 2}]},
    {"transport": "tls", "address": "127.0.0.1:324", "certificate": "c.pem", "key": "k.pem", "roots": "r.pem",
     "router_certificates": "required", "address_in_certificate": false},
    {"transport": "ssh", "address": "127.0.0.1:22", "host_keys": ["a", "b"], "authorized_keys": "u", "passwords": "p"})");
  ASSERT_OK(listeners);
  ASSERT_EQ(listeners->size(), 3U);
  const ListenerOptions& tcp = (*listeners)[0];
  EXPECT_EQ(tcp.kind, ListenerKind::kTcp);
  EXPECT_EQ(tcp.listen.port, 323);
  EXPECT_EQ(tcp.allow.size(), 2U);
  EXPECT_EQ(tcp.min_version, 0);
  EXPECT_EQ(tcp.max_version, 1);
  EXPECT_TRUE(tcp.keys_required);
  ASSERT_EQ(tcp.rules.size(), 2U);
  EXPECT_EQ(tcp.rules[0].peers, *Prefix::Parse("192.0.2.1/32"));
  EXPECT_FALSE(tcp.rules[0].min_version.has_value());
  EXPECT_EQ(tcp.rules[1].min_version, 1);
  EXPECT_EQ(tcp.rules[1].max_version, 2);
  ASSERT_EQ(tcp.keys.size(), 1U);
  EXPECT_EQ(tcp.keys[0].peer, *IpAddress::Parse("192.0.2.1"));
  EXPECT_EQ(tcp.keys[0].key_file, "/etc/virp/md5");
  EXPECT_EQ(tcp.keys[0].algorithm, "");
  const ListenerOptions& tls = (*listeners)[1];
  EXPECT_EQ(tls.kind, ListenerKind::kTls);
  EXPECT_EQ(tls.tls.certificate + tls.tls.private_key + tls.tls.roots, "c.pemk.pemr.pem");
  EXPECT_EQ(tls.certificates, Client::kRequired);
  EXPECT_FALSE(tls.address_in_certificate);
  const ListenerOptions& ssh = (*listeners)[2];
  EXPECT_EQ(ssh.kind, ListenerKind::kSsh);
  EXPECT_EQ(ssh.ssh.host_keys.size(), 2U);
  EXPECT_EQ(ssh.ssh.users.keys + ssh.ssh.users.passwords, "up");
  EXPECT_THAT(*Parse(""), IsEmpty());
}

TEST(ListenersFile, NamesThePlaceOfWhatIsWrong) {
  const auto with = [](const std::string& more) {
    return R"({"transport": "tcp", "address": "127.0.0.1:323", )" + more + "}";
  };
  const std::vector<std::pair<std::string, std::string>> wrong{
      {R"({"address": "127.0.0.1:323"})", "listeners[1]"},
      {R"({"transport": "udp", "address": "127.0.0.1:323"})", "listeners[1].transport"},
      {R"({"transport": "tcp"})", "listeners[1]"},
      {R"({"transport": "tcp", "address": "127.0.0.1"})", "listeners[1].address"},
      {R"({"transport": "tcp", "address": "127.0.0.1:65536"})", "listeners[1].address"},
      {R"({"transport": "tcp", "address": 323})", "listeners[1]"},
      {R"({"transport": "tls", "address": "127.0.0.1:324"})", "needs certificate and key"},
      {R"({"transport": "tls", "address": "127.0.0.1:324", "certificate": "c", "key": "k", "router_certificates": "yes"})",
       "listeners[1].router_certificates"},
      {R"({"transport": "ssh", "address": "127.0.0.1:22"})", "needs host_keys"},
      {"7", "listeners[1]"},
      {"null", "listeners[1]"},
      {with(R"("allow": "192.0.2.0/24")"), "listeners[1]: 'allow'"},
      {with(R"("allow": ["192.0.2.1/24"])"), "listeners[1].allow"},
      {with(R"("min_version": 3)"), "listeners[1].min_version"},
      {with(R"("max_version": 300)"), "listeners[1].max_version"},
      {with(R"("min_version": -1)"), "listeners[1].min_version"},
      {with(R"("min_version": 2, "max_version": 1)"), "min_version is above max_version"},
      {with(R"("keys_required": 1)"), "listeners[1].keys_required"},
      {with(R"("allowed": [])"), "allowed"},
      {with(R"("address": "127.0.0.1:324")"), "address"},  // twice
      {with(R"("peers": {})"), "listeners[1].peers"},
      {with(R"("peers": [7])"), "listeners[1].peers[0]"},
      {with(R"("peers": [{}])"), "listeners[1].peers[0].peers"},
      {with(R"("peers": [{"peers": "192.0.2.1/24"}])"), "listeners[1].peers[0].peers"},
      {with(R"("peers": [{"peers": "router"}])"), "listeners[1].peers[0].peers"},
      {with(R"("peers": [{"peers": "::1", "min_version": 2, "max_version": 0}])"), "min_version is above"},
      {with(R"("max_version": 1, "peers": [{"peers": "::1", "min_version": 2}])"), "min_version is above"},
      {with(R"("peers": [{"peers": "192.0.2.0/24", "md5_key_file": "k"}])"), "a key is of one address"},
      {with(R"("peers": [{"peers": "::1", "md5_key_file": "k", "ao_key_file": "k"}])"), "either"},
  };
  for (const auto& [listener, place] : wrong) {
    EXPECT_THAT(Parse(std::string(kTcp) + "," + listener).status(),
                StatusIs(StatusCode::kInvalidArgument, HasSubstr(place)))
        << listener;
  }
  EXPECT_THAT(Parse(R"({"transport": "ssh", "address": "127.0.0.1:22", "host_keys": ["a"],
                        "peers": [{"peers": "::1", "md5_key_file": "k"}]})")
                  .status(),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("keys are of transport tcp")));
}

// Its author would believe in a protection that is not there.
TEST(ListenersFile, MembersOfAnotherTransportAreRefused) {
  for (
      const auto& [listener, place] : std::vector<std::pair<std::string, std::string>>{
          {R"({"transport": "tcp", "address": "127.0.0.1:323", "router_certificates": "required"})",
           "listeners[0].router_certificates: is of transport tls"},
          {R"({"transport": "tcp", "address": "127.0.0.1:323", "passwords": "p"})", "passwords: is of transport ssh"},
          {R"({"transport": "tls", "address": "127.0.0.1:324", "certificate": "c", "key": "k", "keys_required": true})",
           "keys_required: is of transport tcp"},
          {R"({"transport": "ssh", "address": "127.0.0.1:22", "host_keys": ["a"], "roots": "r"})",
           "roots: is of transport tls"}}) {
    EXPECT_THAT(Parse(listener).status(), StatusIs(StatusCode::kInvalidArgument, HasSubstr(place))) << listener;
  }
}

TEST(ListenersFile, WhatItDoesNotSayIsAsInTheFlags) {
  ListenerOptions usual;
  usual.max_version = 1;
  usual.tls = {.certificate = "c", .private_key = "k", .roots = "r"};
  usual.certificates = Client::kRequired;
  usual.ssh.host_keys = {"h"};
  usual.ssh.max_unauthenticated = 7;
  const auto listeners = ParseListeners(
      R"({"listeners": [{"transport": "tcp", "address": "127.0.0.1:323"}, {"transport": "tls", "address": "127.0.0.1:324"},
                        {"transport": "tls", "address": "127.0.0.1:325", "router_certificates": "none", "max_version": 2},
                        {"transport": "ssh", "address": "127.0.0.1:22"}]})",
      usual);
  ASSERT_OK(listeners);
  EXPECT_EQ((*listeners)[0].max_version, 1);
  EXPECT_EQ((*listeners)[1].certificates, Client::kRequired);
  EXPECT_EQ((*listeners)[1].tls.certificate, "c");
  EXPECT_EQ((*listeners)[2].certificates, Client::kNone);
  EXPECT_EQ((*listeners)[2].max_version, 2);
  EXPECT_EQ((*listeners)[3].ssh.max_unauthenticated, 7U);
}

TEST(ListenersFile, AnAddressHasOneMd5Key) {
  EXPECT_THAT(Parse(R"({"transport": "tcp", "address": "127.0.0.1:323",
                        "peers": [{"peers": "192.0.2.1", "md5_key_file": "a"}, {"peers": "192.0.2.1", "md5_key_file": "b"}]})")
                  .status(),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("192.0.2.1 has a key already")));
}

TEST(ListenersFile, WhatIsNoFileOfListenersIsRefused) {
  for (const std::string& text :
       {std::string(), std::string("[]"), std::string("{}"), std::string(R"({"listeners": {}})"),
        std::string(R"({"listeners": []} x)"), std::string(R"({"listeners": [], "listeners": []})"),
        std::string(R"({"listeners": [], "more": 1})"), std::string("{\"listeners\": [\"\xff\"]}"),
        "{\"listeners\": " + std::string(100'000, '['), std::string("{\"listeners\": [") + std::string(5 << 20, ' ')}) {
    EXPECT_THAT(ParseListeners(text).status(), StatusIs(StatusCode::kInvalidArgument)) << text.substr(0, 60);
  }
  std::string many = kTcp;
  for (int i = 0; i < 10'000; ++i) many += ",0";
  EXPECT_THAT(Parse(many).status(), StatusIs(StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace virp::rtr_bridge
