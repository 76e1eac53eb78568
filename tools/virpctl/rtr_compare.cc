#include "tools/virpctl/rtr_compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <compare>

#include "lib/base/bytes.h"
#include "lib/frame/payload.h"
#include "lib/vrp/builder.h"

namespace virp::virpctl {
namespace {

template <typename T>
std::strong_ordering Compare(const T& a, const T& b) {
  return vrp::Order(a, b);
}

std::strong_ordering Compare(const vrp::Aspa& a, const vrp::Aspa& b) {
  const std::strong_ordering customers = vrp::Order(a, b);
  return customers != 0 ? customers : a.providers <=> b.providers;
}

}  // namespace

template <typename T>
void SeenRecords<T>::Update(const std::vector<T>& set, Seconds now, Seconds grace) {
  std::vector<Seen> merged;
  merged.reserve(std::max(seen_.size(), set.size()));
  auto old = seen_.begin();
  const auto keep = [&](Seen& gone) {
    gone.visible = false;
    if (now - gone.last <= grace) merged.push_back(std::move(gone));
  };
  for (const T& record : set) {
    for (; old != seen_.end() && Compare(old->record, record) < 0; ++old) keep(*old);
    if (old != seen_.end() && Compare(old->record, record) == 0) {
      old->last = now;
      old->visible = true;
      merged.push_back(std::move(*old++));
    } else {
      merged.push_back({record, now, now, true});
    }
  }
  for (; old != seen_.end(); ++old) keep(*old);
  seen_ = std::move(merged);
  visible_ = set.size();
}

template <typename T>
std::vector<const typename SeenRecords<T>::Seen*> SeenRecords<T>::NotIn(const SeenRecords& other) const {
  std::vector<const Seen*> out;
  auto there = other.seen_.begin();
  for (const Seen& seen : seen_) {
    while (there != other.seen_.end() && Compare(there->record, seen.record) < 0) ++there;
    const bool same = there != other.seen_.end() && Compare(there->record, seen.record) == 0;
    if (seen.visible && !same) out.push_back(&seen);
  }
  return out;
}

template class SeenRecords<vrp::Vrp4>;
template class SeenRecords<vrp::Vrp6>;
template class SeenRecords<vrp::RouterKey>;
template class SeenRecords<vrp::Aspa>;

void SeenSet::Update(const vrp::Payloads& set, Seconds now, Seconds grace) {
  vrps4.Update(set.vrps4, now, grace);
  vrps6.Update(set.vrps6, now, grace);
  router_keys.Update(set.router_keys, now, grace);
  aspas.Update(set.aspas, now, grace);
}

std::size_t SetDifference::VrpsSince(Seconds now, Seconds at_least) const {
  const auto old = [&](const auto* seen) { return now - seen->first >= at_least; };
  return static_cast<std::size_t>(std::count_if(vrps4.begin(), vrps4.end(), old) +
                                  std::count_if(vrps6.begin(), vrps6.end(), old));
}

SetDifference OnlyIn(const SeenSet& one, const SeenSet& other) {
  return {.vrps4 = one.vrps4.NotIn(other.vrps4),
          .vrps6 = one.vrps6.NotIn(other.vrps6),
          .router_keys = one.router_keys.NotIn(other.router_keys),
          .aspas = one.aspas.NotIn(other.aspas)};
}

namespace {

using frame::JsonWriter;

template <typename Seen>
void WriteTimes(JsonWriter& json, const Seen& seen) {
  json.Field("first-seen", seen.first).Field("last-seen", seen.last).Field("visible", seen.visible).EndObject();
}

template <typename Records>
void WriteVrps(JsonWriter& json, const Records& records) {
  for (const auto* seen : records) {
    json.BeginObject().Field("asn", seen->record.as).Field("prefix", vrp::PrefixOf(seen->record).ToString());
    json.Field("max-length", static_cast<unsigned>(seen->record.max_length));
    WriteTimes(json, *seen);
  }
}

void WriteDifference(JsonWriter& json, const std::string& where, const SetDifference& only) {
  json.Key("only-" + where).BeginArray();
  WriteVrps(json, only.vrps4);
  WriteVrps(json, only.vrps6);
  json.EndArray().Key("router-keys-only-" + where).BeginArray();
  for (const auto* seen : only.router_keys) {
    const vrp::RouterKey& key = seen->record;
    json.BeginObject().Field("asn", key.as);
    json.Field("ski", HexEncode({reinterpret_cast<const char*>(key.ski.data()), key.ski.size()}));
    WriteTimes(json.Field("pubkey", Base64Encode(key.spki)), *seen);
  }
  json.EndArray().Key("aspas-only-" + where).BeginArray();
  for (const auto* seen : only.aspas) {
    json.BeginObject().Field("customer_asid", seen->record.customer).Key("providers").BeginArray();
    for (const std::uint32_t provider : seen->record.providers) json.Unsigned(provider);
    WriteTimes(json.EndArray(), *seen);
  }
  json.EndArray();
}

void WriteSide(JsonWriter& json, const RtrSide& side) {
  const RtrSideState& state = side.state;
  json.Key("metadata-" + state.name).BeginObject();
  json.Field("url", state.url).Field("last-fetch", state.last_fetch).Field("count", side.seen.vrps());
  if (state.cache) {
    json.Field("session-id", static_cast<unsigned>(state.session)).Field("serial", state.serial);
    json.Field("rtr-refresh", state.timers[0]).Field("rtr-retry", state.timers[1]);
    json.Field("rtr-expire", state.timers[2]);
  }
  json.EndObject();
}

// A label's value (Prometheus' text format, version 0.0.4).
std::string Label(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

class MetricsText {
 public:
  void Begin(std::string_view name, std::string_view help) {
    name_ = name;
    text_ += fmt::format("# HELP {0} {1}\n# TYPE {0} gauge\n", name, help);
  }
  template <typename Value>
  void Add(const std::string& labels, Value value) {
    text_ += fmt::format("{}{{{}}} {}\n", name_, labels, value);
  }
  std::string Take() { return std::move(text_); }

 private:
  std::string name_, text_;
};

std::string Labels(const RtrSide& side) {
  return fmt::format("server=\"{}\",url=\"{}\"", side.state.name, Label(side.state.url));
}

}  // namespace

std::string DifferenceJson(const std::array<RtrSide, 2>& sides) {
  JsonWriter json;
  json.BeginObject();
  for (const RtrSide& side : sides) WriteSide(json, side);
  for (std::size_t i = 0; i < 2; ++i)
    WriteDifference(json, sides[i].state.name, OnlyIn(sides[i].seen, sides[1 - i].seen));
  return json.EndObject().Take() + "\n";
}

std::string DifferenceMetrics(const std::array<RtrSide, 2>& sides, const std::vector<std::uint32_t>& thresholds,
                              Seconds now) {
  const std::array<SetDifference, 2> only{OnlyIn(sides[0].seen, sides[1].seen), OnlyIn(sides[1].seen, sides[0].seen)};
  MetricsText out;
  const auto kind = [&](std::string_view name, std::string_view help, auto total, auto difference) {
    out.Begin(name, help);
    for (std::size_t i = 0; i < 2; ++i) {
      out.Add(Labels(sides[i]) + ",type=\"total\"", total(sides[i].seen));
      out.Add(Labels(sides[i]) + ",type=\"diff\"", difference(only[i]));
    }
  };
  kind(
      "rpki_vrps", "VRPs of each side, and those of them that the other has not",
      [](const SeenSet& seen) { return seen.vrps(); }, [](const SetDifference& d) { return d.vrps(); });
  kind(
      "rpki_router_keys", "Router keys, likewise", [](const SeenSet& seen) { return seen.router_keys.visible(); },
      [](const SetDifference& d) { return d.router_keys.size(); });
  kind(
      "rpki_aspas", "ASPAs, likewise", [](const SeenSet& seen) { return seen.aspas.visible(); },
      [](const SetDifference& d) { return d.aspas.size(); });
  out.Begin("vrp_diff",
            "VRPs in lhs_url that are not in rhs_url, and are in lhs_url since at least visibility_seconds");
  for (std::size_t i = 0; i < 2; ++i) {
    for (const std::uint32_t threshold : thresholds)
      out.Add(fmt::format("lhs_url=\"{}\",rhs_url=\"{}\",visibility_seconds=\"{}\"", Label(sides[i].state.url),
                          Label(sides[1 - i].state.url), threshold),
              only[i].VrpsSince(now, threshold));
  }
  out.Begin("rpki_grace_period_vrps", "VRPs that are gone from a side since less than the grace period");
  for (const RtrSide& side : sides) out.Add("url=\"" + Label(side.state.url) + "\"", side.seen.vrps_in_grace());
  const auto each = [&](std::string_view name, std::string_view help, bool caches_only, auto value) {
    out.Begin(name, help);
    for (const RtrSide& side : sides) {
      if (side.state.cache || !caches_only) out.Add(Labels(side), value(side.state));
    }
  };
  each("rtr_state", "1 when the last reading was good", false, [](const RtrSideState& s) { return s.up ? 1 : 0; });
  each("rtr_serial", "Serial of a cache", true, [](const RtrSideState& s) { return s.serial; });
  each("rtr_session", "Session id of a cache", true, [](const RtrSideState& s) { return s.session; });
  each("update", "Unix time of the last good reading", false, [](const RtrSideState& s) { return s.last_fetch; });
  return out.Take();
}

}  // namespace virp::virpctl
