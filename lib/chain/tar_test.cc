#include "lib/chain/tar.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "lib/base/file.h"
#include "lib/base/status.h"

namespace virp::chain {
namespace {

using ::testing::HasSubstr;

using Files = std::vector<std::pair<std::string, std::string>>;

ByteSink SinkTo(std::string& out) {
  return [&out](std::string_view bytes) {
    out += bytes;
    return absl::OkStatus();
  };
}

std::string Pack(const Files& files) {
  std::string out;
  TarWriter tar(SinkTo(out));
  for (const auto& [name, content] : files) EXPECT_TRUE(tar.Add(name, content).ok()) << name;
  EXPECT_TRUE(tar.Finish().ok());
  return out;
}

absl::StatusOr<Files> Unpack(ByteSource source, std::size_t limit = 1 << 20) {
  TarReader tar(std::move(source));
  Files files;
  for (;;) {
    ASSIGN_OR_RETURN(const auto member, tar.Next());
    if (!member) return files;
    ASSIGN_OR_RETURN(std::string content, tar.Content(limit));
    EXPECT_EQ(content.size(), member->size);
    files.emplace_back(member->name, std::move(content));
  }
}

absl::StatusOr<Files> Unpack(std::string_view bytes) {
  return Unpack(SourceFrom(bytes));
}

const Files kFiles = {{"checkpoint", "note"},
                      {"empty", ""},
                      {"tile/0/x001/000.p/5", std::string(512, 'b')},
                      {std::string(100, 'n'), std::string(100'000, 'c')}};

// Sets bytes of the first header and makes its checksum right again.
std::string WithHeader(std::size_t at, std::string_view bytes) {
  std::string tar = Pack({{"name", "content"}});
  tar.replace(at, bytes.size(), bytes);
  std::fill_n(tar.begin() + 148, 8, ' ');
  unsigned sum = 0;
  for (std::size_t i = 0; i < 512; ++i) sum += static_cast<std::uint8_t>(tar[i]);
  return tar.replace(148, 8, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
}

void ExpectRefused(std::string_view tar, std::string_view why) {
  const auto files = Unpack(tar);
  EXPECT_EQ(files.status().code(), absl::StatusCode::kInvalidArgument) << why;
  EXPECT_THAT(std::string(Message(files.status())), HasSubstr(std::string(why)));
}

TEST(Tar, RoundTripInPiecesOfAnySize) {
  const std::string tar = Pack(kFiles);
  EXPECT_EQ(tar.size() % 512, 0u);
  for (const std::size_t piece : {1u, 7u, 511u, 512u, 513u, 1'000'000u}) {
    std::string_view rest = tar;
    const auto files = Unpack([&](std::span<char> buffer) -> absl::StatusOr<std::size_t> {
      const std::size_t count = rest.copy(buffer.data(), std::min(buffer.size(), piece));
      rest.remove_prefix(count);
      return count;
    });
    ASSERT_TRUE(files.ok()) << files.status();
    EXPECT_EQ(*files, kFiles);
  }
  EXPECT_EQ(Unpack(Pack({}))->size(), 0u);
}

TEST(Tar, IsWhatGnuTarWritesAndReads) {
  // Made by GNU tar 1.34: --format=ustar --owner=0 --group=0 --numeric-owner --mtime=@0 --mode=0644, one file "a" with
  // "x\n".
  std::string gnu(10'240, '\0');
  gnu.replace(0, 1, "a");
  gnu.replace(100, 48, std::string("0000644\0000000000\0000000000\00000000000002\00000000000000\0", 48));
  gnu.replace(156, 1, "0");
  gnu.replace(257, 8, std::string("ustar\00000", 8));
  gnu.replace(329, 16, std::string("0000000\0000000000\0", 16));
  unsigned sum = 8 * ' ';
  for (std::size_t i = 0; i < 512; ++i) sum += static_cast<std::uint8_t>(gnu[i]);
  gnu.replace(148, 8, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
  gnu.replace(512, 2, "x\n");
  const auto files = Unpack(gnu);
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ(*files, (Files{{"a", "x\n"}}));
}

TEST(Tar, EveryTruncationIsNoticed) {
  const std::string tar = Pack({{"a", "first"}, {"b", std::string(600, 'x')}});
  for (std::size_t size = 0; size < tar.size(); ++size) {
    EXPECT_EQ(Unpack(std::string_view(tar).substr(0, size)).status().code(), absl::StatusCode::kDataLoss) << size;
  }
}

TEST(Tar, EveryChangedByteOutsideOfContentIsRefused) {
  const std::string tar = Pack({{"a", "first"}, {"b", std::string(600, 'x')}});
  for (std::size_t i = 0; i < tar.size(); ++i) {
    const bool content = (i >= 512 && i < 517) || (i >= 1536 && i < 2136);
    std::string bad = tar;
    bad[i] = static_cast<char>(bad[i] ^ 0x41);
    EXPECT_EQ(Unpack(bad).ok(), content) << i;
  }
}

TEST(Tar, NamesThatAreRefused) {
  for (const std::string name : {"", "/etc/passwd", "..", "../x", "a/../b", "a/..", "./a", "a/.", "a//b", "a/", "a b",
                                 "a\\b", "a\nb", "\xc3\xa9", "a:b", "~", "*"}) {
    ExpectRefused(WithHeader(0, name + std::string(100 - name.size(), '\0')), "file name");
    std::string out;
    EXPECT_FALSE(TarWriter(SinkTo(out)).Add(name, "").ok()) << name;
    EXPECT_TRUE(out.empty());
  }
  std::string out;
  EXPECT_FALSE(TarWriter(SinkTo(out)).Add(std::string(101, 'n'), "").ok());
  ExpectRefused(WithHeader(0, std::string("a\0b", 3)), "goes on after its end");
  EXPECT_TRUE(Unpack(WithHeader(0, "...x")).ok());
}

TEST(Tar, HeadersThatAreRefused) {
  EXPECT_TRUE(Unpack(WithHeader(0, "name")).ok());
  ExpectRefused(WithHeader(257, "ustar  "), "ustar");  // GNU's old format
  ExpectRefused(WithHeader(257, std::string(8, '\0')), "ustar");
  for (const char type : {'\0', '1', '2', '3', '5', '6', 'x', 'g', 'L', 'K', 'S'}) {
    ExpectRefused(WithHeader(156, std::string(1, type)), "regular file");
  }
  ExpectRefused(WithHeader(157, "target"), "link name");
  ExpectRefused(WithHeader(345, "prefix"), "prefix");
  ExpectRefused(WithHeader(124, "-0000000001"), "octal");
  ExpectRefused(WithHeader(124, "0000000008\0"), "octal");
  ExpectRefused(WithHeader(124, "           "), "octal");
  ExpectRefused(WithHeader(124, "\x80\x00\x00\x01"), "octal");  // GNU's base 256
  EXPECT_TRUE(Unpack(WithHeader(136, "17777777777")).ok()) << "times, owners and modes are not looked at";
  EXPECT_TRUE(Unpack(WithHeader(265, "root")).ok());
}

TEST(Tar, HugeSizesCostNothing) {
  const std::string huge = WithHeader(124, "77777777777");
  ExpectRefused(huge, "8589934591 bytes; at most 1048576");
  // Even a limit that allows it: memory follows the bytes that come.
  TarReader tar(SourceFrom(huge));
  ASSERT_TRUE(tar.Next().ok());
  EXPECT_EQ(tar.Content(std::size_t{1} << 33).status().code(), absl::StatusCode::kDataLoss);
}

TEST(Tar, AfterTheEnd) {
  const std::string tar = Pack({{"a", "first"}});
  EXPECT_TRUE(Unpack(tar + std::string(10'240, '\0')).ok());
  EXPECT_TRUE(Unpack(tar + std::string(100, '\0')).ok());
  ExpectRefused(tar + std::string(100, '\0') + "x", "after its end");
  ExpectRefused(tar + std::string(1 << 20, '\0'), "after its end");
  ExpectRefused(tar + Pack({{"b", "second"}}), "after its end");
}

TEST(Tar, CallsOutOfOrder) {
  const std::string tar = Pack({{"a", "first"}});
  TarReader reader(SourceFrom(tar));
  EXPECT_EQ(reader.Content(10).status().code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(reader.Next().ok());
  EXPECT_EQ(reader.Next().status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(Tar, ErrorsOfTheStreamArePassedOn) {
  const auto full = [](std::string_view) { return ResourceExhausted("disk full"); };
  EXPECT_EQ(TarWriter(full).Add("a", "b").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(TarWriter(full).Finish().code(), absl::StatusCode::kResourceExhausted);
  const auto broken = [](std::span<char>) -> absl::StatusOr<std::size_t> { return Unavailable("disk"); };
  EXPECT_EQ(TarReader(broken).Next().status().code(), absl::StatusCode::kUnavailable);
}

TEST(Tar, ThroughFiles) {
  const std::string path = ::testing::TempDir() + "tar_test.tar";
  {
    const auto file = OpenFile(path, O_WRONLY | O_CREAT | O_TRUNC);
    ASSERT_TRUE(file.ok());
    TarWriter tar(chain::SinkTo(file->get(), path));
    for (const auto& [name, content] : kFiles) ASSERT_TRUE(tar.Add(name, content).ok());
    ASSERT_TRUE(tar.Finish().ok());
  }
  const auto file = OpenFile(path, O_RDONLY);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(Unpack(SourceFrom(file->get(), path)).value(), kFiles);
  EXPECT_FALSE(SourceFrom(-1, path)(std::span<char>()).ok());
  std::remove(path.c_str());
}

}  // namespace
}  // namespace virp::chain
