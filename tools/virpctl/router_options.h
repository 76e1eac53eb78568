// What virpctl's commands about the router keys of a key manager do: as commands.h.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "tools/virpctl/commands.h"

namespace virp::virpctl {

// What a key manager tells this router, and what it tells back.
struct RouterReportOptions {
  std::string id;  // of the router, or the slot
  std::uint32_t version = 0;
  std::string event = "installed";      // or signing, replaced
  std::string key, file, trust_anchor;  // files; `file`: certificates
  bool package_valid = false;
  std::string detail, request_id;
  std::string reason = "the router reports";
};
absl::StatusOr<Exit> RouterPlan(const Options& options, const RouterReportOptions& report);
absl::StatusOr<Exit> RouterReport(const Options& options, const RouterReportOptions& report);

// Router keys of a key manager.
struct RouterKeyOptions {
  std::string id;                  // of a router, slot or request
  std::string file;                // account, request, log
  std::string reason, request_id;  // of changes
  std::uint32_t asn = 0, bgp_id = 0, version = 0;
  std::string usage, router;
  std::string recipient, save;  // files; of `provision` `save` is a folder
  std::string continuity;       // keep-signing, disable-bgpsec, offline
  bool emergency = false, unconfirmed = false, yes = false;
};
absl::StatusOr<Exit> RouterKeysRegister(const Options& options, const RouterKeyOptions& keys);
absl::StatusOr<Exit> RouterKeysUpdate(const Options& options, const RouterKeyOptions& keys);
absl::StatusOr<Exit> RouterKeysRouters(const Options& options, const RouterKeyOptions& keys);
absl::StatusOr<Exit> RouterKeysRouter(const Options& options, const RouterKeyOptions& keys);
absl::StatusOr<Exit> RouterKeysDecommission(const Options& options, const RouterKeyOptions& keys);
absl::StatusOr<Exit> RouterKeysCustodyLog(const Options& options, const RouterKeyOptions& keys);
absl::StatusOr<Exit> RouterKeysSubmit(const Options& options, const RouterKeyOptions& keys);
absl::StatusOr<Exit> RouterKeysPending(const Options& options, const RouterKeyOptions& keys);
absl::StatusOr<Exit> RouterKeysApprove(const Options& options, const RouterKeyOptions& keys);
absl::StatusOr<Exit> RouterKeysReject(const Options& options, const RouterKeyOptions& keys);
absl::StatusOr<Exit> RouterKeysCreate(const Options& options, const RouterKeyOptions& keys);
absl::StatusOr<Exit> RouterKeysIssue(const Options& options, const RouterKeyOptions& keys);
absl::StatusOr<Exit> RouterKeysPackage(const Options& options, const RouterKeyOptions& keys);
absl::StatusOr<Exit> RouterKeysProvision(const Options& options, const RouterKeyOptions& keys);
absl::StatusOr<Exit> RouterKeysCertificates(const Options& options, const RouterKeyOptions& keys);
absl::StatusOr<Exit> RouterKeysList(const Options& options, const RouterKeyOptions& keys);
absl::StatusOr<Exit> RouterKeysShow(const Options& options, const RouterKeyOptions& keys);
absl::StatusOr<Exit> RouterKeysActivate(const Options& options, const RouterKeyOptions& keys);
absl::StatusOr<Exit> RouterKeysTaint(const Options& options, const RouterKeyOptions& keys);
absl::StatusOr<Exit> RouterKeysRevoke(const Options& options, const RouterKeyOptions& keys);

}  // namespace virp::virpctl
