#include "services/keymgr/router_options.h"

namespace virp::keymgr {
namespace {

UnixNanos NanosOf(std::chrono::seconds time) {
  return static_cast<UnixNanos>(std::chrono::nanoseconds(time).count());
}

}  // namespace

void AddRouterOptions(service::Options& options, RouterConfig& config) {
  using std::chrono::hours;
  using std::chrono::minutes;
  constexpr hours kYear{24 * 366};
  options.Add(&config.staging, "router-staging", "Until relying parties have a key that was published.", minutes(1),
              kYear);
  options.Add(&config.propagation, "router-propagation", "Until they have dropped one that was revoked.", minutes(1),
              kYear);
  options.Add(&config.destroy_after, "router-destroy-after",
              "How long a private key is kept once nobody accepts it any more.", minutes(1), kYear);
  options.Add(&config.keys.renew_before, "router-renew-before",
              "How long before their end router certificates are renewed, a week at least.", kLeastRenewBefore, kYear);
  options.Add(&config.keys.transfer_life, "router-transfer-life",
              "Life of the certificate that key packages are signed with.", hours(24), kYear);
  RequestLimits& requests = config.keys.requests;
  options.Add(&requests.waiting, "router-request-waiting", "Requests that nobody decided end after so long.", hours(1),
              kYear);
  options.Add(&requests.kept, "router-request-kept", "Refused requests are forgotten after so long.", hours(1),
              10 * kYear);
  options.Add(&requests.per_router, "router-requests", "Decided requests that are kept of one router, the newest.",
              std::size_t{16}, std::size_t{10'000});
  options.Add(&requests.in_all, "router-requests-in-all", "The same of all routers together.", std::size_t{1'000},
              std::size_t{10'000'000});
}

RouterKeyOptions RouterKeyOptionsOf(const RouterConfig& config) {
  RouterKeyOptions out = config.keys;
  out.times.staging = NanosOf(config.staging);
  out.times.propagation = NanosOf(config.propagation);
  out.times.destroy_after = NanosOf(config.destroy_after);
  return out;
}

}  // namespace virp::keymgr
