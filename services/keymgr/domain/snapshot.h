// The state of the manager as of one commit. Immutable, shared, thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/sorted_cow.h"
#include "services/keymgr/domain/custody.h"
#include "services/keymgr/domain/record.h"

namespace virp::keymgr {

class Snapshot {
 public:
  using RecordPtr = std::shared_ptr<const Record>;
  using KeyPtr = std::shared_ptr<const SealedKey>;

  // Number of the newest audit record in it; 0 for none.
  std::uint64_t record() const { return record_; }

  // Null when there is none. T is the type that was registered for T::kKind.
  template <typename T>
  std::shared_ptr<const T> Find(std::string_view id) const {
    return std::static_pointer_cast<const T>(FindRecord(T::kKind, id));
  }
  RecordPtr FindRecord(std::string_view kind, std::string_view id) const;
  std::size_t Count(std::string_view kind) const;

  // Calls `f(const std::shared_ptr<const T>&)` in order of the ids, for those that start with `prefix` and are greater
  // than `after`, until it returns false.
  template <typename T, typename F>
  void ForEach(F&& f, std::string_view prefix = {}, std::string_view after = {}) const {
    ForEachRecord(T::kKind, prefix, after,
                  [&](const RecordPtr& record) { return f(std::static_pointer_cast<const T>(record)); });
  }
  void ForEachRecord(std::string_view kind, std::string_view prefix, std::string_view after,
                     const std::function<bool(const RecordPtr&)>& f) const;

  // Records of every kind that need attention before `until`, soonest first, at most `most`.
  std::vector<RecordPtr> Due(UnixNanos until, std::size_t most) const;

  // Null when there is none. The algorithm is not looked at.
  KeyPtr FindKey(KeyKind kind, std::string_view id, std::uint32_t version) const;
  KeyPtr FindKey(const KeyIdentity& identity) const { return FindKey(identity.kind, identity.id, identity.version); }
  // By kind, id, version, until `f` returns false.
  void ForEachKey(const std::function<bool(const KeyPtr&)>& f) const;
  std::size_t key_count() const { return keys_.size(); }

 private:
  friend class StateBuilder;
  std::uint64_t record_ = 0;
  SortedCow<SortedCow<RecordPtr>> records_;  // by kind, by id
  SortedCow<KeyPtr> keys_;                   // by KeyOf()
};

// The place of a key among all: kind, id, version, so that text order is the order of versions.
std::string KeyOf(KeyKind kind, std::string_view id, std::uint32_t version);

// Makes the next snapshot out of one. Not thread-safe.
class StateBuilder {
 public:
  StateBuilder() = default;
  explicit StateBuilder(const Snapshot& from) : next_(from) {}
  const Snapshot& state() const { return next_; }

  void Put(std::string_view kind, std::string_view id, Snapshot::RecordPtr record);
  void Erase(std::string_view kind, std::string_view id);
  void PutKey(SealedKey key) { PutKey(std::make_shared<const SealedKey>(std::move(key))); }
  void PutKey(Snapshot::KeyPtr key);
  void DropKey(const KeyIdentity& identity);
  void SetRecord(std::uint64_t record) { next_.record_ = record; }
  std::shared_ptr<const Snapshot> Build() const { return std::make_shared<Snapshot>(next_); }

 private:
  Snapshot next_;
};

}  // namespace virp::keymgr
