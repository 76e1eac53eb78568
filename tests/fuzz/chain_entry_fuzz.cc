// One entry of a chain: header and frame.
#include <cstdint>
#include <string>
#include <string_view>

#include "lib/chain/entry.h"
#include "tests/fuzz/require.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace virp::chain;  // NOLINT(google-build-using-namespace): a fuzz target is one function
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (size > 0) REQUIRE(KindOf(static_cast<virp::frame::Type>(data[0])) <= Kind::kDecision);
  REQUIRE(GenesisOf(bytes) == LeafHash("onode/1 genesis\n" + std::string(bytes) + "\n"));
  const auto entry = DecodeEntry(bytes);
  if (!entry.ok()) {
    REQUIRE(entry.status().code() == absl::StatusCode::kInvalidArgument);
    return 0;
  }
  REQUIRE(entry->bytes.data() == bytes.data() && entry->bytes.size() == size && size <= kMaxEntry);
  REQUIRE(entry->frame.data() == bytes.data() + kEntryHeaderSize);
  REQUIRE(entry->header.origin_id != OriginIdOf(bytes));
  REQUIRE(EncodeEntry(entry->header, entry->frame) == bytes);
  return 0;
}
