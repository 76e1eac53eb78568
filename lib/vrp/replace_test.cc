#include "lib/vrp/replace.h"

#include <gmock/gmock.h>

#include "lib/vrp/set.h"
#include "lib/vrp/test_payloads.h"

namespace virp::vrp {
namespace {

// What is in `set` and not in `other`.
template <typename T>
std::vector<T> Without(const std::vector<T>& set, const std::vector<T>& other) {
  std::vector<T> out;
  for (const T& payload : set) {
    const bool there = std::any_of(other.begin(), other.end(), [&](const T& o) { return Order(o, payload) == 0; });
    if (!there) out.push_back(payload);
  }
  return out;
}
Payloads Without(const Payloads& set, const Payloads& other) {
  return {Without(set.vrps4, other.vrps4), Without(set.vrps6, other.vrps6), Without(set.router_keys, other.router_keys),
          Without(set.aspas, other.aspas)};
}

TEST(Replace, WhatGoesAndWhatComesMakeOneSetOfTheOther) {
  Random random(21);
  for (int round = 0; round < 200; ++round) {
    const Payloads before = RandomPayloads(random, static_cast<int>(Below(random, 30)));
    const Payloads after = RandomPayloads(random, static_cast<int>(Below(random, 30)));
    ASSERT_EQ(Replaced(before, Without(before, after), after), after);
    ASSERT_EQ(Replaced(before, before, after), after);  // what comes counts more than what goes
    ASSERT_EQ(Replaced(before, Without(before, after), Payloads()), Without(before, Without(before, after)));
  }
}

TEST(Replace, WhatHadToLeaveIsToldAsItWas) {
  Random random(24);
  for (int round = 0; round < 200; ++round) {
    const Payloads before = RandomPayloads(random, static_cast<int>(Below(random, 30)));
    const Payloads gone = RandomPayloads(random, static_cast<int>(Below(random, 10)));
    const Payloads news = RandomPayloads(random, static_cast<int>(Below(random, 10)));
    const Exchanged exchanged = Exchange(before, gone, news);
    ASSERT_EQ(exchanged.set, Replaced(before, gone, news));
    ASSERT_EQ(exchanged.left, Without(before, Without(Without(before, gone), news)));
    ASSERT_EQ(Replaced(exchanged.set, news, exchanged.left), Replaced(before, news, exchanged.left));
  }
}

TEST(Replace, RenewedIsWhatIsInBothWithTheNewExpiry) {
  Random random(22);
  for (int round = 0; round < 200; ++round) {
    const Payloads before = RandomPayloads(random, static_cast<int>(Below(random, 30)));
    const Payloads after = RandomPayloads(random, static_cast<int>(Below(random, 30)));
    const Payloads renewed = Renewed(before, after);
    ASSERT_EQ(Without(renewed, before).size() + Without(renewed, after).size(), 0U);
    ASSERT_EQ(Replaced(after, Payloads(), renewed), after);
    // With what is new, it is all that separates the two.
    const Payloads fresh = Without(after, before);
    Payloads there = Replaced(Replaced(before, Without(before, after), fresh), Payloads(), renewed);
    for (Aspa& aspa : there.aspas) aspa.providers.clear();  // providers that change are no renewal
    Payloads wanted = after;
    for (Aspa& aspa : wanted.aspas) aspa.providers.clear();
    ASSERT_EQ(there, wanted);
  }
}

TEST(Replace, NothingIsRenewedInTheSameSet) {
  Random random(23);
  const Payloads set = RandomPayloads(random, 40);
  EXPECT_EQ(Renewed(set, set).size(), 0U);
  EXPECT_EQ(Renewed(set, Payloads()).size(), 0U);
}

}  // namespace
}  // namespace virp::vrp
