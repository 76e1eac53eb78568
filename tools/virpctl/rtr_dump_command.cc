// `rtr dump`: what a cache sends, as JSON.
#include <algorithm>
#include <array>
#include <ctime>

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/vrp/export.h"
#include "tools/virpctl/interrupt.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/rtr_client.h"
#include "tools/virpctl/rtr_delta.h"
#include "tools/virpctl/rtr_options.h"
#include "tools/virpctl/rtr_payloads.h"

namespace virp::virpctl {
namespace {

constexpr std::chrono::milliseconds kStopCheck{200};

absl::StatusOr<RtrDelta> AskDelta(const RtrPlace& place, const Options& options, const RtrOptions& rtr,
                                  const std::stop_token& stop) {
  const Deadline deadline = std::chrono::steady_clock::now() + std::chrono::seconds(rtr.patience);
  const auto soon = [&] { return std::min(deadline, std::chrono::steady_clock::now() + options.connection.timeout); };
  ASSIGN_OR_RETURN(const auto link, OpenRtrLink(place, rtr.access, soon()));
  std::string query;
  rtr::AppendSerialQuery(query, rtr.access.max_version, *rtr.session, *rtr.serial);
  RtrDeltaReader reader(rtr.access.max_version);
  std::array<char, 65'536> buffer{};
  for (Deadline patient = soon(); true;) {
    RETURN_IF_ERROR(CheckTime(patient));
    if (stop.stop_requested()) return absl::CancelledError("stopped");
    if (!query.empty()) {
      ASSIGN_OR_RETURN(const auto sent, link->Write(query));
      query.erase(0, sent.value_or(0));
    }
    ASSIGN_OR_RETURN(const auto got, link->Read(buffer));
    if (!got) {
      const Deadline look = std::chrono::steady_clock::now() + kStopCheck;
      const absl::Status came = AwaitSocket(link->socket(), link->events(), std::min(patient, look));
      if (!came.ok() && came.code() != absl::StatusCode::kDeadlineExceeded) return came;
      continue;
    }
    if (*got == 0) return Unavailable("the cache closed the connection");
    ASSIGN_OR_RETURN(const bool complete, reader.Feed({buffer.data(), *got}));
    if (complete) return std::move(reader).Take();
    patient = soon();
  }
}

absl::Status Put(const RtrOptions& rtr, std::string_view json) {
  if (!rtr.save.empty()) return ReplaceFile(rtr.save, json, 0644);
  Print(json);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Exit> RtrDump(const Options& options, const RtrOptions& rtr) {
  const Interrupt interrupt;
  ASSIGN_OR_RETURN(const RtrPlace place, ParseRtrPlace(rtr.place));
  if (!place.is_cache()) return InvalidArgument("'{}' is no RTR cache", rtr.place);
  if (rtr.access.min_version > rtr.access.max_version) return InvalidArgument("--min-version: is above --max-version");
  if (rtr.session.has_value() != rtr.serial.has_value())
    return InvalidArgument("--session and --serial go together: they name what you have");
  if (rtr.session) {
    ASSIGN_OR_RETURN(const RtrDelta delta, AskDelta(place, options, rtr, interrupt.token()));
    RETURN_IF_ERROR(Put(rtr, vrp::WriteJsonDelta(std::to_string(delta.session), *rtr.serial, delta.serial,
                                                 delta.announced, delta.withdrawn)));
    return Exit::kYes;
  }
  RtrClientOptions ask = RtrAsk(options, place, rtr.access, rtr.patience);
  ask.session.strict = rtr.strict;
  RtrClient client(std::move(ask));
  const absl::Status asked = client.Refresh(interrupt.token());
  if (!asked.ok()) return Annotate(asked, rtr.place);
  const rtr::ClientSessionState& state = client.session().state();
  vrp::ExportMetadata metadata;
  metadata.generated = std::time(nullptr);
  metadata.serial = state.serial;
  metadata.session = state.session;
  metadata.rtr_version = state.version;
  RETURN_IF_ERROR(Put(rtr, vrp::WriteJson(client.session().table(), metadata)));
  return Exit::kYes;
}

}  // namespace virp::virpctl
