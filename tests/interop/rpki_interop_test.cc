// What lib/rpki makes, judged by openssl, rpki-client, stayrtr and rtrclient.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/crypto/cms.h"
#include "lib/crypto/x509.h"
#include "lib/rpki/check.h"
#include "lib/rpki/feed.h"
#include "tests/interop/rpki_tools.h"
#include "tests/testutil/status_matchers.h"

namespace virp::rpki {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;
using testutil::KeyOf;
using testutil::RunCommand;
using testutil::WriteBytes;

class RpkiInteropTest : public testing::Test {
 protected:
  RpkiInteropTest() : party_(lab_.tal, lab_.ta) {}

  using Tree = std::map<std::string, std::string>;
  // Both publication points as a relying party fetches them.
  Tree Snapshot(Files certificates, std::vector<x509::Revoked> revoked = {}) {
    Tree out{{"ta/ta.cer", lab_.ta}};
    ++number_;
    for (auto& [name, bytes] : lab_.TaPoint(number_)) out["ta/" + name] = bytes;
    for (auto& [name, bytes] : lab_.CaPoint(number_, std::move(certificates), std::move(revoked)))
      out["ca/" + name] = bytes;
    return out;
  }
  std::string File(const std::string& name, std::string_view bytes) {
    WriteBytes(dir_.File(name), bytes);
    return dir_.File(name);
  }

  testutil::RpkiLab lab_;
  testutil::RelyingParty party_;
  testutil::TempDir dir_;
  std::uint64_t number_ = 0;
};

TEST_F(RpkiInteropTest, ARelyingPartySeesEachIssuedKeyAndNothingElse) {
  const auto old_key = crypto::P256PrivateKey::Generate(), new_key = crypto::P256PrivateKey::Generate();
  const std::string old_cert = lab_.Router(64496, old_key.public_key(), "\x21");
  const std::string new_cert = lab_.Router(64496, new_key.public_key(), "\x22");
  const std::string other_as = lab_.Router(65536, new_key.public_key(), "\x23");
  const auto seen = [&](Tree tree) {
    party_.Fetch(tree);
    return party_.Validate();
  };
  EXPECT_THAT(seen(Snapshot({})), IsEmpty());
  const auto old_seen = KeyOf(64496, old_key.public_key()), new_seen = KeyOf(64496, new_key.public_key());
  EXPECT_THAT(seen(Snapshot({{"a.cer", old_cert}})), UnorderedElementsAre(old_seen)) << party_.log();
  // A roll: both, then the old one on the CRL and off the manifest.
  EXPECT_THAT(seen(Snapshot({{"a.cer", old_cert}, {"b.cer", new_cert}})), UnorderedElementsAre(old_seen, new_seen));
  EXPECT_THAT(seen(Snapshot({{"b.cer", new_cert}}, {{"\x21", lab_.now}})), UnorderedElementsAre(new_seen));
  // Revoked counts even when it is still listed.
  EXPECT_THAT(seen(Snapshot({{"a.cer", old_cert}, {"b.cer", new_cert}}, {{"\x21", lab_.now}})),
              UnorderedElementsAre(new_seen));
  // One key for two ASes: two certificates, two router keys.
  EXPECT_THAT(seen(Snapshot({{"b.cer", new_cert}, {"c.cer", other_as}})),
              UnorderedElementsAre(new_seen, KeyOf(65536, new_key.public_key())));
  // A file that is not the manifest's takes the whole point with it: why publications are atomic.
  Tree mixed = Snapshot({{"a.cer", old_cert}, {"b.cer", new_cert}});
  mixed["ca/a.cer"] = new_cert;
  EXPECT_THAT(seen(mixed), IsEmpty());
}

TEST_F(RpkiInteropTest, RpkiClientFindsEachObjectValid) {
  const auto key = crypto::P256PrivateKey::Generate();
  const std::string cert = lab_.Router(64496, key.public_key());
  const Tree tree = Snapshot({{"a.cer", cert}});
  party_.Fetch(tree);
  for (const auto& [path, name] :
       {std::pair{"ca/a.cer", "a.cer"}, {"ta/ca.cer", "ca.cer"}, {"ca/ca.mft", "ca.mft"}, {"ta/ta.mft", "ta.mft"}}) {
    EXPECT_THAT(party_.Verdict(tree.at(path), name), HasSubstr("Validation: OK")) << path;
  }
  std::string changed = cert;
  changed.back() = static_cast<char>(changed.back() ^ 1);
  EXPECT_THAT(party_.Verdict(changed, "changed.cer"), testing::Not(HasSubstr("Validation: OK")));
}

TEST_F(RpkiInteropTest, OpensslVerifiesEachArtefact) {
  const auto key = crypto::P256PrivateKey::Generate();
  const std::string cert = lab_.Router(64496, key.public_key(), "\x21");
  const Tree tree = Snapshot({{"a.cer", cert}});
  const auto pem = [&](const std::string& name, std::string_view label, std::string_view der) {
    return File(name, x509::PemBlock(label, der));
  };
  const std::string ta = pem("ta.pem", "CERTIFICATE", lab_.ta), ca = pem("ca.pem", "CERTIFICATE", lab_.ca),
                    router = pem("router.pem", "CERTIFICATE", cert);
  const auto crls = [&](const Tree& from) {
    return File("crls.pem",
                x509::PemBlock("X509 CRL", from.at("ta/ta.crl")) + x509::PemBlock("X509 CRL", from.at("ca/ca.crl")));
  };
  const std::string verify =
      "openssl verify -x509_strict -crl_check_all -CAfile " + ta + " -untrusted " + ca + " -CRLfile ";
  EXPECT_EQ(RunCommand(verify + crls(tree) + " " + router).status, 0)
      << RunCommand(verify + crls(tree) + " " + router).output;
  EXPECT_THAT(RunCommand(verify + crls(Snapshot({}, {{"\x21", lab_.now}})) + " " + router).output,
              HasSubstr("error 23"));
  const std::string text = RunCommand("openssl x509 -noout -text -in " + router).output;
  for (const char* words :
       {"BGPsec Router", "Autonomous System Numbers", "ROUTER-0000FBF0", "C0000201", "sha256WithRSAEncryption"}) {
    EXPECT_THAT(text, HasSubstr(words));
  }
  // 64512 is not the CA's: overclaim.
  const std::string overclaim = pem("over.pem", "CERTIFICATE", lab_.Router(64512, key.public_key()));
  EXPECT_THAT(RunCommand(verify + crls(tree) + " " + overclaim).output, HasSubstr("error 46"));

  ASSERT_OK_AND_ASSIGN(const std::string request,
                       MakeRouterRequest(key.public_key().spki(), 64496, testutil::SignerOf(key)));
  const std::string csr = pem("router.csr", "CERTIFICATE REQUEST", request);
  EXPECT_THAT(RunCommand("openssl req -verify -noout -text -in " + csr).output,
              testing::AllOf(HasSubstr("verify OK"), HasSubstr("BGPsec Router")));

  const std::string p7 = File("certs.p7c", cms::CertsOnly({cert, lab_.ca}));
  EXPECT_THAT(RunCommand("openssl pkcs7 -inform DER -print_certs -noout -in " + p7).output,
              testing::AllOf(HasSubstr("ROUTER-0000FBF0"), HasSubstr("CN = Test CA")));

  const std::string manifest = File("ca.mft", tree.at("ca/ca.mft"));
  const std::string content = dir_.File("manifest.der");
  const auto verified = RunCommand("openssl cms -verify -noverify -inform DER -in " + manifest + " -out " + content);
  EXPECT_EQ(verified.status, 0) << verified.output;
  const std::string parsed = RunCommand("openssl asn1parse -inform DER -in " + content).output;
  for (const char* words : {"IA5STRING         :a.cer", "IA5STRING         :ca.crl", ":sha256"})
    EXPECT_THAT(parsed, HasSubstr(words));
}

TEST_F(RpkiInteropTest, RouterKeysReachAnRtrClient) {
  Files certificates;
  std::vector<RouterKey> keys;
  std::set<testutil::RelyingParty::RouterKey> issued;
  for (std::uint32_t asn = 64496; asn < 64506; ++asn) {
    const auto key = crypto::P256PrivateKey::Generate();
    certificates[RouterCommonName(asn) + ".cer"] = lab_.Router(asn, key.public_key());
    keys.push_back({asn, std::string(key.public_key().spki()), lab_.now + std::chrono::hours(24)});
    issued.insert(KeyOf(asn, key.public_key()));
  }
  party_.Fetch(Snapshot(certificates));
  EXPECT_EQ(party_.Validate(), issued);
  testutil::ExpectServed(party_.json_path(), issued);
  // And ours, without a validator between.
  ASSERT_OK_AND_ASSIGN(const std::string json, RpkiClientJson(keys, "private", lab_.now));
  testutil::ExpectServed(File("feed.json", json), issued);
}

}  // namespace
}  // namespace virp::rpki
