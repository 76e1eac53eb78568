// One whole frame in any spelling. Input: a byte that names the spelling, then the frame.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "lib/base/bytes.h"
#include "lib/frame/frame.h"
#include "lib/frame/reason.h"
#include "tests/fuzz/require.h"

using namespace virp::frame;  // NOLINT(google-build-using-namespace): a fuzz target is one function

namespace {

// Any header and payload: what can be encoded decodes to the same.
void EncodeAnything(std::string_view bytes) {
  if (bytes.size() < 48) return;
  const char* at = bytes.data();
  Header header;
  header.spelling = static_cast<Spelling>(at[0]);
  header.type = static_cast<Type>(at[1]);
  header.tier = static_cast<Tier>(at[2]);
  header.suite = static_cast<Suite>(at[3]);
  header.timestamp = virp::LoadBe<std::uint64_t>(at + 4);
  header.sequence = virp::LoadBe<std::uint64_t>(at + 12) >> (at[4] & 63);
  if (header.spelling == Spelling::kV2) {
    header.key_version = virp::LoadBe<std::uint32_t>(at + 20);
    header.boot_epoch = virp::LoadBe<std::uint64_t>(at + 24);
    std::copy_n(at + 32, header.source_id.size(), header.source_id.begin());
  } else {
    header.reserved = static_cast<std::uint8_t>(at[20]);
    if (header.spelling == Spelling::kV1Producer) header.producer_id = virp::LoadBe<std::uint32_t>(at + 24);
  }
  const std::string payload = at[5] == 'L' ? std::string(kMaxPayload - 2 + static_cast<std::uint8_t>(at[6]) % 4, 'x')
                                           : std::string(bytes.substr(48));
  auto encoded = EncodeUnsigned(header, payload);
  if (!encoded.ok()) {
    REQUIRE(encoded.status().code() == absl::StatusCode::kInvalidArgument);
    return;
  }
  *encoded += std::string(TagSize(header.suite), 't');
  const auto frame = Decode(*encoded, header.spelling);
  REQUIRE(frame.ok() && frame->payload == payload);
  const Header& back = frame->header;
  REQUIRE(back.type == header.type && back.tier == header.tier && back.suite == header.suite);
  REQUIRE(back.timestamp == header.timestamp && back.sequence == header.sequence && back.reserved == header.reserved);
  REQUIRE(back.key_version == header.key_version && back.boot_epoch == header.boot_epoch);
  REQUIRE(back.source_id == header.source_id && back.producer_id == header.producer_id);
}

// What people are shown of a frame, whatever its bytes are.
void Name(const Header& header) {
  REQUIRE(SpellingFromName(SpellingName(header.spelling)) == header.spelling);
  REQUIRE(!TierName(header.tier).empty() && !SuiteName(header.suite).empty());
  REQUIRE(TypeName(header.type).size() < 40);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto spelling = static_cast<Spelling>(1 + data[0] % 4);
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);

  EncodeAnything(bytes);
  const auto expected = FrameSize(bytes, spelling);
  const auto frame = Decode(bytes, spelling);
  if (!frame.ok()) {
    const Reason reason = ReasonOf(frame.status());
    REQUIRE(reason == Reason::kMalformed || reason == Reason::kTooLarge);
    return 0;
  }
  // What was decoded is what was there: nothing overlaps, nothing is left over, and encoding gives the same bytes.
  REQUIRE(expected.ok() && *expected == bytes.size());
  REQUIRE(frame->bytes == bytes && frame->bytes.size() <= kMaxFrame && frame->payload.size() <= kMaxPayload);
  REQUIRE(frame->signed_part.size() + frame->tag.size() == bytes.size() &&
          frame->tag.size() == TagSize(frame->header.suite));
  Name(frame->header);
  const auto again = EncodeUnsigned(frame->header, frame->payload);
  REQUIRE(again.ok() && *again == frame->signed_part);
  // Every prefix is either too short to tell or gives the same size, and is itself no frame.
  for (std::size_t n = 0; n < bytes.size(); n += 1 + n / 4) {
    const auto prefix_size = FrameSize(bytes.substr(0, n), spelling);
    REQUIRE(prefix_size.ok() && (*prefix_size == 0 || *prefix_size == bytes.size()));
    REQUIRE(!Decode(bytes.substr(0, n), spelling).ok());
  }
  return 0;
}
