#include "lib/vrp/signature.h"

#include <algorithm>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/base/status.h"
#include "lib/crypto/sha256.h"
#include "lib/vrp/json_fields.h"
#include "lib/vrp/json_reader.h"
#include "lib/vrp/text.h"

namespace virp::vrp {
namespace {

// RFC 8410 section 4: a SubjectPublicKeyInfo of Ed25519 is this and the key.
constexpr std::string_view kEd25519Spki("\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00", 12);

std::string_view Trimmed(std::string_view text) {
  static constexpr std::string_view kSpace = " \t\r\n";
  const auto first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

constexpr std::string_view kBegin = "-----BEGIN PUBLIC KEY-----";
constexpr std::string_view kEnd = "-----END PUBLIC KEY-----";

// The DER of the one block of a PEM text, around which there may be comments.
absl::StatusOr<std::string> DerOfPem(std::string_view pem) {
  const auto begin = pem.find(kBegin);
  const auto end = pem.find(kEnd);
  if (begin == std::string_view::npos || end == std::string_view::npos || end < begin ||
      pem.find(kBegin, begin + 1) != std::string_view::npos) {
    return InvalidArgument("a public key in PEM was expected: one block BEGIN PUBLIC KEY");
  }
  std::string text(pem.substr(begin + kBegin.size(), end - begin - kBegin.size()));
  std::erase_if(text, [](char c) { return c == '\n' || c == '\r' || c == ' '; });
  auto der = Base64Decode(text);
  return der.ok() ? std::move(der) : Annotate(der.status(), "public key");
}

// What GoRTR signs, read from the document.
struct Signed {
  std::vector<std::string> lines;
  std::uint64_t generated = 0;
  std::uint64_t valid = 0;
  std::string signature;
  std::string signature_date;
};

class SignedReader {
 public:
  explicit SignedReader(std::string_view text) : reader_(text), fields_(reader_) {}

  absl::StatusOr<Signed> Run() {
    std::string_view key;
    for (reader_.BeginObject(); reader_.NextKey(key);) {
      if (key == "roas") {
        if (!fields_.Once(1)) break;
        for (reader_.BeginArray(); reader_.NextElement();) Roa();
      } else if (key == "metadata") {
        if (!fields_.Once(2)) break;
        Metadata();
      } else if (key == "bgpsec_keys" || key == "routerKeys" || key == "aspas" || key == "provider_authorizations") {
        fields_.Problem("the document has router keys or ASPAs, which an embedded signature does not cover");
        reader_.Skip();
      } else {
        reader_.Skip();
      }
    }
    if (!fields_.HasProblem()) reader_.End();
    RETURN_IF_ERROR(reader_.status());
    if (fields_.HasProblem()) return InvalidArgument("{}", fields_.TakeProblem());
    return std::move(out_);
  }

 private:
  void Roa() {
    JsonFields fields(reader_);
    std::string_view key;
    std::string prefix;
    std::string as;
    std::uint64_t max_length = 0;
    for (reader_.BeginObject(); reader_.NextKey(key);) {
      std::string_view text;
      if (key == "prefix") {
        if (fields.Once(1) && reader_.String(text)) prefix = text;
      } else if (key == "asn") {
        if (fields.Once(2) && reader_.String(text)) as = text;
      } else if (key == "maxLength") {
        if (fields.Once(4)) fields.Unsigned(key, 255, max_length);
      } else if (key == "expires") {
        // Whoever stands between could have it expire now.
        fields.Problem("a record has `expires`, which an embedded signature does not cover");
        reader_.Skip();
      } else {
        reader_.Skip();
      }
    }
    if (fields.HasProblem()) fields_.Problem(fields.TakeProblem());
    // A comma in one of them would move the border to the next.
    PrefixText parsed;
    std::uint32_t number = 0;
    if (!reader_.failed() && (!ParsePrefix(prefix, parsed) || !ParseAs(as, number))) {
      fields_.Problem(fmt::format("record {} has no prefix or AS number as text", out_.lines.size()));
    }
    out_.lines.push_back(fmt::format("{},{},{},", prefix, max_length, as));
  }

  void Metadata() {
    JsonFields fields(reader_);
    std::string_view key;
    bool built = false, generated = false;
    for (reader_.BeginObject(); reader_.NextKey(key);) {
      std::string_view text;
      built = built || key == "buildtime";
      generated = generated || key == "generated";
      if (key == "generated") {
        if (fields.Once(1)) fields.Unsigned(key, INT64_MAX, out_.generated);
      } else if (key == "valid") {
        if (fields.Once(2)) fields.Unsigned(key, INT64_MAX, out_.valid);
      } else if (key == "signature") {
        if (fields.Once(4) && reader_.String(text)) out_.signature = text;
      } else if (key == "signatureDate") {
        if (fields.Once(8) && reader_.String(text)) out_.signature_date = text;
      } else {
        reader_.Skip();
      }
    }
    if (built && !generated)
      fields.Problem("metadata.generated is missing: an embedded signature does not cover buildtime");
    if (fields.HasProblem()) fields_.Problem(fields.TakeProblem());
  }

  JsonReader reader_;
  JsonFields fields_;
  Signed out_;
};

absl::Status CheckHex(const crypto::P256PublicKey& key, const Hash& digest, std::string_view hex,
                      std::string_view name) {
  if (hex.empty()) return Unauthenticated("metadata.{} is missing", name);
  const auto signature = HexDecode(hex);
  if (!signature.ok() || !key.VerifyDigest(digest, *signature))
    return Unauthenticated("metadata.{} does not verify", name);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SourceKey> SourceKey::FromPem(std::string_view pem) {
  ASSIGN_OR_RETURN(const std::string der, DerOfPem(pem));
  if (der.size() == kEd25519Spki.size() + crypto::kEd25519KeySize && der.starts_with(kEd25519Spki)) {
    ASSIGN_OR_RETURN(auto key, crypto::Ed25519PublicKey::FromBytes(std::string_view(der).substr(kEd25519Spki.size())));
    return SourceKey(Key(std::move(key)));
  }
  auto key = crypto::P256PublicKey::FromSpki(der);
  if (!key.ok()) return InvalidArgument("the public key is neither of Ed25519 nor of P-256: {}", Message(key.status()));
  return SourceKey(Key(*std::move(key)));
}

absl::StatusOr<std::vector<SourceKey>> SourceKey::ListFromPem(std::string_view pem) {
  std::vector<SourceKey> keys;
  do {
    if (keys.size() == kMaxSourceKeys) return InvalidArgument("more than {} public keys", kMaxSourceKeys);
    const std::size_t first = std::min(pem.find(kBegin), pem.size());
    const std::size_t next = std::min(pem.find(kBegin, first + 1), pem.size());
    ASSIGN_OR_RETURN(SourceKey key, FromPem(pem.substr(0, next)));
    keys.push_back(std::move(key));
    pem.remove_prefix(next);
  } while (!pem.empty());
  return keys;
}

absl::Status SourceKey::VerifyDetached(std::string_view document, std::string_view signature) const {
  if (signature.size() > kMaxSignatureFile) return Unauthenticated("the signature has {} bytes", signature.size());
  const auto verifies = [&](std::string_view bytes) {
    if (const auto* ed25519 = std::get_if<crypto::Ed25519PublicKey>(&key_)) return ed25519->Verify(document, bytes);
    return std::get<crypto::P256PublicKey>(key_).VerifyDigest(crypto::Sha256(document), bytes);
  };
  if (verifies(signature)) return absl::OkStatus();
  const auto bytes = DecodeAnyBase64(Trimmed(signature));
  if (bytes && verifies(*bytes)) return absl::OkStatus();
  return Unauthenticated("the signature of the document does not verify");
}

absl::Status SourceKey::VerifyEmbedded(std::string_view document) const {
  const auto* key = std::get_if<crypto::P256PublicKey>(&key_);
  if (key == nullptr) return InvalidArgument("embedded signatures are of P-256, the key is of Ed25519");
  ASSIGN_OR_RETURN(Signed data, SignedReader(document).Run());
  std::sort(data.lines.begin(), data.lines.end());
  crypto::Sha256Stream list;
  crypto::Sha256Stream dated;
  dated.Add(fmt::format("{},", data.generated));
  for (const std::string& line : data.lines) {
    list.Add(line);
    dated.Add(line);
  }
  dated.Add(fmt::format("{}", data.valid));
  RETURN_IF_ERROR(CheckHex(*key, list.End(), data.signature_date, "signatureDate"));
  return CheckHex(*key, dated.End(), data.signature, "signature");
}

}  // namespace virp::vrp
