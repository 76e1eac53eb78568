// Ends of certificates as an iCalendar (RFC 5545): an event each, with alarms at the days of warning, for operators'
// calendars (RFC 8635 section 10.1).
#pragma once

#include <string>
#include <vector>

#include "lib/base/clock.h"
#include "services/keymgr/domain/expiry_watch.h"

namespace virp::keymgr {

// The same certificates give the same text: `made` is when the calendar says that its events were made.
std::string ExpiryCalendar(const std::vector<ExpiringCertificate>& certificates, UnixNanos made);

}  // namespace virp::keymgr
