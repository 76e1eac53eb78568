// The one place where libpqxx's exceptions and libpq's results become a Status. Inside lib/store only.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

extern "C" {
struct pg_conn;
struct pg_result;
}

namespace virp::store {

// To be called inside a catch block: the status of the exception in flight. `doing` begins the message.
absl::Status StatusFromException(std::string_view doing);

// OK unless `result` is null or an error; then by its SQLSTATE, or Unavailable when the connection is gone.
absl::Status StatusFromResult(const pg_conn* connection, const pg_result* result, std::string_view doing);

// libpq's message in one line.
std::string OneLine(std::string_view text);

}  // namespace virp::store
