// For tests: an Enrolment that certifies whatever is a request, with a small RPKI of its own.
#pragma once

#include <fmt/format.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/mutex.h"
#include "lib/crypto/p256.h"
#include "lib/rpki/check.h"
#include "services/keymgr/domain/enrolment.h"
#include "tests/testutil/rpki_lab.h"

namespace virp::keymgr {

// Certifies at once, or does what it is told to. Thread-safe: the server's threads call it.
class FakeEnrolment final : public Enrolment {
 public:
  using Answer = absl::StatusOr<EnrolmentAnswer>;

  Answer Enrol(const EnrolmentRequest& request) override { return Take("enrol", request); }
  Answer Reenrol(const EnrolmentRequest& request) override { return Take("reenrol", request); }
  absl::StatusOr<std::vector<std::string>> CaCertificates() const override {
    return std::vector<std::string>{lab.ta, lab.ca};
  }

  void AnswerWith(Answer answer) {
    const MutexLock lock(mutex_);
    instead_ = std::move(answer);
  }
  void Certify() {  // again
    const MutexLock lock(mutex_);
    instead_.reset();
  }
  std::vector<std::string> calls() const {  // what, who, AS
    const MutexLock lock(mutex_);
    return calls_;
  }
  std::pair<std::string, std::string> last() const {  // request, TLS certificate; DER
    const MutexLock lock(mutex_);
    return last_;
  }

  const testutil::RpkiLab lab;

 private:
  Answer Take(std::string_view what, const EnrolmentRequest& request) {
    const MutexLock lock(mutex_);
    calls_.push_back(fmt::format("{} {} {}", what, request.enrolee.identity, request.asn.value_or(0)));
    last_ = {std::string(request.csr), request.enrolee.certificate};
    if (instead_) return *instead_;
    const auto refusals = rpki::CheckRouterRequest(request.csr, {});
    if (!refusals.empty()) return rpki::AsStatus(refusals, "the request");
    const auto key = crypto::P256PublicKey::FromSpki(x509::ParseRequest(request.csr)->spki);
    return Enrolled{lab.Router(request.asn.value_or(64496), *key)};
  }

  mutable Mutex mutex_;
  std::optional<Answer> instead_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> calls_ ABSL_GUARDED_BY(mutex_);
  std::pair<std::string, std::string> last_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp::keymgr
