// Payloads as messages and back.
#pragma once

#include "absl/status/status.h"
#include "lib/rtr/delta.h"
#include "lib/vrp/builder.h"
#include "lib/vrp/payload.h"
#include "virp/rtr/v1/payload.pb.h"

namespace virp::rtr_bridge {

void ToMessage(const vrp::Vrp4& vrp, virp::rtr::v1::Vrp& message);
void ToMessage(const vrp::Vrp6& vrp, virp::rtr::v1::Vrp& message);
void ToMessage(const vrp::RouterKey& key, virp::rtr::v1::RouterKey& message);
void ToMessage(const vrp::Aspa& aspa, virp::rtr::v1::Aspa& message);

// InvalidArgument says which payload is impossible.
absl::Status AddMessage(const virp::rtr::v1::PayloadSet& set, vrp::Builder& builder);
// Of payloads that go: an ASPA is named by its customer alone, and built with AS 0 as its provider.
absl::Status AddWithdrawn(const virp::rtr::v1::PayloadSet& set, vrp::Builder& builder);

}  // namespace virp::rtr_bridge
