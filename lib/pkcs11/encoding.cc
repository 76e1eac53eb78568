#include "lib/pkcs11/encoding.h"

#include <algorithm>

#include "lib/base/status.h"

namespace virp::pkcs11 {
namespace {

using namespace std::string_view_literals;

// DER of a tag and its content (X.690 section 8.1).
std::string Der(char tag, std::string_view content) {
  std::string out(1, tag);
  if (content.size() < 0x80) {
    out += static_cast<char>(content.size());
  } else {
    std::string length;
    for (std::size_t rest = content.size(); rest != 0; rest >>= 8) length.insert(0, 1, static_cast<char>(rest & 0xff));
    out += static_cast<char>(0x80 | length.size());
    out += length;
  }
  return out.append(content);
}

constexpr char kInteger = 0x02;
constexpr char kBitString = 0x03;
constexpr char kSequence = 0x30;

// Of an unsigned big-endian number of any length (X.690 section 8.3: no leading zeros, but one in front of a high bit).
std::string DerUnsigned(std::string_view number) {
  number.remove_prefix(std::min(number.find_first_not_of('\0'), number.size()));
  const bool needs_zero = number.empty() || static_cast<unsigned char>(number.front()) >= 0x80;
  return Der(kInteger, std::string(needs_zero ? 1 : 0, '\0').append(number));
}

bool IsZero(std::string_view number) {
  return number.find_first_not_of('\0') == std::string_view::npos;
}

}  // namespace

absl::StatusOr<std::string> EcdsaDer(std::string_view raw) {
  if (raw.size() != 64) return Unavailable("the token gave an ECDSA signature of {} bytes instead of 64", raw.size());
  const std::string_view r = raw.substr(0, 32);
  const std::string_view s = raw.substr(32);
  if (IsZero(r) || IsZero(s)) return Unavailable("the token gave an ECDSA signature with a zero in it");
  return Der(kSequence, DerUnsigned(r) + DerUnsigned(s));
}

std::string Sha256DigestInfo(const Hash& digest) {
  std::string out("\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"sv);
  return out.append(View(digest));
}

absl::StatusOr<std::string> PointFromAttribute(std::string_view attribute, std::size_t size) {
  if (attribute.size() == size + 2 && attribute[0] == 0x04 && attribute[1] == static_cast<char>(size)) {
    attribute.remove_prefix(2);
  }
  if (attribute.size() != size) {
    return Unavailable("the token gave a public point of {} bytes instead of {}", attribute.size(), size);
  }
  if (size == kP256PointSize && attribute[0] != 0x04) {
    return Unavailable("the token gave a public point that is not in uncompressed form");
  }
  return std::string(attribute);
}

std::string P256Spki(std::string_view point) {
  constexpr std::string_view kAlgorithm =
      "\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"sv;
  return Der(kSequence, std::string(kAlgorithm) + Der(kBitString, std::string(1, '\0').append(point)));
}

std::string Ed25519Spki(std::string_view key) {
  constexpr std::string_view kAlgorithm = "\x30\x05\x06\x03\x2b\x65\x70"sv;
  return Der(kSequence, std::string(kAlgorithm) + Der(kBitString, std::string(1, '\0').append(key)));
}

std::string RsaSpki(std::string_view modulus, std::string_view exponent) {
  constexpr std::string_view kAlgorithm = "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00"sv;
  const std::string key = Der(kSequence, DerUnsigned(modulus) + DerUnsigned(exponent));
  return Der(kSequence, std::string(kAlgorithm) + Der(kBitString, std::string(1, '\0').append(key)));
}

absl::StatusOr<std::string> P256PointFromSpki(std::string_view spki) {
  if (spki.size() > kP256PointSize) {
    std::string point(spki.substr(spki.size() - kP256PointSize));
    if (point.front() == 0x04 && P256Spki(point) == spki) return point;
  }
  return InvalidArgument("no SubjectPublicKeyInfo of an uncompressed point of P-256");
}

// A modulus of 2048 bits leaves no choice to DER but in the exponent's length, so writing it again is the check.
absl::StatusOr<RsaNumbers> RsaFromSpki(std::string_view spki) {
  constexpr std::size_t kModulusAt = 33;  // behind the algorithm, three headers and the zero in front of the modulus
  constexpr std::size_t kExponentAt = kModulusAt + kRsa2048Size + 2;
  if (spki.size() > kExponentAt && spki.size() <= kExponentAt + 8) {
    RsaNumbers out{.modulus = std::string(spki.substr(kModulusAt, kRsa2048Size)),
                   .exponent = std::string(spki.substr(kExponentAt))};
    if (static_cast<unsigned char>(out.modulus.front()) >= 0x80 && RsaSpki(out.modulus, out.exponent) == spki)
      return out;
  }
  return InvalidArgument("no SubjectPublicKeyInfo of RSA with 2048 bits");
}

}  // namespace virp::pkcs11
