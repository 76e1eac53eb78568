#include "tools/virpctl/package_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "tests/testutil/program.h"
#include "tests/testutil/status_matchers.h"

namespace virp::virpctl {
namespace {

using testutil::StatusIs;

bool IsEmpty(const testutil::TempDir& dir) {
  return std::filesystem::is_empty(dir.path());
}

TEST(PackageFileTest, WhatIsWrittenStaysAndIsForItsOwner) {
  const testutil::TempDir dir;
  {
    ASSERT_OK_AND_ASSIGN(PackageFile file, PackageFile::At(dir.File("a")));
    EXPECT_OK(file.Write("package"));
  }
  EXPECT_EQ(testutil::FileText(dir.File("a")), "package");
  struct stat info{};
  ASSERT_EQ(stat(dir.File("a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  EXPECT_THAT(PackageFile::At(dir.File("a")).status(), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(testutil::FileText(dir.File("a")), "package");
}

TEST(PackageFileTest, WhatIsNotWrittenGoes) {
  const testutil::TempDir dir;
  {
    ASSERT_OK_AND_ASSIGN(PackageFile file, PackageFile::At(dir.File("a")));
    ASSERT_OK_AND_ASSIGN(const PackageFile other, PackageFile::In(dir.path()));
    const PackageFile moved = std::move(file);
    EXPECT_FALSE(IsEmpty(dir));
  }
  EXPECT_TRUE(IsEmpty(dir));
  EXPECT_THAT(PackageFile::At(dir.File("no/where")).status(), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(PackageFile::In(dir.File("nowhere")).status(), StatusIs(absl::StatusCode::kNotFound));
}

TEST(PackageFileTest, GetsItsNameUnlessAnotherHasIt) {
  const testutil::TempDir dir;
  std::ofstream(dir.File("taken")) << "older";
  ASSERT_OK_AND_ASSIGN(PackageFile file, PackageFile::In(dir.path()));
  ASSERT_OK(file.Write("package"));
  EXPECT_THAT(file.Rename(dir.File("taken")), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(testutil::FileText(dir.File("taken")), "older");
  EXPECT_EQ(testutil::FileText(file.path()), "package");
  EXPECT_OK(file.Rename(dir.File("free")));
  EXPECT_EQ(file.path(), dir.File("free"));
  EXPECT_EQ(testutil::FileText(dir.File("free")), "package");
}

TEST(PackageFileTest, WithoutRoomThereIsNone) {
  const testutil::TempDir dir;
  rlimit was{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &was), 0);
  const auto old = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{4'096, was.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status made = PackageFile::At(dir.File("a")).status();
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &was), 0);
  std::signal(SIGXFSZ, old);
  EXPECT_FALSE(made.ok());
  EXPECT_TRUE(IsEmpty(dir));
}

}  // namespace
}  // namespace virp::virpctl
