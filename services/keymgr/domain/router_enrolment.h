// Enrolment by routers themselves as RouterKeys has it: whose agent asks is whose router it is for, and who is not
// known by what its account says waits for approval.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "services/keymgr/domain/enrolment.h"
#include "services/keymgr/domain/router_keys.h"

namespace virp::keymgr {

// Thread-safe. `keys` outlives it.
class RouterEnrolment final : public Enrolment {
 public:
  explicit RouterEnrolment(RouterKeys& keys) : keys_(keys) {}

  absl::StatusOr<EnrolmentAnswer> Enrol(const EnrolmentRequest& request) override;
  absl::StatusOr<EnrolmentAnswer> Reenrol(const EnrolmentRequest& request) override;
  absl::StatusOr<std::vector<std::string>> CaCertificates() const override;

 private:
  absl::StatusOr<EnrolmentAnswer> Submit(const EnrolmentRequest& request, std::string_view method, bool renew);

  RouterKeys& keys_;
};

}  // namespace virp::keymgr
