#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "lib/base/sanitizers.h"

namespace virp::crypto {
namespace {

constexpr std::size_t kLinks = 16;  // of a free block, which the C library keeps its lists in

// Memory as the kernel sees it: reading a freed block through a pointer is nothing that a compiler must allow.
std::string Peek(std::uintptr_t at, std::size_t size) {
  const int memory = ::open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  std::string out(size, '?');
  EXPECT_EQ(::pread(memory, out.data(), size, static_cast<off_t>(at)), static_cast<ssize_t>(size));
  ::close(memory);
  return out;
}

class WipingHeapTest : public testing::Test {
 protected:
  void SetUp() override {
#ifdef VIRP_SANITIZED_HEAP
    GTEST_SKIP() << "a sanitizer has a heap of its own";
#endif
  }
};

TEST_F(WipingHeapTest, WhatIsFreedIsOverwritten) {
  for (const std::size_t size : {64U, 1'000U, 60'000U}) {
    auto* const block = static_cast<char*>(std::malloc(size));
    std::memset(block, 's', size);
    const auto at = reinterpret_cast<std::uintptr_t>(block);
    ASSERT_EQ(Peek(at, size), std::string(size, 's'));
    std::free(block);
    EXPECT_EQ(Peek(at + kLinks, size - kLinks).find('s'), std::string::npos) << size;
  }
}

TEST_F(WipingHeapTest, WhatDeleteFreesIsToo) {
  auto text = std::make_unique<std::string>(500, 's');
  const auto at = reinterpret_cast<std::uintptr_t>(text->data());
  text.reset();
  EXPECT_EQ(Peek(at + kLinks, 500 - kLinks).find('s'), std::string::npos);
}

TEST_F(WipingHeapTest, ABlockThatMovesLeavesNothingBehind) {
  auto* block = static_cast<char*>(std::malloc(100));
  std::memset(block, 's', 100);
  const auto at = reinterpret_cast<std::uintptr_t>(block);
  block = static_cast<char*>(std::realloc(block, 50'000));
  ASSERT_NE(block, nullptr);
  EXPECT_EQ(std::string(block, 100), std::string(100, 's'));
  ASSERT_NE(reinterpret_cast<std::uintptr_t>(block), at);
  EXPECT_EQ(Peek(at + kLinks, 100 - kLinks).find('s'), std::string::npos);
  block = static_cast<char*>(std::realloc(block, 60));  // smaller: may move, keeps what it has
  EXPECT_EQ(std::string(block, 60), std::string(60, 's'));
  std::free(block);
}

TEST_F(WipingHeapTest, EdgesAreTheCLibrarys) {
  std::free(nullptr);
  void* const fresh = std::realloc(nullptr, 10);
  EXPECT_NE(fresh, nullptr);
  EXPECT_EQ(std::realloc(fresh, 0), nullptr);
  EXPECT_EQ(::reallocarray(nullptr, SIZE_MAX / 2, 3), nullptr);
  EXPECT_EQ(errno, ENOMEM);
}

}  // namespace
}  // namespace virp::crypto
