#include "tools/virpctl/rtr_history.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "lib/base/status.h"
#include "lib/frame/payload.h"
#include "tools/virpctl/output.h"

namespace virp::virpctl {

absl::StatusOr<RtrTold> ReadRtrTold(std::uint64_t entry, UnixNanos observed, const std::string& payload) {
  frame::PayloadReader reader;
  ASSIGN_OR_RETURN(const frame::Value said, reader.Read(payload));
  const auto text = [&](const char* key) { return std::string(said[key].AsString().value_or("")); };
  const auto number = [&](const char* key) { return said[key].AsUnsigned().value_or(0); };
  RtrTold told;
  told.entry = entry;
  told.time = said["told_ns"].AsUnsigned().value_or(observed);
  told.payload = payload;
  told.event = text("event");
  told.transport = text("transport");
  told.identity = text("identity");
  told.why = text("why");
  told.set = text("set_sha256");
  told.connection = number("connection");
  told.version = number("version");
  told.session = number("session_id");
  told.serial = number("serial");
  told.first = number("first_ns");
  told.last = number("last_ns");
  return told;
}

void RtrHistory::Take(RtrTold told) {
  if (told.event == "sessions_summarised") {
    holes_.push_back({told.first, told.last, fmt::format("records are summarised: entry {}", told.entry)});
  }
  if (told.time > by_) return;
  // Records behind a summary are of before it: the newest is not always the first.
  const auto newest = [&](std::optional<RtrTold>& of) {
    if (!of || of->time < told.time) of = told;
  };
  if (told.event == "end_of_data_sent") {
    newest(sent_);
    ends_.push_back(told);
  }
  if (told.event == "serial_confirmed") newest(confirmed_);
  if (told_.size() < limit_) told_.push_back(std::move(told));
}

absl::Status RtrHistory::TakeCache(const std::string& payload) {
  frame::PayloadReader reader;
  ASSIGN_OR_RETURN(const frame::Value said, reader.Read(payload));
  if (said["event"].AsString() != "records_lost") return absl::OkStatus();
  Hole hole;
  hole.since = said["since_ns"].AsUnsigned().value_or(0);
  hole.until = said["until_ns"].AsUnsigned().value_or(std::numeric_limits<UnixNanos>::max());
  hole.why = fmt::format("records of the bridge may be lost ({})", said["why"].AsString().value_or("unknown"));
  holes_.push_back(std::move(hole));
  return absl::OkStatus();
}

std::string RtrHistory::confirmed_set() const {
  if (!confirmed_) return "";
  const auto at =
      std::find_if(ends_.begin(), ends_.end(), [&](const RtrTold& end) { return end.data() == confirmed_->data(); });
  return at == ends_.end() ? "" : at->set;
}

std::vector<std::string> RtrHistory::missing() const {
  const UnixNanos from = sent_ ? sent_->time : 0;
  std::vector<std::string> out;
  for (const Hole& hole : holes_) {
    if (hole.since > by_ || hole.until <= from) continue;
    out.push_back(fmt::format(
        "from {} to {} {}", TimeText(hole.since),
        hole.until == std::numeric_limits<UnixNanos>::max() ? "an unknown time" : TimeText(hole.until), hole.why));
  }
  return out;
}

}  // namespace virp::virpctl
