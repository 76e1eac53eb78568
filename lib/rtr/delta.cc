#include "lib/rtr/delta.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "lib/base/status.h"

namespace virp::rtr {
namespace {

constexpr auto kLess = [](const auto& a, const auto& b) { return vrp::Order(a, b) < 0; };

template <typename T>
Changes<T> DiffSets(const std::vector<T>& from, const std::vector<T>& to) {
  Changes<T> out;
  auto a = from.begin();
  auto b = to.begin();
  while (a != from.end() && b != to.end()) {
    const auto order = vrp::Order(*a, *b);
    if (order == 0) {
      ++a;
      ++b;
    } else if (order < 0) {
      out.withdrawn.push_back(*a++);
    } else {
      out.announced.push_back(*b++);
    }
  }
  out.withdrawn.insert(out.withdrawn.end(), a, from.end());
  out.announced.insert(out.announced.end(), b, to.end());
  return out;
}

std::vector<AspaChange> DiffAspas(const std::vector<vrp::Aspa>& from, const std::vector<vrp::Aspa>& to) {
  std::vector<AspaChange> out;
  auto a = from.begin();
  auto b = to.begin();
  while (a != from.end() || b != to.end()) {
    const bool gone = b == to.end() || (a != from.end() && a->customer < b->customer);
    const bool come = !gone && (a == from.end() || b->customer < a->customer);
    if (gone) {
      out.push_back({a->customer, a->providers, {}, vrp::kNeverExpires});
    } else if (come) {
      out.push_back({b->customer, {}, b->providers, b->expires});
    } else if (a->providers != b->providers) {
      out.push_back({a->customer, a->providers, b->providers, b->expires});
    }
    if (!come) ++a;
    if (!gone) ++b;
  }
  return out;
}

template <typename T>
std::vector<T> Minus(const std::vector<T>& from, const std::vector<T>& what) {
  std::vector<T> out;
  std::set_difference(from.begin(), from.end(), what.begin(), what.end(), std::back_inserter(out), kLess);
  return out;
}

template <typename T>
std::vector<T> Both(std::vector<T> a, std::vector<T> b) {
  if (a.empty()) return b;
  if (b.empty()) return a;
  std::vector<T> out;
  out.reserve(a.size() + b.size());
  std::merge(std::make_move_iterator(a.begin()), std::make_move_iterator(a.end()), std::make_move_iterator(b.begin()),
             std::make_move_iterator(b.end()), std::back_inserter(out), kLess);
  return out;
}

// What one step announces and the other withdraws is as if it had never been.
template <typename T>
Changes<T> ComposeSets(const Changes<T>& first, const Changes<T>& second) {
  return {.announced = Both(Minus(first.announced, second.withdrawn), Minus(second.announced, first.withdrawn)),
          .withdrawn = Both(Minus(first.withdrawn, second.announced), Minus(second.withdrawn, first.announced))};
}

std::vector<AspaChange> ComposeAspas(const std::vector<AspaChange>& first, const std::vector<AspaChange>& second) {
  std::vector<AspaChange> out;
  auto a = first.begin();
  auto b = second.begin();
  while (a != first.end() && b != second.end()) {
    if (a->customer < b->customer) {
      out.push_back(*a++);
    } else if (b->customer < a->customer) {
      out.push_back(*b++);
    } else {
      if (a->before != b->after) out.push_back({a->customer, a->before, b->after, b->expires});
      ++a;
      ++b;
    }
  }
  out.insert(out.end(), a, first.end());
  out.insert(out.end(), b, second.end());
  return out;
}

template <typename T>
void Take(std::vector<T>& out, typename std::vector<T>::const_iterator from,
          typename std::vector<T>::const_iterator to) {
  out.insert(out.end(), from, to);
}
template <typename T>
void Take(std::vector<T>& out, typename std::vector<T>::iterator from, typename std::vector<T>::iterator to) {
  out.insert(out.end(), std::make_move_iterator(from), std::make_move_iterator(to));
}

// `Set` is std::vector<T>, const for a copy.
template <typename T, typename Set>
absl::StatusOr<std::vector<T>> ApplyToSet(const Changes<T>& changes, Set& set) {
  if (changes.withdrawn.size() > set.size()) return FailedPrecondition("the delta withdraws more than there is");
  std::vector<T> out;
  out.reserve(set.size() + changes.announced.size() - changes.withdrawn.size());
  auto rest = set.begin();
  auto come = changes.announced.begin();
  auto gone = changes.withdrawn.begin();
  while (come != changes.announced.end() || gone != changes.withdrawn.end()) {
    const bool withdraw =
        come == changes.announced.end() || (gone != changes.withdrawn.end() && vrp::Order(*gone, *come) < 0);
    const T& record = withdraw ? *gone : *come;
    const auto at = std::lower_bound(rest, set.end(), record, kLess);
    const bool there = at != set.end() && vrp::Order(*at, record) == 0;
    if (there != withdraw) {
      return withdraw ? FailedPrecondition("the delta withdraws a record that is not there")
                      : FailedPrecondition("the delta announces a record that is there");
    }
    Take(out, rest, at);
    rest = at;
    if (withdraw) {
      ++rest;
      ++gone;
    } else {
      out.push_back(*come++);
    }
  }
  Take(out, rest, set.end());
  return out;
}

template <typename Set>
absl::StatusOr<std::vector<vrp::Aspa>> ApplyToAspas(const std::vector<AspaChange>& changes, Set& set) {
  std::vector<vrp::Aspa> out;
  out.reserve(set.size() + changes.size());
  auto rest = set.begin();
  for (const AspaChange& change : changes) {
    const auto at = std::lower_bound(rest, set.end(), change.customer,
                                     [](const vrp::Aspa& a, std::uint32_t customer) { return a.customer < customer; });
    const bool there = at != set.end() && at->customer == change.customer;
    if (there == change.before.empty() || (there && at->providers != change.before)) {
      return FailedPrecondition("the delta changes the ASPA of AS {} from providers that it does not have",
                                change.customer);
    }
    Take(out, rest, at);
    rest = at;
    if (there) ++rest;
    if (!change.after.empty()) {
      out.push_back({.customer = change.customer, .expires = change.expires, .providers = change.after});
    }
  }
  Take(out, rest, set.end());
  return out;
}

// What does not change is assigned as it is: from an rvalue that costs nothing.
template <typename P>
absl::StatusOr<vrp::Payloads> ApplyAll(const Delta& delta, P& payloads) {
  const auto whole = [](auto& set) {
    if constexpr (std::is_const_v<P>) {
      return set;
    } else {
      return std::move(set);
    }
  };
  vrp::Payloads out;
  const auto set = [&](const auto& changes, auto& from, auto& to) {
    if (changes.size() == 0) {
      to = whole(from);
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(to, ApplyToSet(changes, from));
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(set(delta.vrps4, payloads.vrps4, out.vrps4));
  RETURN_IF_ERROR(set(delta.vrps6, payloads.vrps6, out.vrps6));
  RETURN_IF_ERROR(set(delta.router_keys, payloads.router_keys, out.router_keys));
  if (delta.aspas.empty()) {
    out.aspas = whole(payloads.aspas);
  } else {
    ASSIGN_OR_RETURN(out.aspas, ApplyToAspas(delta.aspas, payloads.aspas));
  }
  return out;
}

}  // namespace

std::size_t Delta::SizeIn(std::uint8_t version) const {
  const VersionRules& rules = RulesOf(version);
  return vrps4.size() + vrps6.size() + (rules.Carries(PduType::kRouterKey) ? router_keys.size() : 0) +
         (rules.Carries(PduType::kAspa) ? aspas.size() : 0);
}

Delta Diff(const vrp::Payloads& from, const vrp::Payloads& to) {
  return {.vrps4 = DiffSets(from.vrps4, to.vrps4),
          .vrps6 = DiffSets(from.vrps6, to.vrps6),
          .router_keys = DiffSets(from.router_keys, to.router_keys),
          .aspas = DiffAspas(from.aspas, to.aspas)};
}

Delta Compose(const Delta& first, const Delta& second) {
  return {.vrps4 = ComposeSets(first.vrps4, second.vrps4),
          .vrps6 = ComposeSets(first.vrps6, second.vrps6),
          .router_keys = ComposeSets(first.router_keys, second.router_keys),
          .aspas = ComposeAspas(first.aspas, second.aspas)};
}

absl::StatusOr<vrp::Payloads> Apply(const Delta& delta, const vrp::Payloads& payloads) {
  return ApplyAll(delta, payloads);
}

absl::StatusOr<vrp::Payloads> Apply(const Delta& delta, vrp::Payloads&& payloads) {
  return ApplyAll(delta, payloads);
}

}  // namespace virp::rtr
