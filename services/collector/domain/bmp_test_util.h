// Helpers of this folder's BMP tests: an output that keeps what was said, and a router with a session on it.
#pragma once

#include <fmt/format.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/status.h"
#include "lib/bmp/bmp_testing.h"
#include "lib/frame/payload.h"
#include "services/collector/domain/bmp_router.h"
#include "services/collector/domain/bmp_session.h"

namespace virp::collector::testing {

inline constexpr std::string_view kSource = "edge-a.bmp";

// Keeps observations in order. Lines read "type tier event ..." for comparing.
class KeptOutput final : public BmpOutput {
 public:
  struct Item {
    std::string source;
    deliver::Observation observation;
  };
  std::deque<Item> items;
  std::uint64_t epoch = 7;  // of what is said next
  std::uint64_t said = 0;   // in it

  deliver::Observation& Add(std::string_view source) override {
    items.push_back({std::string(source), {}});
    ++said;
    return items.back().observation;
  }
  deliver::Position Next(std::string_view) const override { return {.epoch = epoch, .last_sequence = said + 1}; }

  // What was said since the last call, one line each, in a short form.
  std::vector<std::string> Take() {
    std::vector<std::string> out;
    out.reserve(items.size());
    for (const Item& item : items) out.push_back(Line(item));
    items.clear();
    return out;
  }

  static std::string Line(const Item& item) {
    frame::PayloadReader reader;
    const auto payload = reader.Read(item.observation.payload);
    if (!payload.ok()) return "NOT I-JSON: " + item.observation.payload;
    const auto text = [&](std::string_view key) { return std::string((*payload)[key].AsString().value_or("-")); };
    const auto on = [&](std::string_view key) {
      return (*payload)[key].AsBool().value_or(false) ? " " + std::string(key) : "";
    };
    std::string out =
        fmt::format("{} {}", static_cast<int>(item.observation.type), frame::TierName(item.observation.tier));
    switch (item.observation.type) {
      case frame::Type::kPeerStatusChanged:
        out += fmt::format(" {} {}>{}", text("peer_addr"), text("old_state"), text("new_state"));
        break;
      case frame::Type::kPeerBackwardTransition:
        out += fmt::format(" {} down after {}", text("peer_addr"), text("last_state"));
        break;
      case frame::Type::kBgpProcess:
        out += fmt::format(" {} {} {}", text("event"), text("peer_addr"), text("rib"));
        if ((*payload)["prefix"].present()) {
          out += fmt::format(" {}#{}", text("prefix"), (*payload)["path_id"].AsUnsigned().value_or(99));
        }
        if ((*payload)["prefixes"].present()) out += fmt::format(" of {}", (*payload)["prefixes"].size());
        break;
      case frame::Type::kChannelAlarm:
        out += fmt::format(" alarm {} {} x{}", text("source"), text("cause"),
                           (*payload)["count"].AsUnsigned().value_or(1));
        break;
      default:
        break;
    }
    if ((*payload)["red_rule"].present()) out += " " + text("red_rule");
    return out + on("inferred") + on("restated");
  }
};

// One router, its table and clock, and BMP sessions with it.
class RouterBench : public BmpBinder {
 public:
  explicit RouterBench(BmpRouterOptions of_router = {}) {
    options.collector_source = "collector-1";
    of_router.source = kSource;
    if (of_router.addresses.empty()) of_router.addresses = {IpAddress::V4(0xc0000201)};
    options.routers.push_back(std::move(of_router));
    Restart();
  }

  // A process with nothing but what the tables saved.
  void Restart() {
    session.reset();
    router.reset();
    const std::string saved = tables == nullptr ? std::string() : tables->Save();
    tables = std::make_unique<BmpTables>(options);
    if (!tables->Load(saved).ok()) throw std::runtime_error("the tables do not load");
    MakeRouter();
  }
  void MakeRouter() {
    router = std::make_unique<BmpRouter>(options, options.routers[0], *tables->Find(kSource), output, clock);
  }

  absl::StatusOr<BmpRouter*> Bind(const bmp::Initiation& initiation) override {
    router->Connected("192.0.2.1", "plain", initiation);
    return router.get();
  }

  void Connect() {
    session.reset();
    session = std::make_unique<BmpSession>(*this);
  }
  void Feed(std::string_view bytes) {
    const absl::Status status = session->Feed(bytes);
    if (!status.ok()) throw std::runtime_error(std::string(Message(status)));
  }
  void Pass(std::chrono::nanoseconds time) {
    clock.Advance(time);
    router->Tick();
    while (router->RestateSome()) {
    }
  }
  static std::string Initiation(std::string_view sys_name = "edge-a", std::string_view sys_descr = "test") {
    return bmp::testing::Bmp(
        4, bmp::testing::Cat(bmp::testing::TlvBytes(1, sys_descr), bmp::testing::TlvBytes(2, sys_name)));
  }

  FakeClock clock;
  BmpOptions options;
  KeptOutput output;
  std::unique_ptr<BmpTables> tables;
  std::unique_ptr<BmpRouter> router;
  std::unique_ptr<BmpSession> session;
};

// "peer rib prefix#id" to attribute text: all that a table holds.
inline std::map<std::string, std::string> Contents(const RouterTable& table) {
  std::map<std::string, std::string> out;
  for (const auto& [key, peer] : table.peers()) {
    for (std::size_t rib = 0; rib < kRibs; ++rib) {
      if (peer->tables[rib] == nullptr) continue;
      peer->tables[rib]->ForEach([&](const bmp::Route& route, const HeldPath& path) {
        out[fmt::format("{} {} {}#{}", peer->address.ToString(), bmp::RibName(static_cast<bmp::Rib>(rib)),
                        route.prefix.ToString(), route.path_id)] = table.texts().Text(path.attributes);
      });
    }
  }
  return out;
}

}  // namespace virp::collector::testing
