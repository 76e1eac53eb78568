#include "services/rtr-bridge/transport/ssh_users.h"

#include <crypt.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <set>

#include "lib/base/bytes.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"

namespace virp::rtr_bridge {
namespace {

using absl::StatusCode;
using ::testing::HasSubstr;
using testutil::StatusIs;

// A blob of RFC 4253 section 6.6 that says of itself what it is; nobody looks at the key in it.
std::string Blob(const std::string& type, char fill = 'k') {
  std::string blob;
  AppendBe(blob, static_cast<std::uint32_t>(type.size()));
  return blob + type + std::string(36, fill);
}
std::string Line(const std::string& user, const std::string& type, char fill = 'k') {
  return user + " " + type + " " + Base64Encode(Blob(type, fill)) + "\n";
}
std::string HashOf(const std::string& password) {
  crypt_data work{};
  return ::crypt_r(password.c_str(), "$6$rounds=1000$saltsalt$", &work);
}

class SshUsersTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::shared_ptr<const SshUsers>> Keys(const std::string& text) {
    return SshUsers::Read({Put(text), ""});
  }
  absl::StatusOr<std::shared_ptr<const SshUsers>> Passwords(const std::string& text, unsigned mode = 0600) {
    return SshUsers::Read({"", Put(text, mode)});
  }
  std::string Put(const std::string& text, unsigned mode = 0600) {
    const std::string path = dir_.File("users");
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
    ::chmod(path.c_str(), mode);
    return path;
  }
  const testutil::TempDir dir_;
};

TEST_F(SshUsersTest, KeysAreOfTheirUserOrOfAnybody) {
  ASSERT_OK_AND_ASSIGN(const auto users, Keys("# routers\n\n" + Line("edge-a", "ssh-ed25519") +
                                              Line("edge-a", "ecdsa-sha2-nistp256") + Line("*", "ssh-rsa")));
  EXPECT_TRUE(users->any_keys());
  EXPECT_FALSE(users->any_passwords());
  EXPECT_TRUE(users->KeyFits("edge-a", Blob("ssh-ed25519")));
  EXPECT_TRUE(users->KeyFits("edge-a", Blob("ecdsa-sha2-nistp256")));
  EXPECT_TRUE(users->KeyFits("edge-a", Blob("ssh-rsa")));
  EXPECT_TRUE(users->KeyFits("edge-b", Blob("ssh-rsa")));
  EXPECT_FALSE(users->KeyFits("edge-b", Blob("ssh-ed25519")));
  EXPECT_FALSE(users->KeyFits("edge-a", Blob("ssh-ed25519", 'x')));
  EXPECT_FALSE(users->KeyFits("edge-a", ""));
  EXPECT_FALSE(users->KeyFits("", Blob("ssh-ed25519")));
  EXPECT_FALSE(users->PasswordFits("edge-a", ""));
}

// In a list of keys '*' is anybody; a router that says it is called so is nobody special.
TEST_F(SshUsersTest, NobodyIsCalledAnybody) {
  ASSERT_OK_AND_ASSIGN(const auto users, Keys(Line("edge-a", "ssh-ed25519")));
  EXPECT_FALSE(users->KeyFits("*", Blob("ssh-ed25519")));
  ASSERT_OK_AND_ASSIGN(const auto with_password, Passwords("edge-a:" + HashOf("secret") + "\n"));
  EXPECT_FALSE(with_password->PasswordFits("*", "secret"));
}

TEST_F(SshUsersTest, LinesThatAreNoKeyAreRefusedByNumber) {
  const std::string good = Line("edge-a", "ssh-ed25519");
  for (const std::string& bad :
       {std::string("edge-a\n"), std::string("edge-a ssh-ed25519\n"), std::string("edge-a ssh-ed25519 ****\n"),
        "edge-a ssh-dss " + Base64Encode(Blob("ssh-dss")) + "\n",
        "edge-a ssh-rsa " + Base64Encode(Blob("ssh-ed25519")) + "\n",  // not what it says
        "edge-a ssh-ed25519 " + Base64Encode("abc") + "\n",
        "edge-a ssh-ed25519 " + Base64Encode("\xff\xff\xff\xffxx") + "\n",
        std::string("ssh-ed25519 AAAAC3Nz router@example\n")}) {  // authorized_keys, without a user
    EXPECT_THAT(Keys(good + bad).status(), StatusIs(StatusCode::kInvalidArgument, HasSubstr("users:2: "))) << bad;
  }
  EXPECT_FALSE(Keys(std::string((1 << 20) + 1, '\n')).ok());
  EXPECT_FALSE(SshUsers::Read({dir_.File("none"), ""}).ok());
}

TEST_F(SshUsersTest, PasswordsFitTheirUsersAlone) {
  ASSERT_OK_AND_ASSIGN(const auto users,
                       Passwords("edge-a:" + HashOf("secret") + "\nedge-b:" + HashOf("other") + "\n"));
  EXPECT_TRUE(users->any_passwords());
  EXPECT_TRUE(users->PasswordFits("edge-a", "secret"));
  EXPECT_TRUE(users->PasswordFits("edge-b", "other"));
  EXPECT_FALSE(users->PasswordFits("edge-a", "other"));
  EXPECT_FALSE(users->PasswordFits("edge-a", ""));
  EXPECT_FALSE(users->PasswordFits("edge-a", HashOf("secret"))) << "the hash is no password";
  EXPECT_FALSE(users->PasswordFits("edge-c", "secret"));
  EXPECT_FALSE(users->PasswordFits("", "secret"));
  EXPECT_FALSE(users->PasswordFits("edge-a", std::string(100'000, 'x'))) << "longer than crypt takes";
}

// How long a hash takes depends on how it was made: it must not tell which names there are.
TEST_F(SshUsersTest, AnUnknownNameCostsWhatAKnownOneDoes) {
  ASSERT_OK_AND_ASSIGN(const auto users,
                       Passwords("edge-a:" + HashOf("secret") + "\nedge-b:" + HashOf("other") + "\n"));
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    const std::string hash = users->HashFor("guess-" + std::to_string(i));
    EXPECT_EQ(hash, users->HashFor("guess-" + std::to_string(i)));
    seen.insert(hash);
  }
  EXPECT_EQ(seen, (std::set<std::string>{HashOf("secret"), HashOf("other")}));
  EXPECT_FALSE(users->PasswordFits("guess-0", "secret"));
  EXPECT_FALSE(users->PasswordFits("guess-0", "other"));
  ASSERT_OK_AND_ASSIGN(const auto nobody, Keys(Line("edge-a", "ssh-ed25519")));
  EXPECT_EQ(nobody->HashFor("edge-a"), "");
  EXPECT_FALSE(nobody->PasswordFits("edge-a", ""));
}

TEST_F(SshUsersTest, HashesThatProtectNothingAreRefused) {
  for (const std::string& bad : {std::string("edge-a:secret"), std::string("edge-a:"), std::string("edge-a"),
                                 std::string(":") + HashOf("x"), std::string("edge-a:*"), std::string("edge-a:!"),
                                 std::string("edge-a:x"), "edge-a:" + HashOf("x") + "\nedge-a:" + HashOf("y")}) {
    EXPECT_THAT(Passwords(bad + "\n").status(), StatusIs(StatusCode::kInvalidArgument, HasSubstr("users:"))) << bad;
  }
}

TEST_F(SshUsersTest, APasswordFileIsItsOwnersAlone) {
  const std::string text = "edge-a:" + HashOf("secret") + "\n";
  EXPECT_OK(Passwords(text, 0600).status());
  for (const unsigned mode : {0644U, 0604U, 0622U, 0666U}) EXPECT_FALSE(Passwords(text, mode).ok()) << mode;
}

}  // namespace
}  // namespace virp::rtr_bridge
