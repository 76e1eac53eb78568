#include "lib/crypto/pki.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>

namespace virp::crypto {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr UnixNanos kSecond = 1'000'000'000;
constexpr UnixNanos kStart = 1'750'000'000 * kSecond;
constexpr UnixNanos kHour = 3600 * kSecond;

CertificateAuthority Authority() {
  auto ca = CertificateAuthority::Create("test CA", kStart, kStart + 24 * kHour);
  EXPECT_TRUE(ca.ok()) << ca.status();
  return *std::move(ca);
}

LeafSpec Spec() {
  return {.common_name = "c1",
          .uri_sans = {"spiffe://test/collector/c1"},
          .dns_sans = {"localhost", "*.example.net"},
          .ip_sans = {"127.0.0.1", "2001:db8::1"},
          .not_before = kStart,
          .not_after = kStart + kHour};
}

TEST(PkiTest, LeafCarriesWhatWasAskedFor) {
  const CertificateAuthority ca = Authority();
  const auto leaf = ca.Issue(Spec());
  ASSERT_TRUE(leaf.ok()) << leaf.status();
  const auto info = ParseCertificate(leaf->certificate_pem);
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->common_name, "c1");
  EXPECT_THAT(info->uri_sans, ElementsAre("spiffe://test/collector/c1"));
  EXPECT_THAT(info->dns_sans, ElementsAre("localhost", "*.example.net"));
  EXPECT_THAT(info->ip_sans, ElementsAre("127.0.0.1", "2001:db8::1"));
  EXPECT_EQ(info->not_before, kStart);
  EXPECT_EQ(info->not_after, kStart + kHour);
  EXPECT_EQ(info->serial.size(), 32U);
  EXPECT_FALSE(info->is_ca);
  EXPECT_TRUE(CheckKeyMatches(leaf->certificate_pem, leaf->private_key_pem).ok());
}

TEST(PkiTest, AuthorityComesBackFromItsFiles) {
  const CertificateAuthority ca = Authority();
  const auto again = CertificateAuthority::Load(ca.certificate_pem(), ca.private_key_pem());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->Issue(Spec()).ok());
  const auto info = ParseCertificate(ca.certificate_pem());
  ASSERT_TRUE(info.ok());
  EXPECT_TRUE(info->is_ca);
  // A leaf is no authority, and a foreign key does not fit.
  const auto leaf = ca.Issue(Spec());
  EXPECT_FALSE(CertificateAuthority::Load(leaf->certificate_pem, leaf->private_key_pem).ok());
  EXPECT_FALSE(CertificateAuthority::Load(ca.certificate_pem(), leaf->private_key_pem).ok());
  EXPECT_EQ(CheckKeyMatches(ca.certificate_pem(), leaf->private_key_pem).code(), absl::StatusCode::kFailedPrecondition);
}

TEST(PkiTest, IssueRefusesWhatServicesWouldRefuse) {
  const CertificateAuthority ca = Authority();
  const auto refused = [&](auto change) {
    LeafSpec spec = Spec();
    change(spec);
    return ca.Issue(spec).status().code() == absl::StatusCode::kInvalidArgument;
  };
  EXPECT_TRUE(refused([](LeafSpec& s) { s.uri_sans.clear(); }));
  EXPECT_TRUE(refused([](LeafSpec& s) { s.uri_sans.push_back("spiffe://test/reader/r"); }));
  EXPECT_TRUE(refused([](LeafSpec& s) { s.uri_sans = {"https://test/collector/c1"}; }));
  EXPECT_TRUE(refused([](LeafSpec& s) { s.dns_sans = {"a b"}; }));
  EXPECT_TRUE(refused([](LeafSpec& s) { s.dns_sans = {std::string("a\0b", 3)}; }));
  EXPECT_TRUE(refused([](LeafSpec& s) { s.ip_sans = {"300.1.1.1"}; }));
  EXPECT_TRUE(refused([](LeafSpec& s) { s.not_after = s.not_before; }));
  EXPECT_TRUE(refused([](LeafSpec& s) { s.not_after = kStart + 48 * kHour; }));
  EXPECT_TRUE(refused([](LeafSpec& s) { s.common_name = std::string(65, 'a'); }));
  EXPECT_TRUE(refused([](LeafSpec& s) { s.dns_sans = std::vector<std::string>(64, "a"); }));
}

TEST(PkiTest, NamesAreNotConfigurationText) {
  // With OpenSSL's textual extension syntax this would become two names.
  LeafSpec spec = Spec();
  spec.dns_sans = {"a,URI:spiffe://test/operator/x"};
  const auto leaf = Authority().Issue(spec);
  ASSERT_TRUE(leaf.ok()) << leaf.status();
  EXPECT_THAT(ParseCertificate(leaf->certificate_pem)->uri_sans, ElementsAre("spiffe://test/collector/c1"));
}

TEST(PkiTest, ParseRefusesBadInput) {
  EXPECT_FALSE(ParseCertificate("").ok());
  EXPECT_FALSE(ParseCertificate("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").ok());
  EXPECT_THAT(std::string(ParseCertificate(std::string(kMaxBundlePem + 1, 'x')).status().message()),
              HasSubstr("at most"));
  const CertificateAuthority ca = Authority();
  LeafSpec spec = Spec();
  spec.dns_sans = {std::string("good\0.evil", 10)};
  EXPECT_FALSE(ParseCertificate(ca.IssueUnchecked(spec)->certificate_pem).ok());
  spec.dns_sans = std::vector<std::string>(kMaxSubjectNames + 1, "a");
  EXPECT_FALSE(ParseCertificate(ca.IssueUnchecked(spec)->certificate_pem).ok());
  EXPECT_FALSE(CheckKeyMatches(ca.certificate_pem(), "").ok());
}

// Found by certificate_fuzz: OpenSSL reads serial numbers that no deny list could name.
TEST(PkiTest, OddSerialNumbersAreRefused) {
  std::stringstream pem;
  pem << std::ifstream(VIRP_SOURCE_DIR "/tests/fuzz/corpus/certificate_fuzz/negative-serial").rdbuf();
  EXPECT_THAT(std::string(ParseCertificate(pem.str()).status().message()), HasSubstr("serial number"));
}

TEST(PkiTest, TimesBeyondTheTypeSaturate) {
  LeafSpec spec = Spec();
  spec.not_before = 0;
  spec.not_after = std::numeric_limits<UnixNanos>::max();
  const auto leaf = Authority().IssueUnchecked(spec);
  ASSERT_TRUE(leaf.ok());
  const auto info = ParseCertificate(leaf->certificate_pem);
  EXPECT_EQ(info->not_before, 0U);
  EXPECT_EQ(info->not_after / kSecond, std::numeric_limits<UnixNanos>::max() / kSecond);
}

TEST(PkiTest, BundleIsReadToTheEnd) {
  const std::string one = Authority().certificate_pem();
  EXPECT_EQ(ParseCertificates(one + one + Authority().certificate_pem())->size(), 3U);
  EXPECT_FALSE(ParseCertificates("").ok());
  EXPECT_FALSE(ParseCertificates("just text\n").ok());
  EXPECT_FALSE(ParseCertificates(one + one.substr(0, one.size() / 2)).ok());
}

TEST(PkiTest, AChainLeadsToARootOrSaysWhyNot) {
  const CertificateAuthority ca = Authority();
  const std::string leaf = ca.Issue(Spec())->certificate_pem;
  const std::string others = Authority().certificate_pem();
  EXPECT_TRUE(VerifyCertificateChain(leaf, ca.certificate_pem(), kStart + 1).ok());
  EXPECT_TRUE(VerifyCertificateChain(leaf, others + ca.certificate_pem(), kStart + 1).ok());
  EXPECT_TRUE(VerifyCertificateChain(leaf + ca.certificate_pem(), ca.certificate_pem(), kStart + 1).ok());
  for (const auto& [roots, now] :
       {std::pair(others, kStart + 1), std::pair(ca.certificate_pem(), kStart + 2 * kHour)}) {
    EXPECT_EQ(VerifyCertificateChain(leaf, roots, now).code(), absl::StatusCode::kFailedPrecondition);
  }
  EXPECT_FALSE(VerifyCertificateChain(leaf + ca.certificate_pem(), others, kStart + 1).ok())
      << "a root that the chain brings along is none";
  EXPECT_EQ(VerifyCertificateChain("", others, kStart).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(VerifyCertificateChain(leaf, "junk", kStart).code(), absl::StatusCode::kInvalidArgument);
}

TEST(PkiTest, HostsAreMatchedAgainstAlternativeNamesOnly) {
  LeafSpec spec = Spec();
  spec.common_name = "cn.example.org";
  const std::string pem = Authority().Issue(spec)->certificate_pem;
  EXPECT_TRUE(CertificateCoversHost(pem, "localhost"));
  EXPECT_TRUE(CertificateCoversHost(pem, "a.example.net"));
  EXPECT_TRUE(CertificateCoversHost(pem, "127.0.0.1"));
  EXPECT_TRUE(CertificateCoversHost(pem, "2001:db8:0::1"));
  EXPECT_FALSE(CertificateCoversHost(pem, "a.b.example.net"));
  EXPECT_FALSE(CertificateCoversHost(pem, "cn.example.org"));
  EXPECT_FALSE(CertificateCoversHost(pem, "127.0.0.2"));
  EXPECT_FALSE(CertificateCoversHost(pem, ""));
  EXPECT_FALSE(CertificateCoversHost(pem, std::string_view("localhost\0x", 11)));
  EXPECT_FALSE(CertificateCoversHost("not pem", "localhost"));
}

TEST(PkiTest, SerialsHaveOneSpelling) {
  EXPECT_EQ(*CanonicalSerial("00:0A:ff"), "aff");
  EXPECT_EQ(*CanonicalSerial("0000"), "0");
  for (const char* bad : {"", ":", "0x0a", "xyz", " 1", "1234567890123456789012345678901234567890a"}) {
    EXPECT_FALSE(CanonicalSerial(bad).ok()) << bad;
  }
  EXPECT_FALSE(CanonicalSerial(std::string(65, '0')).ok());
}

TEST(PkiTest, FilesHaveTheRightModes) {
  const std::filesystem::path dir = std::filesystem::path(testing::TempDir()) / "pki_test_files";
  std::filesystem::create_directories(dir);
  const auto leaf = Authority().Issue(Spec());
  // A key file that somebody left world-readable is not kept so.
  std::ofstream(dir / "c1.key.tmp") << "old";
  std::filesystem::permissions(dir / "c1.key.tmp", std::filesystem::perms::all);
  ASSERT_TRUE(WriteCertifiedKey(dir, "c1", *leaf).ok());
  struct stat info{};
  ASSERT_EQ(stat((dir / "c1.key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  ASSERT_EQ(stat((dir / "c1.crt").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0644U);
  std::stringstream read;
  read << std::ifstream(dir / "c1.key").rdbuf();
  EXPECT_EQ(read.str(), leaf->private_key_pem);
  EXPECT_FALSE(WriteCertifiedKey(dir, "../c1", *leaf).ok());
  EXPECT_FALSE(WriteCertifiedKey(dir / "absent", "c1", *leaf).ok());
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace virp::crypto
