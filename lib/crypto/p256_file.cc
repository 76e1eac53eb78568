#include "lib/crypto/p256_file.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <string>

#include "lib/base/status.h"
#include "lib/crypto/openssl_util.h"

namespace virp::crypto {
namespace {

using BioPtr = std::unique_ptr<BIO, OpenSslDeleter<BIO_free_all>>;
using NumberPtr = std::unique_ptr<BIGNUM, OpenSslDeleter<BN_clear_free>>;
using CertificatePtr = std::unique_ptr<X509, OpenSslDeleter<X509_free>>;

constexpr std::string_view kPemBegin = "-----BEGIN ";

absl::Status CheckSize(std::string_view file, std::string_view what) {
  if (file.size() <= kMaxP256File) return absl::OkStatus();
  return InvalidArgument("{}: {} bytes; at most {}", what, file.size(), kMaxP256File);
}

bool IsPem(std::string_view file) {
  return file.find(kPemBegin) != std::string_view::npos;
}

BioPtr ReadOnly(std::string_view file) {
  BioPtr bio(BIO_new_mem_buf(file.data(), static_cast<int>(file.size())));
  OrDie(bio != nullptr, "BIO_new_mem_buf");
  return bio;
}

// Without this callback OpenSSL would ask for a passphrase at the terminal.
int NoPassphrase(char*, int, int, void*) {
  return -1;
}

EvpPkeyPtr ParsePrivate(std::string_view file) {
  if (IsPem(file)) {
    return EvpPkeyPtr(PEM_read_bio_PrivateKey(ReadOnly(file).get(), nullptr, NoPassphrase, nullptr));
  }
  const auto* const begin = reinterpret_cast<const unsigned char*>(file.data());
  const unsigned char* at = begin;
  EvpPkeyPtr key(d2i_AutoPrivateKey(nullptr, &at, static_cast<long>(file.size())));
  if (key != nullptr && at != begin + file.size()) key.reset();  // something follows
  return key;
}

// What stands between BEGIN and END, with its label.
struct Pem {
  std::string label, der;
};

absl::StatusOr<Pem> FirstPem(std::string_view file) {
  char* label = nullptr;
  char* header = nullptr;
  unsigned char* data = nullptr;
  long size = 0;
  if (PEM_read_bio(ReadOnly(file).get(), &label, &header, &data, &size) != 1) {
    return InvalidArgument("public key: broken PEM: {}", DrainOpenSslErrors());
  }
  Pem pem{label, std::string(reinterpret_cast<const char*>(data), static_cast<std::size_t>(size))};
  OPENSSL_free(label);
  OPENSSL_free(header);
  OPENSSL_free(data);
  return pem;
}

// Empty when it is no certificate.
std::string SpkiOfCertificate(std::string_view der) {
  const auto* const begin = reinterpret_cast<const unsigned char*>(der.data());
  const unsigned char* at = begin;
  const CertificatePtr certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (certificate == nullptr || at != begin + der.size()) {
    ERR_clear_error();
    return "";
  }
  unsigned char* spki = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate.get()), &spki);
  OrDie(size > 0, "i2d_X509_PUBKEY");
  std::string out(reinterpret_cast<const char*>(spki), static_cast<std::size_t>(size));
  OPENSSL_free(spki);
  return out;
}

}  // namespace

absl::StatusOr<P256PrivateKey> ReadP256PrivateKey(std::string_view file) {
  RETURN_IF_ERROR(CheckSize(file, "private key"));
  const EvpPkeyPtr key = ParsePrivate(file);
  if (key == nullptr) {
    return InvalidArgument("private key: neither PEM nor DER of an unencrypted PKCS#8 or SEC 1 key: {}",
                           DrainOpenSslErrors());
  }
  if (EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_EC || EVP_PKEY_get_bits(key.get()) != 256) {
    return InvalidArgument("private key: not of the curve P-256");
  }
  BIGNUM* number = nullptr;
  if (EVP_PKEY_get_bn_param(key.get(), OSSL_PKEY_PARAM_PRIV_KEY, &number) != 1) {
    return InvalidArgument("private key: no private half: {}", DrainOpenSslErrors());
  }
  const NumberPtr owned(number);
  Secret scalar(kP256ScalarSize);
  if (BN_bn2binpad(number, reinterpret_cast<unsigned char*>(scalar.data()), static_cast<int>(scalar.size())) < 0) {
    return InvalidArgument("private key: more than {} bytes", kP256ScalarSize);
  }
  ASSIGN_OR_RETURN(P256PrivateKey out, P256PrivateKey::FromScalar(scalar.view()));
  // Another curve of 256 bits differs here, too: its public half is no point of this one.
  const std::string_view spki = out.public_key().spki();
  const auto* at = reinterpret_cast<const unsigned char*>(spki.data());
  const EvpPkeyPtr expected(d2i_PUBKEY(nullptr, &at, static_cast<long>(spki.size())));
  OrDie(expected != nullptr, "d2i_PUBKEY(P-256)");
  if (EVP_PKEY_eq(expected.get(), key.get()) != 1) {
    ERR_clear_error();
    return InvalidArgument("private key: not of the curve P-256, or its public half in the file is another key's");
  }
  return out;
}

absl::StatusOr<P256PublicKey> ReadP256PublicKey(std::string_view file) {
  RETURN_IF_ERROR(CheckSize(file, "public key"));
  Pem pem{"", std::string(file)};
  if (IsPem(file)) {
    ASSIGN_OR_RETURN(pem, FirstPem(file));
    if (pem.label != PEM_STRING_PUBLIC && pem.label != PEM_STRING_X509) {
      return InvalidArgument("public key: PEM of a {}, not of a public key or certificate", pem.label);
    }
  }
  const std::string spki = SpkiOfCertificate(pem.der);
  return P256PublicKey::FromSpki(spki.empty() ? pem.der : spki);
}

}  // namespace virp::crypto
