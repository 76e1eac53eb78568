// Route origin validation (RFC 6811) against a set: which VRPs cover a route, and what follows for it. Immutable and
// thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lib/base/ip.h"
#include "lib/vrp/payload.h"

namespace virp::vrp {

enum class RouteState : std::uint8_t { kNotFound, kValid, kInvalid };
// Why a route is invalid: no VRP that covers it has its AS, or those that have it do not reach its length.
enum class InvalidReason : std::uint8_t { kNone, kAs, kLength };

struct RouteAnswer {
  RouteState state = RouteState::kNotFound;
  InvalidReason reason = InvalidReason::kNone;
};

// A VRP as an answer shows it.
struct CoveringVrp {
  Prefix prefix;
  int max_length = 0;
  std::uint32_t as = 0;
};

// The VRPs that cover the route, each in one of the three; long prefixes first, then large maxLengths, then small ASs.
// Of each of the three at most kMostShown: a set may have any number of VRPs that cover one route.
struct RouteValidity {
  static constexpr std::size_t kMostShown = 1'000;

  RouteAnswer answer;
  std::vector<CoveringVrp> matched;
  std::vector<CoveringVrp> unmatched_as;
  std::vector<CoveringVrp> unmatched_length;  // of the route's AS
  std::size_t left_out = 0;                   // covering VRPs beyond
};

class RouteValidator {
 public:
  // Keeps the set, and beside it 4 bytes for each VRP and, for a large table, 256 KiB. Takes a few milliseconds for
  // 600,000 VRPs.
  explicit RouteValidator(std::shared_ptr<const Payloads> set);
  ~RouteValidator();

  // `origin` is the AS that RFC 6811 section 2 calls the route origin AS; 0 for a path that ends in an AS_SET, or NONE:
  // no VRP matches it, and no VRP of AS 0 matches anything.
  RouteAnswer Check(const Prefix& route, std::uint32_t origin) const;
  RouteValidity Explain(const Prefix& route, std::uint32_t origin) const;

 private:
  template <typename Vrp>
  struct Table;

  std::shared_ptr<const Payloads> set_;
  std::unique_ptr<const Table<Vrp4>> table4_;
  std::unique_ptr<const Table<Vrp6>> table6_;
};

// "valid", "invalid", "not-found"; "as", "length", and "" for kNone.
std::string_view Text(RouteState state);
std::string_view Text(InvalidReason reason);

// The answer of Routinator's /api/v1/validity: {"validated_route": {...}, "generatedTime": ...}; `now` is seconds since
// 1970.
std::string ValidityJson(const Prefix& route, std::uint32_t origin, const RouteValidity& validity, std::int64_t now);

// One element of "validated_routes", for answers about many.
void AppendValidatedRoute(std::string& out, const Prefix& route, std::uint32_t origin, const RouteValidity& validity);

}  // namespace virp::vrp
