// O-Keys on the wire.
#pragma once

#include <google/protobuf/duration.pb.h>

#include <chrono>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "services/keymgr/domain/observation_keys.h"
#include "virp/keymgr/v1/observation_key.pb.h"

namespace virp::keymgr {

// Without secrets.
void ToMessage(const ObservationKey& key, v1::ObservationKey& to);
// Name, form and holders. InvalidArgument for a form that is none.
absl::StatusOr<ObservationKey> FromMessage(const v1::ObservationKey& from);

// Nothing for UNSPECIFIED; InvalidField for one that is none.
absl::StatusOr<std::optional<Algorithm>> AlgorithmOf(v1::KeySuite suite, std::string_view field);

// With secrets: wipe the message when it is sent (lib/keys/wipe_secrets.h).
void ToMessage(const HeldKeys& keys, v1::SourceKeys& to);

// InvalidField when it is negative or out of range.
absl::StatusOr<std::chrono::nanoseconds> DurationOf(const google::protobuf::Duration& from, std::string_view field);

// The revision that an etag stands for; 0 for an empty one. InvalidField for one of somebody else.
absl::StatusOr<std::uint64_t> RevisionOf(std::string_view etag);

}  // namespace virp::keymgr
