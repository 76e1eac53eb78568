#include "lib/service/logging.h"

#include <grpc/support/log.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cmath>
#include <ctime>
#include <memory>
#include <mutex>
#include <vector>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/base/utf8.h"
#include "lib/service/errors.h"

namespace virp::service {
namespace {

const SystemClock kSystemClock;

// What a line is made with. Set once; read by every thread.
struct State {
  std::string service = "virp";
  LogFormat format = LogFormat::kText;
  const Clock* clock = &kSystemClock;
  std::shared_ptr<spdlog::logger> logger;
};

std::shared_ptr<spdlog::logger> MakeLogger(spdlog::sink_ptr sink) {
  auto logger = std::make_shared<spdlog::logger>("virp", std::move(sink));
  logger->set_pattern("%v");
  logger->set_level(spdlog::level::info);
  logger->flush_on(spdlog::level::trace);  // a line that was written before a crash is there after it
  return logger;
}

struct Holder {
  Holder() {
    auto initial = std::make_shared<State>();
    initial->logger = MakeLogger(std::make_shared<spdlog::sinks::stderr_sink_mt>());
    state = std::move(initial);
  }
  Mutex mutex;
  std::shared_ptr<const State> state ABSL_GUARDED_BY(mutex);
};

Holder& TheHolder() {
  static Holder* const holder = new Holder();  // never destroyed: threads may log until the very end
  return *holder;
}

std::shared_ptr<const State> Get() {
  Holder& holder = TheHolder();
  const MutexLock lock(holder.mutex);
  return holder.state;
}

void Set(std::shared_ptr<const State> state) {
  Holder& holder = TheHolder();
  const MutexLock lock(holder.mutex);
  holder.state = std::move(state);
}

class FunctionSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit FunctionSink(std::function<void(std::string_view)> function) : function_(std::move(function)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    function_({line.data(), line.size()});
  }
  void flush_() override {}
  std::function<void(std::string_view)> function_;
};

spdlog::level::level_enum SpdlogLevel(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kOff:
      return spdlog::level::off;
  }
  return spdlog::level::info;
}

std::string_view LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
    case LogLevel::kOff:
      return "off";
  }
  return "info";
}

// A JSON string (RFC 8259 section 7) of any bytes: what is not UTF-8 becomes U+FFFD, control characters are escaped.
void AppendJsonString(std::string& out, std::string_view text) {
  const std::string repaired = IsUtf8(text) ? std::string() : ToUtf8(text);
  out.push_back('"');
  for (const char c : repaired.empty() ? text : std::string_view(repaired)) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          out += fmt::format("\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
        } else {
          out.push_back(c);
        }
    }
  }
  out.push_back('"');
}

// Text that could be taken for something else, or bring a terminal into disorder, is quoted.
void AppendText(std::string& out, std::string_view text) {
  bool plain = !text.empty() && IsUtf8(text);
  for (const char c : text)
    plain = plain && static_cast<unsigned char>(c) > 0x20 && c != '"' && c != '\\' && c != '=' && c != 0x7f;
  if (plain) {
    out += text;
  } else {
    AppendJsonString(out, text);
  }
}

void AppendValue(std::string& out, LogFormat format, const LogField::Value& value) {
  if (const auto* text = std::get_if<std::string_view>(&value)) {
    format == LogFormat::kJson ? AppendJsonString(out, *text) : AppendText(out, *text);
  } else if (const auto* number = std::get_if<double>(&value)) {
    out += std::isfinite(*number) ? fmt::format("{}", *number) : "null";  // JSON has no infinity
  } else if (const auto* flag = std::get_if<bool>(&value)) {
    out += *flag ? "true" : "false";
  } else if (const auto* whole = std::get_if<std::int64_t>(&value)) {
    out += fmt::format("{}", *whole);
  } else {
    out += fmt::format("{}", std::get<std::uint64_t>(value));
  }
}

template <typename Fields>
std::string Format(LogFormat format, std::string_view time, LogLevel level, std::string_view service,
                   std::string_view message, const Fields& fields) {
  std::string out;
  if (format == LogFormat::kText) {
    out = fmt::format("{} {:<7} {}: ", time, LevelName(level), service);
    out += message;
    for (const LogField& field : fields) {
      out += fmt::format(" {}=", field.key);
      AppendValue(out, format, field.value);
    }
    return out;
  }
  out = fmt::format(R"({{"time":"{}","level":"{}","service":)", time, LevelName(level));
  AppendJsonString(out, service);
  out += R"(,"message":)";
  AppendJsonString(out, message);
  for (const LogField& field : fields) {
    out.push_back(',');
    AppendJsonString(out, field.key);
    out.push_back(':');
    AppendValue(out, format, field.value);
  }
  return out + "}";
}

template <typename Fields>
void Write(LogLevel level, std::string_view message, const Fields& fields) {
  const std::shared_ptr<const State> state = Get();
  const spdlog::level::level_enum as = SpdlogLevel(level);
  if (!state->logger->should_log(as)) return;
  // Given to spdlog as an argument, since braces in it are not a format.
  state->logger->log(
      as, "{}", Format(state->format, FormatTime(state->clock->NowNanos()), level, state->service, message, fields));
}

// gRPC writes at level ERROR for each failed handshake, which any stranger can cause.
void OnGrpcLog(gpr_log_func_args* args) {
  static LogLimiter limiter(std::chrono::seconds(10), 10, kSystemClock);
  const auto suppressed = limiter.Admit();
  if (!suppressed) return;
  const LogLevel level = args->severity == GPR_LOG_SEVERITY_ERROR  ? LogLevel::kWarning
                         : args->severity == GPR_LOG_SEVERITY_INFO ? LogLevel::kInfo
                                                                   : LogLevel::kDebug;
  Write(level, "gRPC library", LogFields{{"text", args->message}, {"suppressed", *suppressed}});
}

void OnHiddenError(const absl::Status& status, std::string_view service, std::string_view incident) {
  LogStatus(LogLevel::kError, "a request failed by an internal cause", status,
            {{"domain", service}, {"incident", incident}});
}

}  // namespace

absl::StatusOr<LogLevel> ParseLogLevel(std::string_view text) {
  for (const LogLevel level :
       {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError, LogLevel::kOff}) {
    if (LevelName(level) == text) return level;
  }
  return InvalidArgument("'{}' is not a log level; use debug, info, warning, error or off", text.substr(0, 64));
}

absl::StatusOr<LogFormat> ParseLogFormat(std::string_view text) {
  if (text == "text") return LogFormat::kText;
  if (text == "json") return LogFormat::kJson;
  return InvalidArgument("'{}' is not a log format; use text or json", text.substr(0, 64));
}

void SetUpLogging(LogOptions options) {
  auto state = std::make_shared<State>();
  state->service = options.service;
  state->format = options.format;
  if (options.clock != nullptr) state->clock = options.clock;
  if (options.sink) {
    state->logger = MakeLogger(std::make_shared<FunctionSink>(std::move(options.sink)));
  } else {
    state->logger = MakeLogger(std::make_shared<spdlog::sinks::stderr_sink_mt>());
  }
  state->logger->set_level(SpdlogLevel(options.level));
  Set(std::move(state));
  SetHiddenErrorSink(&OnHiddenError);
  gpr_set_log_function(&OnGrpcLog);
  gpr_set_log_verbosity(options.level == LogLevel::kDebug ? GPR_LOG_SEVERITY_INFO : GPR_LOG_SEVERITY_ERROR);
}

void LogDebug(std::string_view message, LogFields fields) {
  Write(LogLevel::kDebug, message, fields);
}
void LogInfo(std::string_view message, LogFields fields) {
  Write(LogLevel::kInfo, message, fields);
}
void LogWarning(std::string_view message, LogFields fields) {
  Write(LogLevel::kWarning, message, fields);
}
void LogError(std::string_view message, LogFields fields) {
  Write(LogLevel::kError, message, fields);
}

void LogStatus(LogLevel level, std::string_view message, const absl::Status& status, LogFields fields) {
  const std::string code = absl::StatusCodeToString(status.code());
  const std::string reason = GetReason(status);
  std::vector<LogField> all(fields);
  all.emplace_back("code", code);
  if (!reason.empty()) all.emplace_back("reason", reason);
  all.emplace_back("error", Message(status));
  Write(level, message, all);
}

std::string FormatLogLine(LogFormat format, std::string_view time, LogLevel level, std::string_view service,
                          std::string_view message, LogFields fields) {
  return Format(format, time, level, service, message, fields);
}

std::string FormatTime(UnixNanos time) {
  const auto seconds = static_cast<std::time_t>(time / 1'000'000'000);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, time / 1'000'000 % 1'000);
}

}  // namespace virp::service
