// The log: one line per event on standard error, as text for people or as JSON for collectors. An event has a constant
// message and named values, so that lines can be counted and searched; values never hold key material, and untrusted
// text in them cannot break a line (docs/operations/logging.md).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/base/token_bucket.h"

namespace virp::service {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kOff };
enum class LogFormat { kText, kJson };

absl::StatusOr<LogLevel> ParseLogLevel(std::string_view text);    // debug, info, warning, error, off
absl::StatusOr<LogFormat> ParseLogFormat(std::string_view text);  // text, json

struct LogOptions {
  std::string service;  // in every line: "onode"
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kText;
  // Where finished lines (with the newline) go; standard error when empty. Called by one thread at a time.
  std::function<void(std::string_view line)> sink;
  const Clock* clock = nullptr;  // for the time in the lines; the system's when null
};

// Sets the process's log up; once, in main, before threads log. Until then lines go to standard error as text.
// Also: the causes of errors that ToGrpcStatus hides are logged from here on, and gRPC's own messages join the log.
void SetUpLogging(LogOptions options);

struct LogField {
  using Value = std::variant<std::string_view, std::int64_t, std::uint64_t, double, bool>;

  LogField(std::string_view name, std::string_view text) : key(name), value(text) {}
  LogField(std::string_view name, const std::string& text) : key(name), value(std::string_view(text)) {}
  LogField(std::string_view name, const char* text) : key(name), value(std::string_view(text)) {}
  LogField(std::string_view name, bool flag) : key(name), value(flag) {}
  LogField(std::string_view name, double number) : key(name), value(number) {}
  template <std::signed_integral T>
  LogField(std::string_view name, T number) : key(name), value(std::int64_t{number}) {}
  template <std::unsigned_integral T>
  LogField(std::string_view name, T number) : key(name), value(std::uint64_t{number}) {}

  std::string_view key;  // snake_case; "time", "level", "service" and "message" are taken
  Value value;           // text is borrowed; it must live for the call
};
using LogFields = std::initializer_list<LogField>;

// Thread-safe. `message` is a constant; what varies is in the fields.
void LogDebug(std::string_view message, LogFields fields = {});
void LogInfo(std::string_view message, LogFields fields = {});
void LogWarning(std::string_view message, LogFields fields = {});
void LogError(std::string_view message, LogFields fields = {});
// With the fields "code", "error" and, when there is one, "reason".
void LogStatus(LogLevel level, std::string_view message, const absl::Status& status, LogFields fields = {});

// For events that strangers can cause at will: lets `burst` lines through and then one per `interval`, which says how
// many were left out. Thread-safe.
class LogLimiter {
 public:
  LogLimiter(std::chrono::nanoseconds interval, int burst, const Clock& clock)
      : bucket_(1e9 / static_cast<double>(interval.count()), burst, clock) {}

  // The number of events left out since the last line, when a line may be written now.
  std::optional<std::uint64_t> Admit() {
    const MutexLock lock(mutex_);
    if (!bucket_.Take()) {
      ++suppressed_;
      return std::nullopt;
    }
    return std::exchange(suppressed_, 0);
  }

 private:
  Mutex mutex_;
  TokenBucket bucket_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t suppressed_ ABSL_GUARDED_BY(mutex_) = 0;
};

// One line without its newline, as SetUpLogging's sink gets it; for tests and for tools that print events.
std::string FormatLogLine(LogFormat format, std::string_view time, LogLevel level, std::string_view service,
                          std::string_view message, LogFields fields);

// "2026-01-31T12:34:56.789Z".
std::string FormatTime(UnixNanos time);

}  // namespace virp::service
