#include "lib/frame/stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/base/status.h"
#include "lib/frame/key.h"
#include "lib/frame/reason.h"
#include "lib/frame/test_vectors.h"

namespace virp::frame {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const FrameSplitter::Time kStart{seconds(1000)};

std::vector<FrameVector> VectorsOf(Spelling spelling) {
  std::vector<FrameVector> out = FrameVectors("valid");
  std::erase_if(out, [&](const FrameVector& v) { return v.spelling != spelling; });
  return out;
}

// Accepts what any key of the vectors made.
FrameSplitter::Verifier AnyVectorKey() {
  static const std::vector<FrameVector> vectors = FrameVectors("valid");
  return [](const Frame& frame) {
    return std::any_of(vectors.begin(), vectors.end(), [&](const FrameVector& v) { return VerifyTag(frame, *v.key); });
  };
}

struct Result {
  std::vector<std::string> frames;
  std::vector<Spelling> spellings;
  absl::Status end;
};

void Drain(FrameSplitter& splitter, Result& out, FrameSplitter::Time now = kStart) {
  while (out.end.ok()) {
    auto next = splitter.Next(now);
    if (!next.ok()) {
      out.end = next.status();
    } else if (next->has_value()) {
      out.frames.emplace_back((*next)->bytes);
      out.spellings.push_back((*next)->header.spelling);
    } else {
      return;
    }
  }
}

Result CutAll(FrameSplitter splitter, const std::vector<std::string_view>& pieces) {
  Result out;
  for (const std::string_view piece : pieces) {
    splitter.Add(piece, kStart);
    Drain(splitter, out);
  }
  if (out.end.ok()) out.end = splitter.Finish();
  return out;
}

std::vector<std::string_view> ByteByByte(std::string_view bytes) {
  std::vector<std::string_view> out;
  out.reserve(bytes.size());
  for (std::size_t i = 0; i < bytes.size(); ++i) out.push_back(bytes.substr(i, 1));
  return out;
}

// Every order of the frames, and for each every place to split, and all bytes alone.
template <typename MakeSplitter>
void ExpectCutInEveryOrderAndSplit(const std::vector<std::string>& given, MakeSplitter make) {
  std::vector<std::string> frames = given;
  std::sort(frames.begin(), frames.end());
  do {
    std::string bytes;
    for (const std::string& frame : frames) bytes += frame;
    for (std::size_t at = 0; at <= bytes.size(); ++at) {
      const Result result = CutAll(make(), {std::string_view(bytes).substr(0, at), std::string_view(bytes).substr(at)});
      ASSERT_TRUE(result.end.ok()) << result.end << " split at " << at;
      ASSERT_EQ(result.frames, frames) << "split at " << at;
    }
    ASSERT_EQ(CutAll(make(), ByteByByte(bytes)).frames, frames);
  } while (std::next_permutation(frames.begin(), frames.end()));
}

std::vector<std::string> BytesOf(const std::vector<FrameVector>& vectors) {
  std::vector<std::string> out;
  out.reserve(vectors.size());
  for (const FrameVector& vector : vectors) out.push_back(vector.bytes);
  return out;
}

class EverySpelling : public ::testing::TestWithParam<Spelling> {};

TEST_P(EverySpelling, ConfiguredCutsEveryOrderAndSplit) {
  ExpectCutInEveryOrderAndSplit(BytesOf(VectorsOf(GetParam())), [] { return FrameSplitter(GetParam()); });
}

TEST_P(EverySpelling, AutoCutsEveryOrderAndSplitWithVersion2Between) {
  std::vector<std::string> frames = BytesOf(VectorsOf(GetParam()));
  if (GetParam() != Spelling::kV2) {
    frames.resize(3);
    for (const FrameVector& vector : VectorsOf(Spelling::kV2)) frames.push_back(vector.bytes);
  }
  ExpectCutInEveryOrderAndSplit(frames, [] { return FrameSplitter(AnyVectorKey()); });
}

INSTANTIATE_TEST_SUITE_P(Stream, EverySpelling,
                         ::testing::Values(Spelling::kV1Le, Spelling::kV1Be, Spelling::kV1Producer, Spelling::kV2),
                         [](const auto& spelling) {
                           std::string name(SpellingName(spelling.param));
                           std::erase(name, '-');
                           return name;
                         });

TEST(Stream, AutoRemembersTheSpellingOfItsFirstFrame) {
  int asked = 0;
  const auto verify = [&asked, any = AnyVectorKey()](const Frame& frame) {
    ++asked;
    return any(frame);
  };
  for (const Spelling spelling : {Spelling::kV1Le, Spelling::kV1Be, Spelling::kV1Producer}) {
    asked = 0;
    FrameSplitter splitter(verify);
    EXPECT_EQ(splitter.spelling(), std::nullopt);
    Result result;
    for (const FrameVector& vector : VectorsOf(spelling)) {
      splitter.Add(vector.bytes, kStart);
      Drain(splitter, result);
    }
    EXPECT_TRUE(result.end.ok());
    EXPECT_EQ(splitter.spelling(), spelling);
    EXPECT_EQ(splitter.frames(), result.frames.size());
    EXPECT_LE(asked, spelling == Spelling::kV1Producer ? 2 : 1);
    // Another spelling later is not looked for: its length does not fit, or its bytes are cut wrongly and then no
    // frame.
    const Spelling other = spelling == Spelling::kV1Le ? Spelling::kV1Be : Spelling::kV1Le;
    splitter.Add(VectorsOf(other)[0].bytes, kStart);
    Drain(splitter, result);
    EXPECT_EQ(ReasonOf(result.end), Reason::kTooLarge);
  }
}

TEST(Stream, AutoWithAnEmptyPayloadFirst) {
  const auto key = OKey::Hmac(std::string(32, 'k')).value();
  const auto verify = [&](const Frame& frame) { return VerifyTag(frame, *key); };
  for (const Spelling spelling : {Spelling::kV1Le, Spelling::kV1Be, Spelling::kV1Producer}) {
    Header header;
    header.spelling = spelling;
    header.sequence = 1;
    header.timestamp = 5;
    const std::string empty = EncodeSigned(header, "", *key).value();
    header.sequence = 2;
    const std::string full = EncodeSigned(header, "{}", *key).value();
    const Result result = CutAll(FrameSplitter(verify), ByteByByte(fmt::format("{}{}{}", empty, full, empty)));
    EXPECT_TRUE(result.end.ok()) << SpellingName(spelling) << result.end;
    EXPECT_EQ(result.frames, (std::vector<std::string>{empty, full, empty}));
    EXPECT_EQ(result.spellings, (std::vector<Spelling>{spelling, spelling, spelling}));
  }
}

// Whatever one byte of the first frame was changed to, "auto" hands out nothing and the stream ends with a reason.
TEST(Stream, AutoHandsOutNoChangedFirstFrame) {
  for (const Spelling spelling : {Spelling::kV1Le, Spelling::kV1Be, Spelling::kV1Producer}) {
    const std::string good = VectorsOf(spelling)[0].bytes;
    for (std::size_t at = 0; at < good.size(); ++at) {
      for (const int mask : {1, 0x80}) {
        std::string bytes = good + good;
        bytes[at] = static_cast<char>(bytes[at] ^ mask);
        FrameSplitter splitter(AnyVectorKey());
        Result result;
        splitter.Add(bytes, kStart);
        Drain(splitter, result);
        Drain(splitter, result, kStart + FrameSplitter::kPatience);
        ASSERT_TRUE(result.frames.empty()) << at;
        ASSERT_FALSE(result.end.ok()) << at;
        ASSERT_NE(ReasonOf(result.end), Reason::kNone);
      }
    }
  }
}

TEST(Stream, BadTagOfEveryReadingEndsAuto) {
  std::string bytes = VectorsOf(Spelling::kV1Be)[0].bytes;
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  // Alone it could still be a v1-producer frame that is four bytes short.
  FrameSplitter splitter(AnyVectorKey());
  Result result;
  splitter.Add(bytes, kStart);
  Drain(splitter, result);
  EXPECT_TRUE(result.end.ok());
  EXPECT_EQ(ReasonOf(splitter.Finish()), Reason::kBadTag);
  // With the next frame behind it, it cannot.
  result = CutAll(FrameSplitter(AnyVectorKey()), {bytes, VectorsOf(Spelling::kV1Be)[1].bytes});
  EXPECT_TRUE(result.frames.empty());
  EXPECT_EQ(ReasonOf(result.end), Reason::kBadTag);
  EXPECT_EQ(result.end.code(), absl::StatusCode::kUnauthenticated);
}

TEST(Stream, GarbageEndsAtItsFirstByte) {
  for (const std::string_view bytes : {"GET / HTTP/1.1", "V1RP", "\x16\x03\x01", "VIRP\x09"}) {
    for (const bool automatic : {false, true}) {
      FrameSplitter splitter = automatic ? FrameSplitter(AnyVectorKey()) : FrameSplitter(Spelling::kV1Le);
      Result result;
      for (const std::string_view piece : ByteByByte(bytes)) {
        if (!result.end.ok()) break;
        splitter.Add(piece, kStart);
        Drain(splitter, result);
      }
      EXPECT_EQ(ReasonOf(result.end), Reason::kMalformed) << bytes;
      EXPECT_EQ(splitter.buffered(), 0U);
    }
  }
}

TEST(Stream, GoodFramesBeforeGarbageAreHandedOut) {
  const std::string good = VectorsOf(Spelling::kV1Le)[0].bytes;
  const Result result = CutAll(FrameSplitter(Spelling::kV1Le), {good + good + "garbage" + good});
  EXPECT_EQ(result.frames, (std::vector<std::string>{good, good}));
  EXPECT_EQ(ReasonOf(result.end), Reason::kMalformed);
}

TEST(Stream, LengthsBeyondTheLimitEndBeforeAnythingIsBuffered) {
  std::string header = VectorsOf(Spelling::kV1Le)[0].bytes.substr(0, 24);
  StoreLe<std::uint32_t>(header.data() + 20, 0x00ff'0000);
  EXPECT_EQ(ReasonOf(CutAll(FrameSplitter(Spelling::kV1Le), {header}).end), Reason::kTooLarge);
  StoreLe<std::uint32_t>(header.data() + 20, 0x10ff'ff10);  // too large in either order
  EXPECT_EQ(ReasonOf(CutAll(FrameSplitter(AnyVectorKey()), {header}).end), Reason::kTooLarge);
}

TEST(Stream, TheLargestFrameOfEverySpellingPasses) {
  for (const Spelling spelling : {Spelling::kV1Le, Spelling::kV1Be, Spelling::kV1Producer, Spelling::kV2}) {
    const auto key = OKey::Hmac(std::string(32, 'k')).value();
    Header header;
    header.spelling = spelling;
    header.sequence = header.boot_epoch = 1;
    const std::string frame = EncodeSigned(header, std::string(kMaxPayload, 'x'), *key).value();
    FrameSplitter splitter([&](const Frame& candidate) { return VerifyTag(candidate, *key); });
    Result result;
    const std::string twice = frame + frame;
    for (std::size_t at = 0; at < twice.size(); at += 1000) {
      splitter.Add(std::string_view(twice).substr(at, 1000), kStart);
      Drain(splitter, result);
      EXPECT_LE(splitter.buffered(), kMaxFrame + 1000);
    }
    EXPECT_EQ(result.frames, (std::vector<std::string>{frame, frame})) << SpellingName(spelling);
  }
}

TEST(Stream, ASlowFrameEndsTheStreamHoweverItDrips) {
  const std::string frame = VectorsOf(Spelling::kV1Le)[0].bytes;
  FrameSplitter splitter(Spelling::kV1Le);
  Result result;
  FrameSplitter::Time now = kStart;
  for (const char byte : frame) {
    splitter.Add(std::string_view(&byte, 1), now);
    Drain(splitter, result, now);
    if (!result.end.ok()) break;
    now += milliseconds(500);
  }
  EXPECT_EQ(now, kStart + FrameSplitter::kPatience);
  EXPECT_EQ(result.end.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(ReasonOf(result.end), Reason::kMalformed);
}

TEST(Stream, PatienceStartsAnewWithEachFrameAndNotBetweenThem) {
  const std::string frame = VectorsOf(Spelling::kV1Le)[0].bytes;
  FrameSplitter splitter(Spelling::kV1Le);
  Result result;
  FrameSplitter::Time now = kStart;
  for (int i = 0; i < 5; ++i) {
    splitter.Add(frame.substr(0, 50), now);
    Drain(splitter, result, now);
    now += seconds(9);
    splitter.Add(frame.substr(50), now);
    Drain(splitter, result, now);
    now += seconds(1000);
    Drain(splitter, result, now);
  }
  EXPECT_TRUE(result.end.ok()) << result.end;
  EXPECT_EQ(result.frames.size(), 5U);
  // The rest of one piece begins a frame when the piece arrived, not when the frame before it began.
  splitter.Add(frame.substr(0, 50), now);
  Drain(splitter, result, now);
  splitter.Add(frame.substr(50) + frame.substr(0, 1), now + seconds(9));
  Drain(splitter, result, now + seconds(9));
  now += seconds(19);
  Drain(splitter, result, now - milliseconds(1));
  EXPECT_TRUE(result.end.ok()) << result.end;
  Drain(splitter, result, now);
  EXPECT_EQ(result.end.code(), absl::StatusCode::kDeadlineExceeded);
}

TEST(Stream, AWholeFrameIsHandedOutHoweverLateItIsAskedFor) {
  const std::string frame = VectorsOf(Spelling::kV1Le)[0].bytes;
  FrameSplitter splitter(Spelling::kV1Le);
  splitter.Add(frame, kStart);
  const auto next = splitter.Next(kStart + seconds(60));
  ASSERT_TRUE(next.ok());
  EXPECT_TRUE(next->has_value());
}

TEST(Stream, AnEndStaysAnEnd) {
  FrameSplitter splitter(Spelling::kV1Le);
  splitter.Add("garbage", kStart);
  const absl::Status end = splitter.Next(kStart).status();
  ASSERT_FALSE(end.ok());
  splitter.Add(VectorsOf(Spelling::kV1Le)[0].bytes, kStart);
  EXPECT_EQ(splitter.Next(kStart).status(), end);
  EXPECT_EQ(splitter.Finish(), end);
  EXPECT_EQ(splitter.buffered(), 0U);
}

TEST(Stream, ClosingInsideAFrameIsAnError) {
  const std::string frame = VectorsOf(Spelling::kV1Le)[0].bytes;
  FrameSplitter splitter(Spelling::kV1Le);
  EXPECT_TRUE(splitter.Finish().ok());
  splitter.Add(frame, kStart);
  ASSERT_TRUE(splitter.Next(kStart).ok());
  EXPECT_TRUE(splitter.Finish().ok());
  splitter.Add(frame.substr(0, 10), kStart);
  EXPECT_EQ(ReasonOf(splitter.Finish()), Reason::kMalformed);
}

}  // namespace
}  // namespace virp::frame
