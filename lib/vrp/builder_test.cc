#include "lib/vrp/builder.h"

#include <map>
#include <set>

#include "lib/vrp/test_payloads.h"
#include "tests/testutil/status_matchers.h"

namespace virp::vrp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::virp::testutil::IsOk;
using ::virp::testutil::StatusIs;

Prefix P(std::string_view text) {
  return *Prefix::Parse(text);
}

Vrp4 V4(std::uint32_t address, int length, int max_length, std::uint32_t as = 1, Expires expires = kNeverExpires) {
  return {address, as, expires, static_cast<std::uint8_t>(length), static_cast<std::uint8_t>(max_length)};
}

TEST(Builder, ZeroesHostBits) {
  Builder builder;
  ASSERT_OK(builder.Add(V4(0x0a010203, 8, 24)));
  ASSERT_OK(builder.Add(V4(0xffffffff, 0, 0)));
  ASSERT_OK(builder.Add(V4(0x01020304, 32, 32)));
  for (const int length : {0, 1, 63, 64, 65, 127, 128}) {
    ASSERT_OK(builder.Add(Vrp6{~0ULL, ~0ULL, 7, 0, static_cast<std::uint8_t>(length), 128}));
  }
  const Built built = std::move(builder).Build();
  EXPECT_THAT(built.payloads.vrps4, ElementsAre(V4(0x0a000000, 8, 24), V4(0x01020304, 32, 32), V4(0, 0, 0)));
  std::vector<std::string> prefixes;
  for (const Vrp6& v : built.payloads.vrps6) {
    prefixes.push_back(PrefixOf(v).ToString());
    char bytes[16];
    StoreBe(bytes, v.high);
    StoreBe(bytes + 8, v.low);
    EXPECT_EQ(IpAddress::V6(bytes), PrefixOf(v).address());
  }
  EXPECT_THAT(prefixes, ElementsAre("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
                                    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127", "ffff:ffff:ffff:ffff:8000::/65",
                                    "ffff:ffff:ffff:ffff::/64", "ffff:ffff:ffff:fffe::/63", "8000::/1", "::/0"));
}

TEST(Builder, RefusesWhatCannotBe) {
  Builder builder;
  constexpr auto kWrong = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(builder.Add(V4(0, 24, 23)), StatusIs(kWrong, HasSubstr("maxLength 23 is below the prefix length 24")));
  EXPECT_THAT(builder.Add(V4(0, 24, 33)), StatusIs(kWrong, HasSubstr("maxLength 33 is beyond 32")));
  EXPECT_THAT(builder.Add(V4(0, 33, 33)), StatusIs(kWrong, HasSubstr("prefix length 33 is beyond 32")));
  EXPECT_THAT(builder.Add(Vrp6{0, 0, 1, 0, 129, 129}), StatusIs(kWrong, HasSubstr("prefix length 129 is beyond 128")));
  EXPECT_THAT(builder.Add(Vrp6{0, 0, 1, 0, 64, 63}), StatusIs(kWrong));
  EXPECT_THAT(builder.Add(P("10.0.0.0/8"), 256, 1), StatusIs(kWrong, HasSubstr("maxLength 256")));
  EXPECT_THAT(builder.Add(P("10.0.0.0/8"), 8, 1ULL << 32), StatusIs(kWrong, HasSubstr("AS 4294967296")));
  EXPECT_THAT(builder.Add(Aspa{64500, 0, {}}), StatusIs(kWrong, HasSubstr("AS 64500 has no provider")));
  RouterKey other = TestKey(1, 0);
  other.ski = TestKey(1, 1).ski;
  EXPECT_THAT(builder.Add(other), StatusIs(kWrong, HasSubstr("its own is")));
  RouterKey cut = TestKey(1);
  cut.spki.pop_back();
  EXPECT_THAT(builder.Add(cut), StatusIs(kWrong, HasSubstr("91 octets")));
  EXPECT_EQ(builder.size(), 0U);
  EXPECT_OK(builder.Add(P("2001:db8::/32"), 128, UINT32_MAX));
  EXPECT_OK(builder.Add(P("0.0.0.0/0"), 0, 0));
  EXPECT_EQ(std::move(builder).Build().payloads.size(), 2U);
}

TEST(Builder, UnitesTheAspasOfACustomer) {
  Builder builder;
  ASSERT_OK(builder.Add(Aspa{9, 100, {5, 3, 5, 0}}));
  ASSERT_OK(builder.Add(Aspa{8, kNeverExpires, {0}}));
  ASSERT_OK(builder.Add(Aspa{9, 200, {4, 3}}));
  ASSERT_OK(builder.Add(Aspa{8, 100, {0, 0}}));
  const Built built = std::move(builder).Build();
  EXPECT_THAT(built.payloads.aspas, ElementsAre(Aspa{8, kNeverExpires, {0}}, Aspa{9, 200, {3, 4, 5}}));
  EXPECT_EQ(built.duplicates, 2U);
}

TEST(Builder, RefusesACustomerWithMoreProvidersThanFitAPdu) {
  for (const std::size_t more : {std::size_t{0}, std::size_t{1}}) {
    Builder builder;
    Aspa many{64500, 0, {0}};
    for (std::uint32_t i = 0; i < kMaxProviders + more; ++i) many.providers.push_back(100'000 - i);
    ASSERT_OK(builder.Add(many));
    ASSERT_OK(builder.Add(Aspa{1, 0, {2}}));
    const Built built = std::move(builder).Build();
    EXPECT_EQ(built.payloads.aspas.size(), 2 - more);
    EXPECT_EQ(built.refused.size(), more);
    if (more == 1) EXPECT_THAT(built.refused[0], HasSubstr("AS 64500 has 16381 providers, 16380 fit"));
  }
}

// The set as a map would make it.
struct Model {
  template <typename T>
  static void Keep(std::map<decltype(Fields(T())), T>& map, T value) {
    T key = value;
    key.expires = 0;
    const auto [at, added] = map.emplace(Fields(key), value);
    if (!added) at->second.expires = LaterExpiry(at->second.expires, value.expires);
  }
  template <typename T>
  static std::vector<T> Sorted(const std::map<decltype(Fields(T())), T>& map) {
    std::vector<T> out;
    for (const auto& [key, value] : map) out.push_back(value);
    std::sort(out.begin(), out.end(), [](const T& a, const T& b) { return Order(a, b) < 0; });
    return out;
  }
};

enum class Arrangement { kRandom, kDown, kUp, kByAddressUp };

template <typename Vrp>
void Arrange(std::vector<Vrp>& all, Arrangement how) {
  if (how == Arrangement::kRandom) return;
  std::sort(all.begin(), all.end(), [how](const Vrp& a, const Vrp& b) {
    if (how == Arrangement::kByAddressUp) return PrefixOf(a).address() < PrefixOf(b).address();
    return how == Arrangement::kUp ? Order(b, a) < 0 : Order(a, b) < 0;
  });
}

TEST(Builder, MakesWhatAMapWouldMake) {
  Random random(1);
  for (int round = 0; round < 400; ++round) {
    std::vector<Vrp4> in4;
    std::vector<Vrp6> in6;
    // Many are sorted in another way than few.
    for (int i = round % 100 == 0 ? 5'000 + round : static_cast<int>(Below(random, 60)); i > 0; --i) {
      in4.push_back(RandomVrp4(random));
      in6.push_back(RandomVrp6(random));
    }
    const auto how = static_cast<Arrangement>(round % 4);
    Arrange(in4, how);
    Arrange(in6, how);
    Builder builder;
    std::map<decltype(Fields(Vrp4())), Vrp4> map4;
    std::map<decltype(Fields(Vrp6())), Vrp6> map6;
    for (Vrp4 v : in4) {
      ASSERT_OK(builder.Add(v));
      v.address = LoadBe<std::uint32_t>(PrefixOf(v).address().bytes().data());
      Model::Keep(map4, v);
    }
    for (Vrp6 v : in6) {
      ASSERT_OK(builder.Add(v));
      const Prefix prefix = PrefixOf(v);
      v.high = LoadBe<std::uint64_t>(prefix.address().bytes().data());
      v.low = LoadBe<std::uint64_t>(prefix.address().bytes().data() + 8);
      Model::Keep(map6, v);
    }
    const Built built = std::move(builder).Build();
    ASSERT_EQ(built.payloads.vrps4, Model::Sorted(map4));
    ASSERT_EQ(built.payloads.vrps6, Model::Sorted(map6));
    ASSERT_EQ(built.duplicates, in4.size() + in6.size() - map4.size() - map6.size());
  }
}

TEST(Builder, KeepsRouterKeysApartByAs) {
  Builder builder;
  ASSERT_OK(builder.Add(TestKey(2, 0, 50)));
  ASSERT_OK(builder.Add(TestKey(1, 1)));
  ASSERT_OK(builder.Add(TestKey(1, 0)));
  ASSERT_OK(builder.Add(TestKey(2, 0, 70)));
  const Built built = std::move(builder).Build();
  ASSERT_EQ(built.payloads.router_keys.size(), 3U);
  EXPECT_EQ(built.duplicates, 1U);
  for (std::size_t i = 1; i < 3; ++i) {
    EXPECT_TRUE(Order(built.payloads.router_keys[i - 1], built.payloads.router_keys[i]) < 0);
  }
  EXPECT_THAT(built.payloads.router_keys, ::testing::Contains(TestKey(2, 0, 70)));
}

}  // namespace
}  // namespace virp::vrp
