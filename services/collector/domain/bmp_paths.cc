#include "services/collector/domain/bmp_paths.h"

#include <algorithm>
#include <cstring>

namespace virp::collector {
namespace {

constexpr std::uint64_t kTextOverhead = 96;  // entry, map slot, allocation

}  // namespace

AttributeTexts::Id AttributeTexts::Add(std::string_view text) {
  if (const auto known = ids_.find(text); known != ids_.end()) {
    ++entries_[known->second].users;
    return known->second;
  }
  Id id = 0;
  if (free_.empty()) {
    id = static_cast<Id>(entries_.size());
    entries_.emplace_back();
  } else {
    id = free_.back();
    free_.pop_back();
  }
  Entry& entry = entries_[id];
  entry.text.assign(text);
  entry.users = 1;
  ids_.emplace(entry.text, id);
  bytes_ += text.size() + kTextOverhead;
  return id;
}

void AttributeTexts::Remove(Id id) {
  Entry& entry = entries_[id];
  if (--entry.users > 0) return;
  bytes_ -= entry.text.size() + kTextOverhead;
  ids_.erase(std::string_view(entry.text));
  std::string().swap(entry.text);
  free_.push_back(id);
}

PathTable::V4Key::V4Key(const bmp::Route& route)
    : address(LoadBe<std::uint32_t>(route.prefix.address().bytes().data())),
      path_id(route.path_id),
      length(static_cast<std::uint8_t>(route.prefix.length())) {}

bmp::Route PathTable::V4Key::ToRoute() const {
  return {Prefix::MakeMasked(IpAddress::V4(address), length), path_id};
}

PathTable::V6Key::V6Key(const bmp::Route& route)
    : path_id(route.path_id), length(static_cast<std::uint8_t>(route.prefix.length())) {
  std::memcpy(address.data(), route.prefix.address().bytes().data(), address.size());
}

bmp::Route PathTable::V6Key::ToRoute() const {
  return {Prefix::MakeMasked(IpAddress::V6(address.data()), length), path_id};
}

HeldPath* PathTable::Find(const bmp::Route& route) {
  if (route.prefix.family() == IpFamily::kV4) {
    const auto at = v4_.find(V4Key(route));
    return at == v4_.end() ? nullptr : &at->second;
  }
  const auto at = v6_.find(V6Key(route));
  return at == v6_.end() ? nullptr : &at->second;
}

void PathTable::Insert(const bmp::Route& route, AttributeTexts::Id attributes) {
  const HeldPath path{attributes, mark_};
  if (route.prefix.family() == IpFamily::kV4) {
    v4_.emplace(V4Key(route), path);
  } else {
    v6_.emplace(V6Key(route), path);
  }
}

bool PathTable::Erase(const bmp::Route& route, AttributeTexts& texts) {
  const HeldPath* path = Find(route);
  if (path == nullptr) return false;
  texts.Remove(path->attributes);
  if (route.prefix.family() == IpFamily::kV4) {
    v4_.erase(V4Key(route));
  } else {
    v6_.erase(V6Key(route));
  }
  return true;
}

void PathTable::Clear(AttributeTexts& texts) {
  for (const auto& [key, path] : v4_) texts.Remove(path.attributes);
  for (const auto& [key, path] : v6_) texts.Remove(path.attributes);
  absl::flat_hash_map<V4Key, HeldPath>().swap(v4_);
  absl::flat_hash_map<V6Key, HeldPath>().swap(v6_);
  complete = 0;
}

void PathTable::BeginDump() {
  if (++mark_ != 0) return;
  // Once in 256 dumps: a path that no dump stated since must not look stated now.
  for (auto& [key, path] : v4_) path.mark = 0;
  for (auto& [key, path] : v6_) path.mark = 0;
  mark_ = 1;
}

std::vector<bmp::Route> PathTable::Unstated() const {
  std::vector<bmp::Route> out;
  ForEach([&](const bmp::Route& route, const HeldPath& path) {
    if (!IsStated(path)) out.push_back(route);
  });
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<bmp::Route> PathTable::Routes() const {
  std::vector<bmp::Route> out;
  out.reserve(size());
  ForEach([&](const bmp::Route& route, const HeldPath&) { out.push_back(route); });
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace virp::collector
