#include "lib/crypto/secret.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

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

TEST(Secret, LiesInMemoryThatIsNotDumped) {
  const Secret small = Secret::Random(40);
  const Secret large = Secret::Random(100'000);
  for (const Secret* const secret : {&small, &large}) {
    std::ifstream maps("/proc/self/smaps");
    const auto at = reinterpret_cast<std::uintptr_t>(secret->view().data());
    bool inside = false, found = false;
    for (std::string line; std::getline(maps, line);) {
      unsigned long from = 0, to = 0;
      if (std::sscanf(line.c_str(), "%lx-%lx ", &from, &to) == 2) inside = from <= at && at < to;
      if (!inside || !line.starts_with("VmFlags:")) continue;
      found = true;
      EXPECT_NE(line.find(" dd"), std::string::npos) << "it would be in a core dump: " << line;
      if (SecretMemoryInUse().unlocked == 0) EXPECT_NE(line.find(" lo"), std::string::npos) << "not locked: " << line;
    }
    EXPECT_TRUE(found);
  }
}

TEST(Secret, PiecesOfAllSizesAreZeroAndApart) {
  const std::size_t before = SecretMemoryInUse().in_use;
  std::vector<Secret> all;
  for (std::size_t size = 1; size <= 9'000; size += 37) {
    Secret& secret = all.emplace_back(size);
    EXPECT_EQ(secret.view().find_first_not_of('\0'), std::string_view::npos) << size;
    std::fill_n(secret.data(), size, static_cast<char>(size));
  }
  EXPECT_GT(SecretMemoryInUse().in_use, before);
  for (const Secret& secret : all)
    EXPECT_EQ(secret.view().find_first_not_of(static_cast<char>(secret.size())), std::string_view::npos);
  const char* const was = all.front().view().data();
  all.clear();
  EXPECT_EQ(SecretMemoryInUse().in_use, before);
  EXPECT_EQ(*was, 0) << "wiped when it went";
  for (int i = 0; i < 1'000; ++i) EXPECT_EQ(Secret(33).view().find_first_not_of('\0'), std::string_view::npos);
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
