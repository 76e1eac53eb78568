// The thread that signs and sends, against collectors that come, go and do not read.
#include "speaker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include "door.h"
#include "event.h"
#include "lib/base/file.h"
#include "lib/frame/key.h"
#include "lib/frame/stream.h"
#include "tests/testutil/temp_dir.h"
#include "tests/testutil/wait.h"

namespace virp::frr {
namespace {

using ::testing::ElementsAre;
using testutil::Eventually;

constexpr const char* kSecret = "000102030405060708090a0b0c0d0e0f";  // 32 bytes: raw

class FrrSpeaker : public ::testing::Test {
 protected:
  FrrSpeaker() { ::chmod(dir_.path().c_str(), 0750); }
  ~FrrSpeaker() override {
    if (speaker_ != nullptr) ::virp_speaker_stop(speaker_, 1, sequence_, &left_);
    ::virp_ring_free(ring_);
  }

  void Listen() {
    ::unlink(path_.c_str());
    listening_ = FileDescriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    std::strncpy(at.sun_path, path_.c_str(), sizeof(at.sun_path) - 1);
    ASSERT_EQ(::bind(listening_.get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)), 0);
    ASSERT_EQ(::chmod(path_.c_str(), 0660), 0);
    ASSERT_EQ(::listen(listening_.get(), 4), 0);
  }
  virp_settings* Settings(std::uint8_t version) {
    virp_settings* out = ::virp_settings_new();
    char why[VIRP_WHY] = "";
    out->version = version;
    out->uid = VIRP_NO_UID;
    std::strcpy(out->source, "edge-a.bgpd");
    std::strcpy(out->socket, path_.c_str());
    std::strcpy(out->state_file, dir_.File("epoch").c_str());
    out->key = ::virp_key_make(VIRP_HMAC_SHA256, kSecret, 32, 3, why);
    EXPECT_NE(out->key, nullptr) << why;
    return out;
  }
  void Start(std::uint8_t version) {
    char why[VIRP_WHY] = "";
    speaker_ = ::virp_speaker_start(ring_, Settings(version), why);
    ASSERT_NE(speaker_, nullptr) << why;
  }
  bool Say(std::uint8_t kind = VIRP_SAW_STATE) {
    virp_event event{};
    event.kind = kind;
    event.sequence = ++sequence_;
    event.time_ns = 1'750'000'000'000'000'000 + sequence_;
    void* room = ::virp_ring_reserve(ring_, sizeof(event));
    if (room == nullptr) {
      --sequence_;
      return false;
    }
    std::memcpy(room, &event, sizeof(event));
    ::virp_ring_commit(ring_);
    ::virp_speaker_wake(speaker_);
    return true;
  }
  bool Accept() {
    return Eventually([&] {
      connection_ = FileDescriptor(::accept4(listening_.get(), nullptr, nullptr, SOCK_NONBLOCK));
      if (!connection_) return false;
      splitter_ = std::make_unique<frame::FrameSplitter>(spelling_);
      return true;
    });
  }
  // Takes what came; false when the connection has ended.
  bool Read() {
    char buffer[16 << 10];
    const ssize_t got = ::recv(connection_.get(), buffer, sizeof(buffer), 0);
    if (got <= 0) return got < 0;
    splitter_->Add({buffer, static_cast<std::size_t>(got)}, {});
    while (true) {
      const auto next = splitter_->Next({});
      EXPECT_TRUE(next.ok()) << next.status();
      if (!next.ok() || !*next) return true;
      EXPECT_TRUE(frame::VerifyTag(**next, *key_));
      got_.push_back((*next)->header.sequence);
      epochs_.insert((*next)->header.boot_epoch);
      seen_.insert(got_.back());
    }
  }
  bool Await(std::uint64_t last) {
    return Eventually([&] {
      Read();
      return seen_.contains(last);
    });
  }
  using Range = std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>;  // epoch, from, to

  void EndEpoch() {
    ASSERT_TRUE(::virp_speaker_end_epoch(speaker_, sequence_));
    ASSERT_TRUE(Say(VIRP_SAW_EPOCH));
    sequence_ = 0;
    ::virp_speaker_note(speaker_, 0);
  }
  // The file beside the state file.
  std::string MarkText() { return virp::ReadFile(dir_.File("epoch.now"), 1000).value_or(""); }
  Range Mark() {
    std::istringstream words(MarkText());
    std::string boot;
    Range out{};
    words >> boot >> std::get<0>(out) >> std::get<1>(out) >> std::get<2>(out);
    return out;
  }
  void WriteMark(std::uint64_t epoch, std::uint64_t from, std::uint64_t to) {
    const virp_left mark{epoch, from, to};
    const FileDescriptor file(::virp_mark_open(dir_.File("epoch").c_str()));
    ::virp_mark_write(file.get(), &mark);
  }
  void ReplaceBoot() { std::ofstream(dir_.File("epoch.now"), std::ios::in) << "00000000-0000"; }
  // As the next run learns it.
  std::vector<Range> LeftByEarlierRuns() {
    Start(2);
    EXPECT_TRUE(Eventually([&] { return Figures().epoch != 0 && Figures().socket_errors > 0; }));
    virp_left left[VIRP_LEFT_MAX]{};
    const std::uint32_t count = ::virp_speaker_left(speaker_, left);
    std::vector<Range> out;
    for (std::uint32_t i = 0; i < count; ++i) out.emplace_back(left[i].epoch, left[i].from, left[i].to);
    ::virp_speaker_stop(speaker_, 1, 0, &left_);
    speaker_ = nullptr;
    return out;
  }
  virp_figures Figures() {
    virp_figures out{};
    ::virp_speaker_look(speaker_, &out);
    return out;
  }

  testutil::TempDir dir_;
  const std::string path_ = dir_.File("frames.sock");
  virp_ring* const ring_ = ::virp_ring_new(1 << 20);
  virp_speaker* speaker_ = nullptr;
  FileDescriptor listening_, connection_;
  frame::Spelling spelling_ = frame::Spelling::kV2;
  std::unique_ptr<frame::FrameSplitter> splitter_;
  const std::shared_ptr<const frame::OKey> key_ = *frame::OKey::Hmac(kSecret);
  std::uint64_t sequence_ = 0;
  std::vector<std::uint64_t> got_;
  std::set<std::uint64_t> seen_, epochs_;
  virp_left left_{};
  bool told_ = false;
};

TEST_F(FrrSpeaker, EverythingArrivesInOrder) {
  for (const std::uint8_t version : std::vector<std::uint8_t>{1, 2}) {
    spelling_ = version == 1 ? frame::Spelling::kV1Le : frame::Spelling::kV2;
    Listen();
    Start(version);
    ASSERT_TRUE(Accept());
    const std::uint64_t first = sequence_ + 1;
    got_.clear();
    for (int i = 0; i < 5000; ++i) {
      while (!Say()) Read();
    }
    ASSERT_TRUE(Await(sequence_));
    ASSERT_EQ(got_.size(), 5000u);
    for (std::size_t i = 0; i < got_.size(); ++i) ASSERT_EQ(got_[i], first + i);
    EXPECT_TRUE(Eventually([&] { return Figures().delivered == 5000; }));
    EXPECT_TRUE(::virp_speaker_stop(speaker_, 10'000, sequence_, &left_));
    speaker_ = nullptr;
  }
}

// A collector dies with frames in its socket and in its hands; the next one gets them again.
TEST_F(FrrSpeaker, NothingIsLostWithACollector) {
  Listen();
  Start(2);
  for (int life = 0; life < 3; ++life) {
    ASSERT_TRUE(Accept());
    for (int i = 0; i < 3000; ++i) {
      if (!Say()) Read();
    }
    ASSERT_TRUE(Eventually([&] { return Figures().connected; }));
    seen_ = std::set<std::uint64_t>(got_.begin(), got_.end());
    connection_.Reset();  // whatever lies in it is gone
  }
  ASSERT_TRUE(Accept());
  ASSERT_TRUE(Await(sequence_));
  EXPECT_EQ(seen_.size(), sequence_);
  EXPECT_EQ(epochs_.size(), 1u);
  EXPECT_GT(Figures().resent, 0u);
}

TEST_F(FrrSpeaker, ACollectorThatDoesNotReadFillsTheRingAndNothingElse) {
  Listen();
  Start(2);
  ASSERT_TRUE(Accept());
  int said = 0;
  ASSERT_TRUE(Eventually([&] {
    while (Say()) ++said;
    return Figures().made_all > 1000 && !Say();
  }));
  const std::uint64_t made = Figures().made_all;
  EXPECT_GT(sequence_, made);
  EXPECT_FALSE(::virp_speaker_stop(speaker_, 20, sequence_, &left_));  // a bounded time, though nobody reads
  speaker_ = nullptr;
  EXPECT_GT(left_.from, 1u);
  EXPECT_EQ(left_.to, sequence_);
}

// What a run could not send the next one is to say, and nobody after that has said it.
TEST_F(FrrSpeaker, WhatARunLeavesTheNextOneKnows) {
  Start(2);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Say());
  ASSERT_TRUE(Eventually([&] { return Figures().made_all == 3; }));
  const std::uint64_t epoch = Figures().epoch;
  EXPECT_FALSE(::virp_speaker_stop(speaker_, 20, sequence_ + 2, &left_));  // two were never made
  const std::uint64_t last = sequence_ + 2;
  for (const bool told : {false, true, true}) {
    sequence_ = 0;
    virp_left earlier[VIRP_LEFT_MAX]{};
    Listen();
    Start(2);
    ASSERT_TRUE(Accept());
    seen_.clear();
    ASSERT_TRUE(Say());
    ASSERT_TRUE(Await(1));
    ASSERT_EQ(::virp_speaker_left(speaker_, earlier), told && told_ ? 0u : 1u);
    if (!told || !told_) {
      EXPECT_EQ(earlier[0].epoch, epoch);
      EXPECT_EQ(earlier[0].from, 1u);
      EXPECT_EQ(earlier[0].to, last);
    }
    if (told && !told_) {
      told_ = true;
      ASSERT_TRUE(Say(VIRP_SAW_LOSS));
      ::virp_speaker_told(speaker_, 1, sequence_);
      EXPECT_EQ(::virp_speaker_left(speaker_, earlier), 0u) << "once is enough";
      ASSERT_TRUE(Await(2));
    }
    EXPECT_TRUE(::virp_speaker_stop(speaker_, 10'000, sequence_, &left_));
    speaker_ = nullptr;
  }
}

// An epoch ends (a clock steps back, or it is switched off and on) while frames of it wait: what is left is of two.
TEST_F(FrrSpeaker, WhatIsLeftOfTwoEpochsIsToldOfEach) {
  Start(2);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Say());
  ASSERT_TRUE(Eventually([&] { return Figures().made_all == 3; }));
  const std::uint64_t first = Figures().epoch;
  EndEpoch();
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(Say());
  ASSERT_TRUE(Eventually([&] { return Figures().made_all == 5; }));
  const std::uint64_t second = Figures().epoch;
  EXPECT_GT(second, first);
  EXPECT_FALSE(::virp_speaker_stop(speaker_, 20, sequence_, &left_));
  EXPECT_THAT(LeftByEarlierRuns(), ElementsAre(std::tuple(first, 1, 3), std::tuple(second, 1, 2)));
}

// The end of the first lies in the ring behind what is not signed yet, and then the process is gone.
TEST_F(FrrSpeaker, AnEpochThatEndsInTheRingIsLeftAsFarAsItWent) {
  Listen();
  Start(2);
  ASSERT_TRUE(Accept());
  while (Figures().made_all < 1000) Say();
  while (Say()) {
  }  // nobody reads
  const std::uint64_t first = Figures().epoch, last = sequence_;
  ASSERT_TRUE(::virp_speaker_end_epoch(speaker_, last));
  ::virp_speaker_note(speaker_, 7);
  const auto now = [&] { return Mark(); };
  EXPECT_TRUE(Eventually([&] { return std::get<2>(now()) == last; })) << std::get<2>(now());
  EXPECT_EQ(std::get<0>(now()), first);
  ::virp_speaker_no_end(speaker_);
}

// kill -9: nobody writes a last word. What was used and not sent stands in the mark, a tenth of a second later.
TEST_F(FrrSpeaker, WhatAKilledRunLeftIsInTheMark) {
  Start(2);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Say());
  ::virp_speaker_note(speaker_, sequence_ + 40);  // in the ring, or lost
  ASSERT_TRUE(Eventually([&] { return Mark() == std::tuple(Figures().epoch, 1, 43); }));
  const std::uint64_t epoch = Figures().epoch;
  for (const char* file : {"epoch", "epoch.now"})
    std::filesystem::copy_file(dir_.File(file), dir_.File(std::string(file) + ".killed"));
  ::virp_speaker_stop(speaker_, 1, sequence_, &left_);
  for (const char* file : {"epoch", "epoch.now"})
    std::filesystem::rename(dir_.File(std::string(file) + ".killed"), dir_.File(file));
  EXPECT_THAT(LeftByEarlierRuns(), ElementsAre(std::tuple(epoch, 1, 43)));
  // Of another start of the machine it is as old as the disk: not to be believed.
  ReplaceBoot();
  EXPECT_THAT(LeftByEarlierRuns(), ElementsAre(std::tuple(epoch, 1, 43))) << "the state file has it by now, and once";
}

// All was sent: what the state file said of an earlier moment is not so any more.
TEST_F(FrrSpeaker, AMarkThatAllWasSentOverrulesTheStateFile) {
  std::ofstream(dir_.File("epoch")) << "100\n100 1 9\n99 4 5\n";
  WriteMark(100, 10, 9);
  EXPECT_THAT(LeftByEarlierRuns(), ElementsAre(std::tuple(99, 4, 5)));
}

TEST_F(FrrSpeaker, WithoutACollectorItWaitsAndSaysWhy) {
  Start(2);
  ASSERT_TRUE(Say());
  ASSERT_TRUE(Eventually([&] { return Figures().socket_errors > 0; }));
  EXPECT_THAT(Figures().problem, ::testing::HasSubstr("No such file"));
  Listen();
  ASSERT_TRUE(Accept());
  EXPECT_TRUE(Await(1));
  EXPECT_STREQ(Figures().problem, "");
}

TEST_F(FrrSpeaker, ClosesWhenItIsTold) {
  Listen();
  Start(2);
  ASSERT_TRUE(Accept());
  ASSERT_TRUE(Say(VIRP_SAW_DISABLED));
  ASSERT_TRUE(Say(VIRP_SAW_CLOSE));
  EXPECT_TRUE(Eventually([&] { return !Read(); }));
  EXPECT_EQ(got_, std::vector<std::uint64_t>{1});
  sequence_ = 1;
  ASSERT_TRUE(Say());
  ASSERT_TRUE(Accept());
  EXPECT_TRUE(Await(2));
}

TEST_F(FrrSpeaker, AClockThatStepsBackBeginsANewEpoch) {
  Listen();
  Start(2);
  ASSERT_TRUE(Accept());
  ASSERT_TRUE(Say());
  ASSERT_TRUE(Await(1));
  ASSERT_TRUE(Say(VIRP_SAW_EPOCH));
  sequence_ = 0;
  got_.clear();
  ASSERT_TRUE(Say());
  ASSERT_TRUE(Eventually([&] {
    Read();
    return epochs_.size() == 2;
  }));
  EXPECT_EQ(got_, std::vector<std::uint64_t>{1});
}

TEST_F(FrrSpeaker, NewSettingsCountAtOnce) {
  Listen();
  Start(2);
  ASSERT_TRUE(Accept());
  ASSERT_TRUE(Say());
  ASSERT_TRUE(Await(1));
  virp_settings* moved = Settings(2);
  std::strcpy(moved->socket, dir_.File("elsewhere").c_str());
  ::virp_speaker_configure(speaker_, moved);
  EXPECT_TRUE(Eventually([&] { return !Read(); }));
  EXPECT_TRUE(Eventually([&] { return Figures().socket_errors > 0; }));
  ::virp_speaker_configure(speaker_, Settings(2));
  ASSERT_TRUE(Accept());
  ASSERT_TRUE(Say());
  EXPECT_TRUE(Await(2));
  EXPECT_EQ(epochs_.size(), 1u);
}

}  // namespace
}  // namespace virp::frr
