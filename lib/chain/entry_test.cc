#include "lib/chain/entry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <utility>

#include "lib/base/status.h"
#include "lib/chain/chain_vectors.h"

namespace virp::chain {
namespace {

using ::testing::HasSubstr;

std::string SomeEntry(std::string_view frame = "a frame") {
  EntryHeader header;
  header.origin_id = OriginIdOf("virp.example.net/site1");
  header.sequence = 0x0102030405060708;
  header.previous = GenesisOf("virp.example.net/site1");
  header.received_us = 1;
  header.source = 2;
  header.source_epoch = 3;
  header.source_sequence = 4;
  header.source_previous = 5;
  header.key_version = 7;
  header.kind = Kind::kAlarm;
  header.checked_by = frame::Suite::kEd25519;
  header.result = kClockSuspect | kAdmittedLate;
  return EncodeEntry(header, frame);
}

void ExpectRefused(std::string_view bytes, std::string_view why) {
  const auto entry = DecodeEntry(bytes);
  ASSERT_EQ(entry.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(Message(entry.status())), HasSubstr(std::string(why)));
}

TEST(Entry, VectorsDecodeAndEncodeAgain) {
  for (const std::string_view name : kVectorChains) {
    const auto& chain = VectorChain(name);
    const std::string origin = chain["origin"];
    Hash previous = GenesisOf(origin);
    EXPECT_EQ(HexEncode(View(previous)), Text(chain["genesis_hex"]));
    std::map<std::string, std::uint64_t> last_source;
    std::map<std::string, std::uint64_t> last_subject;
    const auto last = [](std::map<std::string, std::uint64_t>& of, const std::string& key, std::uint64_t now) {
      const auto [at, first] = of.emplace(key, now);
      return first ? kNone : std::exchange(at->second, now);
    };
    for (const auto& vector : chain["entries"]) {
      const std::string bytes = Unhex(vector["entry_hex"]);
      const auto entry = DecodeEntry(bytes);
      ASSERT_TRUE(entry.ok()) << entry.status();
      const EntryHeader& header = entry->header;
      const std::uint64_t sequence = vector["seq"];
      EXPECT_EQ(header.origin_id, OriginIdOf(origin));
      EXPECT_EQ(header.sequence, sequence);
      EXPECT_EQ(header.previous, previous);
      EXPECT_EQ(header.source_previous, last(last_source, vector["source"], sequence));
      const std::string subject = vector["subject"];
      EXPECT_EQ(header.subject_previous, subject.empty() ? kNone : last(last_subject, subject, sequence));
      EXPECT_EQ(header.kind, KindOf(static_cast<frame::Type>(vector["type"].get<int>())));
      EXPECT_EQ(header.result, 0);
      EXPECT_EQ(entry->bytes, bytes);
      EXPECT_EQ(entry->frame, std::string_view(bytes).substr(kEntryHeaderSize));
      EXPECT_EQ(entry->frame.data(), bytes.data() + kEntryHeaderSize) << "the frame is not to be copied";
      previous = LeafHash(bytes);
      EXPECT_EQ(HexEncode(View(previous)), Text(vector["leaf_hash_hex"]));
      EXPECT_EQ(EncodeEntry(header, entry->frame), bytes);
    }
  }
}

TEST(Entry, EveryFieldIsAtItsOffset) {
  const std::string bytes = SomeEntry();
  EXPECT_EQ(bytes.substr(0, 8), "onode/1\n");
  EXPECT_EQ(HexEncode(bytes.substr(24, 8)), "0102030405060708");
  EXPECT_EQ(HexEncode(bytes.substr(64, 40)),
            "0000000000000001"
            "0000000000000002"
            "0000000000000003"
            "0000000000000004"
            "0000000000000005");
  EXPECT_EQ(HexEncode(bytes.substr(104, 24)),
            "ffffffffffffffff"
            "00000001"
            "00000007"
            "02020904"
            "00000007");
  EXPECT_EQ(bytes.substr(128), "a frame");
}

TEST(Entry, EveryChangedHeaderByteIsRefusedOrReadBack) {
  const std::string good = SomeEntry();
  for (std::size_t i = 0; i < kEntryHeaderSize; ++i) {
    for (const int flip : {1, 0x80, 0xff}) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ flip);
      const auto entry = DecodeEntry(bad);
      EXPECT_NE(LeafHash(bad), LeafHash(good));
      if (entry.ok()) {
        EXPECT_EQ(EncodeEntry(entry->header, entry->frame), bad) << "byte " << i << " is not part of what was read";
      }
    }
  }
}

TEST(Entry, ShapesThatAreRefused) {
  const std::string good = SomeEntry();
  ASSERT_TRUE(DecodeEntry(good).ok());
  for (std::size_t size = 0; size < good.size(); ++size) EXPECT_FALSE(DecodeEntry(good.substr(0, size)).ok()) << size;
  ExpectRefused("", "128 to 65535 bytes");
  ExpectRefused(good + "x", "states a frame of 7 bytes and holds 8");
  const auto with = [&](std::size_t at, int value) {
    std::string bad = good;
    bad[at] = static_cast<char>(value);
    return bad;
  };
  ExpectRefused(with(6, '2'), "starts with");
  ExpectRefused(with(115, 2), "key line");
  ExpectRefused(with(112, 1), "key line");
  ExpectRefused(with(120, 7), "kind");
  ExpectRefused(with(121, 0), "suite");
  ExpectRefused(with(121, 3), "suite");
  ExpectRefused(with(122, 0x10), "flags");
  ExpectRefused(with(123, 0), "spelling");
  ExpectRefused(with(123, 5), "spelling");
  ExpectRefused(with(124, 0xff), "states a frame of");
}

TEST(Entry, SizeLimits) {
  EXPECT_TRUE(DecodeEntry(SomeEntry("")).ok());
  EXPECT_TRUE(DecodeEntry(SomeEntry(std::string(kMaxEntry - kEntryHeaderSize, 'x'))).ok());
  ExpectRefused(SomeEntry(std::string(kMaxEntry - kEntryHeaderSize + 1, 'x')), "65535");
}

TEST(Entry, KindsByType) {
  const std::map<int, Kind> special = {{19, Kind::kKeyEvent},    {22, Kind::kGap},   {23, Kind::kAlarm},
                                       {25, Kind::kSourceEvent}, {26, Kind::kAlarm}, {27, Kind::kCheckpoint},
                                       {28, Kind::kDecision}};
  for (int type = 0; type < 256; ++type) {
    const auto at = special.find(type);
    EXPECT_EQ(KindOf(static_cast<frame::Type>(type)), at == special.end() ? Kind::kObservation : at->second) << type;
  }
}

}  // namespace
}  // namespace virp::chain
