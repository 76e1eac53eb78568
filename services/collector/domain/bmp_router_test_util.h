// What the tests of BmpRouter feed it.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "services/collector/domain/bmp_test_util.h"

namespace virp::collector::testing {

using bmp::testing::BasicAttributes;
using bmp::testing::BgpBytes;
using bmp::testing::Bmp;
using bmp::testing::Cat;
using bmp::testing::Nlri;
using bmp::testing::OpenBody;
using bmp::testing::PeerBytes;
using bmp::testing::PeerUpBytes;
using bmp::testing::RouteMonitoringBytes;
using bmp::testing::U8;
using bmp::testing::UpdateBody;

inline std::string Up(const PeerBytes& peer = {}) {
  return PeerUpBytes(peer, OpenBody(64500, "192.0.2.1"), OpenBody(peer.as, peer.bgp_id));
}
inline std::string Announce(std::string_view prefix, const PeerBytes& peer = {},
                            std::string_view attributes = BasicAttributes()) {
  return RouteMonitoringBytes(peer, UpdateBody("", attributes, Nlri(prefix)));
}
inline std::string Withdraw(std::string_view prefix, const PeerBytes& peer = {}) {
  return RouteMonitoringBytes(peer, UpdateBody(Nlri(prefix), "", ""));
}
inline std::string EndOfRib(const PeerBytes& peer = {}) {
  return RouteMonitoringBytes(peer, UpdateBody("", "", ""));
}
inline std::string Down(unsigned reason, std::string_view detail = {}, const PeerBytes& peer = {}) {
  return Bmp(2, Cat(std::string(peer), U8(reason), detail));
}
inline std::string Cease(unsigned subcode) {
  return BgpBytes(3, Cat(U8(6), U8(subcode)));
}

inline BmpRouterOptions Routes() {
  BmpRouterOptions router;
  router.mode = BmpMode::kRoutes;
  return router;
}

// Connected, with one peer up, two routes and End-of-RIB; what was said is taken.
inline std::unique_ptr<RouterBench> WithTwoRoutes(BmpRouterOptions options = Routes()) {
  auto bench = std::make_unique<RouterBench>(std::move(options));
  bench->Connect();
  bench->Feed(
      Cat(RouterBench::Initiation(), Up(), Announce("203.0.113.0/24"), Announce("198.51.100.0/24"), EndOfRib()));
  bench->Pass(std::chrono::seconds(1));
  bench->output.Take();
  return bench;
}

}  // namespace virp::collector::testing
