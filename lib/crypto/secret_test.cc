#include "lib/crypto/secret.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <type_traits>
#include <utility>

#include "lib/crypto/random.h"

namespace virp::crypto {
namespace {

static_assert(!std::is_copy_constructible_v<Secret> && !std::is_copy_assignable_v<Secret>);
static_assert(std::is_nothrow_move_constructible_v<Secret> && std::is_nothrow_move_assignable_v<Secret>);
static_assert(!fmt::is_formattable<Secret>::value, "a secret must not be printable");

TEST(Secret, HoldsMovesAndClears) {
  Secret a("password");
  EXPECT_EQ(a.view(), "password");
  Secret b = std::move(a);
  EXPECT_TRUE(a.empty());  // NOLINT(bugprone-use-after-move): the moved-from state is specified
  EXPECT_EQ(b.view(), "password");
  b.Clear();
  EXPECT_TRUE(b.empty());
  EXPECT_EQ(b.view(), "");
}

TEST(Secret, TruncateWipesWhatItCutsOff) {
  Secret secret("password");
  char* bytes = secret.data();
  secret.Truncate(4);
  EXPECT_EQ(secret.view(), "pass");
  EXPECT_EQ(std::string_view(bytes + 4, 4), std::string_view("\0\0\0\0", 4));
  secret.Truncate(100);
  EXPECT_EQ(secret.size(), 4U);
}

TEST(Secret, AssignmentDropsTheOldValue) {
  Secret a("one");
  a = Secret("two");
  EXPECT_EQ(a.view(), "two");
}

TEST(Secret, RandomOnesDiffer) {
  EXPECT_FALSE(EqualConstantTime(Secret::Random(32), Secret::Random(32)));
  EXPECT_EQ(Secret::Random(32).size(), 32U);
}

TEST(ConstantTime, ComparesLikeEquality) {
  EXPECT_TRUE(EqualConstantTime("", ""));
  EXPECT_TRUE(EqualConstantTime("abc", "abc"));
  EXPECT_FALSE(EqualConstantTime("abc", "abd"));
  EXPECT_FALSE(EqualConstantTime("abc", "abcd"));
  EXPECT_FALSE(EqualConstantTime("", "a"));
}

TEST(Random, FillsAllBytes) {
  EXPECT_EQ(RandomBytes(0), "");
  // Each of 64 bytes is other than zero at least once in 64 tries, or randomness is broken.
  std::string seen(64, '\0');
  for (int i = 0; i < 64; ++i) {
    const std::string bytes = RandomBytes(seen.size());
    for (std::size_t at = 0; at < seen.size(); ++at) seen[at] = static_cast<char>(seen[at] | bytes[at]);
  }
  EXPECT_EQ(seen.find('\0'), std::string::npos);
}

}  // namespace
}  // namespace virp::crypto
