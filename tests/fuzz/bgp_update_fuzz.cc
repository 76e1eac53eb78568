// The body of one BGP UPDATE. First byte: the five bits of UpdateContext.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "lib/bmp/bmp_testing.h"
#include "tests/fuzz/require.h"

namespace virp::bmp {
namespace {

void CheckRoute(const Route& route) {
  const auto again = Prefix::ParseCanonical(route.prefix.ToString());
  REQUIRE(again.ok() && *again == route.prefix);
}

template <typename T>
bool IsSet(const std::vector<T>& values) {
  return std::is_sorted(values.begin(), values.end()) &&
         std::adjacent_find(values.begin(), values.end()) == values.end();
}

void CheckAttributes(const PathAttributes& attributes) {
  REQUIRE(IsSet(attributes.communities) && IsSet(attributes.large_communities) &&
          IsSet(attributes.extended_communities));
  std::size_t numbers = 0;
  for (const auto& segment : attributes.as_path.segments()) {
    REQUIRE(segment.size > 0);
    numbers += segment.size;
  }
  REQUIRE(numbers == attributes.as_path.numbers().size());
  REQUIRE(attributes.as_path.ToString().empty() == attributes.as_path.empty());
  REQUIRE(attributes.CommunityTexts().size() ==
          attributes.communities.size() + attributes.large_communities.size() + attributes.extended_communities.size());
}

void CheckUpdate(const Update& update, std::size_t size) {
  REQUIRE(update.withdrawn.size() + update.announced.size() <= size);
  REQUIRE(update.skipped.size() <= 2);
  REQUIRE((update.error == UpdateError::kNone) == update.error_text.empty());
  if (update.error == UpdateError::kTreatAsWithdraw) REQUIRE(update.announced.empty());
  if (update.end_of_rib) REQUIRE(update.announced.empty() && update.withdrawn.empty());
  for (const auto& route : update.withdrawn) CheckRoute(route);
  for (const auto& announcement : update.announced) CheckRoute(announcement.route);
  CheckAttributes(update.attributes);
}

}  // namespace
}  // namespace virp::bmp

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace virp::bmp;
  if (size == 0) return 0;
  const auto bit = [&](int n) { return (data[0] >> n & 1) != 0; };
  const UpdateContext given{bit(0), {bit(1), bit(2)}, {bit(3), bit(4)}};
  const std::string_view body(reinterpret_cast<const char*>(data + 1), size - 1);

  static Update reused;  // what an earlier input left behind must not show
  UpdateContext context = given;
  const auto status = DecodeUpdate(body, context, reused);
  Update fresh;
  UpdateContext again = given;
  REQUIRE(DecodeUpdate(body, again, fresh) == status);
  REQUIRE(reused.withdrawn == fresh.withdrawn && reused.attributes == fresh.attributes &&
          reused.error_text == fresh.error_text);
  REQUIRE(reused.announced.size() == fresh.announced.size() && reused.end_of_rib == fresh.end_of_rib);
  if (status.ok()) {
    CheckUpdate(reused, body.size());
    REQUIRE(given.ipv4.adaptive || context.ipv4.path_ids == given.ipv4.path_ids);
    REQUIRE(given.ipv6.adaptive || context.ipv6.path_ids == given.ipv6.path_ids);
  } else {
    REQUIRE(reused.withdrawn.empty() && reused.announced.empty() && reused.attributes == PathAttributes());
    REQUIRE(context.ipv4.path_ids == given.ipv4.path_ids && context.ipv6.path_ids == given.ipv6.path_ids);
  }
  return 0;
}
