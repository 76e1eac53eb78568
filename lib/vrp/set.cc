#include "lib/vrp/set.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "lib/base/big_endian.h"
#include "lib/crypto/sha256.h"
#include "lib/vrp/merge.h"

namespace virp::vrp {
namespace {

// The earlier of two expiries, where "never" is the latest.
bool Later(Expires a, Expires b) {
  return b != kNeverExpires && (a == kNeverExpires || a > b);
}

// Walks the sets side by side and calls `take(copies)` with the pointers to all equals of one payload, in Order. Sets
// are few, so the least of their heads is found by looking at each.
template <typename T, typename Take>
void Walk(std::span<const Payloads* const> sets, std::vector<T> Payloads::* member, Take take) {
  struct Cursor {
    const T* at;
    const T* end;
  };
  std::vector<Cursor> cursors;
  for (const Payloads* set : sets) {
    const auto& all = set->*member;
    if (!all.empty()) cursors.push_back({all.data(), all.data() + all.size()});
  }
  std::vector<const T*> copies;
  while (!cursors.empty()) {
    copies.assign(1, cursors[0].at);
    for (std::size_t i = 1; i < cursors.size(); ++i) {
      const auto order = Order(*cursors[i].at, *copies[0]);
      if (order > 0) continue;
      if (order < 0) copies.clear();
      copies.push_back(cursors[i].at);
    }
    take(copies);
    bool ended = false;
    std::size_t copy = 0;
    for (Cursor& cursor : cursors) {
      if (copy == copies.size() || cursor.at != copies[copy]) continue;
      ++copy;
      ended = ++cursor.at == cursor.end || ended;
    }
    if (ended) std::erase_if(cursors, [](const Cursor& c) { return c.at == c.end; });
  }
}

template <typename T>
void Count(std::size_t quorum, std::span<const Payloads* const> sets, std::vector<T> Payloads::* member, Built& out) {
  auto& all = out.payloads.*member;
  const Payloads* only = nullptr;
  std::size_t having = 0;
  for (const Payloads* set : sets) {
    if ((set->*member).empty()) continue;
    only = set;
    ++having;
  }
  if (having <= 1) {  // as with keys from here and VRPs from there
    if (having >= quorum) all = only->*member;
    return;
  }
  std::size_t most = 0;
  for (const Payloads* set : sets) most = std::max(most, (set->*member).size());
  all.reserve(most);
  std::vector<Expires> expiries;
  Walk(sets, member, [&](const std::vector<const T*>& copies) {
    out.duplicates += copies.size() - 1;
    if (copies.size() < quorum) return;
    all.push_back(*copies[0]);
    if (copies.size() == 1) return;
    expiries.clear();
    for (const T* copy : copies) expiries.push_back(copy->expires);
    std::nth_element(expiries.begin(), expiries.begin() + static_cast<std::ptrdiff_t>(quorum - 1), expiries.end(),
                     Later);
    all.back().expires = expiries[quorum - 1];
  });
}

void CountAspas(std::size_t quorum, std::span<const Payloads* const> sets, Built& out) {
  std::vector<std::pair<std::uint32_t, Expires>> votes;
  Walk(sets, &Payloads::aspas, [&](const std::vector<const Aspa*>& copies) {
    out.duplicates += copies.size() - 1;
    votes.clear();
    for (const Aspa* copy : copies) {
      for (const std::uint32_t provider : copy->providers) votes.emplace_back(provider, copy->expires);
    }
    std::sort(votes.begin(), votes.end(), [](const auto& a, const auto& b) {
      return a.first != b.first ? a.first < b.first : Later(a.second, b.second);
    });
    Aspa one;
    one.customer = copies[0]->customer;
    for (std::size_t first = 0; first < votes.size();) {
      std::size_t last = first;
      while (last < votes.size() && votes[last].first == votes[first].first) ++last;
      if (last - first >= quorum) {
        const Expires expires = votes[first + quorum - 1].second;
        one.expires = one.providers.empty() ? expires : LaterExpiry(one.expires, expires);
        one.providers.push_back(votes[first].first);
      }
      first = last;
    }
    if (!one.providers.empty() && FinishAspa(one, out.refused)) out.payloads.aspas.push_back(std::move(one));
  });
}

template <typename T>
void CopyLasting(const std::vector<T>& from, std::vector<T>& to, std::int64_t now) {
  to.reserve(from.size());
  std::copy_if(from.begin(), from.end(), std::back_inserter(to),
               [now](const T& payload) { return !IsExpired(payload.expires, now); });
}

template <typename F>
void ForEachKind(const Payloads& set, F f) {
  f(set.vrps4);
  f(set.vrps6);
  f(set.router_keys);
  f(set.aspas);
}

// Encodes into a buffer that is hashed when it is full.
class HashWriter {
 public:
  template <std::unsigned_integral T>
  void Number(T value) {
    PutBe(Room(sizeof(T)), value);
  }
  void Bytes(std::string_view bytes) {
    for (; !bytes.empty(); bytes.remove_prefix(std::min(bytes.size(), kSize)))
      bytes.copy(Room(std::min(bytes.size(), kSize)), kSize);
  }
  // Where the next `size` octets are to be written, at most kSize.
  char* Room(std::size_t size) {
    if (size > kSize - used_) {
      hash_.Add({buffer_.get(), used_});
      used_ = 0;
    }
    return buffer_.get() + std::exchange(used_, used_ + size);
  }
  Hash End() {
    hash_.Add({buffer_.get(), used_});
    return hash_.End();
  }

 private:
  static constexpr std::size_t kSize = 1 << 15;
  const std::unique_ptr<char[]> buffer_ = std::make_unique_for_overwrite<char[]>(kSize);
  std::size_t used_ = 0;
  crypto::Sha256Stream hash_;
};

// `N` bytes each, many in a row: to ask for room for each of them takes longer than to write it.
template <std::size_t N, typename Vrp, typename Put>
void HashVrps(HashWriter& out, const std::vector<Vrp>& vrps, Put put) {
  constexpr std::size_t kRow = 512, kCacheLine = 64;
  for (std::span<const Vrp> rest(vrps); !rest.empty();) {
    const std::span<const Vrp> row = rest.first(std::min(rest.size(), kRow));
    rest = rest.subspan(row.size());
    // On its way while this one is hashed: the set has long left the caches.
    const auto* next = reinterpret_cast<const char*>(rest.data());
    for (std::size_t i = 0; i < std::min(rest.size(), kRow) * sizeof(Vrp); i += kCacheLine)
      __builtin_prefetch(next + i);
    char* at = out.Room(row.size() * N);
    for (const Vrp& vrp : row) {
      put(at, vrp);
      at += N;
    }
  }
}

}  // namespace

Built AtLeast(std::size_t quorum, std::span<const Payloads* const> sets) {
  quorum = std::max<std::size_t>(quorum, 1);
  Built out;
  Count(quorum, sets, &Payloads::vrps4, out);
  Count(quorum, sets, &Payloads::vrps6, out);
  Count(quorum, sets, &Payloads::router_keys, out);
  CountAspas(quorum, sets, out);
  return out;
}

Built Union(std::span<const Payloads* const> sets) {
  return AtLeast(1, sets);
}

Payloads WithoutExpired(const Payloads& set, std::int64_t now) {
  Payloads out;
  CopyLasting(set.vrps4, out.vrps4, now);
  CopyLasting(set.vrps6, out.vrps6, now);
  CopyLasting(set.router_keys, out.router_keys, now);
  CopyLasting(set.aspas, out.aspas, now);
  return out;
}

Expires NextExpiry(const Payloads& set, std::int64_t now) {
  // As unsigned numbers "never" minus one is the latest.
  Expires next = kNeverExpires - 1;
  bool any = false;
  ForEachKind(set, [&](const auto& all) {
    for (const auto& payload : all) {
      if (payload.expires == kNeverExpires || payload.expires <= now) continue;
      any = true;
      next = std::min(next, payload.expires);
    }
  });
  return any ? next : kNeverExpires;
}

void FirstExpiry::Add(Expires expires, First& first) {
  if (expires == kNeverExpires || (first.count != 0 && expires > first.expires)) return;
  if (first.count != 0 && expires == first.expires) {
    ++first.count;
  } else {
    first = {expires, 1};
  }
}

FirstExpiry::First FirstExpiry::FirstOf(const Payloads& set) {
  First first;
  ForEachKind(set, [&](const auto& all) {
    for (const auto& payload : all) Add(payload.expires, first);
  });
  return first;
}

const FirstExpiry::Known* FirstExpiry::Find(const std::shared_ptr<const Payloads>& set) const {
  const auto found = std::find_if(known_.begin(), known_.end(), [&](const Known& known) {
    return !known.set.owner_before(set) && !set.owner_before(known.set);
  });
  return found == known_.end() ? nullptr : &*found;
}

void FirstExpiry::Remember(const std::shared_ptr<const Payloads>& set, const First& first) {
  known_[next_++ % known_.size()] = {set, first};
}

Expires FirstExpiry::Of(const std::shared_ptr<const Payloads>& set) {
  if (const Known* known = Find(set); known != nullptr) return known->first.expires;
  const First first = FirstOf(*set);
  Remember(set, first);
  return first.expires;
}

void FirstExpiry::Follow(const std::shared_ptr<const Payloads>& before, const Payloads& left, const Payloads& came,
                         const std::shared_ptr<const Payloads>& after) {
  const Known* const known = Find(before);
  if (known == nullptr || Find(after) != nullptr) return;
  First first = known->first;
  std::size_t gone = 0;
  ForEachKind(left, [&](const auto& all) {
    gone += static_cast<std::size_t>(
        std::count_if(all.begin(), all.end(), [&](const auto& payload) { return payload.expires == first.expires; }));
  });
  const bool none = first.count == 0;
  const First of_came = FirstOf(came);
  if (!none && gone == first.count) {  // what is left of them expires later, nobody knows when
    if (of_came.count == 0 || of_came.expires > first.expires) return;
    first = {};
  } else if (!none) {
    first.count -= gone;
  }
  if (of_came.count != 0) {
    if (first.count != 0 && first.expires == of_came.expires) {
      first.count += of_came.count;
    } else if (first.count == 0 || of_came.expires < first.expires) {
      first = of_came;
    }
  }
  Remember(after, first);
}

Hash HashOf(const Payloads& set) {
  HashWriter out;
  out.Bytes("virp vrp set 1\n");
  ForEachKind(set, [&](const auto& all) { out.Number(static_cast<std::uint32_t>(all.size())); });
  // Lengths, maxLength and the upper half of the AS number stand side by side.
  const auto middle = [](const auto& vrp) {
    return std::uint32_t{vrp.length} << 24 | std::uint32_t{vrp.max_length} << 16 | vrp.as >> 16;
  };
  HashVrps<10>(out, set.vrps4, [&](char* at, const Vrp4& vrp) {
    PutBe(at, std::uint64_t{vrp.address} << 32 | middle(vrp));
    PutBe(at + 8, static_cast<std::uint16_t>(vrp.as));
  });
  HashVrps<22>(out, set.vrps6, [&](char* at, const Vrp6& vrp) {
    PutBe(at, vrp.high);
    PutBe(at + 8, vrp.low);
    PutBe(at + 16, middle(vrp));
    PutBe(at + 20, static_cast<std::uint16_t>(vrp.as));
  });
  for (const RouterKey& key : set.router_keys) {
    out.Bytes({reinterpret_cast<const char*>(key.ski.data()), key.ski.size()});
    out.Number(key.as);
    out.Number(static_cast<std::uint32_t>(key.spki.size()));
    out.Bytes(key.spki);
  }
  for (const Aspa& aspa : set.aspas) {
    out.Number(aspa.customer);
    out.Number(static_cast<std::uint32_t>(aspa.providers.size()));
    for (const std::uint32_t provider : aspa.providers) out.Number(provider);
  }
  return out.End();
}

}  // namespace virp::vrp
