#include "lib/pkcs11/token_impl.h"

#include "lib/base/bytes.h"
#include "lib/base/status.h"

namespace virp::pkcs11 {
namespace {

constexpr std::size_t kMaxRemembered = 32768;

bool IsStale(const absl::Status& status) {
  switch (CodeOf(status)) {
    case CKR_OBJECT_HANDLE_INVALID:
    case CKR_KEY_HANDLE_INVALID:
    case CKR_WRAPPING_KEY_HANDLE_INVALID:
    case CKR_UNWRAPPING_KEY_HANDLE_INVALID:
      return true;
    default:
      return false;
  }
}

}  // namespace

absl::Status CheckId(std::string_view id) {
  if (id.empty() || id.size() > kMaxKeyId) {
    return InvalidArgument("a key's id on a token has 1 to {} bytes, not {}", kMaxKeyId, id.size());
  }
  return absl::OkStatus();
}

absl::Status RefusedBytes(CK_RV code, std::string_view call) {
  if (code != CKR_GENERAL_ERROR && code != CKR_FUNCTION_FAILED) return CkStatus(code, call);
  return DataLoss("{}: the token refuses these bytes: not made under this key for this use, or damaged ({})", call,
                  CodeName(code));
}

absl::StatusOr<CK_OBJECT_HANDLE> MakeSessionAes(const Link& link, const crypto::Secret& value, SessionUse use) {
  Template wanted = SessionAesTemplate(value, use);
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  RETURN_IF_ERROR(
      CkStatus(link.f.C_CreateObject(link.session, wanted.data(), wanted.size(), &handle), "C_CreateObject"));
  return handle;
}

absl::StatusOr<Token::Impl::Key> Token::Impl::Locate(const Link& link, std::string_view id) {
  {
    const MutexLock lock(mutex);
    const auto at = remembered.find(id);
    if (at != remembered.end() && at->second.generation == link.generation) return at->second;
  }
  ASSIGN_OR_RETURN(const KeyObjects objects, FindKeyObjects(link, id));
  if (objects.private_or_secret.empty()) return NotFound("{}: no key with id {}", name, HexEncode(id));
  if (objects.private_or_secret.size() > 1) {
    return FailedPrecondition("{}: {} keys have the id {}; delete the wrong ones with the token's tool", name,
                              objects.private_or_secret.size(), HexEncode(id));
  }
  Key key{.handle = objects.private_or_secret.front(), .generation = link.generation};
  ASSIGN_OR_RETURN(key.kind, ReadKind(link, key.handle));
  const MutexLock lock(mutex);
  if (remembered.size() >= kMaxRemembered) remembered.clear();
  remembered[std::string(id)] = key;
  return key;
}

void Token::Impl::Forget(std::string_view id) {
  const MutexLock lock(mutex);
  const auto at = remembered.find(id);
  if (at != remembered.end()) remembered.erase(at);
}

absl::Status Token::Impl::WithKey(std::string_view id, Repeat repeat, const UseKey& use) {
  RETURN_IF_ERROR(CheckId(id));
  const auto once = [&](const Link& link) -> absl::Status {
    ASSIGN_OR_RETURN(const Key key, Locate(link, id));
    return use(link, key);
  };
  absl::Status status = pool.Run(repeat, once);
  if (IsStale(status)) {
    Forget(id);
    status = pool.Run(repeat, once);
  }
  return status;
}

absl::Status Token::Impl::WithKind(std::string_view id, KeyKind kind, const UseKey& use) {
  return WithKey(id, Repeat::kAlways, [&](const Link& link, const Key& key) -> absl::Status {
    if (key.kind != kind) {
      return InvalidArgument("{}: the key with id {} is {}, not {}", name, HexEncode(id), KeyKindName(key.kind),
                             KeyKindName(kind));
    }
    return use(link, key);
  });
}

}  // namespace virp::pkcs11
