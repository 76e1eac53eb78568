#include "services/rtr-bridge/domain/exports.h"

#include <algorithm>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/sha256.h"
#include "lib/vrp/export.h"

namespace virp::rtr_bridge {
namespace {

constexpr UnixNanos kSecond = 1'000'000'000;
constexpr std::uint8_t kVersion = rtr::kMaxVersion;  // whose changes have every kind of payload

std::int64_t SecondsOf(UnixNanos time) {
  return static_cast<std::int64_t>(time / kSecond);
}

Document Shared(std::string text) {
  return std::make_shared<const std::string>(std::move(text));
}

// One side of a delta as a set.
vrp::Payloads SetOf(const rtr::Delta& delta, bool announced) {
  const auto side = [&](const auto& changes) { return announced ? changes.announced : changes.withdrawn; };
  vrp::Payloads set{side(delta.vrps4), side(delta.vrps6), side(delta.router_keys), {}};
  for (const rtr::AspaChange& change : delta.aspas) {
    if (change.after.empty() == announced) continue;
    set.aspas.push_back({change.customer, change.expires, announced ? change.after : change.before});
  }
  return set;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const ServedView>> Exports::Serving() const {
  auto view = board_.view();
  if (view == nullptr) return WithReason(Unavailable("nothing is loaded yet"), "NO_DATA");
  return view;
}

// What others read of us is at most kRenew older by its own word than it is: a set that does not change stays good.
absl::Status Exports::MakeJson() {
  ASSIGN_OR_RETURN(const auto view, Serving());
  const UnixNanos true_at = cache_.TrueAt();
  constexpr auto kRenewNanos = static_cast<UnixNanos>(std::chrono::nanoseconds(kRenew).count());
  const bool current = json_.document.body != nullptr && json_.of.lock() == view;
  if (current && true_at < json_.true_at + kRenewNanos) return absl::OkStatus();
  vrp::ExportMetadata metadata;
  metadata.generated = SecondsOf(true_at);
  metadata.serial = view->snapshot().serial(kVersion);
  json_.document.body.reset();  // the old one need not be there beside the new one
  Document body = Shared(vrp::WriteJson(*view->payloads(), metadata));
  const Hash hash = crypto::Sha256(*body);
  const std::int64_t modified = std::max(SecondsOf(clock_.NowNanos()), json_.document.modified + 1);
  json_ = {view, true_at, {std::move(body), "\"" + HexEncode(View(hash)) + "\"", modified}, nullptr};
  return absl::OkStatus();
}

absl::StatusOr<DatedDocument> Exports::Json() {
  const MutexLock lock(json_mutex_);
  RETURN_IF_ERROR(MakeJson());
  return json_.document;
}

absl::StatusOr<Document> Exports::Signature() {
  if (!sign_) return NotFound("this bridge signs no exports (http-signing-key, http-sign-as)");
  const MutexLock lock(json_mutex_);
  RETURN_IF_ERROR(MakeJson());
  if (json_.signature == nullptr) {
    ASSIGN_OR_RETURN(std::string signature, sign_(*json_.document.body));
    json_.signature = Shared(std::move(signature));
  }
  return json_.signature;
}

absl::StatusOr<Document> Exports::Delta(const std::optional<std::string>& session, std::uint32_t serial) {
  ASSIGN_OR_RETURN(const auto view, Serving());
  const rtr::Snapshot& snapshot = view->snapshot();
  const std::string current = SessionName(snapshot.session(kVersion));
  const std::uint32_t to = snapshot.serial(kVersion);
  const MutexLock lock(delta_mutex_);
  if (deltas_.session != current || deltas_.serial != to) deltas_ = {current, to, nullptr, {}, 0};
  if (session == current && snapshot.Reaches(kVersion, serial)) {
    const auto [made, is_new] = deltas_.since.try_emplace(serial);
    if (is_new) {
      const rtr::Delta changes = *snapshot.Changes(kVersion, serial);
      made->second =
          Shared(vrp::WriteJsonDelta(current, serial, to, SetOf(changes, /*announced=*/true), SetOf(changes, false)));
      const std::size_t octets = made->second->size();
      if (rtr::SerialDistance(serial, to) > 1) {  // others are what nearly all ask for
        deltas_.octets += octets;
        if (deltas_.octets > most_delta_octets_) {
          deltas_.octets -= octets;
          made->second = nullptr;
        }
      }
    }
    if (made->second != nullptr) return made->second;
  }
  if (deltas_.reset == nullptr) deltas_.reset = Shared(vrp::WriteJsonReset(current, to, *view->payloads()));
  return deltas_.reset;
}

void Exports::Trim() {
  const auto view = board_.view();
  {
    const MutexLock lock(json_mutex_);
    if (view == nullptr || json_.of.lock() != view) json_ = {{}, 0, {nullptr, "", json_.document.modified}, nullptr};
  }
  const bool none = view == nullptr;
  const std::string session = none ? "" : SessionName(view->snapshot().session(kVersion));
  const std::uint32_t serial = none ? 0 : view->snapshot().serial(kVersion);
  const MutexLock lock(delta_mutex_);
  if (deltas_.session != session || deltas_.serial != serial) deltas_ = {};
}

std::string Exports::SessionName(std::uint16_t session) const {
  const Hash hash = crypto::Sha256(fmt::format("{}/{}", name_, session));
  return std::to_string(LoadBe<std::uint64_t>(View(hash).data()));
}

}  // namespace virp::rtr_bridge
