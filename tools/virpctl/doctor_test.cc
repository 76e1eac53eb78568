#include "tools/virpctl/doctor.h"

#include <gmock/gmock.h>
#include <linux/magic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "lib/frame/key_directory.h"
#include "lib/store/sqlite.h"
#include "tests/testutil/temp_dir.h"

namespace virp::virpctl {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr UnixNanos kHour = 3'600ULL * 1'000'000'000;
constexpr UnixNanos kNow = 1'750'000'000'000'000'000;

// Whatever is not well says what to do.
void ExpectAdvice(const Check& check) {
  EXPECT_FALSE(check.name.empty());
  EXPECT_FALSE(check.found.empty()) << check.name;
  if (check.health != Health::kOk) EXPECT_FALSE(check.advice.empty()) << check.name << ": " << check.found;
}
const Check& Named(const Checks& checks, const std::string& name) {
  for (const Check& check : checks) {
    if (check.name == name) return check;
  }
  ADD_FAILURE() << name;
  return checks.front();
}

TEST(DoctorExitTest, AFailureOutweighsWhatCouldNotBeTold) {
  const Check ok{"a", Health::kOk, "", ""}, warning{"b", Health::kWarning, "", ""};
  const Check failed{"c", Health::kFailed, "", ""}, unknown{"d", Health::kUnknown, "", ""};
  EXPECT_EQ(ExitOf(Checks{}), Exit::kYes);
  EXPECT_EQ(ExitOf({ok, warning}), Exit::kYes);
  EXPECT_EQ(ExitOf({ok, unknown, warning}), Exit::kCannotSay);
  EXPECT_EQ(ExitOf({unknown, failed, ok}), Exit::kNo);
}

TEST(DoctorJudgeTest, Clocks) {
  EXPECT_EQ(JudgeNtp(true, milliseconds(20)).health, Health::kOk);
  EXPECT_EQ(JudgeNtp(true, seconds(16)).health, Health::kWarning);
  EXPECT_EQ(JudgeNtp(false, microseconds(0)).health, Health::kWarning);
  ExpectAdvice(JudgeNtp(false, microseconds(0)));
  EXPECT_EQ(JudgeOffset(milliseconds(-400), milliseconds(1)).health, Health::kOk);
  EXPECT_EQ(JudgeOffset(milliseconds(-700), milliseconds(1)).health, Health::kWarning);
  EXPECT_EQ(JudgeOffset(milliseconds(700), milliseconds(300)).health, Health::kOk) << "may be the way";
  EXPECT_EQ(JudgeOffset(seconds(-11), milliseconds(1)).health, Health::kFailed);
  EXPECT_THAT(JudgeOffset(seconds(-11), milliseconds(1)).found, HasSubstr("-11.000 s"));
}

TEST(DoctorJudgeTest, Certificates) {
  const auto at = [](UnixNanos from, UnixNanos until) { return JudgeLifetime("x", from, until, kNow); };
  EXPECT_EQ(at(kNow - kHour, kNow + kHour).health, Health::kOk);
  EXPECT_EQ(at(kNow - 9 * kHour, kNow + kHour).health, Health::kWarning);
  EXPECT_EQ(at(kNow - kHour, kNow).health, Health::kFailed);
  EXPECT_EQ(at(kNow + 1, kNow + kHour).health, Health::kFailed);
  ExpectAdvice(at(kNow - kHour, kNow));
  crypto::CertificateInfo leaf;
  EXPECT_EQ(JudgeIdentity(leaf, "").health, Health::kFailed);
  leaf.uri_sans = {"spiffe://example.org/reader/a"};
  EXPECT_EQ(JudgeIdentity(leaf, "").health, Health::kOk);
  EXPECT_EQ(JudgeIdentity(leaf, "example.org").health, Health::kOk);
  EXPECT_EQ(JudgeIdentity(leaf, "example.or").health, Health::kFailed);
  leaf.uri_sans.push_back("spiffe://example.org/reader/b");
  EXPECT_EQ(JudgeIdentity(leaf, "example.org").health, Health::kFailed);
}

TEST(DoctorJudgeTest, KeyTimes) {
  const auto judge = [](const std::vector<frame::KeyVersion>& versions) {
    return JudgeKeyTimes("s", versions, kNow).health;
  };
  frame::KeyVersion open, past, future, soon;
  open.accept_from = kNow - 1;
  past.accept_from = kNow - 2;
  past.accept_until = kNow - 1;
  future.accept_from = kNow + 1;
  soon.accept_from = kNow - 2;
  soon.accept_until = kNow + kHour;
  EXPECT_EQ(judge({open}), Health::kOk);
  EXPECT_EQ(judge({past, open}), Health::kOk);
  EXPECT_EQ(judge({past}), Health::kFailed);
  EXPECT_EQ(judge({past, future}), Health::kFailed);
  EXPECT_EQ(judge({soon}), Health::kWarning);
  EXPECT_EQ(judge({soon, open}), Health::kOk);
  EXPECT_EQ(judge({open, soon}), Health::kOk);
  EXPECT_EQ(judge({}), Health::kFailed);
}

TEST(DoctorJudgeTest, ModesAndFileSystems) {
  EXPECT_EQ(JudgePrivate("x", 0600, false).health, Health::kOk);
  EXPECT_EQ(JudgePrivate("x", 0660, false).health, Health::kFailed);
  EXPECT_EQ(JudgePrivate("x", 0660, true).health, Health::kOk);
  EXPECT_EQ(JudgePrivate("x", 0604, true).health, Health::kFailed);
  EXPECT_THAT(JudgePrivate("x", 0755, false).advice, HasSubstr("chmod 0700"));
  constexpr std::uint64_t kGiB = 1ULL << 30, kExt4 = EXT4_SUPER_MAGIC;
  EXPECT_EQ(JudgeFileSystem("/d", kExt4, 10 * kGiB, 20 * kGiB).health, Health::kOk);
  EXPECT_EQ(JudgeFileSystem("/d", kExt4, 10 * kGiB, 1'000 * kGiB).health, Health::kWarning);
  EXPECT_EQ(JudgeFileSystem("/d", kExt4, kGiB / 2, kGiB).health, Health::kWarning);
  EXPECT_EQ(JudgeFileSystem("/d", kExt4, 1 << 20, kGiB).health, Health::kFailed);
  EXPECT_EQ(JudgeFileSystem("/d", TMPFS_MAGIC, 10 * kGiB, 20 * kGiB).health, Health::kFailed);
  EXPECT_EQ(JudgeFileSystem("/d", NFS_SUPER_MAGIC, 10 * kGiB, 20 * kGiB).health, Health::kFailed);
}

TEST(DoctorJudgeTest, PostgresSettings) {
  std::map<std::string, std::string> good{{"fsync", "on"},
                                          {"full_page_writes", "on"},
                                          {"synchronous_commit", "on"},
                                          {"wal_sync_method", "fdatasync"},
                                          {"synchronous_standby_names", "ANY 1 (b)"},
                                          {"data_checksums", "on"}};
  for (const Check& check : JudgePostgres(good, 1, false)) EXPECT_EQ(check.health, Health::kOk) << check.name;
  for (const char* const name : {"fsync", "full_page_writes", "synchronous_commit"}) {
    auto settings = good;
    settings[name] = "off";
    EXPECT_EQ(Named(JudgePostgres(settings, 1, false), std::string("PostgreSQL: ") + name).health, Health::kFailed);
    settings.erase(name);
    EXPECT_EQ(Named(JudgePostgres(settings, 1, false), std::string("PostgreSQL: ") + name).health, Health::kUnknown);
  }
  EXPECT_EQ(Named(JudgePostgres(good, 0, false), "PostgreSQL: standby").health, Health::kFailed);
  EXPECT_EQ(Named(JudgePostgres(good, 1, true), "PostgreSQL: role").health, Health::kFailed);
  auto alone = good;
  alone["synchronous_standby_names"] = "";
  EXPECT_EQ(Named(JudgePostgres(alone, 0, false), "PostgreSQL: standby").health, Health::kWarning);
  auto local = good;
  local["synchronous_commit"] = "local";
  EXPECT_EQ(Named(JudgePostgres(local, 1, false), "PostgreSQL: standby").health, Health::kWarning);
  EXPECT_EQ(ExitOf(JudgePostgres({}, 0, false)), Exit::kCannotSay);
}

TEST(DoctorJudgeTest, SqliteKernelAndFrr) {
  EXPECT_EQ(ExitOf(JudgeSqlite("wal", "2")), Exit::kYes);
  EXPECT_EQ(ExitOf(JudgeSqlite("delete", "2")), Exit::kNo);
  EXPECT_EQ(ExitOf(JudgeSqlite("wal", "1")), Exit::kNo);
  EXPECT_EQ(JudgeSocketOption("x", 0, "CONFIG_X").health, Health::kOk);
  EXPECT_EQ(JudgeSocketOption("x", ENOPROTOOPT, "CONFIG_X").health, Health::kWarning);
  EXPECT_THAT(JudgeSocketOption("x", ENOPROTOOPT, "CONFIG_X").advice, HasSubstr("CONFIG_X"));
  EXPECT_EQ(JudgeSocketOption("x", EPERM, "CONFIG_X").health, Health::kUnknown);
  EXPECT_EQ(JudgeFrr("bgpd version 8.4.4\nCopyright", true).health, Health::kOk);
  EXPECT_EQ(JudgeFrr("bgpd version 8.4.4\nCopyright", true).found, "bgpd version 8.4.4");
  EXPECT_EQ(JudgeFrr("bgpd version 7.5", true).health, Health::kWarning);
  EXPECT_EQ(JudgeFrr("bgpd version 10.3", false).health, Health::kFailed);
  EXPECT_EQ(JudgeFrr("what?", true).health, Health::kUnknown);
  EXPECT_EQ(JudgeFrr("", true).health, Health::kUnknown);
}

class DoctorHostTest : public ::testing::Test {
 protected:
  std::string Socket(const std::string& name, mode_t mode) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = dir_.File(name);
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    EXPECT_EQ(bind(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0) << path;
    EXPECT_EQ(chmod(path.c_str(), mode), 0);
    return path;
  }
  testutil::TempDir dir_;
  const int socket_ = socket(AF_UNIX, SOCK_STREAM, 0);
};

TEST_F(DoctorHostTest, SocketsAreLookedAt) {
  const std::string path = Socket("s", 0666);
  EXPECT_EQ(ExitOf(CheckSocket(path, false)), Exit::kNo);
  ASSERT_EQ(chmod(path.c_str(), 0660), 0);
  EXPECT_EQ(ExitOf(CheckSocket(path, false)), Exit::kYes);
  EXPECT_EQ(ExitOf(CheckSocket(path, true)), Exit::kNo);
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  ASSERT_EQ(chmod(dir_.path().c_str(), 0700), 0);
  EXPECT_EQ(ExitOf(CheckSocket(path, true)), Exit::kYes);
  ASSERT_EQ(chmod(dir_.path().c_str(), 0755), 0);
  EXPECT_EQ(ExitOf(CheckSocket(path, true)), Exit::kNo) << "its folder is open";
  EXPECT_EQ(ExitOf(CheckSocket(dir_.File("none"), false)), Exit::kNo);
  EXPECT_EQ(ExitOf(CheckSocket(dir_.path(), false)), Exit::kNo);
  close(socket_);
}

TEST_F(DoctorHostTest, KeyDirectoriesAreLookedAt) {
  const SystemClock clock;
  ASSERT_TRUE(frame::CreateKeyFile(dir_.File("keys"), "edge-a", 1, frame::Suite::kHmacSha256, 1).ok());
  const Checks good = CheckKeys(dir_.File("keys"), clock);
  EXPECT_EQ(ExitOf(good), Exit::kYes);
  EXPECT_EQ(good.back().name, "key: edge-a");
  ASSERT_EQ(chmod(dir_.File("keys/edge-a/1.hmac").c_str(), 0644), 0);
  const Checks open = CheckKeys(dir_.File("keys"), clock);
  EXPECT_EQ(ExitOf(open), Exit::kNo);
  EXPECT_THAT(open.front().found, HasSubstr("1.hmac"));
  EXPECT_EQ(ExitOf(CheckKeys(dir_.File("none"), clock)), Exit::kNo);
}

TEST_F(DoctorHostTest, ASqliteStoreIsLookedAtAndNotChanged) {
  const std::string path = dir_.File("chain.db");
  EXPECT_EQ(ExitOf(CheckStore("sqlite:" + path)), Exit::kNo);
  EXPECT_NE(access(path.c_str(), F_OK), 0) << "it must not be made";
  {
    ASSERT_TRUE(store::SqliteDb::Open({.path = path}).ok());
  }
  const Checks checks = CheckStore("sqlite:" + path);
  EXPECT_EQ(Named(checks, "SQLite: journal mode").health, Health::kOk);
  EXPECT_EQ(Named(checks, "SQLite: synchronous").health, Health::kOk);
  EXPECT_EQ(Named(checks, "store: file").health, Health::kOk);
  ASSERT_EQ(chmod(path.c_str(), 0644), 0);
  EXPECT_EQ(Named(CheckStore("sqlite:" + path), "store: file").health, Health::kFailed);
  EXPECT_EQ(ExitOf(CheckStore("postgresql://nobody@127.0.0.1:1/none")), Exit::kNo);
}

TEST_F(DoctorHostTest, TheKernelTellsAboutBothOptions) {
  const Checks checks = CheckKernel();
  ASSERT_EQ(checks.size(), 2U);
  for (const Check& check : checks) {
    EXPECT_NE(check.health, Health::kUnknown) << check.name << ": " << check.found;
    ExpectAdvice(check);
  }
}

TEST_F(DoctorHostTest, FrrIsAskedForItsVersion) {
  EXPECT_TRUE(CheckFrr(dir_.File("none"), false).empty());
  EXPECT_EQ(ExitOf(CheckFrr(dir_.File("none"), true)), Exit::kNo);
  EXPECT_EQ(CheckFrr("/bin/true", true).front().health, Health::kUnknown) << "says nothing";
}

TEST_F(DoctorHostTest, PortsAreTried) {
  const auto patience = milliseconds(2'000);
  EXPECT_EQ(CheckFree("127.0.0.1:0").health, Health::kOk);
  EXPECT_EQ(CheckListening("127.0.0.1:1", patience).health, Health::kFailed);
  EXPECT_EQ(CheckListening("nowhere.invalid:1", patience).health, Health::kFailed);
  EXPECT_EQ(CheckFree("192.0.2.1:80").health, Health::kFailed) << "not an address of this machine";
}

}  // namespace
}  // namespace virp::virpctl
