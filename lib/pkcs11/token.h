// Keys on a PKCS #11 token: made there, used there, found by their id. PKCS #11 is spoken directly, without OpenSSL's
// ENGINE or a provider (docs/operations/hsm.md). Nothing of the standard's own types shows here.
//
// Every method may be called from every thread. A call may take as long as the token does; sessions are lent from a
// pool. A token that was pulled out or restarted is found again and logged in to by the next call.
//
// Errors beside those of each method:
//   Unavailable         the token is not there, or lost during the call; or its module failed in a way of its own
//   FailedPrecondition  with reason kLoginFailed: the PIN is wrong, locked, expired or down to its last try, or its
//   file
//                       is not there or not fit; the metadatum "why" has the code's name
//   Unimplemented       the token does not offer the mechanism, or its policy forbids it
//   ResourceExhausted   no session came free in time, or the token is full
// The reason (lib/base/error_info.h) of what a module said is the standard's name of its code: "CKR_KEY_UNEXTRACTABLE".
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/bytes.h"
#include "lib/crypto/secret.h"
#include "lib/pkcs11/token_uri.h"

namespace virp::pkcs11 {

inline constexpr std::string_view kLoginFailed = "TOKEN_LOGIN_FAILED";
inline constexpr std::size_t kMaxKeyId = 64;
inline constexpr std::size_t kMaxKeyLabel = 128;
inline constexpr std::size_t kMaxInput = std::size_t{1} << 20;  // to sign, to seal

enum class KeyKind { kEcP256, kRsa2048, kEd25519, kAes256 };
std::string_view KeyKindName(KeyKind kind);  // "EC P-256", ...

// What an AES key is for: one thing only. A key that could both wrap keys and decrypt bytes would let whoever has a
// session read any key that may leave the token.
enum class AesUse {
  kSeal,  // AES-GCM on bytes (CKA_ENCRYPT, CKA_DECRYPT)
  kWrap,  // AES-KWP on keys (CKA_WRAP, CKA_UNWRAP)
};

struct KeySpec {
  KeyKind kind = KeyKind::kEcP256;
  std::string id{};         // CKA_ID, 1 to kMaxKeyId bytes
  std::string label{};      // CKA_LABEL for people, at most kMaxKeyLabel bytes of UTF-8
  bool exportable = false;  // CKA_EXTRACTABLE, until LockExport; never for AES
  AesUse aes_use = AesUse::kSeal;
};

struct KeyInfo {
  KeyKind kind = KeyKind::kEcP256;
  std::string id{};
  std::string label{};
  bool exportable = false;      // CKA_EXTRACTABLE now
  bool was_exportable = false;  // not CKA_NEVER_EXTRACTABLE
  bool made_here = false;       // CKA_LOCAL: generated on the token, not brought to it
  std::string public_spki{};    // DER SubjectPublicKeyInfo; empty for AES
  std::string public_raw{};     // 65 bytes of the point for P-256, 32 bytes for Ed25519, else empty
};

struct TokenFacts {
  std::string module_path{};
  std::string label{};
  std::string serial{};
  std::string manufacturer{};
  std::string model{};
  std::string firmware{};
};

struct TokenOptions {
  std::string module_path{};  // absolute
  TokenSelector selector{};
  std::string pin_file{};  // absolute; see pin_file.h for what it must be
  std::size_t max_sessions = 64;
  std::chrono::milliseconds patience{10'000};  // for a session when all are busy
  // A token that is not there is looked for at each call; its module is started anew for that at most this often.
  std::chrono::milliseconds restart_interval{5'000};
};

class Token {
 public:
  // Loads the module, finds the token and logs in. FailedPrecondition too when the module is none that is fit (see
  // module.h) or more than one token is so named.
  static absl::StatusOr<std::unique_ptr<Token>> Open(TokenOptions options);
  // The same when the token need not be there yet: the first call that needs it looks for it.
  static absl::StatusOr<std::unique_ptr<Token>> OpenLater(TokenOptions options);
  ~Token();  // no call may be under way
  Token(const Token&) = delete;
  Token& operator=(const Token&) = delete;

  // OK when a session is there and logged in: for readiness.
  absl::Status Check();
  TokenFacts facts() const;

  // A key or pair of its own id that stays on the token, private, sensitive, good for signing only (AES: for its use
  // only); what the token made of it is read back and checked. AlreadyExists when the id is taken; InvalidArgument for
  // a spec outside its limits; FailedPrecondition when the token did not keep an attribute (the key is destroyed then).
  absl::StatusOr<KeyInfo> Generate(const KeySpec& spec);

  // NotFound when there is no such key, private half or AES; FailedPrecondition when two have the id or it is of a kind
  // that is not used here.
  absl::StatusOr<KeyInfo> Find(std::string_view id);
  // The ids of all keys with private halves and AES keys on the token, sorted; at most `limit`.
  absl::StatusOr<std::vector<std::string>> ListIds(std::size_t limit = 100'000);

  // Over a message: ECDSA with SHA-256 as DER, RSASSA-PKCS1-v1_5 with SHA-256, Ed25519. Over a SHA-256 value: the
  // former two. NotFound when the key is gone; InvalidArgument for another kind of key or a message beyond kMaxInput.
  absl::StatusOr<std::string> Sign(std::string_view id, std::string_view message);
  absl::StatusOr<std::string> SignDigest(std::string_view id, const Hash& digest);

  // The private half as PKCS #8 under a key of 32 bytes that the caller chose (AES-KWP, RFC 5649): it crosses the
  // module's interface encrypted. FailedPrecondition, reason CKR_KEY_UNEXTRACTABLE, when it may not leave the token.
  absl::StatusOr<std::string> ExportWrapped(std::string_view id, const crypto::Secret& transport_key);
  // Sets CKA_EXTRACTABLE false and reads it back. There is no way back: the token refuses it. OK when it was false.
  absl::Status LockExport(std::string_view id);
  // Brings a private key to the token, wrapped as ExportWrapped does it, and the public half along. As Generate, but
  // for P-256 and RSA-2048 only; InvalidArgument when `public_spki` is none of this kind, DataLoss when the private key
  // was not wrapped so. Whether the halves belong together is the caller's to see: by a signature.
  absl::StatusOr<KeyInfo> ImportWrapped(const KeySpec& spec, std::string_view wrapped,
                                        const crypto::Secret& transport_key, std::string_view public_spki);

  // Both halves, and makes sure that they are gone. NotFound when neither was there.
  absl::Status Destroy(std::string_view id);

  // AES-256-GCM under a key of the token's: a fresh nonce of 12 bytes, the ciphertext, a tag of 16. The same key must
  // not be used more than 2^32 times (SP 800-38D section 8.3). DataLoss when a sealed text was not made under this key
  // with this associated data; Unavailable when the token does not even open what it sealed just now: many network
  // tokens give the same code for damaged bytes and for a link that broke.
  absl::StatusOr<std::string> Seal(std::string_view kek_id, std::string_view associated_data,
                                   const crypto::Secret& plain);
  absl::StatusOr<crypto::Secret> Unseal(std::string_view kek_id, std::string_view associated_data,
                                        std::string_view sealed);

  // AES-KWP under a key of the token's, of a secret of 16, 24 or 32 bytes, which is an AES key on the token for as long
  // as the call takes. DataLoss as for Unseal.
  absl::StatusOr<std::string> Wrap(std::string_view kek_id, const crypto::Secret& secret);
  absl::StatusOr<crypto::Secret> Unwrap(std::string_view kek_id, std::string_view wrapped);

 private:
  struct Impl;
  explicit Token(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace virp::pkcs11
