// Network layer reachability information (RFC 4271 section 4.3, RFC 7911 section 3). Private to lib/bmp.
#pragma once

#include <cstring>
#include <string_view>

#include "absl/status/status.h"
#include "lib/base/ip.h"
#include "lib/bmp/reader.h"
#include "lib/bmp/update.h"

namespace virp::bmp {

// Whether every prefix of the field lies within it, with or without path identifiers as `form` says. Turns the form
// round, and sets `changed`, where NlriForm::adaptive calls for it. InvalidArgument says what is wrong.
absl::Status CheckNlri(std::string_view field, IpFamily family, NlriForm& form, bool& changed);

// Calls emit(Route) for each route of a field that CheckNlri accepted.
template <typename Emit>
void ForEachRoute(std::string_view field, IpFamily family, const NlriForm& form, Emit&& emit) {
  Reader reader(field);
  while (!reader.empty()) {
    Route route;
    std::uint8_t length = 0;
    std::string_view bytes;
    if ((form.path_ids && !reader.Read(route.path_id)) || !reader.Read(length) ||
        !reader.Take((std::size_t{length} + 7) / 8, bytes)) {
      return;  // CheckNlri accepted the field, so this does not happen
    }
    char address[16] = {};
    std::memcpy(address, bytes.data(), bytes.size());
    route.prefix =
        Prefix::MakeMasked(family == IpFamily::kV4 ? IpAddress::V4(address) : IpAddress::V6(address), length);
    emit(route);
  }
}

}  // namespace virp::bmp
