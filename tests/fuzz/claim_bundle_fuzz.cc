// Claim bundles, as archive_input.h makes them.
#include <cstdint>
#include <string>
#include <string_view>

#include "lib/chain/claim_bundle.h"
#include "tests/fuzz/archive_input.h"
#include "tests/fuzz/require.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace virp::chain;  // NOLINT(google-build-using-namespace): a fuzz target is one function
  const std::string archive = virp::fuzz::ArchiveOf({reinterpret_cast<const char*>(data), size});
  const auto bundle = ReadClaimBundle(SourceFrom(archive));
  if (!bundle.ok()) return 0;
  std::string again;
  const absl::Status written = WriteClaimBundle(*bundle, [&again](std::string_view bytes) {
    again += bytes;
    return absl::OkStatus();
  });
  REQUIRE(written.ok());
  const auto read = ReadClaimBundle(SourceFrom(again));
  REQUIRE(read.ok() && read->claim_json == bundle->claim_json && read->proofs.size() == bundle->proofs.size());
  for (std::size_t i = 0; i < read->proofs.size(); ++i) {
    REQUIRE(EncodeProof(read->proofs[i]) == EncodeProof(bundle->proofs[i]));
  }
  return 0;
}
