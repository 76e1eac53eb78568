#include "lib/frame/frame.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>

#include "lib/base/status.h"
#include "lib/frame/key.h"
#include "lib/frame/reason.h"
#include "lib/frame/test_vectors.h"

namespace virp::frame {
namespace {

constexpr std::array kSpellings{Spelling::kV1Le, Spelling::kV1Be, Spelling::kV1Producer, Spelling::kV2};

Header SampleHeader(Spelling spelling, Suite suite = Suite::kHmacSha256) {
  Header out;
  out.spelling = spelling;
  out.suite = suite;
  out.type = Type::kPeerBackwardTransition;
  out.tier = Tier::kYellow;
  out.timestamp = 1'750'000'000'000'000'001;
  out.sequence = 7;
  if (spelling == Spelling::kV1Producer) out.producer_id = 0xC0000201;
  if (spelling == Spelling::kV2) {
    out.key_version = 3;
    out.boot_epoch = 1'750'000'000'000'000'000;
    out.source_id = SourceIdOf("edge-a.bgpd");
  }
  return out;
}

std::string SampleFrame(Spelling spelling, Suite suite = Suite::kHmacSha256, std::string_view payload = "{}") {
  std::string out = EncodeUnsigned(SampleHeader(spelling, suite), payload).value();
  return out + std::string(TagSize(suite), 't');
}

TEST(FrameVectors, ValidOnesDecodeVerifyAndEncodeToTheSameBytes) {
  int seen = 0;
  for (const FrameVector& vector : FrameVectors("valid")) {
    SCOPED_TRACE(vector.name);
    const auto frame = Decode(vector.bytes, vector.spelling);
    ASSERT_TRUE(frame.ok()) << frame.status();
    const auto& json = vector.json;
    EXPECT_EQ(SpellingName(frame->header.spelling), json.at("spelling").get<std::string>());
    EXPECT_EQ(static_cast<int>(frame->header.type), json.at("type").get<int>());
    EXPECT_EQ(static_cast<int>(frame->header.tier), json.at("tier").get<int>());
    EXPECT_EQ(frame->header.sequence, json.at("sequence").get<std::uint64_t>());
    EXPECT_EQ(frame->header.timestamp, json.at("timestamp_ns").get<std::uint64_t>());
    EXPECT_EQ(frame->payload, json.at("payload").get<std::string>());
    EXPECT_EQ(frame->header.key_version, json.value("key_version", 0U));
    EXPECT_EQ(frame->header.boot_epoch, json.value("boot_epoch", std::uint64_t{0}));
    if (vector.spelling == Spelling::kV2) {
      EXPECT_EQ(frame->header.source_id, SourceIdOf("edge-a.bgpd"));
    }
    if (vector.spelling == Spelling::kV1Producer) {
      EXPECT_EQ(frame->header.producer_id, 0xC0000201U);
    }
    EXPECT_TRUE(VerifyTag(*frame, *vector.key));
    const auto again = EncodeSigned(frame->header, frame->payload, *vector.key);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(*again, vector.bytes);
    ++seen;
  }
  EXPECT_EQ(seen, 13);
}

TEST(FrameVectors, InvalidOnesFailWhereTheySay) {
  int seen = 0;
  for (const FrameVector& vector : FrameVectors("invalid")) {
    SCOPED_TRACE(vector.name);
    const auto frame = Decode(vector.bytes, vector.spelling);
    if (vector.json.at("fails") == "shape") {
      ASSERT_FALSE(frame.ok());
      EXPECT_EQ(ReasonOf(frame.status()),
                vector.name == "length beyond the limit" ? Reason::kTooLarge : Reason::kMalformed);
    } else {
      ASSERT_TRUE(frame.ok()) << frame.status();
      EXPECT_FALSE(VerifyTag(*frame, *vector.key));
    }
    ++seen;
  }
  EXPECT_EQ(seen, 15);
}

TEST(FrameVectors, SourceIds) {
  const auto json = ReadFrameVectors();
  const SourceId id = SourceIdOf(json.at("source").get<std::string>());
  EXPECT_EQ(HexEncode({reinterpret_cast<const char*>(id.data()), id.size()}),
            json.at("source_id_hex").get<std::string>());
  EXPECT_EQ(ShortIdOf(id), 0xc215e8df8b6db6e6U);
  EXPECT_EQ(ShortIdOf("edge-a.bgpd"), ShortIdOf(id));
}

TEST(Frame, EverySpellingRoundTripsAtTheLimitsOfItsFields) {
  for (const Spelling spelling : kSpellings) {
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, kMaxPayload}) {
      Header header = SampleHeader(spelling);
      header.type = static_cast<Type>(255);
      header.tier = Tier::kBlack;
      header.timestamp = std::numeric_limits<std::uint64_t>::max();
      header.sequence = spelling == Spelling::kV2 ? std::numeric_limits<std::uint64_t>::max()
                                                  : std::numeric_limits<std::uint32_t>::max();
      if (spelling != Spelling::kV2) header.reserved = 0xff;
      const std::string payload(size, 'x');
      const std::string bytes = EncodeUnsigned(header, payload).value() + std::string(32, 't');
      EXPECT_LE(bytes.size(), kMaxFrame);
      const auto frame = Decode(bytes, spelling);
      ASSERT_TRUE(frame.ok()) << frame.status();
      EXPECT_EQ(frame->header.sequence, header.sequence);
      EXPECT_EQ(frame->header.timestamp, header.timestamp);
      EXPECT_EQ(frame->header.reserved, header.reserved);
      EXPECT_EQ(frame->payload, payload);
      EXPECT_EQ(frame->tag, std::string(32, 't'));
      EXPECT_EQ(frame->bytes.data(), bytes.data());
      EXPECT_EQ(frame->signed_part.size() + 32, bytes.size());
    }
  }
}

// Every cut of every kind of frame is refused, and FrameSize knows the size as soon as the length field is there.
TEST(Frame, EveryPrefixIsRefusedAndMeasured) {
  for (const Spelling spelling : kSpellings) {
    for (const Suite suite : {Suite::kHmacSha256, Suite::kEd25519}) {
      if (spelling != Spelling::kV2 && suite == Suite::kEd25519) continue;
      const std::string bytes = SampleFrame(spelling, suite);
      const std::size_t known_at = spelling == Spelling::kV2 ? 28 : 24;
      for (std::size_t n = 0; n < bytes.size(); ++n) {
        const std::string_view prefix = std::string_view(bytes).substr(0, n);
        const auto frame = Decode(prefix, spelling);
        ASSERT_FALSE(frame.ok()) << n;
        EXPECT_EQ(ReasonOf(frame.status()), Reason::kMalformed);
        const auto size = FrameSize(prefix, spelling);
        ASSERT_TRUE(size.ok());
        EXPECT_EQ(*size, n < known_at ? 0 : bytes.size()) << n;
      }
      EXPECT_TRUE(Decode(bytes, spelling).ok());
      EXPECT_EQ(ReasonOf(Decode(bytes + "x", spelling).status()), Reason::kMalformed);
      EXPECT_EQ(FrameSize(bytes + "more", spelling).value(), bytes.size());
    }
  }
}

TEST(Frame, TheFirstWrongByteIsRefusedWithoutWaitingForMore) {
  EXPECT_FALSE(FrameSize("G", Spelling::kV1Le).ok());
  EXPECT_FALSE(FrameSize("VIRQ", Spelling::kV1Le).ok());
  EXPECT_FALSE(FrameSize("VIRP\x02", Spelling::kV1Le).ok());
  EXPECT_FALSE(FrameSize("VIRP\x01", Spelling::kV2).ok());
  EXPECT_FALSE(FrameSize("VIRP\x02\x01\x04", Spelling::kV2).ok());
  EXPECT_FALSE(FrameSize(std::string_view("VIRP\x02\x01\x03\x00", 8), Spelling::kV2).ok());
  EXPECT_FALSE(FrameSize("VIRP\x02\x01\x03\x03", Spelling::kV2).ok());
  EXPECT_EQ(FrameSize("VIRP\x02\x01\x03\x02", Spelling::kV2).value(), 0U);
  EXPECT_EQ(FrameSize("", Spelling::kV2).value(), 0U);
}

TEST(Frame, LengthsBeyondTheLimitAreTooLarge) {
  for (const Spelling spelling : kSpellings) {
    const std::size_t at = spelling == Spelling::kV2 ? 24 : 20;
    for (const std::uint32_t length : {65'280U, 65'536U, 0x7fff'ffffU, 0xffff'ffffU}) {
      std::string bytes = SampleFrame(spelling);
      if (spelling == Spelling::kV1Le) {
        StoreLe(bytes.data() + at, length);
      } else {
        StoreBe(bytes.data() + at, length);
      }
      const auto size = FrameSize(std::string_view(bytes).substr(0, at + 4), spelling);
      ASSERT_FALSE(size.ok());
      EXPECT_EQ(ReasonOf(size.status()), Reason::kTooLarge);
      EXPECT_EQ(size.status().code(), absl::StatusCode::kResourceExhausted);
      EXPECT_EQ(ReasonOf(Decode(bytes, spelling).status()), Reason::kTooLarge);
    }
  }
}

TEST(Frame, AllTiersAndTypesAreCarriedOthersRefused) {
  std::string bytes = SampleFrame(Spelling::kV1Le);
  for (int value = 0; value < 256; ++value) {
    std::string changed = bytes;
    changed[5] = static_cast<char>(value);
    EXPECT_TRUE(Decode(changed, Spelling::kV1Le).ok()) << value;
    changed = bytes;
    changed[6] = static_cast<char>(value);
    EXPECT_EQ(Decode(changed, Spelling::kV1Le).ok(), value <= 3) << value;
  }
}

TEST(Frame, Version2RefusesWhatNoProducerMayWrite) {
  const std::string bytes = SampleFrame(Spelling::kV2);
  ASSERT_TRUE(Decode(bytes, Spelling::kV2).ok());
  for (std::size_t at = 56; at < 64; ++at) {
    std::string changed = bytes;
    changed[at] = 1;
    EXPECT_FALSE(Decode(changed, Spelling::kV2).ok()) << "reserved byte " << at;
  }
  for (const std::size_t field : {std::size_t{16}, std::size_t{32}}) {
    std::string changed = bytes;
    std::fill_n(changed.begin() + static_cast<std::ptrdiff_t>(field), 8, '\0');
    EXPECT_EQ(ReasonOf(Decode(changed, Spelling::kV2).status()), Reason::kMalformed) << "zero at " << field;
  }
}

TEST(Frame, Version1MayCarryNumberZeroAndAReservedByte) {
  Header header = SampleHeader(Spelling::kV1Be);
  header.sequence = 0;
  header.reserved = 9;
  const std::string bytes = EncodeUnsigned(header, "").value() + std::string(32, 't');
  const auto frame = Decode(bytes, Spelling::kV1Be);
  ASSERT_TRUE(frame.ok());
  EXPECT_EQ(frame->header.sequence, 0U);
  EXPECT_EQ(frame->header.reserved, 9);
}

TEST(Frame, EncodeRefusesWhatDecodeWould) {
  const auto encode = [](auto change, Spelling spelling, std::size_t payload = 2) {
    Header header = SampleHeader(spelling);
    change(header);
    return EncodeUnsigned(header, std::string(payload, 'x')).status().code();
  };
  const auto as_is = [](Header&) {};
  constexpr auto kBad = absl::StatusCode::kInvalidArgument;
  for (const Spelling spelling : kSpellings) {
    EXPECT_EQ(encode(as_is, spelling), absl::StatusCode::kOk);
    EXPECT_EQ(encode(as_is, spelling, kMaxPayload + 1), kBad);
    EXPECT_EQ(encode([](Header& h) { h.tier = static_cast<Tier>(4); }, spelling), kBad);
    if (spelling == Spelling::kV2) continue;
    EXPECT_EQ(encode([](Header& h) { h.sequence = 1ULL << 32; }, spelling), kBad);
    EXPECT_EQ(encode([](Header& h) { h.suite = Suite::kEd25519; }, spelling), kBad);
  }
  EXPECT_EQ(encode([](Header& h) { h.sequence = 0; }, Spelling::kV2), kBad);
  EXPECT_EQ(encode([](Header& h) { h.boot_epoch = 0; }, Spelling::kV2), kBad);
  EXPECT_EQ(encode([](Header& h) { h.suite = static_cast<Suite>(3); }, Spelling::kV2), kBad);
  EXPECT_EQ(encode([](Header& h) { h.spelling = static_cast<Spelling>(5); }, Spelling::kV2), kBad);
}

TEST(Frame, Names) {
  for (const Spelling spelling : kSpellings) EXPECT_EQ(SpellingFromName(SpellingName(spelling)), spelling);
  EXPECT_EQ(SpellingFromName("auto"), std::nullopt);
  EXPECT_EQ(SpellingName(static_cast<Spelling>(9)), "unknown");
  EXPECT_EQ(TierName(Tier::kBlack), "BLACK");
  EXPECT_EQ(TierName(static_cast<Tier>(9)), "UNKNOWN");
  EXPECT_EQ(SuiteName(Suite::kEd25519), "Ed25519");
  EXPECT_EQ(SuiteName(static_cast<Suite>(9)), "unknown");
  EXPECT_EQ(TypeName(Type::kHeartbeat), "heartbeat");
  int named = 0;
  for (int i = 0; i < 256; ++i) named += TypeName(static_cast<Type>(i)).empty() ? 0 : 1;
  EXPECT_EQ(named, 17);
}

}  // namespace
}  // namespace virp::frame
