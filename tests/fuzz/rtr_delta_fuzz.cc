// What an RTR cache sends to those tools of virpctl that keep no table: `rtr dump --serial` and `rtr bench`. Input: a
// byte for the version, one that seeds the pieces, then the bytes. Cut in two ways they come to the same.
#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "lib/vrp/export.h"
#include "lib/vrp/set.h"
#include "tests/fuzz/require.h"
#include "tools/virpctl/rtr_counter.h"
#include "tools/virpctl/rtr_delta.h"

using namespace virp;  // NOLINT(google-build-using-namespace): a fuzz target is one function

namespace {

// Calls `feed` with piece after piece, as long as it wants more.
template <typename Feed>
void Cut(std::string_view bytes, unsigned seed, const Feed& feed) {
  while (!bytes.empty()) {
    seed = seed * 1'103'515'245 + 12'345;
    const std::string_view piece = bytes.substr(0, 1 + (seed >> 16) % 40);
    if (!feed(piece)) return;
    bytes.remove_prefix(piece.size());
  }
}

absl::StatusOr<bool> InPieces(virpctl::RtrDeltaReader& reader, std::string_view bytes, unsigned seed) {
  absl::StatusOr<bool> complete = false;
  Cut(bytes, seed, [&](std::string_view piece) {
    complete = reader.Feed(piece);
    return complete.ok() && !*complete;
  });
  return complete;
}

template <typename T>
void InOrder(const std::vector<T>& all) {
  for (std::size_t i = 1; i < all.size(); ++i) REQUIRE(vrp::Order(all[i - 1], all[i]) < 0);
}

// It is printed as this.
void CheckText(const virpctl::RtrDelta& delta) {
  const auto json = nlohmann::json::parse(
      vrp::WriteJsonDelta(std::to_string(delta.session), 1, delta.serial, delta.announced, delta.withdrawn));
  REQUIRE(json["serial"] == delta.serial);
  const std::size_t announced = delta.announced.vrps4.size() + delta.announced.vrps6.size();
  REQUIRE(json["announced"].size() >= announced);
}

void Delta(std::uint8_t version, std::string_view bytes, unsigned seed) {
  virpctl::RtrDeltaReader whole(version), pieces(version);
  const auto complete = whole.Feed(bytes);
  const auto again = InPieces(pieces, bytes, seed);
  REQUIRE(complete.status() == again.status());
  if (!complete.ok()) return;
  REQUIRE(*complete == *again);
  if (!*complete) return;
  const virpctl::RtrDelta one = std::move(whole).Take(), other = std::move(pieces).Take();
  REQUIRE(one.session == other.session && one.serial == other.serial);
  REQUIRE(vrp::HashOf(one.announced) == vrp::HashOf(other.announced));
  for (const vrp::Payloads* set : {&one.announced, &one.withdrawn}) {
    InOrder(set->vrps4);
    InOrder(set->vrps6);
    InOrder(set->router_keys);
  }
  InOrder(one.announced.aspas);
  REQUIRE(version > 0 || one.announced.router_keys.empty());
  REQUIRE(version > 1 || (one.announced.aspas.empty() && one.withdrawn.aspas.empty()));
  CheckText(one);
}

void Count(std::uint8_t version, std::string_view bytes, unsigned seed) {
  virpctl::RtrCounter whole(version), pieces(version);
  const absl::Status status = whole.Feed(bytes);
  absl::Status again;
  Cut(bytes, seed, [&](std::string_view piece) {
    again = pieces.Feed(piece);
    return again.ok();
  });
  REQUIRE(status == again);
  REQUIRE(whole.updates() == pieces.updates() && whole.records() == pieces.records());
  REQUIRE(whole.notifies() == pieces.notifies() && whole.output() == pieces.output());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const auto version = static_cast<std::uint8_t>(data[0] % rtr::kVersions);
  Delta(version, bytes, data[1]);
  Count(version, bytes, data[1]);
  return 0;
}
