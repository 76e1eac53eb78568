// From an EST request whose sender is known to its answer; no sockets. Thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lib/http/message.h"
#include "lib/service/caller.h"
#include "services/keymgr/domain/enrolment.h"

namespace virp::keymgr {

// Rows for a table of the EST port alone: its methods are no gRPC methods, and nothing of the gRPC port is here.
std::vector<service::MethodRule> EstAccess();

// What an error is answered with: text for people, and when to come back where that helps.
http::Response EstError(const absl::Status& status);
http::Response EstError(int code, std::string_view why);

class EstAnswerer {
 public:
  // `enrolment` outlives it. `security` has the table of EstAccess.
  EstAnswerer(Enrolment& enrolment, service::Security security);

  // `leaf_pem`: the client's certificate, as its handshake showed it.
  http::Response Answer(const http::Request& request, std::string_view leaf_pem) const;

 private:
  absl::StatusOr<http::Response> Try(const http::Request& request, std::string_view leaf_pem) const;
  absl::StatusOr<service::Identity> Admit(std::string_view method, std::string_view leaf_pem) const;

  Enrolment& enrolment_;
  const service::Security security_;
};

}  // namespace virp::keymgr
