// Machine-readable facts on an absl::Status: the reason, the wrong fields, when to retry. Domain and storage code
// attach them here; lib/service/errors.h turns them into google.rpc details on the way out, and back on the client's
// side. Annotate() keeps them. Everything here is thread-safe.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace virp {

struct FieldViolation {
  std::string field;        // path in the request: "claims[3].peer.address"
  std::string description;  // what is wrong with it

  friend bool operator==(const FieldViolation&, const FieldViolation&) = default;
};

// Sets the reason of a failed status, replacing one that is there; an OK status stays as it is. The reason is
// UPPER_SNAKE_CASE and stable, since programs branch on it; metadata are facts they may need, never key material.
void SetReason(absl::Status& status, std::string_view reason, const std::map<std::string, std::string>& metadata = {});
std::string GetReason(const absl::Status& status);  // empty when there is none
std::map<std::string, std::string> GetMetadata(const absl::Status& status);

// The same as an expression: return WithReason(FailedPrecondition(...), "NOT_LEADER", {{"leader", address}});
absl::Status WithReason(absl::Status status, std::string_view reason,
                        const std::map<std::string, std::string>& metadata = {});

// Adds one wrong field; several may be added.
void AddField(absl::Status& status, std::string_view field, std::string_view description);
std::vector<FieldViolation> GetFields(const absl::Status& status);

// InvalidArgument "field: description", with the field attached.
absl::Status InvalidField(std::string_view field, std::string_view description);

// Marks the message as meant for our log, not for peers: of stores, files and other machinery behind a request. The
// code and reason are still told. ToGrpcStatus obeys.
void Hide(absl::Status& status);
bool IsHidden(const absl::Status& status);

void SetRetryAfter(absl::Status& status, std::chrono::milliseconds delay);
std::optional<std::chrono::milliseconds> GetRetryAfter(const absl::Status& status);

}  // namespace virp
