#include "lib/chain/note.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "lib/base/status.h"
#include "lib/base/utf8.h"
#include "lib/crypto/sha256.h"

namespace virp::chain {
namespace {

constexpr std::string_view kDash = "\xe2\x80\x94 ";  // U+2014 and a space
constexpr std::string_view kEd25519Type{"\1", 1};
constexpr std::size_t kMaxNote = 65'536;
constexpr std::size_t kMaxName = 255;
constexpr std::size_t kMaxSignatures = 64;
constexpr std::size_t kKeyIdSize = 4;

// Names of keys that we believe. The format allows more of Unicode; lines of such keys are ignored, not refused.
absl::Status CheckKeyName(std::string_view name) {
  if (name.empty() || name.size() > kMaxName) {
    return InvalidArgument("a verifier key's name has 1 to {} bytes, got {}", kMaxName, name.size());
  }
  for (const char c : name) {
    if (c <= ' ' || c > '~' || c == '+')
      return InvalidArgument("a verifier key's name has a character that does not fit");
  }
  return absl::OkStatus();
}

std::uint32_t KeyIdOf(std::string_view name, std::string_view public32) {
  const Hash hash = crypto::Sha256({name, "\n", kEd25519Type, public32});
  return LoadBe<std::uint32_t>(reinterpret_cast<const char*>(hash.data()));
}

struct SignatureLineView {
  std::string_view name;
  std::string_view encoded;  // base64 of key id and signature
};

struct Note {
  std::string_view text;  // what is signed, with its last LF
  std::vector<SignatureLineView> signatures;
};

// "— NAME SIGNATURE", without its LF.
absl::StatusOr<SignatureLineView> SplitSignatureLine(std::string_view line) {
  if (!line.starts_with(kDash)) return InvalidArgument("the note has a signature line that does not start with a dash");
  line.remove_prefix(kDash.size());
  const std::size_t space = line.find(' ');
  if (space == 0 || space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos ||
      line.substr(0, space).find('+') != std::string_view::npos) {
    return InvalidArgument("the note has a signature line that is not a dash, a name and a signature");
  }
  return SignatureLineView{line.substr(0, space), line.substr(space + 1)};
}

absl::StatusOr<Note> SplitNote(std::string_view note) {
  if (note.size() > kMaxNote) return InvalidArgument("a note of {} bytes; at most {}", note.size(), kMaxNote);
  const bool clean = std::all_of(note.begin(), note.end(), [](char c) {
    return c == '\n' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  });
  if (!clean || !IsUtf8(note)) return InvalidArgument("the note is not UTF-8 without control characters");
  // The last empty line: the text before it could hold one too.
  const std::size_t gap = note.rfind("\n\n");
  if (gap == std::string_view::npos || !note.ends_with('\n')) {
    return InvalidArgument("the note is not a text, an empty line and signature lines, each ended by a line feed");
  }
  Note out{note.substr(0, gap + 1), {}};
  for (std::string_view rest = note.substr(gap + 2); !rest.empty();) {
    if (out.signatures.size() == kMaxSignatures)
      return InvalidArgument("the note has over {} signatures", kMaxSignatures);
    const std::size_t end = rest.find('\n');
    ASSIGN_OR_RETURN(const SignatureLineView line, SplitSignatureLine(rest.substr(0, end)));
    out.signatures.push_back(line);
    rest.remove_prefix(end + 1);
  }
  if (out.signatures.empty()) return InvalidArgument("the note has no signature");
  return out;
}

absl::StatusOr<std::uint64_t> ParseSize(std::string_view digits) {
  std::uint64_t size = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), size);
  const bool canonical = digits.size() == 1 || !digits.starts_with('0');
  if (error != std::errc() || end != digits.data() + digits.size() || !canonical || size > kMaxTreeSize) {
    return InvalidArgument("the checkpoint's size is not a decimal number below 2^63 without leading zeros");
  }
  return size;
}

absl::StatusOr<Checkpoint> ParseText(std::string_view text) {
  std::string_view lines[3];
  for (std::string_view& line : lines) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return InvalidArgument("a checkpoint has three lines: origin, size, root");
    line = text.substr(0, end);
    text.remove_prefix(end + 1);
  }
  if (!text.empty())
    return InvalidArgument("the checkpoint has extension lines; only origin, size and root are accepted");
  Checkpoint out;
  if (lines[0].empty() || lines[0].size() > kMaxName) {
    return InvalidArgument("the checkpoint's origin has {} bytes; 1 to {} are accepted", lines[0].size(), kMaxName);
  }
  out.origin = std::string(lines[0]);
  ASSIGN_OR_RETURN(out.size, ParseSize(lines[1]));
  const absl::StatusOr<std::string> root = Base64Decode(lines[2]);
  if (!root.ok() || root->size() != sizeof(Hash))
    return InvalidArgument("the checkpoint's root is not base64 of 32 bytes");
  ASSIGN_OR_RETURN(out.root, HashFromBytes(*root));
  return out;
}

// The key that a line claims to be made by, null when none is known. `signature` gets the bytes behind the key id.
const VerifierKey* FindSigner(const SignatureLineView& line, const std::vector<VerifierKey>& keys,
                              std::string& signature) {
  const absl::StatusOr<std::string> bytes = Base64Decode(line.encoded);
  if (!bytes.ok() || bytes->size() <= kKeyIdSize) return nullptr;
  const auto id = LoadBe<std::uint32_t>(bytes->data());
  for (const VerifierKey& key : keys) {
    if (key.key_id() != id || key.name() != line.name) continue;
    signature = bytes->substr(kKeyIdSize);
    return &key;
  }
  return nullptr;
}

}  // namespace

absl::StatusOr<VerifierKey> VerifierKey::Make(std::string_view name, std::string_view public32) {
  RETURN_IF_ERROR(CheckKeyName(name));
  ASSIGN_OR_RETURN(crypto::Ed25519PublicKey key, crypto::Ed25519PublicKey::FromBytes(public32));
  return VerifierKey(std::string(name), std::move(key), KeyIdOf(name, public32));
}

absl::StatusOr<VerifierKey> VerifierKey::Parse(std::string_view text) {
  constexpr std::string_view kForm = "a verifier key is written name+key id (8 hex digits)+base64(type, public key)";
  const std::size_t first = text.find('+');
  if (first == std::string_view::npos || text.size() < first + 10 || text[first + 9] != '+') {
    return InvalidArgument("{}", kForm);
  }
  const std::string_view id_text = text.substr(first + 1, 8);
  const absl::StatusOr<std::string> key = Base64Decode(text.substr(first + 10));
  if (!key.ok() || key->empty()) return InvalidArgument("{}: the last part is not base64", kForm);
  if (!key->starts_with(kEd25519Type)) {
    return InvalidArgument("the verifier key is of signature type {}; only 1, Ed25519, makes checkpoints",
                           static_cast<std::uint8_t>(key->front()));
  }
  ASSIGN_OR_RETURN(VerifierKey out, Make(text.substr(0, first), std::string_view(*key).substr(1)));
  if (fmt::format("{:08x}", out.key_id()) != id_text) {
    return InvalidArgument("the verifier key of {} states id {} and has id {:08x}: a typing error?", out.name(),
                           id_text, out.key_id());
  }
  return out;
}

std::string VerifierKey::ToString() const {
  return fmt::format("{}+{:08x}+{}", name_, key_id_, Base64Encode(std::string(kEd25519Type) + public_key()));
}

std::string CheckpointText(const Checkpoint& checkpoint) {
  return fmt::format("{}\n{}\n{}\n", checkpoint.origin, checkpoint.size, Base64Encode(View(checkpoint.root)));
}

absl::StatusOr<Checkpoint> ParseCheckpointUnverified(std::string_view note) {
  ASSIGN_OR_RETURN(const Note parts, SplitNote(note));
  return ParseText(parts.text);
}

absl::StatusOr<Checkpoint> OpenCheckpoint(std::string_view note, const std::vector<VerifierKey>& keys) {
  ASSIGN_OR_RETURN(const Note parts, SplitNote(note));
  ASSIGN_OR_RETURN(Checkpoint checkpoint, ParseText(parts.text));
  const VerifierKey* stranger = nullptr;
  bool signed_by_own_key = false;
  for (const SignatureLineView& line : parts.signatures) {
    std::string signature;
    const VerifierKey* key = FindSigner(line, keys, signature);
    if (key == nullptr) continue;
    if (!key->Verify(parts.text, signature)) {
      return DataLoss("the signature of {} on the checkpoint of {} at size {} is wrong", key->name(), checkpoint.origin,
                      checkpoint.size);
    }
    if (key->name() == checkpoint.origin) {
      signed_by_own_key = true;
    } else {
      stranger = key;
    }
  }
  if (signed_by_own_key) return checkpoint;
  if (stranger != nullptr) {
    return DataLoss("a checkpoint of {} is signed with the key of {}, and not with its own", checkpoint.origin,
                    stranger->name());
  }
  return NotFound("no known key signed the checkpoint of {} at size {}", checkpoint.origin, checkpoint.size);
}

struct CheckpointSigner::Impl {
  crypto::Ed25519PrivateKey secret;
  VerifierKey verifier;
};

CheckpointSigner::CheckpointSigner() = default;
CheckpointSigner::CheckpointSigner(CheckpointSigner&&) noexcept = default;
CheckpointSigner& CheckpointSigner::operator=(CheckpointSigner&&) noexcept = default;
CheckpointSigner::~CheckpointSigner() = default;

absl::StatusOr<CheckpointSigner> CheckpointSigner::FromSeed(std::string_view name, std::string_view seed32) {
  ASSIGN_OR_RETURN(crypto::Ed25519PrivateKey secret, crypto::Ed25519PrivateKey::FromSeed(seed32));
  ASSIGN_OR_RETURN(VerifierKey verifier, VerifierKey::Make(name, secret.public_key().bytes()));
  CheckpointSigner out;
  out.impl_ = std::make_unique<Impl>(Impl{std::move(secret), std::move(verifier)});
  return out;
}

const VerifierKey& CheckpointSigner::verifier_key() const {
  return impl_->verifier;
}

absl::StatusOr<std::string> CheckpointSigner::SignatureLine(std::string_view text) const {
  std::string bytes;
  AppendBe(bytes, impl_->verifier.key_id());
  bytes += impl_->secret.Sign(text);
  return fmt::format("{}{} {}\n", kDash, impl_->verifier.name(), Base64Encode(bytes));
}

absl::StatusOr<std::string> CheckpointSigner::Sign(const Checkpoint& checkpoint) const {
  const std::string text = CheckpointText(checkpoint);
  ASSIGN_OR_RETURN(const std::string line, SignatureLine(text));
  return text + "\n" + line;
}

}  // namespace virp::chain
