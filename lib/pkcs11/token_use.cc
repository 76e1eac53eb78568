// What keys of a token do: sign, leave it under another key, seal and wrap.
#include "lib/base/bytes.h"
#include "lib/base/status.h"
#include "lib/crypto/random.h"
#include "lib/crypto/sha256.h"
#include "lib/pkcs11/encoding.h"
#include "lib/pkcs11/token_impl.h"

namespace virp::pkcs11 {
namespace {

constexpr std::size_t kMaxSignature = 512;
constexpr std::size_t kNonceSize = 12;
constexpr std::size_t kTagSize = 16;

absl::StatusOr<std::string> RawSign(const Link& link, CK_OBJECT_HANDLE key, CK_MECHANISM_TYPE type,
                                    std::string_view input) {
  CK_MECHANISM mechanism = Mechanism(type);
  RETURN_IF_ERROR(CkStatus(link.f.C_SignInit(link.session, &mechanism, key), "C_SignInit"));
  std::string out(kMaxSignature, '\0');
  CK_ULONG size = out.size();
  RETURN_IF_ERROR(CkStatus(link.f.C_Sign(link.session, In(input), input.size(), Out(out.data()), &size), "C_Sign"));
  if (size > out.size()) return Unavailable("C_Sign: the token tells of a signature of {} bytes", size);
  out.resize(size);
  return out;
}

absl::StatusOr<std::string> WrapObject(const Link& link, CK_OBJECT_HANDLE wrapping, CK_OBJECT_HANDLE wrapped) {
  CK_MECHANISM mechanism = Mechanism(CKM_AES_KEY_WRAP_PAD);
  std::string out(kMaxWrapped, '\0');
  CK_ULONG size = out.size();
  RETURN_IF_ERROR(
      CkStatus(link.f.C_WrapKey(link.session, &mechanism, wrapping, wrapped, Out(out.data()), &size), "C_WrapKey"));
  if (size > out.size()) return Unavailable("C_WrapKey: the token tells of a wrapped key of {} bytes", size);
  out.resize(size);
  return out;
}

CK_GCM_PARAMS GcmParameters(std::string_view nonce, std::string_view associated_data) {
  CK_GCM_PARAMS out{};
  out.pIv = In(nonce);
  out.ulIvLen = nonce.size();
  out.ulIvBits = nonce.size() * 8;
  out.pAAD = In(associated_data);
  out.ulAADLen = associated_data.size();
  out.ulTagBits = kTagSize * 8;
  return out;
}

// Whether bytes are damaged when the token refuses them: only while it opens what it made just now (`probe`).
template <typename Open, typename Probe>
absl::StatusOr<crypto::Secret> Sure(Open&& open, Probe&& probe) {
  auto opened = open();
  if (!absl::IsDataLoss(opened.status())) return opened;
  if (const absl::Status works = probe(); !works.ok())
    return Unavailable("the token refuses what it made just now, too: {}", Message(works));
  return open();
}

}  // namespace

absl::StatusOr<std::string> Token::Impl::SignWith(std::string_view id, const std::optional<Hash>& digest,
                                                  std::string_view message) {
  std::string signature;
  const absl::Status done = WithKey(id, Repeat::kAlways, [&](const Link& link, const Key& key) -> absl::Status {
    const auto hash = [&] { return digest.has_value() ? *digest : crypto::Sha256(message); };
    switch (key.kind) {
      case KeyKind::kEcP256: {
        ASSIGN_OR_RETURN(const std::string raw, RawSign(link, key.handle, CKM_ECDSA, View(hash())));
        ASSIGN_OR_RETURN(signature, EcdsaDer(raw));
        return absl::OkStatus();
      }
      case KeyKind::kRsa2048: {
        ASSIGN_OR_RETURN(signature, RawSign(link, key.handle, CKM_RSA_PKCS, Sha256DigestInfo(hash())));
        return absl::OkStatus();
      }
      case KeyKind::kEd25519: {
        if (digest.has_value()) return InvalidArgument("Ed25519 signs messages, not hashes (RFC 8032)");
        ASSIGN_OR_RETURN(signature, RawSign(link, key.handle, CKM_EDDSA, message));
        return absl::OkStatus();
      }
      case KeyKind::kAes256:
        break;
    }
    return InvalidArgument("{}: the key with id {} is AES, which signs nothing", name, HexEncode(id));
  });
  RETURN_IF_ERROR(done);
  return signature;
}

absl::StatusOr<std::string> Token::Sign(std::string_view id, std::string_view message) {
  if (message.size() > kMaxInput) {
    return InvalidArgument("{} bytes to sign, {} are the limit", message.size(), kMaxInput);
  }
  return impl_->SignWith(id, std::nullopt, message);
}

absl::StatusOr<std::string> Token::SignDigest(std::string_view id, const Hash& digest) {
  return impl_->SignWith(id, digest, {});
}

absl::StatusOr<std::string> Token::ExportWrapped(std::string_view id, const crypto::Secret& transport_key) {
  if (transport_key.size() != 32) return InvalidArgument("a transport key has 32 bytes, not {}", transport_key.size());
  std::string wrapped;
  const absl::Status done =
      impl_->WithKey(id, Repeat::kAlways, [&](const Link& link, const Impl::Key& key) -> absl::Status {
        if (key.kind == KeyKind::kAes256) return InvalidArgument("an AES key of a token never leaves it");
        ASSIGN_OR_RETURN(const CK_OBJECT_HANDLE handle, MakeSessionAes(link, transport_key, SessionUse::kWraps));
        const SessionObject transport(link, handle);
        ASSIGN_OR_RETURN(wrapped, WrapObject(link, transport.get(), key.handle));
        return absl::OkStatus();
      });
  RETURN_IF_ERROR(done);
  return wrapped;
}

absl::StatusOr<std::string> Token::Seal(std::string_view kek_id, std::string_view associated_data,
                                        const crypto::Secret& plain) {
  if (plain.empty() || plain.size() > kMaxInput) return InvalidArgument("{} bytes to seal", plain.size());
  std::string out;
  const absl::Status done =
      impl_->WithKind(kek_id, KeyKind::kAes256, [&](const Link& link, const Impl::Key& key) -> absl::Status {
        out = crypto::RandomBytes(kNonceSize);
        const std::string nonce = out;
        CK_GCM_PARAMS parameters = GcmParameters(nonce, associated_data);
        CK_MECHANISM mechanism{CKM_AES_GCM, &parameters, sizeof parameters};
        RETURN_IF_ERROR(CkStatus(link.f.C_EncryptInit(link.session, &mechanism, key.handle), "C_EncryptInit"));
        out.resize(kNonceSize + plain.size() + kTagSize);
        CK_ULONG size = out.size() - kNonceSize;
        RETURN_IF_ERROR(CkStatus(
            link.f.C_Encrypt(link.session, In(plain.view()), plain.size(), Out(out.data() + kNonceSize), &size),
            "C_Encrypt"));
        if (size != out.size() - kNonceSize) return Unavailable("C_Encrypt: the token gave {} bytes", size);
        return absl::OkStatus();
      });
  RETURN_IF_ERROR(done);
  return out;
}

absl::StatusOr<crypto::Secret> Token::Unseal(std::string_view kek_id, std::string_view associated_data,
                                             std::string_view sealed) {
  if (sealed.size() <= kNonceSize + kTagSize || sealed.size() > kMaxInput + kNonceSize + kTagSize) {
    return DataLoss("{} bytes are no sealed text of a token", sealed.size());
  }
  const auto once = [&](std::string_view data, std::string_view text) -> absl::StatusOr<crypto::Secret> {
    const std::string_view nonce = text.substr(0, kNonceSize);
    const std::string_view body = text.substr(kNonceSize);
    crypto::Secret plain;
    const absl::Status done =
        impl_->WithKind(kek_id, KeyKind::kAes256, [&](const Link& link, const Impl::Key& key) -> absl::Status {
          CK_GCM_PARAMS parameters = GcmParameters(nonce, data);
          CK_MECHANISM mechanism{CKM_AES_GCM, &parameters, sizeof parameters};
          RETURN_IF_ERROR(CkStatus(link.f.C_DecryptInit(link.session, &mechanism, key.handle), "C_DecryptInit"));
          plain = crypto::Secret(body.size());  // room for the tag too: some modules want it
          CK_ULONG size = plain.size();
          RETURN_IF_ERROR(RefusedBytes(link.f.C_Decrypt(link.session, In(body), body.size(), Out(plain.data()), &size),
                                       "C_Decrypt"));
          if (size != body.size() - kTagSize) return Unavailable("C_Decrypt: the token gave {} bytes", size);
          plain.Truncate(size);
          return absl::OkStatus();
        });
    RETURN_IF_ERROR(done);
    return plain;
  };
  return Sure([&] { return once(associated_data, sealed); },
              [&]() -> absl::Status {
                ASSIGN_OR_RETURN(const std::string known, Seal(kek_id, {}, crypto::Secret::Random(32)));
                return once({}, known).status();
              });
}

absl::StatusOr<std::string> Token::Wrap(std::string_view kek_id, const crypto::Secret& secret) {
  if (secret.size() != 16 && secret.size() != 24 && secret.size() != 32) {
    return InvalidArgument("{} bytes to wrap; 16, 24 or 32 are what AES keys have", secret.size());
  }
  std::string wrapped;
  const absl::Status done =
      impl_->WithKind(kek_id, KeyKind::kAes256, [&](const Link& link, const Impl::Key& key) -> absl::Status {
        ASSIGN_OR_RETURN(const CK_OBJECT_HANDLE handle, MakeSessionAes(link, secret, SessionUse::kIsWrapped));
        const SessionObject object(link, handle);
        ASSIGN_OR_RETURN(wrapped, WrapObject(link, key.handle, object.get()));
        return absl::OkStatus();
      });
  RETURN_IF_ERROR(done);
  return wrapped;
}

absl::StatusOr<crypto::Secret> Token::Unwrap(std::string_view kek_id, std::string_view wrapped) {
  if (wrapped.size() < 16 || wrapped.size() > kMaxWrapped || wrapped.size() % 8 != 0) {
    return DataLoss("{} bytes are no wrapped key (RFC 5649)", wrapped.size());
  }
  const auto once = [&](std::string_view bytes) -> absl::StatusOr<crypto::Secret> {
    crypto::Secret secret;
    const absl::Status done =
        impl_->WithKind(kek_id, KeyKind::kAes256, [&](const Link& link, const Impl::Key& key) -> absl::Status {
          CK_MECHANISM mechanism = Mechanism(CKM_AES_KEY_WRAP_PAD);
          Template wanted = UnwrappedTemplate();
          CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
          RETURN_IF_ERROR(RefusedBytes(link.f.C_UnwrapKey(link.session, &mechanism, key.handle, In(bytes), bytes.size(),
                                                          wanted.data(), wanted.size(), &handle),
                                       "C_UnwrapKey"));
          const SessionObject object(link, handle);
          ASSIGN_OR_RETURN(secret, ReadSecretValue(link, object.get(), bytes.size()));
          return absl::OkStatus();
        });
    RETURN_IF_ERROR(done);
    return secret;
  };
  return Sure([&] { return once(wrapped); },
              [&]() -> absl::Status {
                ASSIGN_OR_RETURN(const std::string known, Wrap(kek_id, crypto::Secret::Random(32)));
                return once(known).status();
              });
}

}  // namespace virp::pkcs11
