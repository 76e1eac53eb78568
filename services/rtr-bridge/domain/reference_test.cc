#include "services/rtr-bridge/domain/reference.h"

#include <gmock/gmock.h>

#include <chrono>
#include <type_traits>

#include "lib/vrp/replace.h"
#include "lib/vrp/test_payloads.h"

namespace virp::rtr_bridge {
namespace {

using vrp::Below;
using vrp::RandomPayloads;

constexpr UnixNanos kSecond = 1'000'000'000;

std::vector<std::string> Texts(const std::vector<Objection>& objections) {
  std::vector<std::string> texts;
  for (const Objection& objection : objections) texts.push_back(objection.text);
  return texts;
}

template <typename T>
void TakeLaterExpiries(std::vector<T>& to, const std::vector<T>& from) {
  for (T& mine : to) {
    for (const T& theirs : from) {
      bool same = Order(mine, theirs) == 0;
      if constexpr (std::is_same_v<T, vrp::Aspa>) same = same && mine.providers == theirs.providers;
      if (same) mine.expires = vrp::LaterExpiry(mine.expires, theirs.expires);
    }
  }
}

// Payloads come, go, are renewed and expire; what is kept of the way there says the same as both sets do.
TEST(ReferenceTest, TheDifferenceThatIsKeptIsThatOfTheSets) {
  vrp::Random random(41);
  const GuardOptions options{.max_drop = 0.02, .max_growth = 0.02, .must_stay_valid = {}};
  std::size_t objected = 0, expired = 0;
  for (int run = 0; run < 60; ++run) {
    const auto some = [&](std::uint32_t most) { return RandomPayloads(random, static_cast<int>(Below(random, most))); };
    vrp::FirstExpiry expiries;
    UnixNanos now = 900 * kSecond, since = now;  // payloads expire in the seconds 1,000 and 2,000
    Reference reference;
    EXPECT_FALSE(reference.begun());
    auto served = std::make_shared<const vrp::Payloads>(some(60));
    Reference::Set wanted = served;
    reference.Begin(served, now);
    for (int step = 0; step < 25; ++step) {
      now += Below(random, 80) * kSecond;
      if (Below(random, 20) == 0) {
        reference.Begin(served, since = now);
        wanted = served;
      }
      const auto next = std::make_shared<const vrp::Payloads>(vrp::Replaced(*served, some(20), some(8)));
      const rtr::Delta delta = rtr::Diff(*served, *next);
      const auto second = static_cast<std::int64_t>(now / kSecond);
      vrp::Payloads lasting = vrp::WithoutExpired(*wanted, second);
      if (lasting.size() != wanted->size()) {
        lasting = *wanted;
        TakeLaterExpiries(lasting.vrps4, served->vrps4);
        TakeLaterExpiries(lasting.vrps6, served->vrps6);
        TakeLaterExpiries(lasting.router_keys, served->router_keys);
        TakeLaterExpiries(lasting.aspas, served->aspas);
        lasting = vrp::WithoutExpired(lasting, second);
        expired += wanted->size() - lasting.size();
        wanted = std::make_shared<const vrp::Payloads>(lasting);
      }
      const auto objections = FindChanges(options, lasting, *next, 10, std::chrono::nanoseconds(now - since));
      // The cache knows no delta while something of what is served is expired.
      const bool known = vrp::WithoutExpired(*served, second).size() == served->size() && Below(random, 4) != 0;
      ASSERT_EQ(Texts(reference.FindObjections(options, served, known ? &delta : nullptr, *next, now, expiries)),
                wanted == served && known ? std::vector<std::string>() : Texts(objections))
          << "run " << run << " step " << step;
      objected += objections.size();
      if (Below(random, 3) == 0) continue;  // it is held: what is served stays
      reference.Follow(delta);
      served = next;
    }
  }
  EXPECT_GT(objected, 100U);
  EXPECT_GT(expired, 100U);
}

// A validator says anew with each run how long its findings hold.
TEST(ReferenceTest, WhatWasRenewedIsThereBeforeAndAfter) {
  const auto set = [](std::uint32_t count, vrp::Expires expires) {
    vrp::Payloads payloads;
    for (std::uint32_t i = 0; i < count; ++i) payloads.aspas.push_back({1 + i, i < 50 ? expires : 0, {7}});
    return payloads;
  };
  auto renewed = set(100, 5'000), more = set(102, 5'000), less = set(100, 5'000);
  renewed.aspas[49].providers = more.aspas[49].providers = less.aspas[49].providers = {8};
  less.aspas.erase(less.aspas.begin(), less.aspas.begin() + 20);
  const auto before = std::make_shared<const vrp::Payloads>(set(100, 1'000));
  const auto served = std::make_shared<const vrp::Payloads>(renewed);
  const GuardOptions options{.max_growth = 0.1, .must_stay_valid = {}};
  vrp::FirstExpiry expiries;
  Reference reference;
  reference.Begin(before, 900 * kSecond);
  reference.Follow(rtr::Diff(*before, *served));
  const auto find = [&](const vrp::Payloads& next) {
    const rtr::Delta delta = rtr::Diff(*served, next);
    return Texts(reference.FindObjections(options, served, &delta, next, 1'100 * kSecond, expiries));
  };
  EXPECT_THAT(find(more), ::testing::IsEmpty());
  EXPECT_THAT(find(less), ::testing::ElementsAre(::testing::HasSubstr("20 of 99 ASPAs would go")))
      << "what had other providers is another one, and expired";
}

TEST(ReferenceTest, AnHourLaterWhatIsServedIsTheReference) {
  const auto set = [](std::uint32_t count) {
    vrp::Payloads payloads;
    for (std::uint32_t i = 0; i < count; ++i) payloads.aspas.push_back({1 + i, 0, {7}});
    return std::make_shared<const vrp::Payloads>(std::move(payloads));
  };
  const auto hundred = set(100), ninety = set(90), eighty = set(80);
  vrp::FirstExpiry expiries;
  Reference reference;
  reference.Begin(hundred, 0);
  reference.Follow(rtr::Diff(*hundred, *ninety));
  const rtr::Delta delta = rtr::Diff(*ninety, *eighty);
  const auto find = [&](UnixNanos now) {
    return Texts(reference.FindObjections({}, ninety, &delta, *eighty, now, expiries));
  };
  EXPECT_THAT(find(3'599 * kSecond),
              ::testing::ElementsAre(::testing::HasSubstr("20 of 100 ASPAs would go within 1h")));
  EXPECT_THAT(find(3'600 * kSecond), ::testing::IsEmpty());
}

}  // namespace
}  // namespace virp::rtr_bridge
