#include "lib/tcpao/tcpao.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "lib/base/bytes.h"
#include "tests/testutil/status_matchers.h"

namespace virp::tcpao {
namespace {

using absl::StatusCode;
using testing::HasSubstr;
using testutil::StatusIs;

// The packets of RFC 9235 sections 4 to 7.
const nlohmann::json& Rfc9235() {
  static const nlohmann::json* const file = [] {
    std::ifstream in(VIRP_SOURCE_DIR "/tests/data/vectors/rfc9235_tcpao.json");
    return new nlohmann::json(nlohmann::json::parse(in));
  }();
  return *file;
}

struct Packet {
  explicit Packet(const nlohmann::json& packet) : json(packet) {
    const std::string ip = Unhex("packet");
    const bool v4 = (static_cast<unsigned char>(ip[0]) >> 4) == 4;
    const std::size_t header = v4 ? (static_cast<unsigned char>(ip[0]) & 15U) * 4 : 40;
    const std::size_t address = v4 ? 4 : 16, at = v4 ? 12 : 8;
    segment = ip.substr(header);
    direction = {ip.substr(at, address),
                 ip.substr(at + address, address),
                 LoadBe<std::uint16_t>(segment.data()),
                 LoadBe<std::uint16_t>(segment.data() + 2),
                 json.at("src_isn"),
                 json.at("dst_isn")};
    algorithm = json.at("alg") == "hmac-sha1" ? Algorithm::kHmacSha1_96 : Algorithm::kAes128Cmac96;
    covers_options = json.at("covers_options");
  }
  std::string Unhex(const char* key) const { return HexDecode(json.at(key).get<std::string>()).value(); }
  crypto::Secret Key() const {
    return TrafficKey(algorithm, Rfc9235().at("master_key_ascii").get<std::string>(), direction).value();
  }
  absl::StatusOr<std::string> Mac() const {
    return tcpao::Mac(algorithm, Key(), 0, direction.source, direction.destination, segment, covers_options);
  }

  nlohmann::json json;
  std::string segment;
  Direction direction;
  Algorithm algorithm = Algorithm::kHmacSha1_96;
  bool covers_options = true;
};

std::vector<Packet> Packets() {
  std::vector<Packet> packets;
  for (const auto& packet : Rfc9235().at("packets")) packets.emplace_back(packet);
  return packets;
}

TEST(TcpAo, All32PacketsOfRfc9235) {
  ASSERT_EQ(Packets().size(), 32U);
  for (const Packet& packet : Packets()) {
    SCOPED_TRACE(packet.json.at("section"));
    EXPECT_EQ(HexEncode(packet.Key().view()), HexEncode(packet.Unhex("traffic_key")));
    ASSERT_OK_AND_ASSIGN(const Option option, FindOption(packet.segment));
    EXPECT_EQ(option.key_id, packet.json.at("keyid"));
    EXPECT_EQ(option.rnext_key_id, packet.json.at("rnextkeyid"));
    EXPECT_EQ(HexEncode(option.mac), HexEncode(packet.Unhex("mac")));
    ASSERT_OK_AND_ASSIGN(const std::string mac, packet.Mac());
    EXPECT_EQ(HexEncode(mac), HexEncode(packet.Unhex("mac")));
  }
}

TEST(TcpAo, TheMacCoversWhatItShould) {
  for (const Packet& packet : Packets()) {
    SCOPED_TRACE(packet.json.at("section"));
    const std::string right = packet.Unhex("mac");
    const std::size_t ao = packet.segment.find("\x1d\x10");
    ASSERT_NE(ao, std::string::npos);
    for (std::size_t at = 0; at < packet.segment.size(); ++at) {
      Packet changed = packet;
      changed.segment[at] = static_cast<char>(changed.segment[at] ^ 1);
      const auto mac = tcpao::Mac(packet.algorithm, packet.Key(), 0, packet.direction.source,
                                  packet.direction.destination, changed.segment, packet.covers_options);
      const bool checksum = at == 16 || at == 17;
      const bool own_mac = at >= ao + 4 && at < ao + 4 + kMacSize;
      if (checksum || own_mac) {
        ASSERT_OK(mac);
        EXPECT_EQ(*mac, right) << at;
      } else if (mac.ok() && (packet.covers_options || at < 20 || at >= ao)) {
        EXPECT_NE(*mac, right) << at;
      }
    }
    const crypto::Secret key = packet.Key();
    const auto with = [&](std::uint32_t sne, const std::string& source, bool covers) {
      return *tcpao::Mac(packet.algorithm, key, sne, source, packet.direction.destination, packet.segment, covers);
    };
    std::string source = packet.direction.source;
    EXPECT_NE(with(1, source, packet.covers_options), right);
    EXPECT_NE(with(0, source, !packet.covers_options), right);
    source.back() = static_cast<char>(source.back() ^ 1);
    EXPECT_NE(with(0, source, packet.covers_options), right);
  }
}

TEST(TcpAo, EachFieldOfTheDirectionMakesAnotherKey) {
  const Direction direction{"\x0a\x0b\x0c\x0d", "\xac\x1b\x1c\x1d", 59'863, 179, 1, 2};
  for (const Algorithm algorithm : {Algorithm::kHmacSha1_96, Algorithm::kAes128Cmac96}) {
    const auto key = [&](const Direction& d, std::string_view master = "testvector") {
      return HexEncode(TrafficKey(algorithm, master, d)->view());
    };
    const std::string own = key(direction);
    Direction other = direction;
    std::swap(other.source, other.destination);
    EXPECT_NE(key(other), own);
    other = direction;
    std::swap(other.source_port, other.destination_port);
    EXPECT_NE(key(other), own);
    other = direction;
    std::swap(other.source_isn, other.destination_isn);
    EXPECT_NE(key(other), own);
    EXPECT_NE(key(direction, "testvectoR"), own);
    EXPECT_NE(key(direction, "0123456789abcdef"), key(direction, "0123456789abcdeg"));
  }
}

TEST(TcpAo, WrongKeysAndAddressesAreRefused) {
  const Direction direction{"\x0a\x0b\x0c\x0d", "\xac\x1b\x1c\x1d", 1, 2, 3, 4};
  EXPECT_THAT(TrafficKey(Algorithm::kHmacSha1_96, "", direction).status(), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(TrafficKey(Algorithm::kHmacSha1_96, std::string(81, 'x'), direction).status(),
              StatusIs(StatusCode::kInvalidArgument));
  EXPECT_OK(TrafficKey(Algorithm::kAes128Cmac96, std::string(80, 'x'), direction).status());
  Direction mixed = direction;
  mixed.source = std::string(16, 'x');
  EXPECT_THAT(TrafficKey(Algorithm::kHmacSha1_96, "x", mixed).status(),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("one family")));
  const Packet packet = Packets().front();
  EXPECT_THAT(tcpao::Mac(packet.algorithm, crypto::Secret(std::string(16, 'k')), 0, packet.direction.source,
                         packet.direction.destination, packet.segment, true)
                  .status(),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("traffic key")));
}

TEST(TcpAo, BrokenHeadersAndOptionsAreRefused) {
  const std::string segment = Packets().front().segment;
  for (std::size_t size = 0; size < 60 && size < segment.size(); ++size)
    EXPECT_FALSE(FindOption(std::string_view(segment).substr(0, size)).ok()) << size;
  const std::size_t ao = segment.find("\x1d\x10");
  const auto with = [&](std::size_t at, char byte) {
    std::string changed = segment;
    changed[at] = byte;
    return FindOption(changed).status();
  };
  EXPECT_THAT(with(ao, '\x00'), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(with(ao, '\x1e'), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(with(ao + 1, '\x00'), StatusIs(StatusCode::kInvalidArgument, HasSubstr("wrong length")));
  EXPECT_THAT(with(ao + 1, '\x01'), StatusIs(StatusCode::kInvalidArgument, HasSubstr("wrong length")));
  EXPECT_THAT(with(ao + 1, '\x0f'), StatusIs(StatusCode::kInvalidArgument, HasSubstr("option of 15")));
  EXPECT_THAT(with(ao + 1, '\xff'), StatusIs(StatusCode::kInvalidArgument, HasSubstr("wrong length")));
  EXPECT_THAT(with(12, '\x40'), StatusIs(StatusCode::kInvalidArgument, HasSubstr("header says")));

  std::string twice = segment.substr(0, 20) + segment.substr(ao, 16) + segment.substr(ao, 16);
  twice[12] = static_cast<char>((52 / 4) << 4);
  EXPECT_THAT(FindOption(twice).status(), StatusIs(StatusCode::kInvalidArgument, HasSubstr("two TCP-AO")));
}

}  // namespace
}  // namespace virp::tcpao
