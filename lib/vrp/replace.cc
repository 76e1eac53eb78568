#include "lib/vrp/replace.h"

#include <utility>

namespace virp::vrp {
namespace {

template <typename T>
std::vector<T> Merge(const std::vector<T>& set, const std::vector<T>& gone, std::vector<T> news) {
  std::vector<T> out;
  out.reserve(set.size() + news.size());
  std::size_t next_gone = 0, next_news = 0;
  for (const T& payload : set) {
    while (next_gone < gone.size() && Order(gone[next_gone], payload) < 0) ++next_gone;
    const bool goes = next_gone < gone.size() && Order(gone[next_gone], payload) == 0;
    while (next_news < news.size() && Order(news[next_news], payload) < 0) out.push_back(std::move(news[next_news++]));
    if (next_news < news.size() && Order(news[next_news], payload) == 0) {
      out.push_back(std::move(news[next_news++]));
    } else if (!goes) {
      out.push_back(payload);
    }
  }
  for (; next_news < news.size(); ++next_news) out.push_back(std::move(news[next_news]));
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

Payloads Replaced(const Payloads& set, const Payloads& gone, Payloads news) {
  Payloads out;
  out.vrps4 = Merge(set.vrps4, gone.vrps4, std::move(news.vrps4));
  out.vrps6 = Merge(set.vrps6, gone.vrps6, std::move(news.vrps6));
  out.router_keys = Merge(set.router_keys, gone.router_keys, std::move(news.router_keys));
  out.aspas = Merge(set.aspas, gone.aspas, std::move(news.aspas));
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
