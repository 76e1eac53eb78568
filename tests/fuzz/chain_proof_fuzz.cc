// Proof files, and the checks behind them. Input: a byte that says what it is (even: a proof file, odd: old size, size
// and hashes of an inclusion and a consistency proof), then that.
#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "lib/chain/merkle.h"
#include "lib/chain/proof.h"
#include "tests/fuzz/require.h"

namespace {

using namespace virp::chain;  // NOLINT(google-build-using-namespace)
using virp::Hash;

void File(std::string_view text) {
  static const std::vector<VerifierKey> keys = {
      VerifierKey::Parse("virp.example.net/bytes+db4b1cde+ASmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X").value()};
  const auto proof = DecodeProof(text);
  if (!proof.ok()) {
    REQUIRE(proof.status().code() == absl::StatusCode::kInvalidArgument);
    return;
  }
  REQUIRE(proof->path.size() <= 63 && EncodeProof(*proof) == text);
  const auto verified = VerifyProof(*proof, keys);
  REQUIRE(!verified.ok() || verified->header.sequence == proof->index);
}

// Nothing made of arbitrary hashes verifies, but for the trivial cases; no size makes it hang or read out of bounds.
void Checks(std::string_view bytes) {
  if (bytes.size() < 16) return;
  const auto first = virp::LoadBe<std::uint64_t>(bytes.data());
  const auto size = virp::LoadBe<std::uint64_t>(bytes.data() + 8);
  std::vector<Hash> path;
  for (bytes.remove_prefix(16); bytes.size() >= sizeof(Hash) && path.size() < 80; bytes.remove_prefix(sizeof(Hash))) {
    path.push_back(virp::HashFromBytes(bytes.substr(0, sizeof(Hash))).value());
  }
  Hash root{};
  root[0] = 1;
  REQUIRE(!VerifyInclusion(Hash{}, first, size, path, root).ok());
  REQUIRE(!VerifyConsistency(first, Hash{}, size, root, path).ok());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  if (data[0] % 2 == 0) {
    File(bytes);
  } else {
    Checks(bytes);
  }
  return 0;
}
