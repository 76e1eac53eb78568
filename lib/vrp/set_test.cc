#include "lib/vrp/set.h"

#include <map>
#include <set>

#include "lib/crypto/sha256.h"
#include "lib/vrp/replace.h"
#include "lib/vrp/test_payloads.h"
#include "tests/testutil/status_matchers.h"

namespace virp::vrp {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::virp::testutil::IsOk;

// Naive: all copies of a payload with their expiries.
template <typename T>
std::vector<T> NaiveAtLeast(std::size_t quorum, const std::vector<const Payloads*>& sets,
                            std::vector<T> Payloads::* member) {
  std::vector<std::pair<T, std::vector<Expires>>> seen;
  for (const Payloads* set : sets) {
    for (const T& payload : set->*member) {
      auto at = std::find_if(seen.begin(), seen.end(), [&](const auto& s) { return Order(s.first, payload) == 0; });
      if (at == seen.end()) at = seen.insert(seen.end(), {payload, {}});
      at->second.push_back(payload.expires == kNeverExpires ? UINT32_MAX : payload.expires);
    }
  }
  std::vector<T> out;
  for (auto& [payload, expiries] : seen) {
    if (expiries.size() < quorum) continue;
    std::sort(expiries.rbegin(), expiries.rend());
    payload.expires = expiries[quorum - 1] == UINT32_MAX ? kNeverExpires : expiries[quorum - 1];
    out.push_back(payload);
  }
  std::sort(out.begin(), out.end(), [](const T& a, const T& b) { return Order(a, b) < 0; });
  return out;
}

TEST(Set, AtLeastIsWhatCountingGives) {
  Random random(2);
  for (int round = 0; round < 300; ++round) {
    std::vector<Payloads> sets(Below(random, 5));
    for (Payloads& set : sets) set = RandomPayloads(random, static_cast<int>(Below(random, 30)));
    std::vector<const Payloads*> pointers;
    for (const Payloads& set : sets) pointers.push_back(&set);
    for (std::size_t quorum = 0; quorum <= sets.size() + 1; ++quorum) {
      const Payloads got = AtLeast(quorum, pointers).payloads;
      const std::size_t k = std::max<std::size_t>(quorum, 1);
      ASSERT_EQ(got.vrps4, NaiveAtLeast(k, pointers, &Payloads::vrps4));
      ASSERT_EQ(got.vrps6, NaiveAtLeast(k, pointers, &Payloads::vrps6));
      ASSERT_EQ(got.router_keys, NaiveAtLeast(k, pointers, &Payloads::router_keys));
      std::map<std::uint32_t, std::map<std::uint32_t, std::size_t>> votes;
      for (const Payloads& set : sets) {
        for (const Aspa& a : set.aspas) {
          for (const auto p : a.providers) ++votes[a.customer][p];
        }
      }
      std::map<std::uint32_t, std::vector<std::uint32_t>> want;
      for (const auto& [customer, providers] : votes) {
        for (const auto& [provider, count] : providers) {
          if (count >= k) want[customer].push_back(provider);
        }
        if (want[customer].size() > 1 && want[customer][0] == 0) want[customer].erase(want[customer].begin());
        if (want[customer].empty()) want.erase(customer);
      }
      std::map<std::uint32_t, std::vector<std::uint32_t>> have;
      for (const Aspa& a : got.aspas) have[a.customer] = a.providers;
      ASSERT_EQ(have, want);
    }
  }
}

TEST(Set, UnionIsWhatABuilderOfAllMakes) {
  Random random(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<Payloads> sets(Below(random, 4));
    Builder builder;
    std::vector<const Payloads*> pointers;
    for (Payloads& set : sets) {
      set = RandomPayloads(random, 20);
      pointers.push_back(&set);
      for (const auto& v : set.vrps4) ASSERT_OK(builder.Add(v));
      for (const auto& v : set.vrps6) ASSERT_OK(builder.Add(v));
      for (const auto& k : set.router_keys) ASSERT_OK(builder.Add(k));
      for (const auto& a : set.aspas) ASSERT_OK(builder.Add(a));
    }
    const Built want = std::move(builder).Build();
    const Built got = Union(pointers);
    ASSERT_EQ(got.payloads, want.payloads);
    ASSERT_EQ(got.duplicates, want.duplicates);
  }
}

TEST(Set, AQuorumLastsAsLongAsItHasEnough) {
  Payloads a;
  Payloads b;
  Payloads c;
  a.vrps4 = {{0x0a000000, 1, 100, 8, 8}};
  b.vrps4 = {{0x0a000000, 1, 300, 8, 8}};
  c.vrps4 = {{0x0a000000, 1, kNeverExpires, 8, 8}};
  const std::vector<const Payloads*> sets = {&a, &b, &c};
  EXPECT_EQ(AtLeast(1, sets).payloads.vrps4[0].expires, kNeverExpires);
  EXPECT_EQ(AtLeast(2, sets).payloads.vrps4[0].expires, 300U);
  EXPECT_EQ(AtLeast(3, sets).payloads.vrps4[0].expires, 100U);
  EXPECT_THAT(AtLeast(4, sets).payloads.vrps4, IsEmpty());
}

TEST(Set, AUnionOfAspasThatIsTooLongIsRefused) {
  Payloads a;
  Payloads b;
  a.aspas = {{64500, 0, {}}};
  b.aspas = {{64500, 0, {}}};
  for (std::uint32_t i = 1; i <= 10'000; ++i) {
    a.aspas[0].providers.push_back(i);
    b.aspas[0].providers.push_back(10'000 + i);
  }
  const std::vector<const Payloads*> sets = {&a, &b};
  const Built built = Union(sets);
  EXPECT_THAT(built.payloads.aspas, IsEmpty());
  EXPECT_THAT(built.refused, ElementsAre(::testing::HasSubstr("20000 providers")));
}

TEST(Set, ExpiryCountsFromItsSecond) {
  Payloads set;
  set.vrps4 = {{0x0b000000, 1, 200, 8, 8}, {0x0a000000, 1, kNeverExpires, 8, 8}};
  set.vrps6 = {{1, 0, 1, 100, 64, 64}};
  set.aspas = {{1, 300, {2}}};
  set.router_keys = {TestKey(1, 0, 250)};
  EXPECT_EQ(NextExpiry(set), 100U);
  EXPECT_EQ(WithoutExpired(set, 99), set);
  EXPECT_EQ(NextExpiry(WithoutExpired(set, 100)), 200U);
  EXPECT_EQ(NextExpiry(set, 99), 100U);
  EXPECT_EQ(NextExpiry(set, 100), 200U);
  EXPECT_EQ(WithoutExpired(set, 200).size(), 3U);
  EXPECT_EQ(WithoutExpired(set, 5'000'000'000).vrps4.size(), 1U);
  EXPECT_EQ(NextExpiry(WithoutExpired(set, 300)), kNeverExpires);
  EXPECT_EQ(NextExpiry(Payloads()), kNeverExpires);
  set.vrps4 = {{0, 1, UINT32_MAX, 8, 8}};
  EXPECT_EQ(NextExpiry(WithoutExpired(set, 300)), UINT32_MAX);
}

// tests/data/vrps/small.json, by hand; tests/interop/vrp_set_hash.py comes to the same hashes from the file.
Payloads Small() {
  Builder builder;
  const auto add = [&](std::string_view prefix, std::uint64_t max_length, std::uint64_t as) {
    EXPECT_OK(builder.Add(*Prefix::Parse(prefix), max_length, as, 1'900'000'000));
  };
  add("10.0.0.0/8", 24, 64500);
  add("10.0.0.0/8", 24, 64501);
  add("10.0.0.0/16", 24, 0);
  add("0.0.0.0/0", 0, 4'294'967'295);
  add("192.0.2.0/24", 24, 64500);
  add("2001:db8::/32", 48, 64500);
  add("2001:db8::/32", 128, 64500);
  add("::/0", 0, 64500);
  EXPECT_OK(builder.Add(TestKey(64500, 0)));
  EXPECT_OK(builder.Add(TestKey(64501, 0)));
  EXPECT_OK(builder.Add(TestKey(64500, 1)));
  EXPECT_OK(builder.Add(Aspa{64502, 0, {64500, 64501}}));
  EXPECT_OK(builder.Add(Aspa{64499, 0, {0}}));
  return std::move(builder).Build().payloads;
}

TEST(Set, TheFirstExpiryOfASetIsRememberedForThatSet) {
  FirstExpiry first;
  Vrp4 vrp;
  std::vector<std::shared_ptr<const Payloads>> sets;
  for (Expires expires = 0; expires < 30; ++expires) {
    vrp.expires = expires;
    sets.push_back(std::make_shared<const Payloads>(Payloads{{vrp}, {}, {}, {}}));
    for (std::size_t i = 0; i < sets.size(); ++i) ASSERT_EQ(first.Of(sets[i]), i);
    if (expires % 7 == 6) {
      // Another set in the same place, perhaps.
      vrp.expires = 1'000 + expires;
      sets[expires].reset();
      const auto other = std::make_shared<const Payloads>(Payloads{{vrp}, {}, {}, {}});
      ASSERT_EQ(first.Of(other), vrp.expires);
      EXPECT_EQ(first.Behind(other, vrp.expires - 1), vrp.expires);
      EXPECT_EQ(first.Behind(other, vrp.expires), kNeverExpires);
      vrp.expires = expires;
      sets[expires] = std::make_shared<const Payloads>(Payloads{{vrp}, {}, {}, {}});
    }
  }
}

TEST(Set, TheFirstExpiryFollowsFromWhatLeftAndWhatCame) {
  Random random(31);
  const auto few = [&] {
    Payloads payloads = RandomPayloads(random, static_cast<int>(Below(random, 4)));
    for (Vrp4& vrp : payloads.vrps4) vrp.expires = Below(random, 5) * 500;
    return payloads;
  };
  for (int run = 0; run < 100; ++run) {
    FirstExpiry first;
    auto set = std::make_shared<const Payloads>(RandomPayloads(random, static_cast<int>(Below(random, 6))));
    ASSERT_EQ(first.Of(set), NextExpiry(*set));
    for (int step = 0; step < 50; ++step) {
      const Payloads news = few();
      Exchanged exchanged = Exchange(*set, few(), news);
      const auto next = std::make_shared<const Payloads>(std::move(exchanged.set));
      first.Follow(set, exchanged.left, news, next);
      ASSERT_EQ(first.Of(next), NextExpiry(*next)) << "run " << run << " step " << step;
      set = next;
    }
  }
}

// What it says of the set behind a change is not found by looking at all of that: here the set is another one.
TEST(Set, TheFirstExpiryBehindAChangeNeedsNotTheWholeSet) {
  const auto set = [](std::vector<Expires> expiries) {
    Payloads payloads;
    for (const Expires expires : expiries)
      payloads.vrps4.push_back({.address = expires, .as = 1, .expires = expires, .length = 32, .max_length = 32});
    return payloads;
  };
  FirstExpiry first;
  const auto before = std::make_shared<const Payloads>(set({900, 800, 700}));
  EXPECT_EQ(first.Of(before), 700U);
  const auto after = std::make_shared<const Payloads>(set({5}));
  first.Follow(before, set({800}), set({750}), after);
  EXPECT_EQ(first.Of(after), 700U);
  const auto last_gone = std::make_shared<const Payloads>(set({5}));
  first.Follow(before, set({700}), set({750}), last_gone);
  EXPECT_EQ(first.Of(last_gone), 5U) << "what comes behind the first is not known";
}

TEST(Set, WhatOneSetAloneHasIsTakenOver) {
  Payloads vrps, keys;
  vrps.vrps4 = {Vrp4{.address = 1, .as = 2, .expires = 3, .length = 32, .max_length = 32}};
  keys.router_keys = {TestKey(64500)};
  const Payloads* const both[] = {&vrps, &keys};
  const Built one = Union(both);
  EXPECT_EQ(one.payloads.vrps4, vrps.vrps4);
  EXPECT_EQ(one.payloads.vrps4[0].expires, 3U);
  EXPECT_EQ(one.payloads.router_keys, keys.router_keys);
  EXPECT_EQ(one.duplicates, 0U);
  EXPECT_EQ(AtLeast(2, both).payloads.size(), 0U);
}

template <typename T>
std::string Be(T value) {
  std::string out(sizeof value, 0);
  StoreBe(out.data(), value);
  return out;
}

// docs/formats/vrp-set.md, number by number; also of sets that fill the writer's buffer many times.
TEST(Set, TheHashIsThatOfTheCanonicalEncoding) {
  Random random(32);
  for (const int size : {0, 1, 511, 512, 513, 7'000}) {
    Payloads set = RandomPayloads(random, 20);
    for (int i = 0; i < size; ++i) {
      set.vrps4.push_back({static_cast<std::uint32_t>(random()), Below(random, 1'000), 0, 32, 32});
      set.vrps6.push_back({random(), random(), Below(random, 1'000), 0, 100, 128});
    }
    std::string text = "virp vrp set 1\n";
    for (const std::size_t count : {set.vrps4.size(), set.vrps6.size(), set.router_keys.size(), set.aspas.size()})
      text += Be(static_cast<std::uint32_t>(count));
    for (const Vrp4& v : set.vrps4) text += Be(v.address) + Be(v.length) + Be(v.max_length) + Be(v.as);
    for (const Vrp6& v : set.vrps6) text += Be(v.high) + Be(v.low) + Be(v.length) + Be(v.max_length) + Be(v.as);
    for (const RouterKey& k : set.router_keys) {
      text.append(k.ski.begin(), k.ski.end());
      text += Be(k.as) + Be(static_cast<std::uint32_t>(k.spki.size())) + k.spki;
    }
    for (const Aspa& a : set.aspas) {
      text += Be(a.customer) + Be(static_cast<std::uint32_t>(a.providers.size()));
      for (const std::uint32_t provider : a.providers) text += Be(provider);
    }
    EXPECT_EQ(HashOf(set), crypto::Sha256(text)) << size;
  }
}

TEST(Set, HashesAreTheKnownOnes) {
  EXPECT_EQ(HexEncode(View(HashOf(Payloads()))), "df479d0c2e24f4c18366de39b66af91547c509d81389b96ed7b1459efa95dad3");
  EXPECT_EQ(HexEncode(View(HashOf(Small()))), "7b51c21d4f792f477a2417e3c7cd0168d5b0a85e3db388e58c56761d324137f3");
}

TEST(Set, TheHashIsOfWhatPayloadsAreNotOfWhenTheyEnd) {
  const Hash small = HashOf(Small());
  Payloads set = Small();
  for (auto& v : set.vrps4) v.expires = 5;
  for (auto& a : set.aspas) a.expires = 5;
  EXPECT_EQ(HashOf(set), small);
  std::set<Hash> hashes = {small};
  const auto changed = [&](auto change) {
    Payloads other = Small();
    change(other);
    EXPECT_TRUE(hashes.insert(HashOf(other)).second);
  };
  changed([](Payloads& p) { p.vrps4[0].as ^= 1; });
  changed([](Payloads& p) { p.vrps4[0].max_length ^= 1; });
  changed([](Payloads& p) { p.vrps4[0].length ^= 1; });
  changed([](Payloads& p) { p.vrps4[0].address ^= 1U << 31; });
  changed([](Payloads& p) { p.vrps6[0].high ^= 1; });
  changed([](Payloads& p) { p.vrps6[0].low ^= 1; });
  changed([](Payloads& p) { p.vrps6.pop_back(); });
  changed([](Payloads& p) { p.router_keys[0].as ^= 1; });
  changed([](Payloads& p) { p.aspas[1].providers.push_back(65000); });
  changed([](Payloads& p) { p.aspas.pop_back(); });
}

// The buffer of the hash is emptied between payloads, many times here.
TEST(Set, TheHashOfManyIsTheHashOfTheirBytes) {
  Payloads set;
  std::string bytes = "virp vrp set 1\n";
  for (std::uint32_t i = 20'000; i > 0; --i) set.vrps4.push_back({i << 8, i, 0, 24, 24});
  for (const std::uint32_t count : {20'000U, 0U, 0U, 0U}) AppendBe(bytes, count);
  for (const Vrp4& v : set.vrps4) {
    AppendBe(bytes, v.address);
    AppendBe(bytes, v.length);
    AppendBe(bytes, v.max_length);
    AppendBe(bytes, v.as);
  }
  EXPECT_EQ(HashOf(set), crypto::Sha256(bytes));
}

}  // namespace
}  // namespace virp::vrp
