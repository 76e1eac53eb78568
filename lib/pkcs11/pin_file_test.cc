#include "lib/pkcs11/pin_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"

namespace virp::pkcs11 {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testutil::StatusIs;

class PinFileTest : public ::testing::Test {
 protected:
  std::string Write(std::string_view text, mode_t mode = 0400) {
    std::string path = folder_.File("pin" + std::to_string(++count_));
    std::ofstream(path, std::ios::binary) << text;
    EXPECT_EQ(::chmod(path.c_str(), mode), 0);
    return path;
  }
  testutil::TempDir folder_;
  int count_ = 0;
};

TEST_F(PinFileTest, OneLineWithOrWithoutItsEnd) {
  for (const std::string text : {"12 34", "12 34\n", "12 34\r\n"}) {
    ASSERT_OK_AND_ASSIGN(const Pin pin, ReadPinFile(Write(text)));
    EXPECT_EQ(pin.text.view(), "12 34");
  }
  ASSERT_OK_AND_ASSIGN(const Pin longest, ReadPinFile(Write(std::string(kMaxPin, 'p') + "\r\n")));
  EXPECT_EQ(longest.text.size(), kMaxPin);
}

TEST_F(PinFileTest, RefusesOtherContentsWithoutRepeatingThem) {
  using namespace std::string_view_literals;
  for (const std::string_view text : {""sv, "\n"sv, "\r\n"sv, "geheim\nmore"sv, "geheim\n\n"sv, "gehe\0im"sv}) {
    EXPECT_THAT(ReadPinFile(Write(text)), StatusIs(absl::StatusCode::kInvalidArgument, Not(HasSubstr("gehe"))));
  }
  EXPECT_THAT(ReadPinFile(Write(std::string(kMaxPin + 1, 'p'))),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more than 255")));
  EXPECT_THAT(ReadPinFile(Write(std::string(100'000, 'p'))), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(PinFileTest, RefusesWhatOthersMayReadOrChange) {
  for (const mode_t mode : {0404U, 0402U, 0401U, 0420U, 0444U, 0666U}) {
    EXPECT_THAT(ReadPinFile(Write("1234", mode)),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("chmod 0400")));
  }
  for (const mode_t mode : {0400U, 0600U, 0440U, 0640U}) EXPECT_OK(ReadPinFile(Write("1234", mode)));  // our own group
}

TEST_F(PinFileTest, RefusesAGroupAndAnOwnerThatAreNotOurs) {
  if (::geteuid() != 0) GTEST_SKIP() << "giving files away needs root";
  const std::string path = Write("1234", 0440);
  ASSERT_EQ(::chown(path.c_str(), 0, 64321), 0);
  EXPECT_THAT(ReadPinFile(path), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("64321")));
  ASSERT_EQ(::chown(path.c_str(), 64322, 0), 0);
  EXPECT_THAT(ReadPinFile(path), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("owned by user 64322")));
}

TEST_F(PinFileTest, RefusesWhatIsNoFileAndDoesNotWaitForIt) {
  EXPECT_THAT(ReadPinFile(folder_.path()), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("regular")));
  EXPECT_THAT(ReadPinFile(folder_.File("none")), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_EQ(::mkfifo(folder_.File("fifo").c_str(), 0400), 0);
  EXPECT_THAT(ReadPinFile(folder_.File("fifo")), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("regular")));
}

TEST_F(PinFileTest, AReplacedFileIsAnotherOne) {
  const std::string path = Write("1234");
  ASSERT_OK_AND_ASSIGN(const Pin first, ReadPinFile(path));
  ASSERT_OK_AND_ASSIGN(const Pin again, ReadPinFile(path));
  EXPECT_EQ(first.file, again.file);
  ASSERT_EQ(::rename(Write("1234").c_str(), path.c_str()), 0);
  ASSERT_OK_AND_ASSIGN(const Pin second, ReadPinFile(path));
  EXPECT_FALSE(first.file == second.file);
}

}  // namespace
}  // namespace virp::pkcs11
