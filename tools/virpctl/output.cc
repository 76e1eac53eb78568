#include "tools/virpctl/output.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>

#include "lib/base/status.h"
#include "lib/service/wire.h"

namespace virp::virpctl {

std::string Printable(std::string_view text, std::size_t limit) {
  std::string out(text.substr(0, limit));
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  // C1 controls come as 0xC2 0x80..0x9F in UTF-8.
  for (std::size_t i = 0; i + 1 < out.size(); ++i) {
    if (static_cast<unsigned char>(out[i]) == 0xc2 && static_cast<unsigned char>(out[i + 1]) < 0xa0) {
      out[i] = out[i + 1] = '?';
    }
  }
  return text.size() > limit ? out + "..." : out;
}

std::string PrintableLines(std::string_view text) {
  constexpr std::size_t kLongest = 4'000;
  std::string out;
  while (true) {
    const std::size_t end = text.find('\n');
    out += Printable(text.substr(0, end), kLongest);
    if (end == std::string_view::npos) return out;
    out += '\n';
    text.remove_prefix(end + 1);
  }
}

std::string Table::ToString() const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Printable(row[i]).size());
  }
  std::string out;
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string cell = Printable(row[i]);
      out += i + 1 == row.size() ? cell : fmt::format("{:<{}}  ", cell, widths[i]);
    }
    out += '\n';
  }
  return out;
}

void Print(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
}

std::string TimeText(UnixNanos time) {
  if (time == 0) return "-";
  const auto seconds = static_cast<std::time_t>(time / 1'000'000'000);
  std::tm parts{};
  if (gmtime_r(&seconds, &parts) == nullptr) return fmt::format("{} ns", time);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, time / 1'000'000 % 1'000);
}

std::string TimeText(const google::protobuf::Timestamp& time) {
  const auto nanos = service::NanosOf(time, "time");
  return nanos.ok() ? TimeText(*nanos) : "out of range";
}

std::string Short(std::string_view name, std::string_view prefix) {
  return std::string(name.starts_with(prefix) ? name.substr(prefix.size()) : name);
}

namespace {

absl::StatusOr<std::string> Write(const google::protobuf::Message& message, bool lines, bool defaults) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = lines;
  options.always_print_primitive_fields = defaults;
  std::string out;
  if (const auto status = google::protobuf::util::MessageToJsonString(message, &out, options); !status.ok()) {
    return InvalidArgument("the answer cannot be shown as JSON: {}", status.ToString());
  }
  if (!out.ends_with('\n')) out += '\n';
  return out;
}

}  // namespace

absl::StatusOr<std::string> ToJson(const google::protobuf::Message& message) {
  return Write(message, true, false);
}

absl::Status PrintJson(const google::protobuf::Message& message) {
  ASSIGN_OR_RETURN(const std::string json, Write(message, true, true));
  Print(json);
  return absl::OkStatus();
}

absl::Status PrintJsonLine(const google::protobuf::Message& message) {
  ASSIGN_OR_RETURN(const std::string json, Write(message, false, true));
  Print(json);
  std::fflush(stdout);
  return absl::OkStatus();
}

void PrintJson(frame::JsonWriter& json) {
  Print(json.Take() + "\n");
}

}  // namespace virp::virpctl
