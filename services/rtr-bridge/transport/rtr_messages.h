// The bridge's own values as messages.
#pragma once

#include "lib/vrp/validate.h"
#include "services/rtr-bridge/domain/generation.h"
#include "services/rtr-bridge/domain/session_log.h"
#include "services/rtr-bridge/domain/source_table.h"
#include "virp/rtr/v1/rtr_service.pb.h"

namespace virp::rtr_bridge {

void ToMessage(const Counts& counts, virp::rtr::v1::Counts& message);
void ToMessage(const Generation& generation, virp::rtr::v1::Generation& message);
void ToMessage(const HeldGeneration& held, virp::rtr::v1::HeldGeneration& message);
void ToMessage(const SourceState& source, UnixNanos now, virp::rtr::v1::SourceStatus& message);
void ToMessage(const RouterView& view, virp::rtr::v1::RouterSession& message);
void ToMessage(const Prefix& route, std::uint32_t origin, const vrp::RouteValidity& validity,
               virp::rtr::v1::RouteValidity& message);
virp::rtr::v1::MergePolicy ToMessage(MergePolicy policy);
virp::rtr::v1::ServingState ToMessage(ServingState state);

}  // namespace virp::rtr_bridge
