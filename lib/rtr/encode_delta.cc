#include <algorithm>
#include <span>

#include "lib/rtr/delta.h"
#include "lib/rtr/wire.h"

namespace virp::rtr {
namespace {

std::size_t SizeOf(const AspaChange& change) {
  return kAspaFixedSize + 4 * change.after.size();  // a withdrawal has no providers
}

// Writes records of one type and counts them.
class Writer {
 public:
  Writer(char* at, std::uint8_t version, PduCounts& pdus) : at_(at), rules_(RulesOf(version)), pdus_(pdus) {}

  template <typename T>
  void Prefixes(PduType type, const Changes<T>& changes) {
    Count(type, changes.size());
    InOrder([&] { Each(changes.announced, true); },
            [&] {
              if (!rules_.withdrawals.prefixes_reversed) return Each(changes.withdrawn, false);
              std::for_each(changes.withdrawn.rbegin(), changes.withdrawn.rend(),
                            [&](const T& record) { Put(record, false); });
            });
  }

  void Keys(const Changes<vrp::RouterKey>& changes) {
    Count(PduType::kRouterKey, changes.size());
    InOrder([&] { Each(changes.announced, true); }, [&] { Each(changes.withdrawn, false); });
  }

  void Aspas(std::span<const AspaChange> changes) {
    Count(PduType::kAspa, changes.size());
    const auto those = [&](bool announced) {
      for (const AspaChange& change : changes) {
        if (change.after.empty() == announced) continue;
        Put(vrp::Aspa{.customer = change.customer, .expires = vrp::kNeverExpires, .providers = change.after},
            announced);
      }
    };
    InOrder([&] { those(true); }, [&] { those(false); });
  }

 private:
  template <typename Announcements, typename Withdrawals>
  void InOrder(const Announcements& announcements, const Withdrawals& withdrawals) {
    if (!rules_.withdrawals.behind_announcements) withdrawals();
    announcements();
    if (rules_.withdrawals.behind_announcements) withdrawals();
  }
  template <typename T>
  void Each(const std::vector<T>& records, bool announce) {
    for (const T& record : records) Put(record, announce);
  }
  template <typename T>
  void Put(const T& record, bool announce) {
    at_ = wire::Put(at_, rules_.version, announce, record);
  }
  void Count(PduType type, std::size_t count) { pdus_[static_cast<std::size_t>(type)] += count; }

  char* at_;
  const VersionRules& rules_;
  PduCounts& pdus_;
};

}  // namespace

Encoded EncodeDelta(const Delta& delta, std::uint8_t version) {
  const VersionRules& rules = RulesOf(version);
  const bool keys = rules.Carries(PduType::kRouterKey);
  const bool aspas = rules.Carries(PduType::kAspa);
  std::size_t size = delta.vrps4.size() * kIpv4PrefixSize + delta.vrps6.size() * kIpv6PrefixSize;
  if (keys) {
    for (const auto& key : delta.router_keys.announced) size += wire::SizeOf(key, true);
    for (const auto& key : delta.router_keys.withdrawn) size += wire::SizeOf(key, false);
  }
  if (aspas) {
    for (const AspaChange& change : delta.aspas) size += SizeOf(change);
  }
  Encoded out;
  if (size == 0) return out;

  const auto bytes = std::make_shared<Bytes>(size);
  Writer writer(bytes->data(), version, out.pdus);
  writer.Prefixes(PduType::kIpv4Prefix, delta.vrps4);
  writer.Prefixes(PduType::kIpv6Prefix, delta.vrps6);
  if (keys) writer.Keys(delta.router_keys);
  if (aspas) writer.Aspas(delta.aspas);
  out.bytes = bytes;
  return out;
}

}  // namespace virp::rtr
