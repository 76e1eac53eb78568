// Routers, their keys and requests between the wire and the domain.
#pragma once

#include <optional>

#include "absl/status/statusor.h"
#include "services/keymgr/domain/router_keys.h"
#include "virp/keymgr/v1/router_key.pb.h"

namespace virp::keymgr {

// InvalidField names what does not fit; the domain checks the values.
absl::StatusOr<RouterSpec> SpecOf(const v1::Router& router);
absl::StatusOr<std::uint64_t> RevisionOfRouter(const v1::Router& router);  // from its etag; 0: none
absl::StatusOr<RouterEvent> EventOf(v1::RouterEvent event);
// Nothing when it is not given.
absl::StatusOr<std::optional<Continuity>> ContinuityOf(v1::RouterContinuity continuity);

void Fill(v1::Router& to, const RouterRecord& router);
// `spec` of its router, for what is missing.
void Fill(v1::RouterKeySlot& to, const RouterSlotRecord& slot, const RouterSpec& spec, UnixNanos now);
void Fill(v1::EscrowRequest& to, const EscrowReleaseRecord& release);
void Fill(v1::RouterCsr& to, const RouterRequestRecord& request);
void Fill(v1::RouterPlan& to, const RouterPlan& plan);

}  // namespace virp::keymgr
