// Tables for people, protobuf's JSON for programs.
#pragma once

#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/frame/payload.h"

namespace virp::virpctl {

// Columns as wide as their widest cell, the last one as it is. Control characters, which observed text may hold, are
// shown as '?', so that no observation writes to a terminal.
class Table {
 public:
  explicit Table(std::vector<std::string> head) { rows_.push_back(std::move(head)); }
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string ToString() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

void Print(std::string_view text);     // to standard output
std::string TimeText(UnixNanos time);  // RFC 3339, UTC, milliseconds; "-" for 0
std::string TimeText(const google::protobuf::Timestamp& time);
std::string Printable(std::string_view text, std::size_t limit = 400);  // longer text ends with "..."
std::string PrintableLines(std::string_view text);                      // of a message: each line by itself, longer

// An enumerator without what all of its kind begin with: "VERDICT_CONFIRMED" is "CONFIRMED".
std::string Short(std::string_view name, std::string_view prefix);

// Protobuf's JSON mapping, as grpcurl prints it: lowerCamelCase names, 64-bit numbers as text, enumerators by name,
// RFC 3339 times, bytes in base64. With LF.
absl::StatusOr<std::string> ToJson(const google::protobuf::Message& message);
// The same with every field that is not a message, so that programs need not know what is left out as a default.
absl::Status PrintJson(const google::protobuf::Message& message);
absl::Status PrintJsonLine(const google::protobuf::Message& message);  // on one line, flushed: of a stream
// What is not a message of an API; names and units in the same style.
void PrintJson(frame::JsonWriter& json);

}  // namespace virp::virpctl
