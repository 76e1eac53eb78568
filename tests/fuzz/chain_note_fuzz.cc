// Signed notes and verifier keys. Input: a byte that says what it is (0 a note, 1 a verifier key, 2 the text of a note
// that we sign), then that.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/chain/note.h"
#include "tests/fuzz/require.h"

namespace {

using namespace virp::chain;  // NOLINT(google-build-using-namespace)

// The keys of the vector chains, so that notes of the corpus verify.
const std::vector<VerifierKey>& Keys() {
  static const std::vector<VerifierKey> keys = {
      VerifierKey::Parse("virp.example.net/bytes+db4b1cde+ASmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X").value(),
      CheckpointSigner::FromSeed("fuzz", std::string(32, 'f'))->verifier_key()};
  return keys;
}

void Note(std::string_view note) {
  const auto parsed = ParseCheckpointUnverified(note);
  const auto opened = OpenCheckpoint(note, Keys());
  if (!parsed.ok()) {
    REQUIRE(parsed.status().code() == absl::StatusCode::kInvalidArgument);
    REQUIRE(opened.status().code() == absl::StatusCode::kInvalidArgument);
    return;
  }
  // One spelling only: what was parsed is the text that was there.
  REQUIRE(note.starts_with(CheckpointText(*parsed) + "\n"));
  REQUIRE(!opened.ok() || *opened == *parsed);
}

void Key(std::string_view text) {
  const auto key = VerifierKey::Parse(text);
  REQUIRE(!key.ok() || key->ToString() == text);
}

void SignedText(std::string_view text) {
  static const CheckpointSigner signer = CheckpointSigner::FromSeed("fuzz", std::string(32, 'f')).value();
  const std::string note = std::string(text) + "\n" + signer.SignatureLine(text).value();
  Note(note);
  const auto opened = OpenCheckpoint(note, Keys());
  REQUIRE(!opened.ok() || opened->origin == "fuzz");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 3) {
    case 0:
      Note(bytes);
      break;
    case 1:
      Key(bytes);
      break;
    default:
      SignedText(bytes);
      break;
  }
  return 0;
}
