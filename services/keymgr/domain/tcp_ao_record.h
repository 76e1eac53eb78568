// A TCP-AO pair as the ledger keeps it, with its newest rollover and the identifiers that rest.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "services/keymgr/domain/key.h"
#include "services/keymgr/domain/record.h"
#include "services/keymgr/domain/tcp_ao.h"
#include "services/keymgr/domain/tcp_ao_roll.h"

namespace virp::keymgr {

struct TcpAoPairRecord final : Record {
  static constexpr std::string_view kKind = "tcp_ao_pair";

  // A key that an end may have. At most two stand: the one in use, and its successor.
  struct Key {
    TcpAoTuple tuple;
    UnixNanos made = 0;
    UnixNanos use_from = 0;
    bool operator==(const Key&) const = default;
  };

  TcpAoPair pair;
  TcpAoRoll roll;  // views are not kept: after a restart the ends say it again
  std::vector<Key> keys;
  std::vector<TcpAoUsedId> resting;  // identifiers of keys that are gone
  std::uint8_t last_id = 0;          // given last
  bool overdue_told = false;         // that the rollover is late stands in the audit
  bool deleted = false;              // its id is never given again, so no identity ever means another key

  KeyIdentity identity(std::uint32_t version) const { return {KeyKind::kTcpAo, pair.id, version, Algorithm::kOctets}; }
  const Key* Find(std::uint32_t version) const;
  // Those that rest and those of the keys.
  std::vector<TcpAoUsedId> UsedIds() const;
  // An identifier stands there once, with its latest end.
  void Rest(const TcpAoUsedId& id);
  // Takes a key out, and lets its identifiers rest from now on. Quarantines that ended are dropped.
  void Drop(std::uint32_t version, UnixNanos now);

  Row ToRow() const override;
  static absl::StatusOr<std::shared_ptr<Record>> FromRow(const Row& row);
};

}  // namespace virp::keymgr
