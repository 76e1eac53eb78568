#include "services/keymgr/domain/expiry_calendar.h"

#include <fmt/format.h>

#include "lib/crypto/der.h"
#include "services/keymgr/domain/rpki_names.h"

namespace virp::keymgr {
namespace {

constexpr std::size_t kLine = 75;  // octets, without the line end (RFC 5545 section 3.1)

// 20261122T040506Z
std::string Stamp(UnixNanos time) {
  std::string out = der::TimeText(TimeOf(time));
  std::erase_if(out, [](char c) { return c == '-' || c == ':'; });
  return out;
}

// RFC 5545 section 3.3.11. Our texts are ASCII; what is not printable has no place in a calendar.
std::string Escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == ';' || c == ',') out += '\\';
    out += c >= ' ' && c <= '~' ? c : '?';
  }
  return out;
}

// A content line, folded.
void Line(std::string& out, std::string_view text) {
  for (std::size_t room = kLine; text.size() > room; room = kLine - 1) {
    out.append(text.substr(0, room)).append("\r\n ");
    text.remove_prefix(room);
  }
  out.append(text).append("\r\n");
}

}  // namespace

std::string ExpiryCalendar(const std::vector<ExpiringCertificate>& certificates, UnixNanos made) {
  std::string out;
  Line(out, "BEGIN:VCALENDAR");
  Line(out, "VERSION:2.0");
  Line(out, "PRODID:-//VIRP//key manager//EN");
  for (const ExpiringCertificate& certificate : certificates) {
    const std::string what =
        certificate.IsRouters()
            ? fmt::format("BGPsec certificate of {} for AS {} ends", certificate.router, certificate.asn)
            : fmt::format("Certificate of our RPKI authority {} ends", certificate.id);
    Line(out, "BEGIN:VEVENT");
    Line(out, "UID:" + Escaped(certificate.NoticeId()) + "@virp-keymgr");
    Line(out, "DTSTAMP:" + Stamp(made));
    Line(out, "DTSTART:" + Stamp(certificate.not_after));
    Line(out, "SUMMARY:" + Escaped(what));
    Line(out, "DESCRIPTION:" + Escaped(Advice(certificate)));
    Line(out, "TRANSP:TRANSPARENT");
    for (const int days : kWarningDays) {
      if (days == 0) continue;
      Line(out, "BEGIN:VALARM");
      Line(out, "ACTION:DISPLAY");
      Line(out, "DESCRIPTION:" + Escaped(what));
      Line(out, fmt::format("TRIGGER:-P{}D", days));
      Line(out, "END:VALARM");
    }
    Line(out, "END:VEVENT");
  }
  Line(out, "END:VCALENDAR");
  return out;
}

}  // namespace virp::keymgr
