#include "lib/chain/proof.h"

#include <charconv>

#include "lib/base/status.h"
#include "lib/chain/merkle.h"

namespace virp::chain {
namespace {

constexpr std::string_view kFirstLine = "c2sp.org/tlog-proof@v1";
constexpr std::string_view kExtra = "extra ";
constexpr std::string_view kIndex = "index ";
constexpr std::size_t kMaxFile = 1 << 20;
constexpr std::size_t kMaxPath = 63;

// Hands out lines and counts them for error messages.
class Lines {
 public:
  explicit Lines(std::string_view text) : rest_(text) {}

  absl::StatusOr<std::string_view> Next() {
    ++number_;
    const std::size_t end = rest_.find('\n');
    if (end == std::string_view::npos) return Wrong("the file ends within a line");
    const std::string_view line = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return line;
  }
  absl::Status Wrong(std::string_view what) const { return InvalidArgument("proof file, line {}: {}", number_, what); }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
  int number_ = 0;
};

absl::StatusOr<std::uint64_t> ParseIndex(const Lines& lines, std::string_view line) {
  if (!line.starts_with(kIndex)) return lines.Wrong("expected \"index\" and the entry's number");
  line.remove_prefix(kIndex.size());
  std::uint64_t index = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), index);
  if (error != std::errc() || end != line.data() + line.size() || (line.size() > 1 && line.starts_with('0')) ||
      index >= kMaxTreeSize) {
    return lines.Wrong("the index is not a decimal number below 2^63 without leading zeros");
  }
  return index;
}

}  // namespace

std::string EncodeProof(const Proof& proof) {
  std::string out = fmt::format("{}\n", kFirstLine);
  if (!proof.entry.empty()) out += fmt::format("{}{}\n", kExtra, Base64Encode(proof.entry));
  out += fmt::format("{}{}\n", kIndex, proof.index);
  for (const Hash& hash : proof.path) out += Base64Encode(View(hash)) + "\n";
  return out + "\n" + proof.checkpoint;
}

absl::StatusOr<Proof> DecodeProof(std::string_view text) {
  if (text.size() > kMaxFile) return InvalidArgument("a proof file of {} bytes; at most {}", text.size(), kMaxFile);
  Lines lines(text);
  ASSIGN_OR_RETURN(std::string_view line, lines.Next());
  if (line != kFirstLine) return lines.Wrong("expected \"c2sp.org/tlog-proof@v1\"");
  ASSIGN_OR_RETURN(line, lines.Next());
  Proof proof;
  if (line.starts_with(kExtra)) {
    absl::StatusOr<std::string> entry = Base64Decode(line.substr(kExtra.size()));
    if (!entry.ok() || entry->empty()) return lines.Wrong("the extra data is not base64 of an entry");
    proof.entry = *std::move(entry);
    ASSIGN_OR_RETURN(line, lines.Next());
  }
  ASSIGN_OR_RETURN(proof.index, ParseIndex(lines, line));
  for (;;) {
    ASSIGN_OR_RETURN(line, lines.Next());
    if (line.empty()) break;
    if (proof.path.size() == kMaxPath) return lines.Wrong("an inclusion proof has at most 63 hashes");
    const absl::StatusOr<std::string> hash = Base64Decode(line);
    if (!hash.ok() || hash->size() != sizeof(Hash)) return lines.Wrong("not base64 of a hash of 32 bytes");
    ASSIGN_OR_RETURN(proof.path.emplace_back(), HashFromBytes(*hash));
  }
  proof.checkpoint = std::string(lines.rest());
  if (const auto note = ParseCheckpointUnverified(proof.checkpoint); !note.ok()) {
    return Annotate(note.status(), "proof file, after its empty line");
  }
  return proof;
}

absl::StatusOr<VerifiedProof> VerifyProof(const Proof& proof, const std::vector<VerifierKey>& keys) {
  ASSIGN_OR_RETURN(Checkpoint checkpoint, OpenCheckpoint(proof.checkpoint, keys));
  if (proof.entry.empty()) return InvalidArgument("the proof does not hold the entry that it is about");
  ASSIGN_OR_RETURN(const Entry entry, DecodeEntry(proof.entry));
  RETURN_IF_ERROR(VerifyInclusion(LeafHash(proof.entry), proof.index, checkpoint.size, proof.path, checkpoint.root));
  // Both hold in every tree that an O-Node signed; a signer that breaks them is not to be believed either.
  if (entry.header.origin_id != OriginIdOf(checkpoint.origin)) {
    return DataLoss("the entry at {} belongs to another chain than {}", proof.index, checkpoint.origin);
  }
  if (entry.header.sequence != proof.index) {
    return DataLoss("the entry at {} of {} states sequence {}", proof.index, checkpoint.origin, entry.header.sequence);
  }
  return VerifiedProof{std::move(checkpoint), entry.header, std::string(entry.frame)};
}

}  // namespace virp::chain
