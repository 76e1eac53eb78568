// A payload of any type, as the fold over a chain reads it. Input: a byte that names the type, then the payload. What
// parses is written and parsed again to the same; a statement is in canonical form and has a subject only when it is in
// scope.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lib/base/ip.h"
#include "lib/chain/control.h"
#include "lib/chain/entry.h"
#include "lib/chain/subject.h"
#include "tests/fuzz/require.h"

using namespace virp::chain;  // NOLINT(google-build-using-namespace): a fuzz target is one function
namespace frame = virp::frame;

namespace {

// Reads `payload`; when that works, writing and reading again must come to rest.
template <typename Parse, typename Build>
void RoundTrip(const frame::Value& payload, Parse parse, Build build) {
  const auto parsed = parse(payload);
  if (!parsed.ok()) {
    REQUIRE(parsed.status().code() == absl::StatusCode::kInvalidArgument);
    return;
  }
  const std::string written = build(*parsed);
  frame::PayloadReader reader;
  const auto again = reader.Read(written);
  if (written.size() > frame::kMaxPayload) return;
  REQUIRE(again.ok());
  const auto parsed_again = parse(*again);
  REQUIRE(parsed_again.ok());
  REQUIRE(build(*parsed_again) == written);
}

Registration Signer() {
  Registration r;
  r.source = "edge-a.bgpd";
  r.routers = {{"edge-a", {"192.0.2.1"}, {}, {"default", "red"}}, {"edge-b", {"192.0.2.2"}, {}, {}}};
  r.subject_prefixes = {"dns/", "rtr/bridge-1/"};
  return r;
}

void CheckStatement(const Statement& s, bool readable) {
  REQUIRE(((s.flags & kOpaque) != 0) == !readable);
  REQUIRE(s.subject.empty() == (s.subject_id == 0));
  REQUIRE(s.flags == 0 || (s.subject.empty() && s.what == Statement::What::kOther));
  REQUIRE(s.subject.empty() || s.subject_id == SubjectIdOf(s.subject));
  REQUIRE(s.what == Statement::What::kOther || !s.subject.empty());
  REQUIRE(s.peer.empty() || virp::IpAddress::ParseCanonical(s.peer).ok());
  REQUIRE(s.prefix.empty() || virp::Prefix::ParseCanonical(s.prefix).ok());
  REQUIRE(s.rib.empty() || IsRibName(s.rib));
  REQUIRE(s.state.size() <= 64);
  REQUIRE(SubjectUnder(s, kScopeViolation) == 0 && SubjectUnder(s, kOpaque) == 0 && SubjectUnder(s, 0) == s.subject_id);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto type = static_cast<frame::Type>(data[0]);
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  static const Registration signer = Signer();
  frame::PayloadReader reader;
  const auto read = reader.Read(text);
  const std::optional<frame::Value> payload = read.ok() ? std::optional(*read) : std::nullopt;
  CheckStatement(ReadStatement(signer, type, payload), read.ok());
  if (!payload) return 0;
  RoundTrip(*payload, ParseSourceEvent, BuildSourceEvent);
  RoundTrip(*payload, ParseKeyEvent, BuildKeyEvent);
  RoundTrip(*payload, ParseGap, BuildGap);
  RoundTrip(*payload, ParseAlarm, BuildAlarm);
  RoundTrip(*payload, ParseAlarmCleared, BuildAlarmCleared);
  RoundTrip(*payload, ParseHeartbeat, BuildHeartbeat);
  if (const auto event = ParseSourceEvent(*payload); event.ok() && event->registration) {
    static_cast<void>(CheckRegistration(*event->registration));
  }
  return 0;
}
