// What of CMS is left to OpenSSL: encryption for a recipient, and BER.
#include <openssl/cms.h>
#include <openssl/pkcs7.h>
#include <openssl/x509.h>

#include "lib/base/status.h"
#include "lib/crypto/cms.h"
#include "lib/crypto/openssl_util.h"

namespace virp::cms {
namespace {

using crypto::DrainOpenSslErrors;
using crypto::EvpPkeyPtr;
using crypto::OpenSslDeleter;
using BioPtr = std::unique_ptr<BIO, OpenSslDeleter<BIO_free_all>>;
using CmsPtr = std::unique_ptr<CMS_ContentInfo, OpenSslDeleter<CMS_ContentInfo_free>>;
using X509Ptr = std::unique_ptr<X509, OpenSslDeleter<X509_free>>;
using Pkcs8Ptr = std::unique_ptr<PKCS8_PRIV_KEY_INFO, OpenSslDeleter<PKCS8_PRIV_KEY_INFO_free>>;
using Pkcs7Ptr = std::unique_ptr<PKCS7, OpenSslDeleter<PKCS7_free>>;

const unsigned char* Bytes(std::string_view view) {
  return reinterpret_cast<const unsigned char*>(view.data());
}

struct StackDeleter {
  void operator()(STACK_OF(X509) * stack) const { sk_X509_free(stack); }
};

absl::StatusOr<X509Ptr> Recipient(std::string_view der) {
  if (der.size() > x509::kMaxCertificate) return InvalidArgument("recipient's certificate: {} bytes", der.size());
  const unsigned char* at = Bytes(der);
  X509Ptr out(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (out == nullptr) return InvalidArgument("recipient's certificate: {}", DrainOpenSslErrors());
  return out;
}

// What a package holds is of 128 bits of security, and is to be worth no less on its way (RFC 8635 section 11).
absl::Status CheckStrength(const X509& recipient) {
  constexpr int kLeastRsaBits = 3'072;
  const EVP_PKEY* const key = X509_get0_pubkey(&recipient);
  char group[16] = {};
  const bool p256 = key != nullptr && EVP_PKEY_is_a(key, "EC") == 1 &&
                    EVP_PKEY_get_group_name(key, group, sizeof group, nullptr) == 1 &&
                    std::string_view(group) == SN_X9_62_prime256v1;
  const bool rsa = key != nullptr && EVP_PKEY_is_a(key, "RSA") == 1 && EVP_PKEY_get_bits(key) >= kLeastRsaBits;
  DrainOpenSslErrors();
  if (p256 || rsa) return absl::OkStatus();
  return InvalidArgument("recipient's key: neither P-256 nor RSA of at least {} bits", kLeastRsaBits);
}

std::string Encoded(X509* certificate) {
  unsigned char* bytes = nullptr;
  const int size = i2d_X509(certificate, &bytes);
  if (size <= 0) return {};
  std::string out(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
  OPENSSL_free(bytes);
  return out;
}

// BER allows other encodings of the same thing, which OpenSSL reads.
absl::StatusOr<std::vector<std::string>> FromBer(std::string_view bytes) {
  const unsigned char* at = Bytes(bytes);
  const Pkcs7Ptr message(d2i_PKCS7(nullptr, &at, static_cast<long>(bytes.size())));
  if (message == nullptr || PKCS7_type_is_signed(message.get()) == 0 || message->d.sign == nullptr) {
    DrainOpenSslErrors();
    return InvalidArgument("neither DER nor BER of a PKCS #7 message with certificates");
  }
  if (at != Bytes(bytes) + bytes.size()) return InvalidArgument("PKCS #7: bytes behind the end");
  const STACK_OF(X509)* certificates = message->d.sign->cert;
  if (sk_PKCS7_SIGNER_INFO_num(message->d.sign->signer_info) > 0) return InvalidArgument("PKCS #7: not certs-only");
  std::vector<std::string> out;
  const int count = certificates == nullptr ? 0 : sk_X509_num(certificates);
  if (count > static_cast<int>(kMaxCertificates)) {
    return InvalidArgument("PKCS #7: {} certificates; at most {}", count, kMaxCertificates);
  }
  for (int i = 0; i < count; ++i) out.push_back(Encoded(sk_X509_value(certificates, i)));
  return out;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ParseCertsOnly(std::string_view bytes) {
  constexpr std::size_t kMost = kMaxCertificates * x509::kMaxCertificate;
  if (bytes.size() > kMost) return InvalidArgument("PKCS #7: {} bytes; at most {}", bytes.size(), kMost);
  std::vector<std::string> out;
  if (const auto data = Parse(bytes); data.ok()) {
    if (!data->signers.empty()) return InvalidArgument("PKCS #7: signed data, not certs-only");
    out.assign(data->certificates.begin(), data->certificates.end());
  } else {
    ASSIGN_OR_RETURN(out, FromBer(bytes));
  }
  if (out.empty()) return InvalidArgument("PKCS #7: there is no certificate in it");
  return out;
}

absl::StatusOr<std::string> Encrypt(std::string_view content, std::string_view recipient_certificate) {
  ASSIGN_OR_RETURN(const X509Ptr recipient, Recipient(recipient_certificate));
  RETURN_IF_ERROR(CheckStrength(*recipient));
  const BioPtr in(BIO_new_mem_buf(content.data(), static_cast<int>(content.size())));
  const std::unique_ptr<STACK_OF(X509), StackDeleter> recipients(sk_X509_new_null());
  crypto::OrDie(in != nullptr && recipients != nullptr && sk_X509_push(recipients.get(), recipient.get()) > 0,
                "memory for CMS_encrypt");
  const CmsPtr message(CMS_encrypt(recipients.get(), in.get(), EVP_aes_256_gcm(), CMS_BINARY | CMS_USE_KEYID));
  unsigned char* bytes = nullptr;
  const int size = message == nullptr ? -1 : i2d_CMS_ContentInfo(message.get(), &bytes);
  if (size <= 0) return InvalidArgument("cannot encrypt for the recipient's key: {}", DrainOpenSslErrors());
  std::string out(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
  OPENSSL_free(bytes);
  return out;
}

absl::StatusOr<crypto::Secret> Decrypt(std::string_view enveloped, std::string_view recipient_certificate,
                                       std::string_view private_key) {
  constexpr std::size_t kMost = std::size_t{1} << 20;
  if (enveloped.size() > kMost)
    return InvalidArgument("encrypted package: {} bytes; at most {}", enveloped.size(), kMost);
  ASSIGN_OR_RETURN(const X509Ptr recipient, Recipient(recipient_certificate));
  const unsigned char* at = Bytes(private_key);
  const Pkcs8Ptr info(d2i_PKCS8_PRIV_KEY_INFO(nullptr, &at, static_cast<long>(private_key.size())));
  const EvpPkeyPtr key(info == nullptr ? nullptr : EVP_PKCS82PKEY(info.get()));
  if (key == nullptr) {
    DrainOpenSslErrors();
    return InvalidArgument("recipient's key: not an unencrypted PKCS #8 key in DER");
  }
  at = Bytes(enveloped);
  const CmsPtr message(d2i_CMS_ContentInfo(nullptr, &at, static_cast<long>(enveloped.size())));
  const BioPtr out(BIO_new(BIO_s_secmem()));  // cleared when freed
  crypto::OrDie(out != nullptr, "BIO_new");
  // Authenticated encryption only: anything else could have been changed unnoticed.
  if (message == nullptr || OBJ_obj2nid(CMS_get0_type(message.get())) != NID_id_smime_ct_authEnvelopedData ||
      CMS_decrypt(message.get(), key.get(), recipient.get(), nullptr, out.get(), CMS_BINARY) != 1) {
    DrainOpenSslErrors();
    return InvalidArgument("encrypted package: not AuthEnvelopedData for this key, or it was changed");
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return crypto::Secret(std::string_view(data, size > 0 ? static_cast<std::size_t>(size) : 0));
}

}  // namespace virp::cms
