#include "tools/virpctl/rtr_payloads.h"

#include <atomic>
#include <ctime>
#include <utility>

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/vrp/json.h"

namespace virp::virpctl {

RtrClientOptions RtrAsk(const Options& options, const RtrPlace& place, const RtrAccess& access,
                        std::uint32_t patience) {
  RtrClientOptions ask;
  ask.place = place;
  ask.access = access;
  ask.session.strict = false;
  ask.timeout = options.connection.timeout;
  ask.patience = std::chrono::seconds(patience);
  return ask;
}

absl::StatusOr<RtrSource> RtrSource::Make(const Options& options, const std::string& place, const RtrAccess& access,
                                          std::uint32_t patience) {
  ASSIGN_OR_RETURN(RtrPlace parsed, ParseRtrPlace(place));
  if (access.min_version > access.max_version) return InvalidArgument("{}: min-version is above max-version", place);
  RtrSource source(std::move(parsed));
  if (source.place_.is_cache()) {
    source.client_ = std::make_unique<RtrClient>(RtrAsk(options, source.place_, access, patience));
  } else if (source.place_.kind == RtrPlace::Kind::kUrl) {
    http::HttpFetchOptions fetch;
    fetch.url = place;
    fetch.roots = access.roots;
    fetch.connect_timeout = options.connection.timeout;
    fetch.timeout = std::chrono::seconds(patience);
    fetch.user_agent = "virpctl";
    ASSIGN_OR_RETURN(source.fetch_, http::HttpFetch::Make(std::move(fetch)));
  }
  return source;
}

absl::Status RtrSource::Take(std::string text) {
  vrp::JsonOptions how;
  how.now = std::time(nullptr);
  auto document = vrp::DecodeJson(text, how);
  if (!document.ok()) return Annotate(document.status(), place_.text);
  payloads_ = std::make_shared<const vrp::Payloads>(std::move(document->payloads));
  return absl::OkStatus();
}

absl::Status RtrSource::Read(const std::stop_token& stop) {
  if (client_ != nullptr) {
    const absl::Status asked = client_->Refresh(stop);
    if (!asked.ok()) return Annotate(asked, place_.text);
    const rtr::ClientUpdate& update = client_->session().state().last_update;
    if (payloads_ == nullptr || update.full || update.announced + update.withdrawn > 0)
      payloads_ = std::make_shared<const vrp::Payloads>(client_->session().table());
    return absl::OkStatus();
  }
  if (fetch_ != nullptr) {
    std::atomic<bool> stopped{false};
    const std::stop_callback on_stop(stop, [&stopped] { stopped = true; });
    ASSIGN_OR_RETURN(http::Fetched fetched, fetch_->Get(stopped));
    if (!fetched.changed) return absl::OkStatus();
    RETURN_IF_ERROR(Take(std::move(fetched.body)));
    fetch_->Keep();
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(std::string text, ReadFile(place_.text, vrp::kMaxJsonBytes));
  return Take(std::move(text));
}

}  // namespace virp::virpctl
