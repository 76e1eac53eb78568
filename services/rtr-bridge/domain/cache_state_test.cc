#include "services/rtr-bridge/domain/cache_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/base/saved.h"
#include "lib/crypto/sha256.h"
#include "tests/testutil/status_matchers.h"

namespace virp::rtr_bridge {
namespace {

using absl::StatusCode;
using testutil::StatusIs;

constexpr std::size_t kCheck = sizeof(Hash);

Generation GenerationOf(std::uint64_t number) {
  Generation generation;
  generation.number = number;
  generation.activated = 1'750'000'000'000'000'000ULL + number;
  generation.counts = {1, 2, 3, 4};
  generation.sha256.fill(static_cast<std::uint8_t>(number));
  for (std::uint8_t version = 0; version < generation.serials.size(); ++version)
    generation.serials[version] = {static_cast<std::uint16_t>(65'535 - version), 4'294'967'295U - version};
  generation.announced = 5;
  generation.withdrawn = 6;
  generation.sources = {{"validator-a", generation.sha256}, {"", {}}};
  generation.slurm = {{std::string("a\0b", 3), {}}};
  generation.frame = std::string(1'000, '\xff');
  return generation;
}
std::string Saved() {
  return BuildSavedCache(7, {GenerationOf(6), GenerationOf(7)}, "a history");
}
// As somebody writes it who can compute a hash.
std::string WithGoodCheck(std::string body) {
  const Hash check = crypto::Sha256(body);
  body.append(View(check));
  return body;
}
std::string BodyOf(const std::string& state) {
  return state.substr(0, state.size() - kCheck);
}

TEST(CacheStateTest, GivesBackWhatWasWritten) {
  ASSERT_OK_AND_ASSIGN(const SavedCache saved, ParseSavedCache(Saved()));
  EXPECT_EQ(saved.last_number, 7U);
  EXPECT_EQ(saved.generations, (std::deque<Generation>{GenerationOf(6), GenerationOf(7)}));
  EXPECT_EQ(saved.history, "a history");
  ASSERT_OK_AND_ASSIGN(const SavedCache nothing, ParseSavedCache(BuildSavedCache(0, {}, "")));
  EXPECT_TRUE(nothing.generations.empty());
}

TEST(CacheStateTest, RefusesWhatIsDamaged) {
  const std::string good = Saved();
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_THAT(ParseSavedCache(good.substr(0, size)).status(), StatusIs(StatusCode::kDataLoss)) << size;
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::string damaged = good;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x80);
    EXPECT_THAT(ParseSavedCache(damaged).status(), StatusIs(StatusCode::kDataLoss)) << at;
  }
  EXPECT_FALSE(ParseSavedCache(good + "x").ok());
}

// A checksum says that nothing was damaged, not that the writer meant well.
TEST(CacheStateTest, RefusesWhatDoesNotFitTogetherBehindAGoodChecksum) {
  const std::string body = BodyOf(Saved());
  for (std::size_t size = 0; size < body.size(); ++size)
    EXPECT_THAT(ParseSavedCache(WithGoodCheck(body.substr(0, size))).status(), StatusIs(StatusCode::kDataLoss)) << size;
  EXPECT_THAT(ParseSavedCache(WithGoodCheck(body + "x")).status(), StatusIs(StatusCode::kDataLoss));
  const std::string magic = body.substr(0, body.find('\n') + 1);
  for (const std::uint64_t count : {std::uint64_t{1}, std::uint64_t{100'001}, ~std::uint64_t{0}}) {
    std::string endless = magic;
    AppendSaved(endless, std::uint64_t{7});
    AppendSaved(endless, count);  // generations, of which none is there
    EXPECT_THAT(ParseSavedCache(WithGoodCheck(endless)).status(), StatusIs(StatusCode::kDataLoss)) << count;
  }
  std::string other = body;
  other[magic.size() - 2] = '2';
  EXPECT_THAT(ParseSavedCache(WithGoodCheck(other)).status(), StatusIs(StatusCode::kDataLoss)) << "another version";
}

}  // namespace
}  // namespace virp::rtr_bridge
