// Private to lib/pkcs11: objects of a token by way of one session. The statuses carry the codes (cryptoki.h), so that
// the pool sees when the session is lost.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/crypto/secret.h"
#include "lib/pkcs11/session_pool.h"
#include "lib/pkcs11/template.h"
#include "lib/pkcs11/token.h"

namespace virp::pkcs11 {

// The module takes input through pointers to what is not const, and does not write there.
inline CK_BYTE_PTR In(std::string_view bytes) {
  return reinterpret_cast<CK_BYTE_PTR>(const_cast<char*>(bytes.data()));
}
inline CK_BYTE_PTR Out(char* bytes) {
  return reinterpret_cast<CK_BYTE_PTR>(bytes);
}

// Handles that fit. An empty answer is given only by a session that is logged in: to one that is not, private objects
// do not show, and "not there" would be a lie. ResourceExhausted beyond `limit`.
absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> FindObjects(const Link& link, Template wanted, std::size_t limit);

// NotFound when the object has no such attribute, or does not show it.
absl::StatusOr<std::string> ReadBytes(const Link& link, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type);
absl::StatusOr<CK_ULONG> ReadNumber(const Link& link, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type);
// False for an attribute that the object does not have.
absl::StatusOr<bool> ReadBool(const Link& link, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type);
// CKA_VALUE, of at most `limit` bytes.
absl::StatusOr<crypto::Secret> ReadSecretValue(const Link& link, CK_OBJECT_HANDLE object, std::size_t limit);

// The objects of one key.
struct KeyObjects {
  std::vector<CK_OBJECT_HANDLE> private_or_secret;
  std::vector<CK_OBJECT_HANDLE> others;  // public halves, and what else has the id
};
absl::StatusOr<KeyObjects> FindKeyObjects(const Link& link, std::string_view id);

// FailedPrecondition for a kind that is not used here.
absl::StatusOr<KeyKind> ReadKind(const Link& link, CK_OBJECT_HANDLE key);
absl::StatusOr<KeyInfo> ReadInfo(const Link& link, const KeyObjects& objects, std::string_view id);

enum class Origin { kMadeHere, kBrought };

// Whether the token made of it what was asked for; FailedPrecondition names the attribute that differs.
absl::Status CheckAttributes(const Link& link, CK_OBJECT_HANDLE key, const KeySpec& spec, Origin origin);

// What a new key is to be.
Template PrivateTemplate(const KeySpec& spec);
Template PublicTemplate(const KeySpec& spec);  // without what makes it of its kind
Template AesTemplate(const KeySpec& spec);
// An AES key of this session only, with these bytes: to wrap, to unwrap, or to be wrapped itself.
enum class SessionUse { kWraps, kUnwraps, kIsWrapped };
Template SessionAesTemplate(const crypto::Secret& value, SessionUse use);
// What an unwrapped secret is to be: read once and gone.
Template UnwrappedTemplate();

// Destroys an object of the session when the scope ends.
class SessionObject {
 public:
  SessionObject(const Link& link, CK_OBJECT_HANDLE handle) : link_(link), handle_(handle) {}
  ~SessionObject() { link_.f.C_DestroyObject(link_.session, handle_); }
  SessionObject(const SessionObject&) = delete;
  SessionObject& operator=(const SessionObject&) = delete;
  CK_OBJECT_HANDLE get() const { return handle_; }

 private:
  const Link& link_;
  CK_OBJECT_HANDLE handle_;
};

}  // namespace virp::pkcs11
