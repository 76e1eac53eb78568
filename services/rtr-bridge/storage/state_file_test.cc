#include "services/rtr-bridge/storage/state_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"

namespace virp::rtr_bridge {
namespace {

using absl::StatusCode;
using ::testing::HasSubstr;
using testutil::StatusIs;

TEST(StateDirectoryTest, GivesWhatWasWrittenLast) {
  const testutil::TempDir dir;
  const std::string folder = dir.File("state");
  std::string all(100'000, '\0');
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<char>(i * 7);
  {
    ASSERT_OK_AND_ASSIGN(const auto state, StateDirectory::Open(folder));
    ASSERT_OK_AND_ASSIGN(const std::string nothing, state->Read());
    EXPECT_EQ(nothing, "");
    ASSERT_OK(state->Write("first"));
    ASSERT_OK(state->Write(all));
  }
  ASSERT_OK_AND_ASSIGN(const auto again, StateDirectory::Open(folder));
  ASSERT_OK_AND_ASSIGN(const std::string read, again->Read());
  EXPECT_EQ(read, all);
  struct stat about{};
  ASSERT_EQ(::stat(folder.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777U, 0700U) << "sessions are no secret, but nobody else's to change";
}

// Two caches that tell routers the same session id would give one serial two meanings.
TEST(StateDirectoryTest, IsOneBridgesAlone) {
  const testutil::TempDir dir;
  auto first = StateDirectory::Open(dir.File("state"));
  ASSERT_OK(first);
  EXPECT_THAT(StateDirectory::Open(dir.File("state")).status(),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("another bridge")));
  first->reset();
  EXPECT_OK(StateDirectory::Open(dir.File("state")));
}

// What a crash in the middle of a write leaves behind is not read.
TEST(StateDirectoryTest, AHalfWrittenFileIsNotTheState) {
  const testutil::TempDir dir;
  {
    ASSERT_OK_AND_ASSIGN(const auto state, StateDirectory::Open(dir.File("state")));
    ASSERT_OK(state->Write("whole"));
  }
  for (const auto& file : std::filesystem::directory_iterator(dir.File("state")))
    std::ofstream(file.path().string() + ".new") << "ha";
  ASSERT_OK_AND_ASSIGN(const auto state, StateDirectory::Open(dir.File("state")));
  ASSERT_OK_AND_ASSIGN(const std::string read, state->Read());
  EXPECT_EQ(read, "whole");
  ASSERT_OK(state->Write("again"));
}

TEST(StateDirectoryTest, SaysWhatItCannotUse) {
  const testutil::TempDir dir;
  std::ofstream(dir.File("file")) << "x";
  EXPECT_FALSE(StateDirectory::Open(dir.File("file")).ok());
  ASSERT_OK_AND_ASSIGN(const auto state, StateDirectory::Open(dir.File("state")));
  std::filesystem::create_directory(dir.File("state") + "/state");
  EXPECT_FALSE(state->Read().ok()) << "a folder is no state, and not nothing either";
  EXPECT_FALSE(state->Write("x").ok());
}

// Bridges without a name must not take each other's session ids.
TEST(StateDirectoryTest, ACopyIsAtAnotherPlace) {
  const testutil::TempDir dir;
  ASSERT_OK_AND_ASSIGN(const auto one, StateDirectory::Open(dir.File("one")));
  ASSERT_OK_AND_ASSIGN(const auto other, StateDirectory::Open(dir.File("other")));
  EXPECT_NE(one->Place(), other->Place());
  const std::string place = one->Place();
  EXPECT_TRUE(place.ends_with("/one")) << place;
}

}  // namespace
}  // namespace virp::rtr_bridge
