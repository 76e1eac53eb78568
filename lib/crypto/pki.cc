#include "lib/crypto/pki.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <limits>
#include <utility>

#include "lib/base/file.h"
#include "lib/base/status.h"

namespace virp::crypto {
namespace {

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Bio = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using Cert = std::unique_ptr<X509, Deleter<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Deleter<X509_EXTENSION_free>>;
using Names = std::unique_ptr<GENERAL_NAMES, Deleter<GENERAL_NAMES_free>>;
using Name = std::unique_ptr<GENERAL_NAME, Deleter<GENERAL_NAME_free>>;
using OctetString = std::unique_ptr<ASN1_OCTET_STRING, Deleter<ASN1_OCTET_STRING_free>>;
using BigNumber = std::unique_ptr<BIGNUM, Deleter<BN_free>>;

constexpr std::size_t kMaxCommonName = 64;  // RFC 5280, ub-common-name
constexpr std::size_t kMaxNameBytes = 2048;
constexpr UnixNanos kNanosPerSecond = 1'000'000'000;

// Takes the oldest reason out of OpenSSL's queue and empties it, so that the next call starts clean.
std::string TakeReason() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "no reason given" : reason;
}

absl::Status Failed(std::string_view what) {
  return Internal("{}: OpenSSL: {}", what, TakeReason());
}

Bio ReadOnly(std::string_view pem) {
  return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

// Without this callback OpenSSL would ask for a passphrase at the terminal.
int NoPassphrase(char*, int, int, void*) {
  return -1;
}

std::string Contents(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return size <= 0 ? std::string() : std::string(data, static_cast<std::size_t>(size));
}

absl::StatusOr<Cert> ReadCertificate(std::string_view pem) {
  if (pem.size() > kMaxBundlePem)
    return InvalidArgument("certificate: {} bytes of PEM; at most {}", pem.size(), kMaxBundlePem);
  const Bio bio = ReadOnly(pem);
  Cert cert(bio == nullptr ? nullptr : PEM_read_bio_X509(bio.get(), nullptr, NoPassphrase, nullptr));
  if (cert == nullptr) return InvalidArgument("certificate: not PEM of an X.509 certificate: {}", TakeReason());
  return cert;
}

absl::StatusOr<Key> ReadKey(std::string_view pem) {
  if (pem.size() > kMaxCertificatePem)
    return InvalidArgument("private key: {} bytes of PEM; at most {}", pem.size(), kMaxCertificatePem);
  const Bio bio = ReadOnly(pem);
  Key key(bio == nullptr ? nullptr : PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
  if (key == nullptr) return InvalidArgument("private key: not PEM of an unencrypted private key: {}", TakeReason());
  return key;
}

absl::StatusOr<std::string> CertificatePem(X509* cert) {
  const Bio bio(BIO_new(BIO_s_mem()));
  if (bio == nullptr || PEM_write_bio_X509(bio.get(), cert) != 1) return Failed("certificate: writing PEM");
  return Contents(bio.get());
}

absl::StatusOr<std::string> KeyPem(EVP_PKEY* key) {
  const Bio bio(BIO_new(BIO_s_secmem()));  // cleared when freed
  if (bio == nullptr || PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return Failed("private key: writing PEM");
  }
  return Contents(bio.get());
}

UnixNanos ToNanos(const ASN1_TIME* time) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return 0;  // 0 reads as expired: fails closed
  const std::time_t seconds = timegm(&parts);
  if (seconds <= 0) return 0;
  const auto value = static_cast<UnixNanos>(seconds);
  constexpr UnixNanos kLast = std::numeric_limits<UnixNanos>::max() / kNanosPerSecond;
  return value > kLast ? std::numeric_limits<UnixNanos>::max() : value * kNanosPerSecond;
}

bool SetTime(ASN1_TIME* time, UnixNanos at) {
  return ASN1_TIME_set(time, static_cast<std::time_t>(at / kNanosPerSecond)) != nullptr;
}

std::string SerialOf(const X509* cert) {
  const BigNumber number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), nullptr));
  char* hex = number == nullptr ? nullptr : BN_bn2hex(number.get());
  if (hex == nullptr) return "";
  std::string text(hex);
  OPENSSL_free(hex);
  return text;
}

std::string CommonNameOf(const X509* cert) {
  char buffer[256];
  const int size = X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, buffer, sizeof(buffer));
  return size <= 0 ? "" : std::string(buffer, static_cast<std::size_t>(size));
}

absl::StatusOr<std::string> TextOf(const ASN1_STRING* value) {
  const auto* data = reinterpret_cast<const char*>(ASN1_STRING_get0_data(value));
  std::string text(data, static_cast<std::size_t>(ASN1_STRING_length(value)));
  if (text.find('\0') != std::string::npos) return InvalidArgument("certificate: a name holds a NUL byte");
  return text;
}

absl::StatusOr<std::string> AddressOf(const ASN1_STRING* value) {
  const int size = ASN1_STRING_length(value);
  char text[INET6_ADDRSTRLEN];
  const int family = size == 4 ? AF_INET : AF_INET6;
  if ((size != 4 && size != 16) || inet_ntop(family, ASN1_STRING_get0_data(value), text, sizeof(text)) == nullptr) {
    return InvalidArgument("certificate: an IP name of {} bytes", size);
  }
  return std::string(text);
}

absl::Status ReadNames(const X509* cert, CertificateInfo& info) {
  int critical = 0;
  const Names names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(cert, NID_subject_alt_name, &critical, nullptr)));
  if (names == nullptr) {
    ERR_clear_error();
    // -1: there is none. -2: more than one extension. Otherwise present but broken.
    if (critical != -1) return InvalidArgument("certificate: the subject alternative names do not parse");
    return absl::OkStatus();
  }
  const int count = sk_GENERAL_NAME_num(names.get());
  if (static_cast<std::size_t>(std::max(count, 0)) > kMaxSubjectNames) {
    return InvalidArgument("certificate: {} subject alternative names; at most {}", count, kMaxSubjectNames);
  }
  for (int i = 0; i < count; ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_URI) {
      ASSIGN_OR_RETURN(info.uri_sans.emplace_back(), TextOf(name->d.uniformResourceIdentifier));
    } else if (name->type == GEN_DNS) {
      ASSIGN_OR_RETURN(info.dns_sans.emplace_back(), TextOf(name->d.dNSName));
    } else if (name->type == GEN_IPADD) {
      ASSIGN_OR_RETURN(info.ip_sans.emplace_back(), AddressOf(name->d.iPAddress));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<CertificateInfo> Describe(X509* cert) {
  CertificateInfo info;
  info.common_name = CommonNameOf(cert);
  // Negative or overlong ones exist although RFC 5280 4.1.2.2 forbids them; a deny list could not name them.
  const absl::StatusOr<std::string> serial = CanonicalSerial(SerialOf(cert));
  if (!serial.ok()) return InvalidArgument("certificate: the serial number is not 1 to 20 octets, positive");
  info.serial = *serial;
  info.not_before = ToNanos(X509_get0_notBefore(cert));
  info.not_after = ToNanos(X509_get0_notAfter(cert));
  info.is_ca = X509_check_ca(cert) == 1;
  RETURN_IF_ERROR(ReadNames(cert, info));
  return info;
}

absl::Status AddExtension(X509* cert, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, cert, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
  if (extension == nullptr || X509_add_ext(cert, extension.get(), -1) != 1)
    return Failed(fmt::format("extension {}", value));
  return absl::OkStatus();
}

absl::Status Push(GENERAL_NAMES* names, Name name) {
  if (sk_GENERAL_NAME_push(names, name.get()) <= 0) return Failed("subject alternative name");
  [[maybe_unused]] const GENERAL_NAME* owned_by_names = name.release();
  return absl::OkStatus();
}

absl::Status AddText(GENERAL_NAMES* names, int type, const std::string& text) {
  Name name(GENERAL_NAME_new());
  ASN1_IA5STRING* value = ASN1_IA5STRING_new();
  if (name == nullptr || value == nullptr || ASN1_STRING_set(value, text.data(), static_cast<int>(text.size())) != 1) {
    ASN1_IA5STRING_free(value);
    return Failed("subject alternative name");
  }
  GENERAL_NAME_set0_value(name.get(), type, value);
  return Push(names, std::move(name));
}

absl::Status AddAddress(GENERAL_NAMES* names, const std::string& text) {
  OctetString value(a2i_IPADDRESS(text.c_str()));
  if (value == nullptr) {
    ERR_clear_error();
    return InvalidArgument("certificate: '{}' is no IP address", text);
  }
  Name name(GENERAL_NAME_new());
  if (name == nullptr) return Failed("subject alternative name");
  GENERAL_NAME_set0_value(name.get(), GEN_IPADD, value.release());
  return Push(names, std::move(name));
}

// Built as objects, never as OpenSSL's configuration text: there a comma in a name would start the next name.
absl::Status AddNames(X509* cert, const LeafSpec& spec) {
  if (spec.uri_sans.empty() && spec.dns_sans.empty() && spec.ip_sans.empty()) return absl::OkStatus();
  const Names names(GENERAL_NAMES_new());
  if (names == nullptr) return Failed("subject alternative names");
  for (const std::string& uri : spec.uri_sans) RETURN_IF_ERROR(AddText(names.get(), GEN_URI, uri));
  for (const std::string& dns : spec.dns_sans) RETURN_IF_ERROR(AddText(names.get(), GEN_DNS, dns));
  for (const std::string& ip : spec.ip_sans) RETURN_IF_ERROR(AddAddress(names.get(), ip));
  if (X509_add1_ext_i2d(cert, NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT) != 1) {
    return Failed("subject alternative names");
  }
  return absl::OkStatus();
}

absl::Status CheckText(std::string_view what, const std::string& text) {
  if (text.empty() || text.size() > kMaxNameBytes) {
    return InvalidArgument("certificate: a {} name of {} bytes; 1 to {}", what, text.size(), kMaxNameBytes);
  }
  const bool printable = std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (!printable) return InvalidArgument("certificate: a {} name holds a byte that is not printable ASCII", what);
  return absl::OkStatus();
}

// A positive serial of 16 random bytes: unguessable and unique without a counter to keep (RFC 5280 4.1.2.2).
absl::Status SetSerial(X509* cert) {
  unsigned char bytes[16];
  if (RAND_bytes(bytes, sizeof(bytes)) != 1) return Failed("serial number");
  bytes[0] = static_cast<unsigned char>((bytes[0] & 0x7f) | 0x40);
  const BigNumber number(BN_bin2bn(bytes, sizeof(bytes), nullptr));
  if (number == nullptr || BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(cert)) == nullptr)
    return Failed("serial number");
  return absl::OkStatus();
}

absl::StatusOr<Cert> NewCertificate(EVP_PKEY* key, std::string_view common_name, UnixNanos not_before,
                                    UnixNanos not_after) {
  Cert cert(X509_new());
  if (cert == nullptr || X509_set_version(cert.get(), X509_VERSION_3) != 1) return Failed("certificate");
  RETURN_IF_ERROR(SetSerial(cert.get()));
  if (!SetTime(X509_getm_notBefore(cert.get()), not_before) || !SetTime(X509_getm_notAfter(cert.get()), not_after) ||
      X509_set_pubkey(cert.get(), key) != 1) {
    return Failed("certificate");
  }
  if (!common_name.empty()) {
    const auto* text = reinterpret_cast<const unsigned char*>(common_name.data());
    if (X509_NAME_add_entry_by_NID(X509_get_subject_name(cert.get()), NID_commonName, MBSTRING_UTF8, text,
                                   static_cast<int>(common_name.size()), -1, 0) != 1) {
      return InvalidArgument("certificate: the common name does not fit: {}", TakeReason());
    }
  }
  return cert;
}

absl::StatusOr<Key> NewKey() {
  Key key(EVP_EC_gen("P-256"));
  if (key == nullptr) return Failed("new P-256 key");
  return key;
}

}  // namespace

struct CertificateAuthority::Impl {
  Cert certificate;
  Key key;
  std::string pem;
};

CertificateAuthority::CertificateAuthority(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CertificateAuthority::CertificateAuthority(CertificateAuthority&&) noexcept = default;
CertificateAuthority& CertificateAuthority::operator=(CertificateAuthority&&) noexcept = default;
CertificateAuthority::~CertificateAuthority() = default;

const std::string& CertificateAuthority::certificate_pem() const {
  return impl_->pem;
}

std::string CertificateAuthority::private_key_pem() const {
  absl::StatusOr<std::string> pem = KeyPem(impl_->key.get());
  return pem.ok() ? *std::move(pem) : std::string();
}

absl::StatusOr<CertificateAuthority> CertificateAuthority::Create(std::string_view name, UnixNanos not_before,
                                                                  UnixNanos not_after) {
  if (name.empty() || name.size() > kMaxCommonName) {
    return InvalidArgument("certificate authority: a name of {} bytes; 1 to {}", name.size(), kMaxCommonName);
  }
  if (not_after <= not_before) return InvalidArgument("certificate authority: it would end before it begins");
  auto impl = std::make_unique<Impl>();
  ASSIGN_OR_RETURN(impl->key, NewKey());
  ASSIGN_OR_RETURN(impl->certificate, NewCertificate(impl->key.get(), name, not_before, not_after));
  X509* cert = impl->certificate.get();
  if (X509_set_issuer_name(cert, X509_get_subject_name(cert)) != 1) return Failed("issuer");
  RETURN_IF_ERROR(AddExtension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
  RETURN_IF_ERROR(AddExtension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign"));
  RETURN_IF_ERROR(AddExtension(cert, cert, NID_subject_key_identifier, "hash"));
  if (X509_sign(cert, impl->key.get(), EVP_sha256()) == 0) return Failed("signing the authority's certificate");
  ASSIGN_OR_RETURN(impl->pem, CertificatePem(cert));
  return CertificateAuthority(std::move(impl));
}

absl::StatusOr<CertificateAuthority> CertificateAuthority::Load(std::string_view certificate_pem,
                                                                std::string_view private_key_pem) {
  auto impl = std::make_unique<Impl>();
  ASSIGN_OR_RETURN(impl->certificate, ReadCertificate(certificate_pem));
  ASSIGN_OR_RETURN(impl->key, ReadKey(private_key_pem));
  if (X509_check_ca(impl->certificate.get()) != 1)
    return InvalidArgument("certificate authority: the certificate is not a CA's");
  if (X509_check_private_key(impl->certificate.get(), impl->key.get()) != 1) {
    ERR_clear_error();
    return InvalidArgument("certificate authority: the private key is not the certificate's");
  }
  ASSIGN_OR_RETURN(impl->pem, CertificatePem(impl->certificate.get()));
  return CertificateAuthority(std::move(impl));
}

absl::StatusOr<CertifiedKey> CertificateAuthority::Issue(const LeafSpec& spec) const {
  if (spec.uri_sans.size() != 1 || !spec.uri_sans[0].starts_with("spiffe://")) {
    return InvalidArgument("certificate: needs exactly one URI name, spiffe://<trust domain>/<path>; {} given",
                           spec.uri_sans.size());
  }
  if (1 + spec.dns_sans.size() + spec.ip_sans.size() > kMaxSubjectNames) {
    return InvalidArgument("certificate: more than {} subject alternative names", kMaxSubjectNames);
  }
  RETURN_IF_ERROR(CheckText("URI", spec.uri_sans[0]));
  for (const std::string& dns : spec.dns_sans) RETURN_IF_ERROR(CheckText("DNS", dns));
  if (spec.common_name.size() > kMaxCommonName) {
    return InvalidArgument("certificate: a common name of {} bytes; at most {}", spec.common_name.size(),
                           kMaxCommonName);
  }
  if (spec.not_after <= spec.not_before) return InvalidArgument("certificate: it would end before it begins");
  if (spec.not_after > ToNanos(X509_get0_notAfter(impl_->certificate.get()))) {
    return InvalidArgument("certificate: it would outlive its authority; shorten it or renew the authority");
  }
  return IssueUnchecked(spec);
}

absl::StatusOr<CertifiedKey> CertificateAuthority::IssueUnchecked(const LeafSpec& spec) const {
  ASSIGN_OR_RETURN(const Key key, NewKey());
  ASSIGN_OR_RETURN(const Cert cert, NewCertificate(key.get(), spec.common_name, spec.not_before, spec.not_after));
  X509* issuer = impl_->certificate.get();
  if (X509_set_issuer_name(cert.get(), X509_get_subject_name(issuer)) != 1) return Failed("issuer");
  RETURN_IF_ERROR(AddExtension(cert.get(), issuer, NID_basic_constraints, "critical,CA:FALSE"));
  RETURN_IF_ERROR(AddExtension(cert.get(), issuer, NID_key_usage, "critical,digitalSignature"));
  RETURN_IF_ERROR(AddExtension(cert.get(), issuer, NID_ext_key_usage, "serverAuth,clientAuth"));
  RETURN_IF_ERROR(AddExtension(cert.get(), issuer, NID_subject_key_identifier, "hash"));
  RETURN_IF_ERROR(AddExtension(cert.get(), issuer, NID_authority_key_identifier, "keyid:always"));
  RETURN_IF_ERROR(AddNames(cert.get(), spec));
  if (X509_sign(cert.get(), impl_->key.get(), EVP_sha256()) == 0) return Failed("signing the certificate");
  CertifiedKey out;
  ASSIGN_OR_RETURN(out.certificate_pem, CertificatePem(cert.get()));
  ASSIGN_OR_RETURN(out.private_key_pem, KeyPem(key.get()));
  return out;
}

absl::StatusOr<CertificateInfo> ParseCertificate(std::string_view pem) {
  ASSIGN_OR_RETURN(const Cert cert, ReadCertificate(pem));
  return Describe(cert.get());
}

namespace {

absl::StatusOr<std::vector<Cert>> ReadCertificates(std::string_view pem) {
  if (pem.size() > kMaxBundlePem)
    return InvalidArgument("certificates: {} bytes of PEM; at most {}", pem.size(), kMaxBundlePem);
  const Bio bio = ReadOnly(pem);
  if (bio == nullptr) return Failed("certificates");
  std::vector<Cert> out;
  while (true) {
    Cert cert(PEM_read_bio_X509(bio.get(), nullptr, NoPassphrase, nullptr));
    if (cert == nullptr) {
      // No further PEM block is the end; anything else is a broken block.
      const bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
      const std::string reason = TakeReason();
      if (!end) return InvalidArgument("certificates: number {} does not parse: {}", out.size() + 1, reason);
      if (out.empty()) return InvalidArgument("certificates: no certificate in the PEM");
      return out;
    }
    out.push_back(std::move(cert));
  }
}

}  // namespace

absl::StatusOr<std::vector<CertificateInfo>> ParseCertificates(std::string_view pem) {
  ASSIGN_OR_RETURN(const std::vector<Cert> certificates, ReadCertificates(pem));
  std::vector<CertificateInfo> out;
  for (const Cert& cert : certificates) {
    ASSIGN_OR_RETURN(CertificateInfo info, Describe(cert.get()));
    out.push_back(std::move(info));
  }
  return out;
}

absl::Status VerifyCertificateChain(std::string_view chain_pem, std::string_view roots_pem, UnixNanos now) {
  ASSIGN_OR_RETURN(const std::vector<Cert> chain, ReadCertificates(chain_pem));
  ASSIGN_OR_RETURN(const std::vector<Cert> roots, ReadCertificates(roots_pem));
  const std::unique_ptr<X509_STORE, Deleter<X509_STORE_free>> store(X509_STORE_new());
  const std::unique_ptr<X509_STORE_CTX, Deleter<X509_STORE_CTX_free>> context(X509_STORE_CTX_new());
  const std::unique_ptr<STACK_OF(X509), decltype([](STACK_OF(X509) * stack) { sk_X509_free(stack); })> between(
      sk_X509_new_null());
  bool made = store != nullptr && context != nullptr && between != nullptr;
  for (const Cert& root : roots) made = made && X509_STORE_add_cert(store.get(), root.get()) == 1;
  for (std::size_t i = 1; i < chain.size(); ++i) made = made && sk_X509_push(between.get(), chain[i].get()) > 0;
  made = made && X509_STORE_CTX_init(context.get(), store.get(), chain.front().get(), between.get()) == 1;
  if (!made) return Failed("certificate chain");
  X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(context.get()), static_cast<std::time_t>(now / 1'000'000'000));
  const bool verified = X509_verify_cert(context.get()) == 1;
  ERR_clear_error();
  if (verified) return absl::OkStatus();
  return FailedPrecondition("certificate chain: {}",
                            X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get())));
}

absl::Status CheckKeyMatches(std::string_view certificate_pem, std::string_view private_key_pem) {
  ASSIGN_OR_RETURN(const Cert cert, ReadCertificate(certificate_pem));
  ASSIGN_OR_RETURN(const Key key, ReadKey(private_key_pem));
  if (X509_check_private_key(cert.get(), key.get()) != 1) {
    ERR_clear_error();
    return FailedPrecondition("the private key is not the certificate's; replace both files together");
  }
  return absl::OkStatus();
}

bool CertificateCoversHost(std::string_view certificate_pem, std::string_view host) {
  if (host.empty() || host.size() > 255 || host.find('\0') != std::string_view::npos) return false;
  const absl::StatusOr<Cert> cert = ReadCertificate(certificate_pem);
  if (!cert.ok()) return false;
  const std::string text(host);
  const bool covers =
      X509_check_ip_asc(cert->get(), text.c_str(), 0) == 1 ||
      X509_check_host(cert->get(), text.data(), text.size(),
                      X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, nullptr) == 1;
  ERR_clear_error();
  return covers;
}

absl::StatusOr<std::string> CanonicalSerial(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 64)) {
    if (c == ':') continue;
    const bool lower = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    const bool upper = c >= 'A' && c <= 'F';
    if (!lower && !upper) return InvalidArgument("serial number: a byte that is not hex");
    out.push_back(upper ? static_cast<char>(c + 32) : c);
  }
  if (text.size() > 64 || out.empty() || out.size() > 40)
    return InvalidArgument("serial number: 1 to 20 octets in hex");
  const std::size_t first = out.find_first_not_of('0');
  return first == std::string::npos ? "0" : out.substr(first);
}

absl::Status WriteCertifiedKey(const std::string& directory, std::string_view name, const CertifiedKey& pair) {
  if (name.empty() || name.find('/') != std::string_view::npos)
    return InvalidArgument("certificate: '{}' is no file name", name);
  const std::string base = fmt::format("{}/{}", directory, name);
  RETURN_IF_ERROR(ReplaceFile(base + ".key", pair.private_key_pem, 0600));
  return ReplaceFile(base + ".crt", pair.certificate_pem, 0644);
}

}  // namespace virp::crypto
