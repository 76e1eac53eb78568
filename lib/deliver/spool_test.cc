#include "lib/deliver/spool.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <thread>

#include "lib/base/error_info.h"
#include "lib/base/file.h"
#include "lib/base/pulse.h"
#include "lib/base/status.h"
#include "lib/deliver/spool_format.h"

namespace {
std::atomic<bool> sync_fails{false}, sync_hangs{false}, hanging{false};
std::atomic<std::size_t> written_again{0};
}  // namespace

// In place of the C library's, for this program: a disk whose fsync fails, or does not come back, when told to.
extern "C" int fdatasync(int fd) {
  hanging = sync_hangs.load();
  hanging.notify_all();
  sync_hangs.wait(true);
  if (!sync_fails) return static_cast<int>(syscall(SYS_fdatasync, fd));
  errno = EIO;
  return -1;
}
extern "C" ssize_t pwrite(int fd, const void* bytes, size_t length, off_t at) {
  written_again += length;
  return syscall(SYS_pwrite64, fd, bytes, length, at);
}

namespace virp::deliver {
namespace {

class SpoolTest : public ::testing::Test {
 protected:
  SpoolTest() {
    std::string pattern = std::filesystem::temp_directory_path() / "spool-XXXXXX";
    directory_ = mkdtemp(pattern.data());
  }
  ~SpoolTest() override { std::filesystem::remove_all(directory_); }

  std::unique_ptr<Spool> Open(SpoolOptions options = {}) {
    options.directory = directory_;
    snapshot_.clear();
    replayed_.clear();
    auto spool = Spool::Open(options, {[this](std::string_view snapshot) {
                                         snapshot_ = snapshot;
                                         return absl::OkStatus();
                                       },
                                       [this](const Record& record) {
                                         replayed_.emplace_back(record.number, std::string(record.bytes));
                                         return absl::OkStatus();
                                       }});
    status_ = spool.status();
    return spool.ok() ? *std::move(spool) : nullptr;
  }

  static Record Frame(std::string_view bytes, std::string_view source = "edge-a") {
    Record record;
    record.source = source;
    record.epoch = 7;
    record.spelling = frame::Spelling::kV1Be;
    record.bytes = bytes;
    return record;
  }

  std::string SegmentPath(int index = 0) {
    std::vector<std::string> paths;
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
      if (entry.path().filename().string().starts_with("segment-")) paths.push_back(entry.path());
    }
    std::sort(paths.begin(), paths.end());
    return paths.at(static_cast<std::size_t>(index < 0 ? static_cast<int>(paths.size()) + index : index));
  }

  void Damage(const std::string& path, std::size_t at) {
    auto content = *ReadFile(path);
    content[at] = static_cast<char>(content[at] ^ 1);
    std::ofstream(path, std::ios::binary) << content;
  }

  std::string directory_;
  std::string snapshot_;
  std::vector<std::pair<std::uint64_t, std::string>> replayed_;
  absl::Status status_;
};

// A note behind the last frame is nothing to wait for: whoever delivers would never come to its number.
TEST_F(SpoolTest, NotesAreNothingThatCanBeRead) {
  Record note = Frame("note");
  note.kind = Record::Kind::kNote;
  const auto now = [] { return std::chrono::steady_clock::now(); };
  auto spool = Open();
  ASSERT_TRUE(spool->Append({note}).ok());
  ASSERT_TRUE(spool->Sync(1).ok());
  EXPECT_EQ(spool->ends().durable, 0U);
  EXPECT_FALSE(spool->WaitFor(0, now()));
  ASSERT_TRUE(spool->Append({Frame("one"), note, note}).ok());
  EXPECT_EQ(spool->stats().last_frame, 2U);
  EXPECT_EQ(spool->ends().durable, 0U) << "not durable yet";
  ASSERT_TRUE(spool->Sync(4).ok());
  for (int opened = 0; opened < 2; ++opened, spool.reset(), spool = Open()) {
    EXPECT_EQ(spool->stats().last, 4U);
    EXPECT_EQ(spool->stats().last_frame, 2U);
    EXPECT_EQ(spool->ends().durable, 2U);
    EXPECT_TRUE(spool->WaitFor(1, now()));
    EXPECT_FALSE(spool->WaitFor(2, now()));
  }
  ASSERT_TRUE(spool->Free(2).ok());
  EXPECT_EQ(spool->ends().first, 3U);
  EXPECT_EQ(spool->ends().durable, 2U);
}

TEST_F(SpoolTest, GivesBackWhatIsDurableInOrderWithAllItsParts) {
  const auto spool = Open();
  ASSERT_NE(spool, nullptr) << status_;
  EXPECT_EQ(*spool->Append({Frame("one"), Frame("two", "edge-b")}), 1U);
  EXPECT_TRUE(spool->Read(0, 10, 1000)->empty()) << "not durable yet";
  ASSERT_TRUE(spool->Sync(2).ok());
  const auto frames = *spool->Read(0, 10, 1000);
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[1].number, 2U);
  EXPECT_EQ(frames[1].source, "edge-b");
  EXPECT_EQ(frames[1].epoch, 7U);
  EXPECT_EQ(frames[1].spelling, frame::Spelling::kV1Be);
  EXPECT_EQ(frames[1].bytes, "two");
  EXPECT_EQ(spool->Read(1, 10, 1000)->size(), 1U);
  EXPECT_EQ(spool->Read(0, 1, 1000)->size(), 1U);
  EXPECT_EQ(spool->Read(0, 10, 1)->size(), 1U) << "at least one, however large";
}

TEST_F(SpoolTest, NotesAreReplayedAndNotDelivered) {
  {
    const auto spool = Open();
    Record note = Frame("state", "requests");
    note.kind = Record::Kind::kNote;
    ASSERT_TRUE(spool->Append({Frame("one"), note, Frame("three")}).ok());
    ASSERT_TRUE(spool->Sync(3).ok());
    const auto frames = *spool->Read(0, 10, 1000);
    ASSERT_EQ(frames.size(), 2U);
    EXPECT_EQ(frames[1].number, 3U);
  }
  const auto spool = Open();
  EXPECT_EQ(replayed_, (std::vector<std::pair<std::uint64_t, std::string>>{{1, "one"}, {2, "state"}, {3, "three"}}));
}

TEST_F(SpoolTest, SnapshotShortensReplayAndSegmentsGoWhenFreedAndSnapshotted) {
  SpoolOptions options;
  options.max_bytes = 1 << 20;
  options.segment_bytes = 4'096;
  {
    const auto spool = Open(options);
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(spool->Append({Frame(std::string(200, 'x'))}).ok());
    ASSERT_TRUE(spool->Sync(100).ok());
    const std::uint64_t before = spool->stats().bytes;
    ASSERT_TRUE(spool->Free(90).ok());
    EXPECT_EQ(spool->stats().bytes, before) << "the snapshot is not behind them yet";
    ASSERT_TRUE(spool->WriteSnapshot(80, "state at 80").ok());
    EXPECT_LT(spool->stats().bytes, before);
    EXPECT_EQ(spool->Read(90, 100, 1 << 20)->size(), 10U);
  }
  const auto spool = Open(options);
  ASSERT_NE(spool, nullptr) << status_;
  EXPECT_EQ(snapshot_, "state at 80");
  ASSERT_EQ(replayed_.size(), 20U);
  EXPECT_EQ(replayed_.front().first, 81U);
  EXPECT_EQ(spool->stats().first, 91U);
  EXPECT_EQ(*spool->Append({Frame("next")}), 101U);
}

TEST_F(SpoolTest, ReadsAcrossManySegmentsFromAnywhere) {
  SpoolOptions options;
  options.segment_bytes = 4'096;
  const auto spool = Open(options);
  for (int i = 1; i <= 300; ++i) ASSERT_TRUE(spool->Append({Frame(std::to_string(i))}).ok());
  ASSERT_TRUE(spool->Sync(300).ok());
  for (const std::uint64_t step : {1U, 7U, 64U, 1000U}) {
    std::uint64_t after = 0;
    while (after < 300) {
      const auto frames = *spool->Read(after, step, 1 << 20);
      ASSERT_FALSE(frames.empty());
      for (const auto& frame : frames) {
        ASSERT_EQ(frame.number, ++after);
        ASSERT_EQ(frame.bytes, std::to_string(after));
      }
    }
  }
}

TEST_F(SpoolTest, RefusesBeyondItsBoundAndTakesAgainAfterFreeing) {
  SpoolOptions options;
  options.max_bytes = 64 << 10;
  const auto spool = Open(options);
  absl::Status status;
  std::uint64_t taken = 0;
  while ((status = spool->Append({Frame(std::string(1'000, 'x'))}).status()).ok()) ++taken;
  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_EQ(GetReason(status), "SPOOL_FULL");
  EXPECT_TRUE(spool->stats().full);
  EXPECT_EQ(spool->stats().last, taken) << "what was refused took no number";
  EXPECT_LE(spool->stats().bytes, options.max_bytes);
  ASSERT_TRUE(spool->WriteSnapshot(taken, "").ok());
  ASSERT_TRUE(spool->Free(taken).ok());
  EXPECT_TRUE(spool->Append({Frame("again")}).ok());
  EXPECT_FALSE(spool->stats().full);
}

TEST_F(SpoolTest, WhatAFailedFsyncLeftIsWrittenAgainByTheNextOpen) {
  auto spool = Open();
  ASSERT_TRUE(spool->Append({Frame("sure")}).ok());
  ASSERT_TRUE(spool->Sync(1).ok());
  ASSERT_TRUE(spool->Append({Frame("unsure")}).ok());
  ASSERT_TRUE(spool->problem().ok());
  sync_fails = true;
  EXPECT_FALSE(spool->Sync(2).ok());
  sync_fails = false;
  EXPECT_FALSE(spool->Sync(2).ok()) << "the kernel may have nothing left to do";
  EXPECT_FALSE(spool->Append({Frame("more")}).ok());
  EXPECT_FALSE(spool->problem().ok());
  EXPECT_EQ(spool->Read(0, 10, 1'000)->size(), 1U) << "what is not durable is not delivered";

  written_again = 0;
  spool = Open();
  ASSERT_NE(spool, nullptr) << status_;
  // And not the first, which the second calls fsynced.
  EXPECT_EQ(written_again, kRecordHeaderSize + std::string_view("edge-aunsure").size());
  EXPECT_TRUE(spool->problem().ok());
  EXPECT_EQ(spool->Read(0, 10, 1'000)->size(), 2U);
  EXPECT_TRUE(spool->Append({Frame("more")}).ok());
}

TEST_F(SpoolTest, FreesOnAFullDisk) {
  SpoolOptions options;
  options.segment_bytes = 4'096;
  const auto spool = Open(options);
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(spool->Append({Frame(std::string(200, 'x'))}).ok());
  ASSERT_TRUE(spool->WriteSnapshot(60, "").ok());
  const std::uint64_t before = spool->stats().bytes;
  std::filesystem::create_symlink("/dev/full", directory_ + "/freed.tmp");  // every write to it: ENOSPC
  EXPECT_TRUE(spool->Free(60).ok()) << "what is remembered of it is a hint";
  EXPECT_LT(spool->stats().bytes, before);
}

TEST_F(SpoolTest, TornTailIsCutAtEveryByte) {
  std::size_t two = 0;
  {
    const auto spool = Open();
    ASSERT_TRUE(spool->Append({Frame("one"), Frame("two")}).ok());
    two = spool->stats().bytes;
    ASSERT_TRUE(spool->Append({Frame("three")}).ok());
  }
  const std::string whole = *ReadFile(SegmentPath());
  for (std::size_t cut = two; cut < whole.size(); ++cut) {
    std::ofstream(SegmentPath(), std::ios::binary) << whole.substr(0, cut);
    const auto spool = Open();
    ASSERT_NE(spool, nullptr) << cut << " " << status_;
    EXPECT_EQ(replayed_.size(), 2U);
    EXPECT_EQ(*spool->Append({Frame("new")}), 3U);
    ASSERT_TRUE(spool->Sync(3).ok());
    EXPECT_EQ(spool->Read(2, 1, 100)->at(0).bytes, "new");
  }
}

TEST_F(SpoolTest, AnAppendIsThereWholeOrNotAtAll) {
  std::size_t one = 0;
  {
    const auto spool = Open();
    ASSERT_TRUE(spool->Append({Frame("one")}).ok());
    one = spool->stats().bytes;
    ASSERT_TRUE(spool->Append({Frame("two"), Frame("three"), Frame("four")}).ok());
  }
  const std::string whole = *ReadFile(SegmentPath());
  for (std::size_t cut = one; cut < whole.size(); ++cut) {
    std::ofstream(SegmentPath(), std::ios::binary) << whole.substr(0, cut);
    const auto spool = Open();
    ASSERT_NE(spool, nullptr) << cut << " " << status_;
    ASSERT_EQ(replayed_.size(), 1U) << cut;
    ASSERT_EQ(spool->stats().last, 1U);
  }
}

TEST_F(SpoolTest, DamageInsideTheAcknowledgedPartIsDataLossNotATornTail) {
  {
    const auto spool = Open();
    ASSERT_TRUE(spool->Append({Frame("one")}).ok());
    ASSERT_TRUE(spool->Sync(1).ok());
    ASSERT_TRUE(spool->Append({Frame("two")}).ok());
  }
  Damage(SegmentPath(), kSegmentHeaderSize + kRecordHeaderSize + 1);
  EXPECT_EQ(Open(), nullptr);
  EXPECT_TRUE(absl::IsDataLoss(status_)) << status_;
}

TEST_F(SpoolTest, DamageInAnOlderSegmentOrAMissingOneIsDataLoss) {
  SpoolOptions options;
  options.segment_bytes = 4'096;
  {
    const auto spool = Open(options);
    for (int i = 0; i < 60; ++i) ASSERT_TRUE(spool->Append({Frame(std::string(200, 'x'))}).ok());
  }
  const std::string middle = SegmentPath(1);
  const std::string content = *ReadFile(middle);
  Damage(middle, content.size() - 1);
  EXPECT_EQ(Open(options), nullptr);
  EXPECT_TRUE(absl::IsDataLoss(status_)) << status_;
  std::filesystem::remove(middle);
  EXPECT_EQ(Open(options), nullptr);
  EXPECT_TRUE(absl::IsDataLoss(status_)) << status_;
  std::ofstream(middle, std::ios::binary) << content;
  EXPECT_NE(Open(options), nullptr) << status_;
}

TEST_F(SpoolTest, DamagedSnapshotIsDataLoss) {
  {
    const auto spool = Open();
    ASSERT_TRUE(spool->Append({Frame("one")}).ok());
    ASSERT_TRUE(spool->WriteSnapshot(1, "state").ok());
  }
  for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
    if (entry.path().filename().string().starts_with("snapshot-")) Damage(entry.path(), kSnapshotHeaderSize + 2);
  }
  EXPECT_EQ(Open(), nullptr);
  EXPECT_TRUE(absl::IsDataLoss(status_)) << status_;
}

TEST_F(SpoolTest, ManyWritersShareSyncsAndLoseNothing) {
  const auto spool = Open();
  std::vector<std::thread> writers;
  for (int writer = 0; writer < 4; ++writer) {
    writers.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        const auto number = spool->Append({Frame("x")});
        ASSERT_TRUE(number.ok());
        ASSERT_TRUE(spool->Sync(*number).ok());
      }
    });
  }
  for (auto& writer : writers) writer.join();
  EXPECT_EQ(spool->Read(0, 1'000, 1 << 20)->size(), 200U);
  EXPECT_EQ(spool->stats().durable, 200U);
}

void Unhang() {
  sync_hangs = false;
  sync_hangs.notify_all();
}

TEST_F(SpoolTest, AnFsyncThatDoesNotComeBackIsNoLife) {
  FakeClock clock;
  SpoolOptions options;
  options.clock = &clock;
  const auto spool = Open(options);
  ASSERT_NE(spool, nullptr) << status_;
  clock.Advance(kStandstill);
  EXPECT_TRUE(spool->CheckAlive().ok()) << "nothing was asked of it";
  const std::uint64_t number = *spool->Append({{.source = "a", .bytes = "1"}});
  sync_hangs = true;
  std::thread syncing([&] { EXPECT_TRUE(spool->Sync(number).ok()); });
  hanging.wait(false);
  EXPECT_TRUE(spool->CheckAlive().ok());
  clock.Advance(kStandstill);
  EXPECT_EQ(Message(spool->CheckAlive()), "an fsync of the spool has stood still for 90 s");
  Unhang();
  syncing.join();
  EXPECT_TRUE(spool->CheckAlive().ok());
}

// It holds the spool's lock meanwhile, which looking must not need.
TEST_F(SpoolTest, AnAppendThatDoesNotComeBackIsNoLife) {
  FakeClock clock;
  SpoolOptions options;
  options.clock = &clock;
  options.segment_bytes = kSegmentHeaderSize + 1;  // the second append begins the next one
  const auto spool = Open(options);
  ASSERT_NE(spool, nullptr) << status_;
  ASSERT_TRUE(spool->Append({{.source = "a", .bytes = "1"}}).ok());
  sync_hangs = true;
  std::thread appending([&] { EXPECT_TRUE(spool->Append({{.source = "a", .bytes = "2"}}).ok()); });
  hanging.wait(false);
  clock.Advance(kStandstill);
  EXPECT_EQ(Message(spool->CheckAlive()), "an append to the spool has stood still for 90 s");
  Unhang();
  appending.join();
  EXPECT_TRUE(spool->CheckAlive().ok());
}

}  // namespace
}  // namespace virp::deliver
