// Private to lib/rpki: the single rules of RFC 6487 that router and CA certificates share, over one parsed certificate.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "lib/rpki/check.h"

namespace virp::rpki::profile {

// Collects refusals while looking at a certificate.
class Examination {
 public:
  explicit Examination(const x509::Certificate& certificate) : certificate_(certificate) {}

  const x509::Certificate& certificate() const { return certificate_; }
  void Refuse(Reason reason, std::string detail) { refusals_.push_back({reason, std::move(detail)}); }
  // The extension, or null; notes that somebody looked at it.
  const x509::Extension* Find(std::string_view oid);
  Refusals Take() { return std::move(refusals_); }

  void Frame();  // version, serial number, algorithms, unique identifiers, issuer's name
  void Dates(const std::optional<Time>& now);
  void SubjectKeyIdentifier();
  void AuthorityKeyIdentifier(bool required);
  void KeyUsage(std::string_view bits, std::string_view what);
  void Policy();
  void CrlDistributionPoints(bool required);
  void AuthorityInfoAccess(bool required);
  void Unknown(Origin origin);  // whatever nobody looked at

 private:
  const x509::Certificate& certificate_;
  std::set<std::string_view> seen_;
  Refusals refusals_;
};

// Whether `name` has one CommonName, at most one serialNumber, and nothing else, in the string types allowed.
absl::Status CheckName(std::string_view name, bool utf8_allowed);

// The AS in "ROUTER-0000FBF0"; nothing when the name is another.
std::optional<std::uint32_t> AsnInName(std::string_view name);

// The 20 bytes of an extension's value; empty when it is malformed.
std::string_view KeyIdentifierIn(const x509::Certificate& certificate);
std::string_view AuthorityKeyIdentifierIn(const x509::Certificate& certificate);

const x509::Extension* FindExtension(const x509::Certificate& certificate, std::string_view oid);

// Reads a P-256 key's form and says which of its rules is broken; the key when none is.
std::optional<crypto::P256PublicKey> CheckRouterKey(std::string_view spki, Refusals& out);

// accessMethod and URI pairs; InvalidArgument when a location is no URI.
absl::StatusOr<std::vector<std::pair<std::string_view, std::string_view>>> Accesses(std::string_view value);

}  // namespace virp::rpki::profile
