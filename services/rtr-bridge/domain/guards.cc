#include "services/rtr-bridge/domain/guards.h"

#include <algorithm>
#include <charconv>

#include "lib/base/status.h"
#include "lib/base/text.h"
#include "lib/base/units.h"
#include "lib/vrp/validate.h"

namespace virp::rtr_bridge {
namespace {

constexpr std::size_t kFewRoutes = 5;  // that are named in an objection
constexpr std::string_view kIpv4 = "IPv4 VRPs", kIpv6 = "IPv6 VRPs", kKeys = "router keys", kAspas = "ASPAs";

absl::StatusOr<std::uint32_t> ParseAs(std::string_view text) {
  if (text.starts_with("AS") || text.starts_with("as")) text.remove_prefix(2);
  std::uint32_t as = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), as);
  if (error != std::errc() || end != text.data() + text.size() || text.empty())
    return InvalidArgument("'{}' is no AS number", text);
  return as;
}

// How many of `from` are not in `in`; both sorted by Order.
template <typename T>
std::size_t CountMissing(const std::vector<T>& from, const std::vector<T>& in) {
  std::size_t missing = 0;
  auto one = from.begin();
  auto other = in.begin();
  while (one != from.end() && other != in.end()) {
    const auto order = Order(*one, *other);
    if (order < 0) ++missing;
    if (order <= 0) ++one;
    if (order >= 0) ++other;
  }
  return missing + static_cast<std::size_t>(from.end() - one);
}

// One may always come or go: of a small table it would be more than any part of it.
constexpr std::size_t kFew = 1;

struct Change {
  std::size_t before = 0, lost = 0, gained = 0;
};

template <typename T>
Change Between(const GuardOptions& options, const std::vector<T>& serving, const std::vector<T>& next) {
  return {serving.size(), CountMissing(serving, next), options.max_growth ? CountMissing(next, serving) : 0};
}
Change Between(std::size_t before, std::size_t next) {
  return {before, before - std::min(before, next), next - std::min(before, next)};
}

using Objections = std::vector<Objection>;

// How much of each kind may go and come.
class ChangeGuard {
 public:
  ChangeGuard(const GuardOptions& options, Objections& objections) : options_(options), objections_(objections) {}
  ChangeGuard(const GuardOptions& options, Objections& objections, std::size_t few, std::chrono::nanoseconds ago)
      : options_(options),
        objections_(objections),
        few_(few),
        since_(fmt::format(" within {}", FormatDuration(std::chrono::ceil<std::chrono::minutes>(ago)))) {}

  void CheckAll(const vrp::Payloads& before, const vrp::Payloads& next) {
    Check(kIpv4, Between(options_, before.vrps4, next.vrps4));
    Check(kIpv6, Between(options_, before.vrps6, next.vrps6));
    Check(kKeys, Between(options_, before.router_keys, next.router_keys));
    Check(kAspas, Between(options_, before.aspas, next.aspas));
  }
  void CheckAll(const Counts& before, const rtr::Delta& change) {
    const auto check = [&](std::string_view kind, std::size_t count, const auto& changes) {
      Check(kind, {count, changes.withdrawn.size(), changes.announced.size()});
    };
    check(kIpv4, before.vrps4, change.vrps4);
    check(kIpv6, before.vrps6, change.vrps6);
    check(kKeys, before.router_keys, change.router_keys);
    Change aspas{before.aspas, 0, 0};  // by their customers
    for (const rtr::AspaChange& one : change.aspas) {
      if (one.after.empty()) ++aspas.lost;
      if (one.before.empty()) ++aspas.gained;
    }
    Check(kAspas, aspas);
  }
  void CheckAll(const Counts& before, const Counts& next) {
    Check(kIpv4, Between(before.vrps4, next.vrps4));
    Check(kIpv6, Between(before.vrps6, next.vrps6));
    Check(kKeys, Between(before.router_keys, next.router_keys));
    Check(kAspas, Between(before.aspas, next.aspas));
  }

 private:
  bool IsTooMuch(std::size_t changed, std::size_t of, double part) const {
    return changed > few_ && static_cast<double>(changed) > part * static_cast<double>(of);
  }
  void Check(std::string_view kind, const Change& change) {
    if (IsTooMuch(change.lost, change.before, options_.max_drop)) {
      Add("drop", kind,
          fmt::format("{} of {} {} would go{}, more than the {:.4g} % of --max-drop", change.lost, change.before, kind,
                      since_, options_.max_drop * 100));
    }
    if (options_.max_growth && IsTooMuch(change.gained, change.before, *options_.max_growth)) {
      Add("growth", kind,
          fmt::format("{} {} would come to {}{}, more than the {:.4g} % of --max-growth", change.gained, kind,
                      change.before, since_, *options_.max_growth * 100));
    }
  }
  void Add(std::string_view guard, std::string_view kind, std::string text) {
    objections_.push_back({fmt::format("{} {}", guard, kind), std::move(text)});
  }

  const GuardOptions& options_;
  Objections& objections_;
  const std::size_t few_ = kFew;
  const std::string since_;  // "" or " within 30m"
};

void CheckNumber(const GuardOptions& options, const vrp::Payloads& next, Objections& objections) {
  if (next.size() >= options.min_records) return;
  objections.push_back({"min-records", fmt::format("it has {} records, fewer than the {} of --min-records", next.size(),
                                                   options.min_records)});
}

void CheckRoutes(const GuardOptions& options, const vrp::Payloads& next, Objections& objections) {
  if (options.must_stay_valid.empty()) return;
  // The validator does not outlive this call, and neither does its hold on the set.
  const vrp::RouteValidator validator(std::shared_ptr<const vrp::Payloads>(std::shared_ptr<void>(), &next));
  std::size_t broken = 0;
  for (const RouteToKeep& route : options.must_stay_valid) {
    const vrp::RouteState state = validator.Check(route.prefix, route.origin).state;
    if (state == vrp::RouteState::kValid || ++broken > kFewRoutes) continue;
    const std::string text =
        fmt::format("{} of AS{} would be {}", route.prefix.ToString(), route.origin, vrp::Text(state));
    objections.push_back({text, text});
  }
  if (broken <= kFewRoutes) return;
  const std::string more = fmt::format("and so would {} more of --must-stay-valid", broken - kFewRoutes);
  objections.push_back({more, more});
}

}  // namespace

absl::StatusOr<std::vector<RouteToKeep>> ParseRoutesToKeep(std::string_view name, std::string_view text) {
  std::vector<RouteToKeep> routes;
  RETURN_IF_ERROR(ForEachLine(name, text, [&](std::string_view line) -> absl::Status {
    const std::vector<std::string_view> words = SplitWords(line);
    if (words.size() != 2) return InvalidArgument("a line is PREFIX AS");
    ASSIGN_OR_RETURN(const Prefix prefix, Prefix::Parse(words[0]));
    ASSIGN_OR_RETURN(const std::uint32_t as, ParseAs(words[1]));
    routes.push_back({prefix, as});
    return absl::OkStatus();
  }));
  return routes;
}

std::vector<Objection> FindObjections(const GuardOptions& options, const vrp::Payloads& serving,
                                      const vrp::Payloads& next) {
  Objections objections;
  CheckNumber(options, next, objections);
  ChangeGuard(options, objections).CheckAll(serving, next);
  CheckRoutes(options, next, objections);
  return objections;
}

std::vector<Objection> FindObjections(const GuardOptions& options, const Counts& serving, const rtr::Delta& change,
                                      const vrp::Payloads& next) {
  Objections objections;
  CheckNumber(options, next, objections);
  ChangeGuard(options, objections).CheckAll(serving, change);
  CheckRoutes(options, next, objections);
  return objections;
}

std::vector<Objection> FindObjections(const GuardOptions& options, const std::optional<Counts>& served,
                                      const vrp::Payloads& next) {
  Objections objections;
  CheckNumber(options, next, objections);
  if (served) ChangeGuard(options, objections).CheckAll(*served, Counts::Of(next));
  CheckRoutes(options, next, objections);
  return objections;
}

std::vector<Objection> FindChanges(const GuardOptions& options, const vrp::Payloads& before, const vrp::Payloads& next,
                                   std::size_t few, std::chrono::nanoseconds ago) {
  Objections objections;
  ChangeGuard(options, objections, few, ago).CheckAll(before, next);
  return objections;
}

std::vector<Objection> FindChanges(const GuardOptions& options, const Counts& before, const rtr::Delta& change,
                                   std::size_t few, std::chrono::nanoseconds ago) {
  Objections objections;
  ChangeGuard(options, objections, few, ago).CheckAll(before, change);
  return objections;
}

}  // namespace virp::rtr_bridge
