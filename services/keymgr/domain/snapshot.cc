#include "services/keymgr/domain/snapshot.h"

#include <algorithm>

#include "lib/base/bytes.h"

namespace virp::keymgr {
namespace {

std::string FirstVersion(KeyKind kind, std::string_view id) {
  std::string out(1, static_cast<char>(kind));
  out.append(id).push_back('\0');  // below every character of an id: "a" and all its versions come before "a.b"
  return out;
}

}  // namespace

std::string KeyOf(KeyKind kind, std::string_view id, std::uint32_t version) {
  std::string out = FirstVersion(kind, id);
  AppendBe(out, version);
  return out;
}

Snapshot::RecordPtr Snapshot::FindRecord(std::string_view kind, std::string_view id) const {
  const auto* const records = records_.Find(kind);
  const RecordPtr* const found = records == nullptr ? nullptr : records->Find(id);
  return found == nullptr ? nullptr : *found;
}

std::size_t Snapshot::Count(std::string_view kind) const {
  const auto* const records = records_.Find(kind);
  return records == nullptr ? 0 : records->size();
}

void Snapshot::ForEachRecord(std::string_view kind, std::string_view prefix, std::string_view after,
                             const std::function<bool(const RecordPtr&)>& f) const {
  const auto* const records = records_.Find(kind);
  if (records == nullptr) return;
  records->ForEachFrom(std::max(prefix, after), [&](const std::string& id, const RecordPtr& record) {
    if (!std::string_view(id).starts_with(prefix)) return std::string_view(id) < prefix;
    return (!after.empty() && id == after) || f(record);
  });
}

std::vector<Snapshot::RecordPtr> Snapshot::Due(UnixNanos until, std::size_t most) const {
  std::vector<RecordPtr> out;
  records_.ForEachFrom({}, [&](const std::string&, const SortedCow<RecordPtr>& records) {
    records.ForEachFrom({}, [&](const std::string&, const RecordPtr& record) {
      if (record->due && *record->due < until) out.push_back(record);
      return true;
    });
    return true;
  });
  const auto end = out.begin() + static_cast<std::ptrdiff_t>(std::min(most, out.size()));
  std::partial_sort(out.begin(), end, out.end(),
                    [](const RecordPtr& a, const RecordPtr& b) { return *a->due < *b->due; });
  out.erase(end, out.end());
  return out;
}

Snapshot::KeyPtr Snapshot::FindKey(KeyKind kind, std::string_view id, std::uint32_t version) const {
  const KeyPtr* const found = keys_.Find(KeyOf(kind, id, version));
  return found == nullptr ? nullptr : *found;
}

void Snapshot::ForEachKey(const std::function<bool(const KeyPtr&)>& f) const {
  keys_.ForEachFrom({}, [&](const std::string&, const KeyPtr& key) { return f(key); });
}

void StateBuilder::Put(std::string_view kind, std::string_view id, Snapshot::RecordPtr record) {
  next_.records_.Mutable(kind).Mutable(id) = std::move(record);
}

void StateBuilder::Erase(std::string_view kind, std::string_view id) {
  if (next_.FindRecord(kind, id) != nullptr) next_.records_.Mutable(kind).Erase(id);
}

void StateBuilder::PutKey(Snapshot::KeyPtr key) {
  next_.keys_.Mutable(KeyOf(key->identity.kind, key->identity.id, key->identity.version)) = std::move(key);
}

void StateBuilder::DropKey(const KeyIdentity& identity) {
  next_.keys_.Erase(KeyOf(identity.kind, identity.id, identity.version));
}

}  // namespace virp::keymgr
