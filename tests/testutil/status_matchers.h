// gMock matchers for Status and StatusOr: EXPECT_THAT(F(), IsOk()); EXPECT_THAT(F(), StatusIs(kNotFound,
// HasSubstr("x"))).
#pragma once

#include <gmock/gmock.h>

#include <ostream>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"

namespace virp::testutil {

inline absl::Status StatusOf(const absl::Status& status) {
  return status;
}
template <typename T>
absl::Status StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

MATCHER(IsOk, "is OK") {
  const absl::Status& status = StatusOf(arg);
  *result_listener << status.ToString();
  return status.ok();
}

MATCHER_P(StatusIs, code, "") {
  const absl::Status& status = StatusOf(arg);
  *result_listener << status.ToString();
  return status.code() == code;
}

MATCHER_P2(StatusIs, code, message, "") {
  const absl::Status& status = StatusOf(arg);
  *result_listener << status.ToString();
  return status.code() == code && ::testing::ExplainMatchResult(message, std::string(Message(status)), result_listener);
}

// Of a StatusOr: OK, and the value fits the inner matcher or equals the inner value.
MATCHER_P(IsOkAndHolds, inner, "") {
  *result_listener << StatusOf(arg).ToString() << " ";
  return arg.ok() && ::testing::ExplainMatchResult(inner, *arg, result_listener);
}

MATCHER_P(ReasonIs, reason, "") {
  const absl::Status& status = StatusOf(arg);
  *result_listener << status.ToString();
  return GetReason(status) == reason;
}

}  // namespace virp::testutil

#define ASSERT_OK(expr) ASSERT_THAT((expr), ::virp::testutil::IsOk())
#define EXPECT_OK(expr) EXPECT_THAT((expr), ::virp::testutil::IsOk())

// ASSERT_OK_AND_ASSIGN(auto x, F());
#define ASSERT_OK_AND_ASSIGN(lhs, expr) ASSERT_OK_AND_ASSIGN_(VIRP_CONCAT(virp_test_, __LINE__), lhs, expr)
#define ASSERT_OK_AND_ASSIGN_(var, lhs, expr)       \
  auto var = (expr);                                \
  ASSERT_TRUE(var.ok()) << var.status().ToString(); \
  lhs = *std::move(var)
