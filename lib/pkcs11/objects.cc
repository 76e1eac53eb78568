#include "lib/pkcs11/objects.h"

#include <array>
#include <utility>

#include "lib/base/status.h"
#include "lib/pkcs11/encoding.h"

namespace virp::pkcs11 {
namespace {

using namespace std::string_view_literals;

constexpr std::size_t kMaxAttribute = 8192;
constexpr CK_ULONG kFindBatch = 256;

absl::Status EnsureLoggedIn(const Link& link) {
  CK_SESSION_INFO info{};
  RETURN_IF_ERROR(CkStatus(link.f.C_GetSessionInfo(link.session, &info), "C_GetSessionInfo"));
  const bool logged_in = info.state == CKS_RW_USER_FUNCTIONS || info.state == CKS_RO_USER_FUNCTIONS;
  return logged_in ? absl::OkStatus() : CkStatus(CKR_USER_NOT_LOGGED_IN, "C_GetSessionInfo");
}

// Asks for the size, then for the value, into what `allocate` gives for a size.
template <typename T, typename Allocate>
absl::StatusOr<T> ReadAttribute(const Link& link, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, std::size_t limit,
                                const Allocate& allocate) {
  CK_ATTRIBUTE attribute{type, nullptr, 0};
  CK_RV code = link.f.C_GetAttributeValue(link.session, object, &attribute, 1);
  if (code == CKR_ATTRIBUTE_TYPE_INVALID || code == CKR_ATTRIBUTE_SENSITIVE ||
      (code == CKR_OK && attribute.ulValueLen == CK_UNAVAILABLE_INFORMATION)) {
    return NotFound("the object does not show attribute {:#x} ({})", type, CodeName(code));
  }
  RETURN_IF_ERROR(CkStatus(code, "C_GetAttributeValue"));
  if (attribute.ulValueLen > limit) {
    return Unavailable("the token tells of an attribute {:#x} of {} bytes, {} are the limit", type,
                       attribute.ulValueLen, limit);
  }
  const std::size_t size = attribute.ulValueLen;
  T out = allocate(size);
  if (size == 0) return out;
  attribute.pValue = out.data();
  code = link.f.C_GetAttributeValue(link.session, object, &attribute, 1);
  RETURN_IF_ERROR(CkStatus(code, "C_GetAttributeValue"));
  if (attribute.ulValueLen != size) return Unavailable("the token changed attribute {:#x} while it was read", type);
  return out;
}

absl::StatusOr<CK_OBJECT_HANDLE> PublicHalf(const Link& link, const KeyObjects& objects) {
  for (const CK_OBJECT_HANDLE object : objects.others) {
    ASSIGN_OR_RETURN(const CK_ULONG object_class, ReadNumber(link, object, CKA_CLASS));
    if (object_class == CKO_PUBLIC_KEY) return object;
  }
  return FailedPrecondition(
      "the key's public half is not on the token; somebody deleted it, restore the token's backup");
}

absl::Status ReadPublic(const Link& link, const KeyObjects& objects, KeyInfo& info) {
  if (info.kind == KeyKind::kAes256) return absl::OkStatus();
  ASSIGN_OR_RETURN(const CK_OBJECT_HANDLE half, PublicHalf(link, objects));
  if (info.kind == KeyKind::kRsa2048) {
    ASSIGN_OR_RETURN(const std::string modulus, ReadBytes(link, half, CKA_MODULUS));
    ASSIGN_OR_RETURN(const std::string exponent, ReadBytes(link, half, CKA_PUBLIC_EXPONENT));
    info.public_spki = RsaSpki(modulus, exponent);
    return absl::OkStatus();
  }
  const bool p256 = info.kind == KeyKind::kEcP256;
  ASSIGN_OR_RETURN(const std::string point, ReadBytes(link, half, CKA_EC_POINT));
  ASSIGN_OR_RETURN(info.public_raw, PointFromAttribute(point, p256 ? kP256PointSize : 32));
  info.public_spki = p256 ? P256Spki(info.public_raw) : Ed25519Spki(info.public_raw);
  return absl::OkStatus();
}

struct Expected {
  CK_ATTRIBUTE_TYPE type;
  std::string_view name;
  bool value;
};

std::vector<Expected> ExpectedOf(const KeySpec& spec, Origin origin) {
  const bool made_here = origin == Origin::kMadeHere;
  const bool aes = spec.kind == KeyKind::kAes256;
  const bool seals = aes && spec.aes_use == AesUse::kSeal;
  const bool wraps = aes && spec.aes_use == AesUse::kWrap;
  return {{CKA_TOKEN, "CKA_TOKEN", true},
          {CKA_PRIVATE, "CKA_PRIVATE", true},
          {CKA_SENSITIVE, "CKA_SENSITIVE", true},
          {CKA_ALWAYS_SENSITIVE, "CKA_ALWAYS_SENSITIVE", made_here},
          {CKA_EXTRACTABLE, "CKA_EXTRACTABLE", spec.exportable},
          {CKA_NEVER_EXTRACTABLE, "CKA_NEVER_EXTRACTABLE", made_here && !spec.exportable},
          {CKA_LOCAL, "CKA_LOCAL", made_here},
          {CKA_SIGN, "CKA_SIGN", !aes},
          {CKA_SIGN_RECOVER, "CKA_SIGN_RECOVER", false},
          {CKA_DERIVE, "CKA_DERIVE", false},
          {CKA_ENCRYPT, "CKA_ENCRYPT", seals},
          {CKA_DECRYPT, "CKA_DECRYPT", seals},
          {CKA_WRAP, "CKA_WRAP", wraps},
          {CKA_UNWRAP, "CKA_UNWRAP", wraps}};
}

}  // namespace

absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> FindObjects(const Link& link, Template wanted, std::size_t limit) {
  RETURN_IF_ERROR(CkStatus(link.f.C_FindObjectsInit(link.session, wanted.data(), wanted.size()), "C_FindObjectsInit"));
  std::vector<CK_OBJECT_HANDLE> out;
  absl::Status status;
  while (status.ok()) {
    std::array<CK_OBJECT_HANDLE, kFindBatch> batch{};
    CK_ULONG count = 0;
    status = CkStatus(link.f.C_FindObjects(link.session, batch.data(), kFindBatch, &count), "C_FindObjects");
    if (!status.ok() || count == 0) break;
    if (count > kFindBatch) return Unavailable("C_FindObjects: the token gave more than was asked for");
    out.insert(out.end(), batch.begin(), batch.begin() + count);
    if (out.size() > limit) status = ResourceExhausted("the token has more than {} such objects", limit);
  }
  const CK_RV code = link.f.C_FindObjectsFinal(link.session);
  RETURN_IF_ERROR(status);
  RETURN_IF_ERROR(CkStatus(code, "C_FindObjectsFinal"));
  if (out.empty()) RETURN_IF_ERROR(EnsureLoggedIn(link));
  return out;
}

absl::StatusOr<std::string> ReadBytes(const Link& link, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type) {
  return ReadAttribute<std::string>(link, object, type, kMaxAttribute,
                                    [](std::size_t size) { return std::string(size, '\0'); });
}

absl::StatusOr<crypto::Secret> ReadSecretValue(const Link& link, CK_OBJECT_HANDLE object, std::size_t limit) {
  return ReadAttribute<crypto::Secret>(link, object, CKA_VALUE, limit,
                                       [](std::size_t size) { return crypto::Secret(size); });
}

absl::StatusOr<CK_ULONG> ReadNumber(const Link& link, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type) {
  CK_ULONG value = 0;
  CK_ATTRIBUTE attribute{type, &value, sizeof value};
  RETURN_IF_ERROR(CkStatus(link.f.C_GetAttributeValue(link.session, object, &attribute, 1), "C_GetAttributeValue"));
  if (attribute.ulValueLen != sizeof value) return Unavailable("the token gave attribute {:#x} in another form", type);
  return value;
}

absl::StatusOr<bool> ReadBool(const Link& link, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type) {
  CK_BBOOL value = CK_FALSE;
  CK_ATTRIBUTE attribute{type, &value, sizeof value};
  const CK_RV code = link.f.C_GetAttributeValue(link.session, object, &attribute, 1);
  if (code == CKR_ATTRIBUTE_TYPE_INVALID) return false;
  RETURN_IF_ERROR(CkStatus(code, "C_GetAttributeValue"));
  return attribute.ulValueLen == sizeof value && value != CK_FALSE;
}

absl::StatusOr<KeyObjects> FindKeyObjects(const Link& link, std::string_view id) {
  ASSIGN_OR_RETURN(const std::vector<CK_OBJECT_HANDLE> all,
                   FindObjects(link, Template().Bytes(CKA_ID, id).Bool(CKA_TOKEN, true), 64));
  KeyObjects out;
  for (const CK_OBJECT_HANDLE object : all) {
    ASSIGN_OR_RETURN(const CK_ULONG object_class, ReadNumber(link, object, CKA_CLASS));
    const bool secret = object_class == CKO_PRIVATE_KEY || object_class == CKO_SECRET_KEY;
    (secret ? out.private_or_secret : out.others).push_back(object);
  }
  // A public half alone is what a session sees that is not logged in.
  if (out.private_or_secret.empty()) RETURN_IF_ERROR(EnsureLoggedIn(link));
  return out;
}

absl::StatusOr<KeyKind> ReadKind(const Link& link, CK_OBJECT_HANDLE key) {
  ASSIGN_OR_RETURN(const CK_ULONG type, ReadNumber(link, key, CKA_KEY_TYPE));
  switch (type) {
    case CKK_EC:
      return KeyKind::kEcP256;
    case CKK_RSA:
      return KeyKind::kRsa2048;
    case CKK_EC_EDWARDS:
      return KeyKind::kEd25519;
    case CKK_AES:
      return KeyKind::kAes256;
    default:
      return FailedPrecondition("the key with this id is of a kind that is not used here (CKA_KEY_TYPE {:#x})", type);
  }
}

absl::StatusOr<KeyInfo> ReadInfo(const Link& link, const KeyObjects& objects, std::string_view id) {
  const CK_OBJECT_HANDLE key = objects.private_or_secret.front();
  KeyInfo info;
  info.id = id;
  ASSIGN_OR_RETURN(info.kind, ReadKind(link, key));
  auto label = ReadBytes(link, key, CKA_LABEL);
  if (!label.ok() && label.status().code() != absl::StatusCode::kNotFound) return label.status();
  if (label.ok()) info.label = *std::move(label);
  ASSIGN_OR_RETURN(info.exportable, ReadBool(link, key, CKA_EXTRACTABLE));
  ASSIGN_OR_RETURN(const bool never, ReadBool(link, key, CKA_NEVER_EXTRACTABLE));
  info.was_exportable = !never;
  ASSIGN_OR_RETURN(info.made_here, ReadBool(link, key, CKA_LOCAL));
  RETURN_IF_ERROR(ReadPublic(link, objects, info));
  return info;
}

absl::Status CheckAttributes(const Link& link, CK_OBJECT_HANDLE key, const KeySpec& spec, Origin origin) {
  for (const Expected& expected : ExpectedOf(spec, origin)) {
    ASSIGN_OR_RETURN(const bool value, ReadBool(link, key, expected.type));
    if (value != expected.value) {
      return FailedPrecondition("the token made {} {} of a key that was asked for with {}; see its policy",
                                expected.name, value, expected.value);
    }
  }
  return absl::OkStatus();
}

Template PrivateTemplate(const KeySpec& spec) {
  Template out;
  out.Bool(CKA_TOKEN, true)
      .Bool(CKA_PRIVATE, true)
      .Bool(CKA_SENSITIVE, true)
      .Bool(CKA_EXTRACTABLE, spec.exportable)
      .Bool(CKA_SIGN, true)
      .Bool(CKA_SIGN_RECOVER, false)
      .Bool(CKA_DECRYPT, false)
      .Bool(CKA_UNWRAP, false)
      .Bool(CKA_DERIVE, false)
      .Bytes(CKA_ID, spec.id)
      .Bytes(CKA_LABEL, spec.label);
  return out;
}

Template PublicTemplate(const KeySpec& spec) {
  Template out;
  out.Bool(CKA_TOKEN, true)
      .Bool(CKA_PRIVATE, false)
      .Bool(CKA_VERIFY, true)
      .Bool(CKA_VERIFY_RECOVER, false)
      .Bool(CKA_ENCRYPT, false)
      .Bool(CKA_WRAP, false)
      .Bytes(CKA_ID, spec.id)
      .Bytes(CKA_LABEL, spec.label);
  return out;
}

Template AesTemplate(const KeySpec& spec) {
  const bool seals = spec.aes_use == AesUse::kSeal;
  Template out;
  out.Bool(CKA_TOKEN, true)
      .Bool(CKA_PRIVATE, true)
      .Bool(CKA_SENSITIVE, true)
      .Bool(CKA_EXTRACTABLE, false)
      .Bool(CKA_ENCRYPT, seals)
      .Bool(CKA_DECRYPT, seals)
      .Bool(CKA_WRAP, !seals)
      .Bool(CKA_UNWRAP, !seals)
      .Bool(CKA_SIGN, false)
      .Bool(CKA_VERIFY, false)
      .Bool(CKA_DERIVE, false)
      .Bytes(CKA_ID, spec.id)
      .Bytes(CKA_LABEL, spec.label)
      .Number(CKA_VALUE_LEN, 32);
  return out;
}

Template SessionAesTemplate(const crypto::Secret& value, SessionUse use) {
  Template out;
  out.Number(CKA_CLASS, CKO_SECRET_KEY)
      .Number(CKA_KEY_TYPE, CKK_AES)
      .Bool(CKA_TOKEN, false)
      .Bool(CKA_PRIVATE, true)
      .Bool(CKA_SENSITIVE, true)
      .Bool(CKA_EXTRACTABLE, use == SessionUse::kIsWrapped)
      .Bool(CKA_WRAP, use == SessionUse::kWraps)
      .Bool(CKA_UNWRAP, use == SessionUse::kUnwraps)
      .Bool(CKA_ENCRYPT, false)
      .Bool(CKA_DECRYPT, false)
      .Bool(CKA_SIGN, false)
      .Bool(CKA_VERIFY, false)
      .Bool(CKA_DERIVE, false)
      .Borrowed(CKA_VALUE, const_cast<char*>(value.view().data()), value.size());
  return out;
}

Template UnwrappedTemplate() {
  Template out;
  out.Number(CKA_CLASS, CKO_SECRET_KEY)
      .Number(CKA_KEY_TYPE, CKK_AES)
      .Bool(CKA_TOKEN, false)
      .Bool(CKA_PRIVATE, true)
      .Bool(CKA_SENSITIVE, false)
      .Bool(CKA_EXTRACTABLE, true)
      .Bool(CKA_WRAP, false)
      .Bool(CKA_UNWRAP, false)
      .Bool(CKA_ENCRYPT, false)
      .Bool(CKA_DECRYPT, false)
      .Bool(CKA_SIGN, false)
      .Bool(CKA_VERIFY, false)
      .Bool(CKA_DERIVE, false);
  return out;
}

}  // namespace virp::pkcs11
