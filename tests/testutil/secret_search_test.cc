#include "tests/testutil/secret_search.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "lib/base/bytes.h"
#include "lib/base/file.h"
#include "tests/testutil/temp_dir.h"

namespace virp::testutil {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string Secret() {
  std::string out;
  for (int i = 0; i < 32; ++i) out.push_back(static_cast<char>(0x81 + 7 * i));
  return out;
}

std::string Lines(std::string_view text, std::size_t length) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += length) out.append(text.substr(at, length)).append("\n");
  return out;
}

class SecretSearchTest : public ::testing::Test {
 protected:
  SecretSearchTest() { search_.Add("kek", Secret()); }
  const TempDir dir_;
  SecretSearch search_;
};

TEST_F(SecretSearchTest, FindsItInEachSpellingAndAtEachPlace) {
  EXPECT_THAT(search_.InText(HexEncode(Secret())), Contains("kek, hex"));
  EXPECT_THAT(search_.InText("nothing of it"), IsEmpty());
  // As DER has it and as PEM has that: other bytes before and behind, lines of 64 characters.
  for (std::size_t before = 0; before < 100; ++before) {
    const std::string der = std::string(before, 'b') + Secret() + std::string(40, 'a');
    EXPECT_THAT(search_.InText(der), Contains("kek, raw")) << before;
    EXPECT_THAT(search_.InText(Lines(Base64Encode(der), 64)), Contains("kek, base64")) << before;
    EXPECT_THAT(search_.InText(Lines(HexEncode(der), 100)), Contains("kek, hex")) << before;
  }
  EXPECT_THAT(search_.InText(Secret().substr(0, 16)), Contains("kek, raw")) << "half of it";
}

TEST_F(SecretSearchTest, FindsItInFilesAndNamesThem) {
  ASSERT_TRUE(MakeDirectory(dir_.File("a/b")).ok());
  ASSERT_TRUE(ReplaceFile(dir_.File("a/b/one"), "x" + Secret() + "x").ok());
  ASSERT_TRUE(ReplaceFile(dir_.File("a/two"), "nothing").ok());
  EXPECT_THAT(search_.InFolder(dir_.path()), Contains(dir_.File("a/b/one") + ": kek, raw"));
  EXPECT_THAT(search_.InFolder(dir_.path()), Not(Contains(HasSubstr("two"))));
  EXPECT_THAT(search_.InFolder(dir_.path(), "/one"), IsEmpty());
}

TEST_F(SecretSearchTest, WhatCannotBeReadIsAFinding) {
  EXPECT_THAT(search_.InFolder(dir_.File("none")), ElementsAre(HasSubstr("cannot be searched")));
  std::filesystem::create_symlink("/proc/self/mem", dir_.File("memory"));  // at 0, where nothing is
  EXPECT_THAT(search_.InFolder(dir_.path()), ElementsAre(HasSubstr("memory: cannot be read")));
}

TEST_F(SecretSearchTest, APageThatIsGoneHidesNoOther) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  void* const place = ::mmap(nullptr, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(place, MAP_FAILED);
  auto* const pages = static_cast<char*>(place);
  std::strcpy(pages, "first");
  std::strcpy(pages + 3 * page, "last");
  ASSERT_EQ(::munmap(pages + page, page), 0);
  const FileDescriptor memory(::open("/proc/self/mem", O_RDONLY | O_CLOEXEC));
  const auto from = reinterpret_cast<std::uintptr_t>(place);
  const std::string bytes = ReadPages(memory.get(), from, from + 4 * page);
  EXPECT_THAT(bytes, HasSubstr("first"));
  EXPECT_THAT(bytes, HasSubstr("last"));
  ::munmap(pages, page);
  ::munmap(pages + 2 * page, 2 * page);
}

TEST(SecretSearchDeathTest, ASearchForNothingEndsTheProgram) {
  const SecretSearch nothing;
  EXPECT_DEATH(nothing.InText("x"), "nothing to look for");
  EXPECT_DEATH(nothing.InFolder("/none"), "nothing to look for");
  EXPECT_DEATH((void)nothing.InMemory(::getpid()), "nothing to look for");
  SecretSearch search;
  EXPECT_DEATH(search.Add("kek", ""), "0 bytes");
  EXPECT_DEATH(search.Add("kek", std::string(15, 's')), "15 bytes");
}

}  // namespace
}  // namespace virp::testutil
