// Entries parsed, and the world that they tell of.
#include "tests/testutil/naive_claims.h"

#include <algorithm>
#include <sstream>

#include "lib/base/ip.h"
#include "lib/frame/payload.h"
#include "nlohmann/json.hpp"
#include "tests/testutil/naive_world.h"

namespace virp::testutil {

using chain::ChannelState;
using frame::Type;
using nlohmann::json;
using onode::Acceptance;

namespace {

std::string Text(const json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

std::optional<std::uint64_t> Number(const json& object, const char* key, std::uint64_t limit = ~std::uint64_t{0}) {
  const auto it = object.find(key);
  if (it == object.end() || !it->is_number_unsigned() || it->get<std::uint64_t>() > limit) return std::nullopt;
  return it->get<std::uint64_t>();
}

std::string Address(const json& object, const char* key) {
  const auto address = IpAddress::Parse(Text(object, key));
  return address.ok() && !address->is_unspecified() ? address->ToString() : std::string();
}

void ReadPath(const json& from, const json& payload, NaiveEntry& out) {
  out.next_hop = Address(from, "nexthop");
  if (!from.contains("as_path") || !from["as_path"].is_string()) return;
  std::istringstream words(from["as_path"].get<std::string>());
  std::string word, last;
  while (words >> word) last = word;
  if (last.empty()) {
    out.origin_as = Number(payload, "local_as", 0xffff'ffff);
  } else if (std::all_of(last.begin(), last.end(), [](char c) { return c >= '0' && c <= '9'; }) && last.size() <= 10 &&
             std::stoull(last) <= 0xffff'ffff) {
    out.origin_as = std::stoull(last);
  }
}

}  // namespace

NaiveChain ParseNaively(const std::string& origin, const std::vector<std::string>& entries) {
  NaiveChain out;
  out.origin = origin;
  std::map<std::uint64_t, chain::Registration> registered;  // by short id, as of the entry
  frame::PayloadReader reader;
  for (const std::string& bytes : entries) {
    const chain::Entry entry = chain::DecodeEntry(bytes).value();
    const frame::Frame frame = frame::Decode(entry.frame, entry.header.spelling).value();
    NaiveEntry& e = out.entries.emplace_back();
    e.header = entry.header;
    e.type = frame.header.type;
    e.tier = frame.header.tier;
    e.frame_time = frame.header.timestamp;
    e.received = entry.header.received_us * 1000;
    const auto value = reader.Read(frame.payload);
    const std::optional<frame::Value> payload = value.ok() ? std::optional(*value) : std::nullopt;
    const chain::Registration& by = registered[entry.header.source];
    e.signer = out.entries.size() == 1 ? origin : by.source;
    e.statement = chain::ReadStatement(by, e.type, payload);
    if (!payload) continue;
    e.payload = frame.payload;
    if (e.type == Type::kSourceEvent) e.source_event = chain::ParseSourceEvent(*payload).value();
    if (e.type == Type::kKeyEvent) e.key_event = chain::ParseKeyEvent(*payload).value();
    if (e.type == Type::kGap)
      if (auto p = chain::ParseGap(*payload); p.ok()) e.gap = *p;
    if (e.type == Type::kChannelAlarm)
      if (auto p = chain::ParseAlarm(*payload); p.ok()) e.alarm = *p;
    if (e.type == Type::kAlarmCleared) e.cleared = chain::ParseAlarmCleared(*payload).value();
    if (e.type == Type::kHeartbeat)
      if (auto p = chain::ParseHeartbeat(*payload); p.ok()) e.heartbeat = *p;
    if (e.source_event && e.source_event->registration) {
      registered[frame::ShortIdOf(e.source_event->source)] = *e.source_event->registration;
    }
    const json object = json::parse(e.payload);
    e.event = Text(object, "event");
    e.lists_sources = object.contains("sources");
    e.peer_as = Number(object, "peer_as", 0xffff'ffff);
    e.first_sequence = std::min(Number(object, "first_sequence").value_or(0), e.header.source_sequence);
    if (e.statement.what == What::kPathPresent) ReadPath(object, object, e);
    if (e.statement.what == What::kBestPath && e.statement.best_exists) {
      ReadPath(object["new"], object, e);
      e.learnt_from = Address(object["new"], "peer_addr");
    }
    if (object.contains("prefixes") && object["prefixes"].is_array()) {
      e.only_prefixes.emplace();
      for (const json& prefix : object["prefixes"]) e.only_prefixes->insert(prefix.get<std::string>());
    }
  }
  return out;
}

NaiveWorld::~NaiveWorld() = default;

NaiveWorld::NaiveWorld(const NaiveChain& chain, std::size_t size) : chain_(chain), size_(size) {
  for (std::size_t i = 0; i < size; ++i) Learn(chain.entries[i]);
}

bool NaiveWorld::MaySpeakFor(const Source& signer, const Source& about) const {
  return signer.name == chain_.origin || signer.name == about.name ||
         ShareCarrier(signer.registration, about.registration);
}

void NaiveWorld::Learn(const NaiveEntry& entry) {
  const bool readable = (entry.header.result & (chain::kScopeViolation | chain::kOpaque)) == 0;
  const bool own = entry.signer == chain_.origin;
  if (own && entry.source_event) {
    const chain::SourceEvent& event = *entry.source_event;
    Source& about = sources_[event.source];
    using Event = chain::SourceEvent::Event;
    if (event.registration) {
      if (about.name.empty()) about.registered_at = entry.header.sequence;
      about.name = event.source;
      about.registration = *event.registration;
      about.public_keys.insert(event.registration->key.public_key);
    }
    if (event.event == Event::kSuspended) about.suspended = true;
    if (event.event == Event::kResumed) about.suspended = false;
    if (event.event == Event::kEpochReset) {
      about.floor = 0;
      for (const std::uint64_t epoch : about.epochs) {
        if (epoch < event.epoch) about.floor = std::max(about.floor, epoch);
      }
    }
  }
  Source& signer = sources_[entry.signer];
  signer.sent_anything = true;
  signer.Open(entry.header.source_epoch);
  signer.held[entry.header.source_epoch].insert(entry.header.source_sequence);
  auto& top = signer.top[entry.header.source_epoch];
  top = std::max(top, entry.header.source_sequence);
  if (entry.tier == frame::Tier::kBlack) signer.alarms["TIER_BLACK"] = ChannelState::kBlack;
  if (!readable) return;
  if (own && entry.key_event) {
    Source& about = sources_[entry.key_event->source];
    if (entry.key_event->event == chain::KeyEvent::Event::kCompromised) {
      auto [since, first] = about.compromised.emplace(entry.key_event->version, entry.key_event->compromised_since);
      if (!first) since->second = std::min(since->second, entry.key_event->compromised_since);
      about.alarms["KEY_COMPROMISED"] = ChannelState::kBlack;
    } else {
      about.public_keys.insert(entry.key_event->key.public_key);
    }
  }
  if (own && entry.gap) {
    Source& about = sources_[entry.gap->source];
    about.Open(entry.gap->epoch);
    auto& up_to = about.top[entry.gap->epoch];
    up_to = std::max(up_to, entry.gap->to);
  }
  if (entry.alarm && sources_.contains(entry.alarm->source)) {
    Source& about = sources_[entry.alarm->source];
    auto& state = about.alarms[entry.alarm->cause];
    const bool black = own && entry.alarm->state == ChannelState::kBlack;
    state = std::max(state, black ? ChannelState::kBlack : ChannelState::kAlarmed);
  }
  if (own && entry.cleared) sources_[entry.cleared->source].alarms.erase(entry.cleared->cause);
}

// What supports claims: in scope, readable, and its key not known to be compromised at its receipt.
bool NaiveWorld::Counts(const NaiveEntry& entry) const {
  if ((entry.header.result & (chain::kScopeViolation | chain::kOpaque)) != 0) return false;
  return KeyCounts(entry);
}
bool NaiveWorld::KeyCounts(const NaiveEntry& entry) const {
  const auto& compromised = sources_.at(entry.signer).compromised;
  const auto since = compromised.find(entry.header.key_version);
  return since == compromised.end() || entry.received < since->second;
}

bool NaiveWorld::Newer(const Source& source, const NaiveEntry& a, const NaiveEntry& b) {
  return std::pair(source.Rank(a.header.source_epoch), a.header.source_sequence) >
         std::pair(source.Rank(b.header.source_epoch), b.header.source_sequence);
}

const NaiveEntry* NaiveWorld::Newest(const Source& source, const std::vector<const NaiveEntry*>& of) {
  const NaiveEntry* newest = nullptr;
  for (const NaiveEntry* entry : of) {
    if (newest == nullptr || Newer(source, *entry, *newest)) newest = entry;
  }
  return newest;
}

bool NaiveWorld::BeatCounts(const Source& about, const Source& signer, const Acceptance& accept) const {
  if (signer.suspended || signer.State() == ChannelState::kBlack) return false;
  if (signer.State() != ChannelState::kOk && !accept.accept_alarmed) return false;
  if (std::count(accept.exclude_sources.begin(), accept.exclude_sources.end(), signer.name) > 0) return false;
  if (signer.name == about.name) return true;
  return signer.name != chain_.origin && MaySpeakFor(signer, about);
}

}  // namespace virp::testutil
