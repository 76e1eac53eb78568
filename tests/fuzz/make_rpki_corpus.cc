// Writes the first seeds of router_request_fuzz, rpki_certificate_fuzz and certificate_import_fuzz below the folder
// that it is given (tests/fuzz/corpus); keys are new each time. Merged findings are added to them.
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/crypto/cms.h"
#include "lib/rpki/check.h"
#include "lib/rpki/encode.h"
#include "lib/rpki/key_package.h"
#include "tests/testutil/rpki_lab.h"

namespace virp {
namespace {

class Seeds {
 public:
  explicit Seeds(std::string folder) : folder_(std::move(folder)) {}
  void Put(const std::string& target, const std::string& name, std::string_view bytes) const {
    const std::filesystem::path path = std::filesystem::path(folder_) / target;
    std::filesystem::create_directories(path);
    std::ofstream(path / name, std::ios::binary) << bytes;
  }

 private:
  std::string folder_;
};

void Requests(const Seeds& seeds, const crypto::P256PrivateKey& key) {
  const auto made = [&](std::optional<std::uint32_t> asn) {
    return *rpki::MakeRouterRequest(key.public_key().spki(), asn, testutil::SignerOf(key));
  };
  seeds.Put("router_request_fuzz", "empty_subject", made(std::nullopt));
  seeds.Put("router_request_fuzz", "subject", made(64496));
  seeds.Put("router_request_fuzz", "other_as", made(64497));
  seeds.Put("router_request_fuzz", "pem", x509::PemBlock("CERTIFICATE REQUEST", made(64496)));
}

void Certificates(const Seeds& seeds, const testutil::RpkiLab& lab, const std::string& router) {
  seeds.Put("rpki_certificate_fuzz", "router", router);
  seeds.Put("rpki_certificate_fuzz", "authority", lab.ca);
  seeds.Put("rpki_certificate_fuzz", "trust_anchor", lab.ta);
  seeds.Put("rpki_certificate_fuzz", "crl", lab.CaPoint(1, {}, {{"\x05", lab.now}}).at("ca.crl"));
}

void Imports(const Seeds& seeds, const testutil::RpkiLab& lab, const std::string& router) {
  const std::string p7 = cms::CertsOnly({router, lab.ca, lab.ta});
  seeds.Put("certificate_import_fuzz", "router.cer", router);
  seeds.Put("certificate_import_fuzz", "certs_only", p7);
  seeds.Put("certificate_import_fuzz", "certs_only.pem", x509::PemBlock("PKCS7", p7));
  seeds.Put("certificate_import_fuzz", "chain.pem",
            x509::PemBlock("CERTIFICATE", lab.ta) + x509::PemBlock("CERTIFICATE", lab.ca) +
                x509::PemBlock("CERTIFICATE", router));
  // PKCS #7 with indefinite lengths.
  const std::string end(2, '\0'), empty = der::Tlv(der::kSet, "");
  seeds.Put("certificate_import_fuzz", "ber",
            "\x30\x80" + p7.substr(4, 11) + "\xa0\x80\x30\x80" + der::Integer(1) + empty +
                der::Sequence({der::Tlv(der::kOid, "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01")}) + "\xa0\x80" + router +
                end + empty + end + end + end);
  seeds.Put("certificate_import_fuzz", "manifest", lab.CaPoint(1, {{"a.cer", router}}).at("ca.mft"));
  const auto& signer = testutil::RsaKeyForTests(2);
  const std::string certificate = *rpki::IssueTransferCertificate(
      {.serial = "\x09", .validity = {lab.now, lab.now + std::chrono::hours(24)}, .spki = signer.public_key().spki()},
      lab.ca_issuer);
  const std::string scalar(32, '\x11');
  const auto key = *crypto::P256PrivateKey::FromScalar(scalar);
  const auto pkcs8 = *rpki::EncodePkcs8(scalar, key.public_key().point());
  seeds.Put("certificate_import_fuzz", "pkcs8", pkcs8.view());
  seeds.Put("certificate_import_fuzz", "key_package",
            rpki::SignKeyPackage(pkcs8.view(), {.certificates = {certificate, lab.ca},
                                                .key_identifier = *rpki::KeyIdentifier(signer.public_key().spki()),
                                                .algorithm = cms::kRsaEncryption,
                                                .time = lab.now,
                                                .signer = testutil::SignerOf(signer)})
                ->view());
}

std::string Pem(const std::vector<std::string>& certificates, const std::vector<std::string>& crls = {}) {
  std::string out;
  for (const std::string& certificate : certificates) out += x509::PemBlock("CERTIFICATE", certificate);
  for (const std::string& crl : crls) out += x509::PemBlock("X509 CRL", crl);
  return out;
}

// Ways up to a trust anchor, each with another end.
void Paths(const Seeds& seeds, const testutil::RpkiLab& lab, const crypto::P256PrivateKey& key) {
  using std::chrono::hours;
  const auto put = [&](const std::string& name, const std::string& bytes) {
    seeds.Put("certificate_import_fuzz", name, bytes);
  };
  const std::string router = lab.Router(64496, key.public_key(), "\x07");
  const auto crl = [&](std::vector<x509::Revoked> revoked, rpki::Time next, const rpki::Issuer& issuer) {
    return *rpki::IssueCrl(
        {.number = 1, .this_update = lab.now - hours(2), .next_update = next, .revoked = std::move(revoked)}, issuer);
  };
  const rpki::Time later = lab.now + hours(1);
  rpki::Issuer forger = lab.ca_issuer;
  forger.signer = testutil::SignerOf(testutil::RsaKeyForTests(2));
  put("path.pem", Pem({lab.ta, lab.ca, router}, {crl({{"\x08", lab.now}}, later, lab.ca_issuer)}));
  put("revoked.pem", Pem({lab.ca, lab.ta, router}, {crl({{"\x07", lab.now}}, later, lab.ca_issuer)}));
  put("stale_crl.pem", Pem({lab.ta, lab.ca, router}, {crl({}, lab.now - hours(1), lab.ca_issuer)}));
  put("forged_crl.pem", Pem({lab.ta, lab.ca, router}, {crl({}, later, forger)}));
  put("other_crl.pem", Pem({lab.ta, lab.ca, router}, {crl({}, later, lab.ta_issuer), "no CRL"}));
  put("no_crl.pem", Pem({lab.ta, lab.ca, router}, {std::string("\x30\x00", 2)}));
  put("not_held.pem", Pem({lab.ta, lab.ca, lab.Router(64999, key.public_key())}));
  const auto issued = [&](const rpki::Issuer& issuer) {
    return *rpki::IssueRouterCertificate(
        {.asn = 64496, .serial = "\x08", .validity = {lab.now, lab.now + hours(24)}, .spki = key.public_key().spki()},
        issuer);
  };
  put("forged.pem", Pem({lab.ta, lab.ca, issued(forger)}));
  put("no_issuer.pem", Pem({lab.ta, router}));
  // A CA that claims more than its trust anchor has, and one that inherits it.
  rpki::AuthoritySpec spec{.common_name = "Test CA",
                           .serial = "\x0a",
                           .validity = {lab.now - hours(1), lab.now + hours(24)},
                           .spki = testutil::RsaKeyForTests(1).public_key().spki(),
                           .as_numbers = rpki::AsResources::Of({{1, 2}, {64496, 64496}}),
                           .addresses = rpki::IpResources::Inherit(),
                           .repository_uri = testutil::RpkiLab::kCaPoint,
                           .manifest_uri = std::string(testutil::RpkiLab::kCaPoint) + "ca.mft",
                           .notify_uri = ""};
  put("greedy.pem", Pem({lab.ta, *rpki::IssueAuthorityCertificate(spec, lab.ta_issuer), router}));
  spec.as_numbers = rpki::AsResources::Inherit();
  put("inherits.pem", Pem({lab.ta, *rpki::IssueAuthorityCertificate(spec, lab.ta_issuer), router}));
  const std::string broken_authority = [&] {
    std::string out = lab.ca;
    out.back() = static_cast<char>(out.back() ^ 1);
    return out;
  }();
  put("broken_authority.pem", Pem({lab.ta, broken_authority, router}));
  put("many.pem", Pem(std::vector<std::string>(40, lab.ca)) + Pem({lab.ta, router}));
  const auto& signer = testutil::RsaKeyForTests(2);
  put("signer.pem",
      Pem({lab.ta, lab.ca,
           *rpki::IssueTransferCertificate(
               {.serial = "\x09", .validity = {lab.now, lab.now + hours(24)}, .spki = signer.public_key().spki()},
               lab.ca_issuer)}));
}

}  // namespace
}  // namespace virp

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: make_rpki_corpus FOLDER\n"), 2;
  const virp::Seeds seeds(argv[1]);
  const virp::testutil::RpkiLab lab(virp::rpki::Time(std::chrono::seconds(1'770'000'000)));  // the targets' present
  const auto key = virp::crypto::P256PrivateKey::Generate();
  const std::string router = lab.Router(64496, key.public_key());
  virp::Requests(seeds, key);
  virp::Certificates(seeds, lab, router);
  virp::Imports(seeds, lab, router);
  virp::Paths(seeds, lab, key);
  return 0;
}
