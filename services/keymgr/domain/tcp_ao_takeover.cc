#include "services/keymgr/domain/tcp_ao_takeover.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "lib/base/status.h"
#include "lib/frame/payload.h"
#include "services/keymgr/domain/tcp_ao_record.h"

namespace virp::keymgr {
namespace {

// A rollover to a key that only the ends have.
void Lost(TcpAoPairRecord& pair, std::uint32_t version, TcpAoPhase phase, UnixNanos now) {
  const bool over = phase == TcpAoPhase::kOldRemoved;
  if (over) {
    while (!pair.keys.empty()) pair.Drop(pair.keys.front().tuple.version, now);
  }
  pair.roll.old_key.reset();
  if (!pair.keys.empty()) pair.roll.old_key = pair.keys.back().tuple;
  pair.roll.new_key = {version, {}};
  pair.roll.phase = over ? TcpAoPhase::kOldRemoved : TcpAoPhase::kAborted;
}

void Apply(const ChainRecord& record, frame::Value payload, TcpAoPairRecord& pair, UnixNanos now) {
  if (record.event == "tcp_ao_pair_deleted") {
    while (!pair.keys.empty()) pair.Drop(pair.keys.front().tuple.version, now);
    pair.deleted = true;
    return;
  }
  const auto phase = TcpAoPhaseFromName(payload["phase"].AsString().value_or(""));
  std::uint32_t newest = 0;
  for (const KeyIdentity& key : record.keys) newest = std::max(newest, key.version);
  if (!phase || newest < pair.roll.new_key.version) return;
  if (newest > pair.roll.new_key.version || pair.Find(newest) == nullptr) {
    Lost(pair, newest, *phase, now);
  } else {
    pair.roll.phase = *phase;
    if (*phase == TcpAoPhase::kAborted) pair.Drop(newest, now);
    if (*phase == TcpAoPhase::kOldRemoved && pair.roll.old_key) pair.Drop(pair.roll.old_key->version, now);
  }
  pair.roll.views = {};
  pair.roll.serial = std::max(pair.roll.serial, payload["plan"].AsUnsigned().value_or(0));
}

}  // namespace

absl::Status TakeOverTcpAoKeys(const std::vector<ChainRecord>& missing, const Snapshot& now, Changes& changes) {
  std::map<std::string, std::shared_ptr<TcpAoPairRecord>> pairs;
  frame::PayloadReader reader;
  for (const ChainRecord& record : missing) {
    if (!record.event.starts_with("tcp_ao_")) continue;
    ASSIGN_OR_RETURN(const frame::Frame frame, frame::Decode(record.frame, frame::Spelling::kV2));
    ASSIGN_OR_RETURN(const frame::Value payload, reader.Read(frame.payload));
    const std::string id(payload["pair"].AsString().value_or(""));
    auto& pair = pairs[id];
    if (pair == nullptr) {
      const auto before = now.Find<TcpAoPairRecord>(id);
      if (before == nullptr) continue;
      pair = std::make_shared<TcpAoPairRecord>(*before);
    }
    if (!pair->deleted) Apply(record, payload, *pair, changes.now());
  }
  for (auto& [id, pair] : pairs) {
    if (pair == nullptr) continue;
    for (const TcpAoPairRecord::Key& key : now.Find<TcpAoPairRecord>(id)->keys) {
      if (pair->Find(key.tuple.version) == nullptr) changes.DropKey(pair->identity(key.tuple.version));
    }
    changes.Put(std::move(pair));
  }
  return absl::OkStatus();
}

}  // namespace virp::keymgr
