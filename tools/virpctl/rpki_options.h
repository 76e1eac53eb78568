// What virpctl's commands about the key manager's own RPKI do: as commands.h.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "tools/virpctl/commands.h"

namespace virp::virpctl {

struct RpkiOptions {
  std::string reason, request_id;        // of changes
  std::string save;                      // a file, or a folder where there may be several
  std::string tal;                       // a file, of `trust-anchor`
  std::string format = "rpki-client";    // rpki-client, slurm, bgp-srx
  std::uint32_t days = 60, limit = 100;  // of `expiring`
  std::string kind, id;                  // of a certificate, as `expiring` shows them
  bool yes = false;
};
absl::StatusOr<Exit> RpkiSetUp(const Options& options, const RpkiOptions& rpki);
absl::StatusOr<Exit> RpkiTrustAnchor(const Options& options, const RpkiOptions& rpki);
absl::StatusOr<Exit> RpkiPublication(const Options& options, const RpkiOptions& rpki);
// Starts it, or says where it stands with `publication`.
absl::StatusOr<Exit> RpkiRollAuthority(const Options& options, const RpkiOptions& rpki);
absl::StatusOr<Exit> RpkiPublish(const Options& options, const RpkiOptions& rpki);
// Exit::kNo where a router that should have a certificate has none.
absl::StatusOr<Exit> RpkiExpiring(const Options& options, const RpkiOptions& rpki);
absl::StatusOr<Exit> RpkiAcknowledge(const Options& options, const RpkiOptions& rpki);
absl::StatusOr<Exit> RpkiCalendar(const Options& options, const RpkiOptions& rpki);
absl::StatusOr<Exit> RpkiExport(const Options& options, const RpkiOptions& rpki);
absl::StatusOr<Exit> RpkiWatch(const Options& options, const RpkiOptions& rpki);

}  // namespace virp::virpctl
