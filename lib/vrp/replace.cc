#include "lib/vrp/replace.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace virp::vrp {
namespace {

// The first that is not in front of `what`, from `from` on: near to it more often than not.
template <typename It, typename T>
It FirstFrom(It from, It end, const T& what) {
  for (std::ptrdiff_t step = 1;; step *= 2) {
    const bool last = end - from <= step;
    if (last || Order(from[step], what) >= 0) {
      return std::lower_bound(from, last ? end : from + step, what,
                              [](const T& a, const T& b) { return Order(a, b) < 0; });
    }
    from += step;
  }
}

// What lies between two changes is taken over as a whole: there is much of it, and few changes.
template <typename T>
std::vector<T> Merge(const std::vector<T>& set, const std::vector<T>& gone, const std::vector<T>& news,
                     std::vector<T>& left) {
  std::vector<T> out;
  out.reserve(set.size() + news.size());
  auto rest = set.begin();
  auto leave = gone.begin();
  auto come = news.begin();
  while (leave != gone.end() || come != news.end()) {
    const bool comes = leave == gone.end() || (come != news.end() && Order(*come, *leave) <= 0);
    const T& change = comes ? *come : *leave;
    const auto at = FirstFrom(rest, set.end(), change);
    out.insert(out.end(), rest, at);
    rest = at;
    if (at != set.end() && Order(*at, change) == 0) left.push_back(*rest++);
    if (comes) {
      out.push_back(*come++);
    } else {
      ++leave;
    }
  }
  out.insert(out.end(), rest, set.end());
  return out;
}

template <typename T>
std::vector<T> WithOtherExpiry(const std::vector<T>& before, const std::vector<T>& now) {
  std::vector<T> out;
  auto old = before.begin();
  for (const T& payload : now) {
    while (old != before.end() && Order(*old, payload) < 0) ++old;
    if (old == before.end()) break;
    if (Order(*old, payload) == 0 && old->expires != payload.expires) out.push_back(payload);
  }
  return out;
}

}  // namespace

Payloads Replaced(const Payloads& set, const Payloads& gone, const Payloads& news) {
  return Exchange(set, gone, news).set;
}

Exchanged Exchange(const Payloads& set, const Payloads& gone, const Payloads& news) {
  Exchanged out;
  out.set.vrps4 = Merge(set.vrps4, gone.vrps4, news.vrps4, out.left.vrps4);
  out.set.vrps6 = Merge(set.vrps6, gone.vrps6, news.vrps6, out.left.vrps6);
  out.set.router_keys = Merge(set.router_keys, gone.router_keys, news.router_keys, out.left.router_keys);
  out.set.aspas = Merge(set.aspas, gone.aspas, news.aspas, out.left.aspas);
  return out;
}

Payloads Renewed(const Payloads& before, const Payloads& now) {
  Payloads out;
  out.vrps4 = WithOtherExpiry(before.vrps4, now.vrps4);
  out.vrps6 = WithOtherExpiry(before.vrps6, now.vrps6);
  out.router_keys = WithOtherExpiry(before.router_keys, now.router_keys);
  out.aspas = WithOtherExpiry(before.aspas, now.aspas);
  return out;
}

}  // namespace virp::vrp
