#include "lib/bmp/stream.h"

#include <gtest/gtest.h>

#include "lib/bmp/bmp_testing.h"

namespace virp::bmp {
namespace {

using testing::Bmp;
using testing::U32;
using testing::U8;

std::string Error(StreamSplitter& splitter) {
  const auto next = splitter.Next();
  return next.ok() ? "ok" : std::string(Message(next.status()));
}

TEST(StreamSplitter, HandsOutMessagesInPlace) {
  const std::string stream = Bmp(4, "abc") + Bmp(5, "") + Bmp(0, "xyz");
  StreamSplitter splitter;
  splitter.Push(stream);
  EXPECT_EQ(splitter.Next()->value().data(), stream.data());
  EXPECT_EQ(splitter.offset(), 0u);
  EXPECT_EQ(*splitter.Next().value(), Bmp(5, ""));
  EXPECT_EQ(splitter.offset(), 9u);
  EXPECT_EQ(splitter.Next()->value().data(), stream.data() + 15);
  EXPECT_EQ(splitter.Next().value(), std::nullopt);
  EXPECT_EQ(splitter.buffered(), 0u);
}

TEST(StreamSplitter, JoinsWhatIsSplit) {
  const std::string stream = Bmp(4, "abc") + Bmp(5, "") + Bmp(0, std::string(300, 'x'));
  for (std::size_t step = 1; step < 20; ++step) {
    StreamSplitter splitter;
    std::string seen;
    for (std::size_t at = 0; at < stream.size(); at += step) {
      const std::string piece = stream.substr(at, step);  // gone before the next push
      splitter.Push(piece);
      for (;;) {
        const auto message = splitter.Next();
        ASSERT_TRUE(message.ok());
        if (!*message) break;
        seen += **message;
      }
    }
    EXPECT_EQ(seen, stream) << step;
  }
}

TEST(StreamSplitter, EmptyPushesChangeNothing) {
  StreamSplitter splitter;
  splitter.Push("");
  EXPECT_EQ(splitter.Next().value(), std::nullopt);
  splitter.Push(std::string_view("\3", 1));
  EXPECT_EQ(splitter.Next().value(), std::nullopt);
  splitter.Push("");
  EXPECT_EQ(splitter.Next().value(), std::nullopt);
  EXPECT_EQ(splitter.buffered(), 1u);
  const std::string rest = Bmp(5, "").substr(1);
  splitter.Push(rest);
  EXPECT_EQ(*splitter.Next().value(), Bmp(5, ""));
  EXPECT_EQ(splitter.buffered(), 0u);
}

TEST(StreamSplitter, RefusesAnotherVersionAtItsFirstByte) {
  for (const char* bytes : {"\1", "\4", "G", "\xff"}) {
    StreamSplitter splitter;
    splitter.Push(bytes);
    EXPECT_NE(Error(splitter).find("is not supported, only 3 is"), std::string::npos) << bytes;
  }
}

TEST(StreamSplitter, RefusesLengthsThatCannotBe) {
  const std::pair<std::uint32_t, const char*> cases[] = {{0, "shorter than its header"},
                                                         {5, "shorter than its header"},
                                                         {kMaxMessageSize + 1, "above the limit of 131072"},
                                                         {0xffffffff, "above the limit"}};
  for (const auto& [length, why] : cases) {
    const std::string whole = Bmp(5, "") + U8(3) + U32(length);
    for (const bool split : {false, true}) {
      StreamSplitter splitter;
      std::size_t pushed = 0;
      if (split) {
        for (; pushed + 1 < whole.size(); ++pushed) {
          splitter.Push(std::string_view(whole).substr(pushed, 1));
          while (splitter.Next().value()) {
          }
        }
      }
      splitter.Push(std::string_view(whole).substr(pushed));
      if (!split) {
        EXPECT_TRUE(splitter.Next().value().has_value());
      }
      const std::string error = Error(splitter);
      EXPECT_NE(error.find(why), std::string::npos) << error;
      EXPECT_NE(error.find("byte 6 of the stream"), std::string::npos) << error;
      splitter.Push(Bmp(5, ""));  // it does not recover
      EXPECT_EQ(Error(splitter), error);
    }
  }
}

TEST(StreamSplitter, TakesTheLargestAndTheSmallest) {
  StreamSplitter splitter;
  const std::string stream = Bmp(200, std::string(kMaxMessageSize - 6, 'x')) + Bmp(5, "");
  splitter.Push(stream);
  EXPECT_EQ(splitter.Next()->value().size(), kMaxMessageSize);
  EXPECT_EQ(splitter.Next()->value().size(), 6u);
}

TEST(StreamSplitter, HonoursALowerLimit) {
  StreamSplitter splitter(100);
  const std::string stream = Bmp(5, std::string(94, 'x')) + Bmp(5, std::string(95, 'x'));
  splitter.Push(stream);
  EXPECT_EQ(splitter.Next()->value().size(), 100u);
  EXPECT_NE(Error(splitter).find("above the limit of 100"), std::string::npos);
}

TEST(StreamSplitter, BuffersOnlyWhatCame) {
  StreamSplitter splitter;
  const std::string head = U8(3) + U32(kMaxMessageSize) + U8(0);
  splitter.Push(head);
  EXPECT_EQ(splitter.Next().value(), std::nullopt);
  EXPECT_EQ(splitter.buffered(), 6u);
}

}  // namespace
}  // namespace virp::bmp
