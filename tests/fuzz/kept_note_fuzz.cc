// The files in which deliverers and those who ask keep what they saw of a chain. Input: 'n' and a note, 's' and the
// text of a note that we sign, or 'a' and the text of a note that we sign, a line "--", and what follows it in the file
// of an audit. Each is what the file holds when it is opened.
#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "lib/chain/checkpoint_store.h"
#include "lib/deliver/audit.h"
#include "tests/fuzz/require.h"
#include "tests/testutil/temp_dir.h"

using namespace virp::chain;  // NOLINT(google-build-using-namespace): a fuzz target is one function

namespace {

constexpr char kOrigin[] = "fuzz";

const CheckpointSigner& Signer() {
  static const CheckpointSigner signer = CheckpointSigner::FromSeed(kOrigin, std::string(32, 'f')).value();
  return signer;
}

std::string Sign(std::string_view text) {
  return std::string(text) + "\n" + Signer().SignatureLine(text).value();
}

void Write(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

void Keep(const std::string& note) {
  const virp::testutil::TempDir folder;
  const std::vector<VerifierKey> keys = {Signer().verifier_key()};
  const auto store = CheckpointStore::Open(folder.path());
  REQUIRE(store.ok());
  // A good note makes the file, whose name is the store's own business; then it holds something else.
  const Checkpoint first{kOrigin, 1, virp::Hash{1}};
  REQUIRE(store->Keep(Sign(CheckpointText(first)), keys).ok());
  for (const auto& file : std::filesystem::directory_iterator(folder.path())) {
    if (file.path().filename().string().starts_with(kOrigin)) Write(file.path(), note);
  }
  const auto kept = store->Load(kOrigin, keys);
  if (!kept.ok()) {
    REQUIRE(kept.status().code() == absl::StatusCode::kDataLoss);
    REQUIRE(!store->Keep(Sign(CheckpointText({kOrigin, 2, virp::Hash{2}})), keys).ok());
    return;
  }
  REQUIRE(kept->has_value() && (*kept)->note == note && (*kept)->checkpoint.origin == kOrigin);
}

void Audited(std::string_view file) {
  const virp::testutil::TempDir folder;
  Write(folder.File("audited"), file);
  const auto audit = virp::deliver::Audit::Open(folder.path(), kOrigin, {Signer().verifier_key()});
  if (!audit.ok()) return;
  REQUIRE(file.starts_with(audit->note()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == 'n') {
    Keep(std::string(text));
    Audited(text);
  }
  if (data[0] == 's') Keep(Sign(text));
  if (data[0] == 'a') {
    const std::size_t line = text.find("--\n");
    if (line != std::string_view::npos) Audited(Sign(text.substr(0, line)) + std::string(text.substr(line + 3)));
  }
  return 0;
}
