#include "lib/rtr/pdu.h"

#include <gmock/gmock.h>

#include "lib/rtr/rtr_testing.h"
#include "lib/rtr/stream.h"

namespace virp::rtr {
namespace {

using testing::AspaOf;
using testing::Hex;
using testing::Key;
using testing::V4;
using testing::V6;

std::optional<Fault> DecodeWhole(const std::string& bytes, std::uint8_t version, Body& body) {
  const Header header = ReadHeader(bytes);
  EXPECT_EQ(header.length, bytes.size());
  if (auto fault = CheckLength(header)) return fault;
  if (auto fault = CheckShape(header, RulesOf(version))) return fault;
  return Decode(bytes, body);
}

// The decoded PDU, which must be of that kind.
template <typename T>
T Decoded(const std::string& bytes) {
  Body body;
  const auto fault = DecodeWhole(bytes, ReadHeader(bytes).version, body);
  EXPECT_FALSE(fault.has_value()) << fault->text;
  EXPECT_TRUE(std::holds_alternative<T>(body));
  return std::holds_alternative<T>(body) ? std::get<T>(body) : T{};
}

int FaultOf(const std::string& spaced_hex) {
  const std::string bytes = Hex(spaced_hex);
  Body body;
  const auto fault = DecodeWhole(bytes, ReadHeader(bytes).version, body);
  return fault ? static_cast<int>(fault->code) : -1;
}

std::string Made(const std::function<void(std::string&)>& append) {
  std::string out;
  append(out);
  return out;
}

TEST(Pdu, ControlPdusOfEachVersion) {
  for (const std::uint8_t version : {std::uint8_t{0}, std::uint8_t{1}, std::uint8_t{2}}) {
    const std::string v = HexEncode(std::string(1, static_cast<char>(version)));
    EXPECT_EQ(Made([&](auto& out) { AppendSerialNotify(out, version, 0x1234, 0x89abcdef); }),
              Hex(v + "00 1234 0000000c 89abcdef"));
    EXPECT_EQ(Made([&](auto& out) { AppendSerialQuery(out, version, 0x1234, 7); }),
              Hex(v + "01 1234 0000000c 00000007"));
    EXPECT_EQ(Made([&](auto& out) { AppendResetQuery(out, version); }), Hex(v + "02 0000 00000008"));
    EXPECT_EQ(Made([&](auto& out) { AppendCacheResponse(out, version, 0xfffe); }), Hex(v + "03 fffe 00000008"));
    EXPECT_EQ(Made([&](auto& out) { AppendCacheReset(out, version); }), Hex(v + "08 0000 00000008"));
    EXPECT_EQ(Made([&](auto& out) { AppendErrorReport(out, version, ErrorCode::kInvalidRequest, Hex("ff0a"), "no"); }),
              Hex(v + "0a 0003 00000014 00000002 ff0a 00000002 6e6f"));

    EXPECT_EQ(Decoded<SerialNotify>(Hex(v + "00 1234 0000000c 89abcdef")).serial, 0x89abcdefU);
    EXPECT_EQ(Decoded<SerialQuery>(Hex(v + "01 1234 0000000c 00000007")).session, 0x1234);
    Decoded<ResetQuery>(Hex(v + "02 abcd 00000008"));  // reserved fields are not looked at
    EXPECT_EQ(Decoded<CacheResponse>(Hex(v + "03 fffe 00000008")).session, 0xfffe);
    Decoded<CacheReset>(Hex(v + "08 0000 00000008"));
    const std::string report_bytes = Hex(v + "0a 0003 00000014 00000002 ff0a 00000002 6e6f");
    const auto report = Decoded<ErrorReport>(report_bytes);
    EXPECT_EQ(report.code, 3);
    EXPECT_EQ(report.pdu, Hex("ff0a"));
    EXPECT_EQ(report.text, "no");
  }
}

TEST(Pdu, EndOfDataHasTimersFromVersion1On) {
  const Timers timers{.refresh = 3600, .retry = 600, .expire = 7200};
  EXPECT_EQ(Made([&](auto& out) { AppendEndOfData(out, 0, 9, 5, timers); }), Hex("0007 0009 0000000c 00000005"));
  for (const std::string v : {"01", "02"}) {
    const std::string bytes = Hex(v + "07 0009 00000018 00000005 00000e10 00000258 00001c20");
    EXPECT_EQ(Made([&](auto& out) { AppendEndOfData(out, v == "01" ? 1 : 2, 9, 5, timers); }), bytes);
    const auto end = Decoded<EndOfData>(bytes);
    EXPECT_EQ(end.session, 9);
    EXPECT_EQ(end.serial, 5U);
    EXPECT_EQ(end.timers, timers);
    EXPECT_EQ(FaultOf(v + "07 0009 0000000c 00000005"), 0);
  }
  EXPECT_FALSE(Decoded<EndOfData>(Hex("0007 0009 0000000c 00000005")).timers.has_value());
  EXPECT_EQ(FaultOf("0007 0009 00000018 00000005 00000e10 00000258 00001c20"), 0);
}

TEST(Pdu, Prefixes) {
  for (const std::string v : {"00", "01", "02"}) {
    const auto version = static_cast<std::uint8_t>(v[1] - '0');
    const std::string four = Hex(v + "04 0000 00000014 01 18 20 00 c0000200 0000fde8");
    EXPECT_EQ(Made([&](auto& out) { AppendPrefix(out, version, true, V4("192.0.2.0/24", 32, 65000)); }), four);
    const auto prefix = Decoded<Ipv4Prefix>(four);
    EXPECT_TRUE(prefix.announce);
    EXPECT_EQ(vrp::Order(prefix.vrp, V4("192.0.2.0/24", 32, 65000)), std::strong_ordering::equal);

    const std::string six = Hex(v + "06 0000 00000020 00 20 30 00 20010db8000000000000000000000000 0000fde8");
    EXPECT_EQ(Made([&](auto& out) { AppendPrefix(out, version, false, V6("2001:db8::/32", 48, 65000)); }), six);
    EXPECT_FALSE(Decoded<Ipv6Prefix>(six).announce);
    EXPECT_EQ(vrp::Order(Decoded<Ipv6Prefix>(six).vrp, V6("2001:db8::/32", 48, 65000)), std::strong_ordering::equal);
  }
}

TEST(Pdu, DefaultRoutesAndHostRoutes) {
  EXPECT_EQ(FaultOf("0104 0000 00000014 01 00 00 00 00000000 00000000"), -1);
  EXPECT_EQ(FaultOf("0104 0000 00000014 01 20 20 00 ffffffff ffffffff"), -1);
  EXPECT_EQ(FaultOf("0106 0000 00000020 01 00 80 00 00000000000000000000000000000000 00000001"), -1);
  EXPECT_EQ(FaultOf("0106 0000 00000020 01 80 80 00 ffffffffffffffffffffffffffffffff 00000001"), -1);
}

TEST(Pdu, ImpossiblePrefixes) {
  EXPECT_EQ(FaultOf("0104 0000 00000014 01 18 21 00 c0000200 0000fde8"), 0);  // maxLength 33
  EXPECT_EQ(FaultOf("0104 0000 00000014 01 21 21 00 c0000200 0000fde8"), 0);
  EXPECT_EQ(FaultOf("0104 0000 00000014 01 18 17 00 c0000200 0000fde8"), 0);  // below the length
  EXPECT_EQ(FaultOf("0104 0000 00000014 01 17 18 00 c0000300 0000fde8"), 0);  // host bits
  EXPECT_EQ(FaultOf("0104 0000 00000014 01 00 18 00 80000000 0000fde8"), 0);
  EXPECT_EQ(FaultOf("0106 0000 00000020 01 20 81 00 20010db8000000000000000000000000 0000fde8"), 0);
  EXPECT_EQ(FaultOf("0106 0000 00000020 01 20 1f 00 20010db8000000000000000000000000 0000fde8"), 0);
  EXPECT_EQ(FaultOf("0106 0000 00000020 01 20 30 00 20010db8000000000000000000000001 0000fde8"), 0);
  EXPECT_EQ(FaultOf("0106 0000 00000020 01 40 50 00 20010db8000000008000000000000000 0000fde8"), 0);
  EXPECT_EQ(FaultOf("0106 0000 00000020 01 41 50 00 20010db8000000004000000000000000 0000fde8"), 0);
  EXPECT_EQ(FaultOf("0106 0000 00000020 01 1f 50 00 20010db9000000000000000000000000 0000fde8"), 0);
  EXPECT_EQ(FaultOf("0106 0000 00000020 01 00 50 00 00000000000000000000000000000001 0000fde8"), 0);
  EXPECT_EQ(FaultOf("0106 0000 00000020 01 42 50 00 20010db8000000004000000000000000 0000fde8"), -1);
}

TEST(Pdu, RouterKeys) {
  const std::string ski = "0707070707070707070707070707070707070707";
  const std::string bytes = Hex("0109 0100 00000023" + ski + "0000fde8 303132");
  EXPECT_EQ(Made([](auto& out) { AppendRouterKey(out, 1, true, Key(7, 65000, "012")); }), bytes);
  const auto key = Decoded<RouterKey>(bytes);
  EXPECT_TRUE(key.announce);
  EXPECT_EQ(vrp::Order(key.Value(), Key(7, 65000, "012")), std::strong_ordering::equal);
  EXPECT_FALSE(Decoded<RouterKey>(Hex("0209 0000 00000023" + ski + "0000fde8 303132")).announce);
  EXPECT_EQ(FaultOf("0109 0100 00000020" + ski + "0000fde8"), 0);
  EXPECT_EQ(FaultOf("0009 0100 00000023" + ski + "0000fde8 303132"), 5);
}

TEST(Pdu, AspaHasTheLayoutOfDraft14AndLater) {
  const std::string bytes = Hex("020b 0100 00000014 0000fde8 00000001 00000002");
  EXPECT_EQ(Made([](auto& out) { AppendAspa(out, 2, true, AspaOf(65000, {1, 2})); }), bytes);
  EXPECT_EQ(Decoded<Aspa>(bytes).Value().providers, (std::vector<std::uint32_t>{1, 2}));
  EXPECT_EQ(Made([](auto& out) { AppendAspa(out, 2, false, AspaOf(65000, {1, 2})); }),
            Hex("020b 0000 0000000c 0000fde8"));
  EXPECT_FALSE(Decoded<Aspa>(Hex("020b 0000 0000000c 0000fde8")).announce);
  EXPECT_EQ(FaultOf("020b 0100 00000010 0000fde8 00000000"), -1);          // AS 0 alone
  EXPECT_EQ(FaultOf("020b 0100 00000014 0000fde8 00000000 00000001"), 9);  // and not alone
  EXPECT_EQ(FaultOf("020b 0100 00000014 0000fde8 00000002 00000001"), 9);  // not ascending
  EXPECT_EQ(FaultOf("020b 0100 00000014 0000fde8 00000001 00000001"), 9);  // not unique
  EXPECT_EQ(FaultOf("020b 0100 0000000c 0000fde8"), 9);                    // none
  EXPECT_EQ(FaultOf("020b 0000 00000010 0000fde8 00000001"), 9);           // a withdrawal with some
  EXPECT_EQ(FaultOf("020b 0100 0000000e 0000fde8 0000"), 0);
  EXPECT_EQ(FaultOf("010b 0100 00000010 0000fde8 00000001"), 5);
}

TEST(Pdu, TheLargestOnes) {
  std::vector<std::uint32_t> providers(vrp::kMaxProviders);
  for (std::size_t i = 0; i < providers.size(); ++i) providers[i] = static_cast<std::uint32_t>(i + 1);
  const std::string aspa = Made([&](auto& out) { AppendAspa(out, 2, true, AspaOf(65000, providers)); });
  EXPECT_EQ(aspa.size(), 65'532U);
  EXPECT_EQ(Decoded<Aspa>(aspa).Value().providers, providers);
  const std::string key =
      Made([&](auto& out) { AppendRouterKey(out, 2, true, Key(1, 65000, std::string(kMaxSpki, 'k'))); });
  EXPECT_EQ(key.size(), 65'535U);
  EXPECT_EQ(Decoded<RouterKey>(key).spki.size(), kMaxSpki);
}

TEST(Pdu, LengthsBeforeEverything) {
  for (const std::uint32_t length : {0U, 7U, 65'536U, 0xffff'ffffU}) {
    for (const std::uint8_t type : {std::uint8_t{2}, std::uint8_t{5}, std::uint8_t{99}}) {
      const auto fault = CheckLength({.version = 1, .type = type, .field = 0, .length = length});
      ASSERT_TRUE(fault.has_value()) << length;
      EXPECT_EQ(fault->code, ErrorCode::kCorruptData);
    }
  }
  EXPECT_FALSE(CheckLength({.version = 1, .type = 99, .field = 0, .length = 8}).has_value());
  EXPECT_FALSE(CheckLength({.version = 1, .type = 99, .field = 0, .length = 65'535}).has_value());
}

// Each type at each length around its own, in each version.
TEST(Pdu, ShapesByVersion) {
  for (std::uint8_t version = 0; version <= kMaxVersion; ++version) {
    for (unsigned type = 0; type < 256; ++type) {
      for (std::uint32_t length = 8; length < 48; ++length) {
        bool carried = type <= 10 && type != 5;
        bool fits = false;
        switch (type) {
          case 0:
          case 1:
            fits = length == 12;
            break;
          case 2:
          case 3:
          case 8:
            fits = length == 8;
            break;
          case 4:
            fits = length == 20;
            break;
          case 6:
            fits = length == 32;
            break;
          case 7:
            fits = length == (version == 0 ? 12 : 24);
            break;
          case 9:
            carried = version >= 1;
            fits = length >= 33;
            break;
          case 10:
            fits = length >= 16;
            break;
          case 11:
            carried = version == 2;
            fits = length >= 12 && length % 4 == 0;
            break;
          default:
            break;
        }
        const auto fault = CheckShape({version, static_cast<std::uint8_t>(type), 0, length}, RulesOf(version));
        const int expected = !carried ? 5 : fits ? -1 : 0;
        EXPECT_EQ(fault ? static_cast<int>(fault->code) : -1, expected) << int{version} << " " << type << " " << length;
      }
    }
  }
}

TEST(Pdu, ErrorReportsWithLengthsThatDoNotFit) {
  EXPECT_EQ(FaultOf("010a 0000 00000010 00000000 00000000"), -1);
  EXPECT_EQ(FaultOf("010a 0000 00000010 00000001 00000000"), 0);
  EXPECT_EQ(FaultOf("010a 0000 00000010 00000000 00000001"), 0);
  EXPECT_EQ(FaultOf("010a 0000 00000010 ffffffff 00000000"), 0);
  EXPECT_EQ(FaultOf("010a 0000 00000014 00000000 00000000 00000000"), 0);
}

TEST(Pdu, ErrorReportsCopyTheBeginning) {
  const std::string bytes = Made([](auto& out) {
    AppendErrorReport(out, 1, ErrorCode::kCorruptData, std::string(65'535, 'p'), std::string(5000, 't'));
  });
  const auto report = Decoded<ErrorReport>(bytes);
  EXPECT_EQ(report.pdu, std::string(kErrorCopy, 'p'));
  EXPECT_EQ(report.text, std::string(kErrorText, 't'));
}

TEST(Pdu, TextsOfPeersAreMadeFitForLogs) {
  EXPECT_EQ(Printable(std::string("bad\n\x1b[1m \xc3\xa9\0\0", 13)), "bad??[1m ??");
  EXPECT_EQ(Printable(std::string(1000, 'x')).size(), 256U);
  EXPECT_EQ(Printable(""), "");
}

TEST(PduStream, TakesAnySplit) {
  std::string bytes;
  AppendResetQuery(bytes, 1);
  AppendSerialQuery(bytes, 1, 5, 6);
  AppendErrorReport(bytes, 1, ErrorCode::kInternalError, "", "text");
  AppendResetQuery(bytes, 1);
  const auto whole = testing::Split(bytes);
  ASSERT_EQ(whole.size(), 4U);
  for (std::size_t piece = 1; piece <= bytes.size(); ++piece) {
    PduStream stream;
    std::vector<std::string> got;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      stream.Push(std::string_view(bytes).substr(at, piece));
      while (const auto header = stream.header()) {
        const auto pdu = stream.Whole(*header);
        if (!pdu) break;
        got.emplace_back(*pdu);
        stream.Pop(*header);
      }
    }
    EXPECT_EQ(got, whole) << piece;
    EXPECT_TRUE(stream.rest().empty());
  }
}

}  // namespace
}  // namespace virp::rtr
