// Routers, their keys and requests as people read them.
#pragma once

#include <string>

#include "tools/virpctl/keymgr_session.h"
#include "virp/keymgr/v1/router.pb.h"

namespace virp::virpctl {

std::string RouterTable(const keymgr::v1::Router& router);
std::string SlotTable(const keymgr::v1::RouterKeySlot& slot);
std::string RequestTable(const keymgr::v1::RouterCsr& request);

std::string StateText(keymgr::v1::RouterKeyState state);  // "READY"
std::string AsnsText(const keymgr::v1::Router& router);   // "64496, 64497"
// "3 ACTIVE, 4 READY": the versions that are not over, or "-".
std::string VersionsText(const keymgr::v1::RouterKeySlot& slot);

// A change of one version of a slot.
template <typename Request, typename From>
Request ChangeOf(const From& from) {
  auto request = Change<Request>(from);
  request.set_slot(from.id);
  request.set_version(from.version);
  return request;
}

// An answer that holds a slot.
template <typename Response>
absl::StatusOr<Exit> ShowSlot(const Options& options, const absl::StatusOr<Response>& response) {
  return Show(options, response, [](const Response& answer) { return SlotTable(answer.slot()); });
}

}  // namespace virp::virpctl
