#include "lib/rpki/publication.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"

namespace virp::rpki {
namespace {

using testutil::IsOkAndHolds;
using testutil::StatusIs;
using Tree = PublicationFolder::Tree;

Tree Numbered(int count, const std::string& content) {
  Tree out{{"ta/ta.cer", "always the same"}};
  for (int i = 0; i < count; ++i) out["ca/" + std::to_string(i) + ".cer"] = content + std::to_string(i);
  return out;
}

TEST(Publication, HoldsWhatWasPublishedAndNothingElse) {
  const testutil::TempDir dir;
  ASSERT_OK_AND_ASSIGN(PublicationFolder folder, PublicationFolder::Open(dir.File("pub")));
  EXPECT_THAT(folder.Read(), IsOkAndHolds(Tree{}));
  // Few files, many (another way to sync), fewer.
  for (const int count : {3, 100, 2, 0}) {
    const Tree tree = Numbered(count, std::to_string(count) + "-");
    ASSERT_OK(folder.Publish(tree));
    EXPECT_THAT(folder.Read(), IsOkAndHolds(tree));
    ASSERT_OK_AND_ASSIGN(const PublicationFolder again, PublicationFolder::Open(dir.File("pub")));
    EXPECT_THAT(again.Read(), IsOkAndHolds(tree));
    EXPECT_EQ(again.generation(), folder.generation());
  }
  // Beside link and lock: the last three stay, for sessions that began in them; the fourth until the next publication
  // or start.
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.File("pub")), {}), 2 + 3);
  ASSERT_OK(folder.Publish(Numbered(1, "x")));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.File("pub")), {}), 2 + 3 + 1);
}

TEST(Publication, WhatDidNotChangeIsLinked) {
  const testutil::TempDir dir;
  ASSERT_OK_AND_ASSIGN(PublicationFolder folder, PublicationFolder::Open(dir.File("pub")));
  ASSERT_OK(folder.Publish(Numbered(2, "a")));
  struct stat before{}, after{};
  ASSERT_EQ(::stat((folder.current_path() + "/ta/ta.cer").c_str(), &before), 0);
  ASSERT_OK(folder.Publish(Numbered(2, "b")));
  ASSERT_EQ(::stat((folder.current_path() + "/ta/ta.cer").c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_EQ(after.st_mode & 0777u, 0644u);
}

TEST(Publication, OthersServeItWhateverTheUmaskIs) {
  const testutil::TempDir dir;
  const mode_t was = ::umask(0077);
  auto folder = PublicationFolder::Open(dir.File("a/pub"));
  const absl::Status published = folder.ok() ? folder->Publish({{"x/y/z.cer", "certificate"}}) : folder.status();
  ::umask(was);
  ASSERT_OK(published);
  for (const char* const path : {"a", "a/pub", "a/pub/current/", "a/pub/current/x", "a/pub/current/x/y"}) {
    struct stat info{};
    ASSERT_EQ(::stat(dir.File(path).c_str(), &info), 0) << path;
    EXPECT_EQ(info.st_mode & 07777U, 0755U) << path;
  }
}

TEST(Publication, ACrashAtEachStepLeavesOneWhole) {
  const Tree old = Numbered(3, "old"), fresh = Numbered(4, "new");
  int steps = 0, switched = 0;
  for (int die_at = 1;; ++die_at) {
    const testutil::TempDir dir;
    {
      ASSERT_OK_AND_ASSIGN(PublicationFolder folder, PublicationFolder::Open(dir.File("pub")));
      for (int i = 0; i < 3; ++i) ASSERT_OK(folder.Publish(old));
    }
    const pid_t child = ::fork();
    if (child == 0) {
      int at = 0;
      auto folder = PublicationFolder::Open(dir.File("pub"), {.before_step = [&](std::string_view) {
                                              if (++at == die_at) ::_exit(9);
                                            }});
      ::_exit(folder.ok() && folder->Publish(fresh).ok() ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    ASSERT_NE(WEXITSTATUS(status), 1);
    ASSERT_OK_AND_ASSIGN(PublicationFolder folder, PublicationFolder::Open(dir.File("pub")));
    ASSERT_OK_AND_ASSIGN(const Tree found, folder.Read());
    EXPECT_TRUE(found == old || found == fresh) << die_at;
    switched += found == fresh ? 1 : 0;
    ASSERT_OK(folder.Publish(fresh));
    EXPECT_THAT(folder.Read(), IsOkAndHolds(fresh));
    if (WEXITSTATUS(status) == 0) break;
    ++steps;
  }
  EXPECT_GE(steps, 8);
  EXPECT_EQ(switched, 2);  // after the switch: before the last sync, and when nothing went wrong
}

TEST(Publication, AnErrorLeavesTheOldOne) {
  const testutil::TempDir dir;
  ASSERT_OK_AND_ASSIGN(PublicationFolder folder, PublicationFolder::Open(dir.File("pub")));
  const Tree old = Numbered(2, "old");
  ASSERT_OK(folder.Publish(old));
  for (const char* path :
       {"", "/etc/x", "../x", "a/../b", "a//b", "a/", ".hidden", "a b", "a/b/c/d/e/f/g/h/i", "x\n"}) {
    EXPECT_THAT(folder.Publish({{path, "x"}}), StatusIs(absl::StatusCode::kInvalidArgument)) << path;
  }
  // A file where a folder should be.
  EXPECT_FALSE(folder.Publish({{"a", "x"}, {"a/b", "x"}}).ok());
  EXPECT_THAT(folder.Read(), IsOkAndHolds(old));
  ASSERT_OK(folder.Publish(Numbered(1, "x")));
}

TEST(Publication, AnOlderOneComesTooLate) {
  const testutil::TempDir dir;
  // Two processes: one was stopped when it had its number, the other took over meanwhile.
  ASSERT_OK_AND_ASSIGN(PublicationFolder late, PublicationFolder::Open(dir.File("pub")));
  ASSERT_OK(late.Publish(Numbered(1, "a"), 4));
  ASSERT_OK_AND_ASSIGN(PublicationFolder leader, PublicationFolder::Open(dir.File("pub")));
  ASSERT_OK(leader.Publish(Numbered(2, "b"), 7));
  for (const std::uint64_t number : {std::uint64_t{0}, std::uint64_t{5}, std::uint64_t{7}})
    EXPECT_THAT(late.Publish(Numbered(3, "c"), number), testutil::ReasonIs("NEWER_PUBLICATION"));
  EXPECT_THAT(leader.Read(), IsOkAndHolds(Numbered(2, "b")));
  EXPECT_THAT(late.Current(), IsOkAndHolds(7u));
  // When it leads again it goes on from what is there, not from what it had published itself.
  ASSERT_OK(late.Publish(Numbered(2, "b"), 9));
  EXPECT_THAT(late.Read(), IsOkAndHolds(Numbered(2, "b")));
  EXPECT_EQ(late.generation(), 9u);
}

TEST(Publication, OnlyOneProcessAtATime) {
  const testutil::TempDir dir;
  ASSERT_OK_AND_ASSIGN(PublicationFolder other, PublicationFolder::Open(dir.File("pub")));
  int tried = 0;
  ASSERT_OK_AND_ASSIGN(PublicationFolder folder,
                       PublicationFolder::Open(dir.File("pub"), {.before_step = [&](std::string_view) {
                                                 ++tried;
                                                 EXPECT_THAT(other.Publish(Numbered(1, "other"), 99),
                                                             StatusIs(absl::StatusCode::kUnavailable));
                                                 // And it removes nothing that is being made.
                                                 EXPECT_OK(PublicationFolder::Open(dir.File("pub")).status());
                                               }}));
  ASSERT_OK(folder.Publish(Numbered(2, "mine")));
  EXPECT_GT(tried, 5);
  EXPECT_THAT(folder.Read(), IsOkAndHolds(Numbered(2, "mine")));
}

TEST(Publication, AFolderOfSomebodyElseIsLeftAlone) {
  const testutil::TempDir dir;
  std::ofstream(dir.File("important")) << "x";
  EXPECT_THAT(PublicationFolder::Open(dir.path()), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_TRUE(std::filesystem::exists(dir.File("important")));
  std::filesystem::remove(dir.File("important"));
  std::filesystem::create_symlink("/etc", dir.File("current"));
  EXPECT_THAT(PublicationFolder::Open(dir.path()), StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace virp::rpki
