#include "services/rtr-bridge/domain/expiry_guard.h"

#include <algorithm>
#include <string_view>
#include <type_traits>
#include <utility>

#include "lib/base/status.h"
#include "lib/vrp/replace.h"
#include "lib/vrp/set.h"
#include "lib/vrp/validate.h"

namespace virp::rtr_bridge {
namespace {

constexpr UnixNanos kSecond = 1'000'000'000;
constexpr std::int64_t kSoon = 3'600;  // seconds: a person has that long to look at it
constexpr std::string_view kAbout = "expiry ";
constexpr std::size_t kFew = 1;
constexpr std::size_t kFewRoutes = 5;  // that are named

bool IsEarlier(vrp::Expires a, vrp::Expires b) {
  return a != b && vrp::LaterExpiry(a, b) == b;
}

// Calls `each` with the places in both of what they share.
template <typename One, typename Other, typename Each>
void ForShared(One& one, Other& other, Each each) {
  auto at = other.begin();
  for (auto& payload : one) {
    while (at != other.end() && Order(*at, payload) < 0) ++at;
    if (at == other.end()) return;
    if (Order(*at, payload) == 0) each(payload, *at);
  }
}

// Of `next`, what ends earlier than in `serving`, and by `soon`.
template <typename T>
std::vector<T> Shortened(const std::vector<T>& serving, const std::vector<T>& next, std::int64_t soon) {
  std::vector<T> out;
  ForShared(serving, next, [&](const T& before, const T& after) {
    if (IsEarlier(after.expires, before.expires) && vrp::IsExpired(after.expires, soon)) out.push_back(after);
  });
  return out;
}

class ExpiryGuard {
 public:
  ExpiryGuard(const GuardOptions& options, std::vector<Objection>& objections)
      : options_(options), objections_(objections) {}

  void Check(std::string_view kind, std::size_t shortened, std::size_t of) {
    if (shortened <= kFew || static_cast<double>(shortened) <= options_.max_drop * static_cast<double>(of)) return;
    objections_.push_back({fmt::format("{}{}", kAbout, kind),
                           fmt::format("{} of {} {} would expire within an hour, earlier than they said before, more "
                                       "than the {:.4g} % of --max-drop",
                                       shortened, of, kind, options_.max_drop * 100)});
  }
  // Routes that are valid with `next`, and not without what is `shortened` of it.
  void CheckRoutes(const vrp::Payloads& next, const vrp::Payloads& shortened) {
    if (options_.must_stay_valid.empty() || (shortened.vrps4.empty() && shortened.vrps6.empty())) return;
    const vrp::RouteValidator now(std::shared_ptr<const vrp::Payloads>(std::shared_ptr<void>(), &next));
    const vrp::RouteValidator soon(std::make_shared<const vrp::Payloads>(vrp::Replaced(next, shortened, {})));
    std::size_t broken = 0;
    for (const RouteToKeep& route : options_.must_stay_valid) {
      if (now.Check(route.prefix, route.origin).state != vrp::RouteState::kValid) continue;  // that is told elsewhere
      const vrp::RouteState state = soon.Check(route.prefix, route.origin).state;
      if (state == vrp::RouteState::kValid || ++broken > kFewRoutes) continue;
      Add(
          fmt::format("{} of AS{} would be {} within an hour: what makes it valid would expire earlier than it said "
                      "before",
                      route.prefix.ToString(), route.origin, vrp::Text(state)));
    }
    if (broken > kFewRoutes) Add(fmt::format("and so would {} more of --must-stay-valid", broken - kFewRoutes));
  }

 private:
  void Add(const std::string& text) { objections_.push_back({fmt::format("{}{}", kAbout, text), text}); }

  const GuardOptions& options_;
  std::vector<Objection>& objections_;
};

template <typename T>
bool TakeAll(std::vector<T>& serving, const std::vector<T>& other, TakeExpiry take) {
  bool taken = false;
  ForShared(serving, other, [&](T& mine, const T& theirs) {
    if constexpr (std::is_same_v<T, vrp::Aspa>) {
      if (mine.providers != theirs.providers) return;
    }
    if (take == TakeExpiry::kLater ? !IsEarlier(mine.expires, theirs.expires) : mine.expires == theirs.expires) return;
    mine.expires = theirs.expires;
    taken = true;
  });
  return taken;
}

}  // namespace

std::vector<Objection> FindExpiryObjections(const GuardOptions& options, const vrp::Payloads& serving,
                                            const vrp::Payloads& next, UnixNanos now) {
  const std::int64_t soon = static_cast<std::int64_t>(now / kSecond) + kSoon;
  const vrp::Payloads shortened{Shortened(serving.vrps4, next.vrps4, soon), Shortened(serving.vrps6, next.vrps6, soon),
                                Shortened(serving.router_keys, next.router_keys, soon),
                                Shortened(serving.aspas, next.aspas, soon)};
  std::vector<Objection> objections;
  ExpiryGuard guard(options, objections);
  guard.Check("IPv4 VRPs", shortened.vrps4.size(), serving.vrps4.size());
  guard.Check("IPv6 VRPs", shortened.vrps6.size(), serving.vrps6.size());
  guard.Check("router keys", shortened.router_keys.size(), serving.router_keys.size());
  guard.Check("ASPAs", shortened.aspas.size(), serving.aspas.size());
  guard.CheckRoutes(next, shortened);
  return objections;
}

bool AnyOfExpiry(const std::vector<Objection>& objections) {
  return std::ranges::any_of(objections, [](const Objection& one) { return one.about.starts_with(kAbout); });
}

std::shared_ptr<const vrp::Payloads> WithExpiriesOf(std::shared_ptr<const vrp::Payloads> serving,
                                                    const vrp::Payloads& other, TakeExpiry take) {
  auto out = std::make_shared<vrp::Payloads>(*serving);
  bool taken = TakeAll(out->vrps4, other.vrps4, take);
  taken |= TakeAll(out->vrps6, other.vrps6, take);
  taken |= TakeAll(out->router_keys, other.router_keys, take);
  taken |= TakeAll(out->aspas, other.aspas, take);
  return taken ? std::move(out) : std::move(serving);
}

}  // namespace virp::rtr_bridge
