#include "lib/pkcs11/token.h"

#include <algorithm>
#include <array>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/status.h"
#include "lib/base/utf8.h"
#include "lib/pkcs11/encoding.h"
#include "lib/pkcs11/token_impl.h"

namespace virp::pkcs11 {
namespace {

using namespace std::string_view_literals;

// Names of curves for CKA_EC_PARAMS, DER. Of Ed25519 there are three, by the version of the standard that the token
// follows: id-Ed25519 (RFC 8410), the curve's name, and the object identifier of before.
constexpr std::string_view kP256 = "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"sv;
constexpr auto kEd25519Names = std::to_array({"\x06\x03\x2b\x65\x70"sv,
                                              "\x13\x0c"
                                              "edwards25519"sv,
                                              "\x06\x09\x2b\x06\x01\x04\x01\xda\x47\x0f\x01"sv});

absl::Status CheckSpec(const KeySpec& spec) {
  RETURN_IF_ERROR(CheckId(spec.id));
  if (spec.label.size() > kMaxKeyLabel || !IsUtf8(spec.label)) {
    return InvalidArgument("a key's label on a token is UTF-8 of at most {} bytes", kMaxKeyLabel);
  }
  if (spec.kind == KeyKind::kAes256 && spec.exportable) {
    return InvalidArgument("an AES key of a token never leaves it");
  }
  return absl::OkStatus();
}

// Whether another name for the same curve may be what the token wants.
bool RefusesParameters(CK_RV code) {
  return code == CKR_CURVE_NOT_SUPPORTED || code == CKR_DOMAIN_PARAMS_INVALID || code == CKR_ATTRIBUTE_VALUE_INVALID ||
         code == CKR_TEMPLATE_INCONSISTENT || code == CKR_GENERAL_ERROR || code == CKR_FUNCTION_FAILED;
}

TokenFacts FactsOf(const TokenSlot& slot, const std::string& module_path) {
  return {.module_path = module_path,
          .label = slot.label,
          .serial = slot.serial,
          .manufacturer = slot.manufacturer,
          .model = slot.model,
          .firmware = slot.firmware};
}

absl::Status MakePair(const Link& link, const KeySpec& spec, CK_MECHANISM_TYPE type, std::string_view parameters) {
  CK_MECHANISM mechanism = Mechanism(type);
  Template public_half = PublicTemplate(spec);
  if (spec.kind == KeyKind::kRsa2048)
    public_half.Number(CKA_MODULUS_BITS, kRsa2048Size * 8).Bytes(CKA_PUBLIC_EXPONENT, "\x01\x00\x01"sv);
  else
    public_half.Bytes(CKA_EC_PARAMS, parameters);
  Template private_half = PrivateTemplate(spec);
  CK_OBJECT_HANDLE public_handle = CK_INVALID_HANDLE;
  CK_OBJECT_HANDLE private_handle = CK_INVALID_HANDLE;
  return CkStatus(link.f.C_GenerateKeyPair(link.session, &mechanism, public_half.data(), public_half.size(),
                                           private_half.data(), private_half.size(), &public_handle, &private_handle),
                  "C_GenerateKeyPair");
}

absl::Status MakeKey(const Link& link, const KeySpec& spec) {
  switch (spec.kind) {
    case KeyKind::kEcP256:
      return MakePair(link, spec, CKM_EC_KEY_PAIR_GEN, kP256);
    case KeyKind::kRsa2048:
      return MakePair(link, spec, CKM_RSA_PKCS_KEY_PAIR_GEN, {});
    case KeyKind::kEd25519: {
      absl::Status status;
      for (const std::string_view name : kEd25519Names) {
        status = MakePair(link, spec, CKM_EC_EDWARDS_KEY_PAIR_GEN, name);
        if (!RefusesParameters(CodeOf(status))) break;
      }
      return status;
    }
    case KeyKind::kAes256: {
      CK_MECHANISM mechanism = Mechanism(CKM_AES_KEY_GEN);
      Template wanted = AesTemplate(spec);
      CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
      return CkStatus(link.f.C_GenerateKey(link.session, &mechanism, wanted.data(), wanted.size(), &handle),
                      "C_GenerateKey");
    }
  }
  return Internal("unknown kind of key");
}

absl::Status CheckFree(const Link& link, std::string_view name, std::string_view id) {
  ASSIGN_OR_RETURN(const KeyObjects there, FindKeyObjects(link, id));
  if (there.private_or_secret.empty() && there.others.empty()) return absl::OkStatus();
  return AlreadyExists("{}: an object with id {} is there", name, HexEncode(id));
}

// The public half of a key that is brought.
absl::StatusOr<Template> PublicObject(const KeySpec& spec, std::string_view spki) {
  Template out = PublicTemplate(spec);
  out.Number(CKA_CLASS, CKO_PUBLIC_KEY);
  if (spec.kind == KeyKind::kEcP256) {
    ASSIGN_OR_RETURN(const std::string point, P256PointFromSpki(spki));
    out.Number(CKA_KEY_TYPE, CKK_EC).Bytes(CKA_EC_PARAMS, kP256).Bytes(CKA_EC_POINT, "\x04\x41" + point);
    return out;
  }
  if (spec.kind == KeyKind::kRsa2048) {
    ASSIGN_OR_RETURN(const RsaNumbers rsa, RsaFromSpki(spki));
    out.Number(CKA_KEY_TYPE, CKK_RSA).Bytes(CKA_MODULUS, rsa.modulus).Bytes(CKA_PUBLIC_EXPONENT, rsa.exponent);
    return out;
  }
  return InvalidArgument("{} keys are not brought to a token; have it made there", KeyKindName(spec.kind));
}

absl::Status BringPair(const Link& link, const KeySpec& spec, std::string_view wrapped,
                       const crypto::Secret& transport_key, Template& public_half) {
  ASSIGN_OR_RETURN(const CK_OBJECT_HANDLE handle, MakeSessionAes(link, transport_key, SessionUse::kUnwraps));
  const SessionObject transport(link, handle);
  CK_MECHANISM mechanism = Mechanism(CKM_AES_KEY_WRAP_PAD);
  Template wanted = PrivateTemplate(spec);
  wanted.Number(CKA_CLASS, CKO_PRIVATE_KEY).Number(CKA_KEY_TYPE, spec.kind == KeyKind::kEcP256 ? CKK_EC : CKK_RSA);
  CK_OBJECT_HANDLE private_handle = CK_INVALID_HANDLE;
  RETURN_IF_ERROR(RefusedBytes(link.f.C_UnwrapKey(link.session, &mechanism, transport.get(), In(wrapped),
                                                  wrapped.size(), wanted.data(), wanted.size(), &private_handle),
                               "C_UnwrapKey"));
  CK_OBJECT_HANDLE public_handle = CK_INVALID_HANDLE;
  return CkStatus(link.f.C_CreateObject(link.session, public_half.data(), public_half.size(), &public_handle),
                  "C_CreateObject");
}

absl::Status DestroyObjects(const Link& link, const std::vector<CK_OBJECT_HANDLE>& objects) {
  for (const CK_OBJECT_HANDLE object : objects) {
    const CK_RV code = link.f.C_DestroyObject(link.session, object);
    if (code != CKR_OBJECT_HANDLE_INVALID) RETURN_IF_ERROR(CkStatus(code, "C_DestroyObject"));
  }
  return absl::OkStatus();
}

}  // namespace

std::string_view KeyKindName(KeyKind kind) {
  switch (kind) {
    case KeyKind::kEcP256:
      return "EC P-256";
    case KeyKind::kRsa2048:
      return "RSA-2048";
    case KeyKind::kEd25519:
      return "Ed25519";
    case KeyKind::kAes256:
      return "AES-256";
  }
  return "unknown";
}

absl::StatusOr<std::unique_ptr<Token>> Token::OpenLater(TokenOptions options) {
  if (options.selector.empty()) return InvalidArgument("no token is selected; give its label or serial");
  ASSIGN_OR_RETURN(Module module, Module::Load(options.module_path));
  return std::unique_ptr<Token>(new Token(std::make_unique<Impl>(std::move(module), options)));
}

absl::StatusOr<std::unique_ptr<Token>> Token::Open(TokenOptions options) {
  ASSIGN_OR_RETURN(std::unique_ptr<Token> token, OpenLater(std::move(options)));
  RETURN_IF_ERROR(token->Check());
  return token;
}

Token::Token(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Token::~Token() = default;

absl::Status Token::Check() {
  return impl_->pool.Run(Repeat::kAlways, [](const Link& link) -> absl::Status {
    CK_SESSION_INFO info{};
    return CkStatus(link.f.C_GetSessionInfo(link.session, &info), "C_GetSessionInfo");
  });
}

TokenFacts Token::facts() const {
  return FactsOf(impl_->pool.token(), impl_->module_path);
}

absl::StatusOr<KeyInfo> Token::Generate(const KeySpec& spec) {
  RETURN_IF_ERROR(CheckSpec(spec));
  const MutexLock lock(impl_->making);
  const absl::Status done = impl_->pool.Run(Repeat::kIfUntouched, [&](const Link& link) -> absl::Status {
    RETURN_IF_ERROR(CheckFree(link, impl_->name, spec.id));
    return MakeKey(link, spec);
  });
  RETURN_IF_ERROR(done);
  return impl_->CheckNew(spec, Origin::kMadeHere);
}

absl::StatusOr<KeyInfo> Token::ImportWrapped(const KeySpec& spec, std::string_view wrapped,
                                             const crypto::Secret& transport_key, std::string_view public_spki) {
  RETURN_IF_ERROR(CheckSpec(spec));
  if (transport_key.size() != 32) return InvalidArgument("a transport key has 32 bytes, not {}", transport_key.size());
  if (wrapped.size() > kMaxWrapped) return DataLoss("{} bytes are no wrapped private key", wrapped.size());
  ASSIGN_OR_RETURN(Template public_half, PublicObject(spec, public_spki));
  const MutexLock lock(impl_->making);
  bool began = false;  // from then on what has this id is ours to clear away
  const absl::Status brought = impl_->pool.Run(Repeat::kIfUntouched, [&](const Link& link) -> absl::Status {
    RETURN_IF_ERROR(CheckFree(link, impl_->name, spec.id));
    began = true;
    return BringPair(link, spec, wrapped, transport_key, public_half);
  });
  if (!brought.ok()) {
    if (began) (void)impl_->Destroy(spec.id);  // what is to be told is the cause
    return brought;
  }
  return impl_->CheckNew(spec, Origin::kBrought);
}

absl::StatusOr<KeyInfo> Token::Impl::CheckNew(const KeySpec& spec, Origin origin) {
  KeyInfo info;
  const absl::Status checked = WithKey(spec.id, Repeat::kAlways, [&](const Link& link, const Key& key) -> absl::Status {
    RETURN_IF_ERROR(CheckAttributes(link, key.handle, spec, origin));
    ASSIGN_OR_RETURN(const KeyObjects objects, FindKeyObjects(link, spec.id));
    ASSIGN_OR_RETURN(info, ReadInfo(link, objects, spec.id));
    return absl::OkStatus();
  });
  if (checked.ok()) return info;
  const absl::Status gone = Destroy(spec.id);
  if (gone.ok() || gone.code() == absl::StatusCode::kNotFound) return checked;
  return Annotate(
      checked, fmt::format("{}: a key with id {} was made and could not be destroyed again", name, HexEncode(spec.id)));
}

absl::StatusOr<KeyInfo> Token::Find(std::string_view id) {
  KeyInfo info;
  const absl::Status done =
      impl_->WithKey(id, Repeat::kAlways, [&](const Link& link, const Impl::Key& key) -> absl::Status {
        ASSIGN_OR_RETURN(KeyObjects objects, FindKeyObjects(link, id));
        objects.private_or_secret = {key.handle};
        ASSIGN_OR_RETURN(info, ReadInfo(link, objects, id));
        return absl::OkStatus();
      });
  RETURN_IF_ERROR(done);
  return info;
}

absl::StatusOr<std::vector<std::string>> Token::ListIds(std::size_t limit) {
  std::vector<std::string> ids;
  const absl::Status done = impl_->pool.Run(Repeat::kAlways, [&](const Link& link) -> absl::Status {
    ids.clear();
    for (const CK_OBJECT_CLASS object_class : {CKO_PRIVATE_KEY, CKO_SECRET_KEY}) {
      ASSIGN_OR_RETURN(
          const std::vector<CK_OBJECT_HANDLE> objects,
          FindObjects(link, Template().Number(CKA_CLASS, object_class).Bool(CKA_TOKEN, true), limit - ids.size()));
      for (const CK_OBJECT_HANDLE object : objects) {
        auto id = ReadBytes(link, object, CKA_ID);
        if (!id.ok() && id.status().code() != absl::StatusCode::kNotFound) return id.status();
        if (id.ok() && !id->empty()) ids.push_back(*std::move(id));
      }
    }
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(done);
  std::ranges::sort(ids);
  return ids;
}

absl::Status Token::LockExport(std::string_view id) {
  return impl_->WithKey(id, Repeat::kAlways, [&](const Link& link, const Impl::Key& key) -> absl::Status {
    ASSIGN_OR_RETURN(const bool exportable, ReadBool(link, key.handle, CKA_EXTRACTABLE));
    if (!exportable) return absl::OkStatus();
    Template locked = Template().Bool(CKA_EXTRACTABLE, false);
    RETURN_IF_ERROR(CkStatus(link.f.C_SetAttributeValue(link.session, key.handle, locked.data(), locked.size()),
                             "C_SetAttributeValue"));
    ASSIGN_OR_RETURN(const bool still, ReadBool(link, key.handle, CKA_EXTRACTABLE));
    if (still) {
      return FailedPrecondition("{}: the token says that it locked the key with id {} and did not", impl_->name,
                                HexEncode(id));
    }
    return absl::OkStatus();
  });
}

absl::Status Token::Destroy(std::string_view id) {
  return impl_->Destroy(id);
}

absl::Status Token::Impl::Destroy(std::string_view id) {
  RETURN_IF_ERROR(CheckId(id));
  Forget(id);
  bool any = false;  // over repetitions: what the first try destroyed is not there for the second
  const absl::Status done = pool.Run(Repeat::kAlways, [&](const Link& link) -> absl::Status {
    ASSIGN_OR_RETURN(const KeyObjects objects, FindKeyObjects(link, id));
    any = any || !objects.private_or_secret.empty() || !objects.others.empty();
    RETURN_IF_ERROR(DestroyObjects(link, objects.private_or_secret));
    RETURN_IF_ERROR(DestroyObjects(link, objects.others));
    ASSIGN_OR_RETURN(const KeyObjects left, FindKeyObjects(link, id));
    if (!left.private_or_secret.empty() || !left.others.empty()) {
      return Unavailable("{}: the token says that it destroyed the key with id {} and still has it", name,
                         HexEncode(id));
    }
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(done);
  Forget(id);  // a call beside this one may have looked it up before it went
  if (!any) return NotFound("{}: no key with id {}", name, HexEncode(id));
  return absl::OkStatus();
}

}  // namespace virp::pkcs11
