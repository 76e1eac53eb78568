// What the tests of this folder share: rounds, seeds, waiting, the verdict.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <random>
#include <string>
#include <thread>

#include "tests/fault/judge.h"
#include "tests/fault/load.h"
#include "tests/testutil/service_lab.h"
#include "tests/testutil/status_matchers.h"

namespace virp::fault {

// `usual`, or what VIRP_FAULT_ROUNDS says: 20 for the long run.
inline int Rounds(int usual) {
  const char* const rounds = std::getenv("VIRP_FAULT_ROUNDS");
  return rounds != nullptr && std::atoi(rounds) > 0 ? std::atoi(rounds) : usual;
}

// VIRP_FAULT_SEED, else a new one; printed, so that a run can be had again.
inline std::mt19937 SeededRandom() {
  const char* const given = std::getenv("VIRP_FAULT_SEED");
  const auto seed = given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10)) : std::random_device()();
  std::cout << "VIRP_FAULT_SEED=" << seed << "\n" << std::flush;
  return std::mt19937(seed);
}

inline void SleepUpTo(std::mt19937& random, int from_ms, int to_ms) {
  std::this_thread::sleep_for(std::chrono::milliseconds(std::uniform_int_distribution<int>(from_ms, to_ms)(random)));
}

inline std::string BuildFolder() {
  return VIRP_BINARY_DIR;
}

// All that the collector has spooled was answered, and nothing of it is held back to be sent again.
inline ::testing::AssertionResult Drained(testutil::ServiceLab& lab,
                                          std::chrono::milliseconds patience = std::chrono::seconds(30)) {
  std::string seen;
  const bool drained = testutil::WaitUntil(patience, [&] {
    const auto status = lab.CollectorStatus();
    seen = status.ok() ? status->ShortDebugString() : status.status().ToString();
    return status.ok() && status->answered_delivery_number() == status->last_delivery_number() &&
           std::none_of(status->sources().begin(), status->sources().end(),
                        [](const auto& source) { return source.held_frames() > 0; });
  });
  return drained ? ::testing::AssertionSuccess()
                 : ::testing::AssertionFailure() << "not all was delivered: " << seen << "\n"
                                                 << lab.collector().log();
}

// After the load has stopped and everything is up: the chain holds what is owed, and the O-Node itself finds nothing
// wrong with it.
inline void ExpectNothingLost(testutil::ServiceLab& lab, const Load& load, std::size_t onode = 0) {
  ASSERT_TRUE(Drained(lab));
  const auto entries = lab.Entries(onode);
  ASSERT_TRUE(entries.ok()) << entries.status();
  const Ledger ledger = load.ledger();
  std::size_t submitted = 0;
  for (const auto& answers : ledger.submitted) submitted += answers.size();
  std::cout << load.offered() << " observations at " << static_cast<int>(load.per_second()) << "/s, " << submitted
            << " answered by Submit, " << ledger.delivered.size() << " by Deliver; chain of " << entries->size() << "\n"
            << std::flush;
  const auto findings = Judge(*entries, ledger);
  for (const std::string& finding : findings) ADD_FAILURE() << finding;
  const auto report = lab.VerifyChain(onode);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->result(), chain::v1::VerifyReport::RESULT_VERIFIED) << report->ShortDebugString();
  const auto status = lab.CollectorStatus();
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(status->audit_problem(), "");
}

// The programs under full load, struck again and again: `strike` breaks something and puts it right, or fails the test.
// Starts the lab and holds what came of it against what was answered.
inline void StrikeUnderLoad(testutil::ServiceLab& lab, std::mt19937& random,
                            const std::function<void(int round)>& strike) {
  constexpr double kLeastPerSecond = 2'000;
  ASSERT_OK(lab.Start());
  Load load(lab, {});
  load.Start();
  for (int round = 0; round < Rounds(2) && !::testing::Test::HasFatalFailure(); ++round) {
    SleepUpTo(random, 300, 1'500);
    strike(round);
  }
  SleepUpTo(random, 300, 600);
  load.Stop();
  EXPECT_GE(load.per_second(), kLeastPerSecond);
  ExpectNothingLost(lab, load);
}

}  // namespace virp::fault
