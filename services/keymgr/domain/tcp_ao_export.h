// TCP-AO keys as routers' configuration wants them. What both ends key with is the lower-case hex text of a key's
// random octets, 32 to 64 ASCII characters: Junos and IOS XE take text only, RFC 5926 section 3.1 asks every
// implementation to, and it reads the same everywhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/crypto/secret.h"
#include "services/keymgr/domain/tcp_ao.h"
#include "services/keymgr/domain/tcp_ao_roll.h"

namespace virp::keymgr {

enum class TcpAoFormat : std::uint8_t {
  kBird = 1,     // 2.17, 3.1 or later: a part of `protocol bgp`
  kJunos = 2,    // 20.3R1 or later: set commands
  kIosXe = 3,    // 16.12 or later: the clock must run in UTC
  kRfc8177 = 4,  // ietf-key-chain in JSON (RFC 7951)
};

struct TcpAoExportKey {
  TcpAoTuple tuple;
  UnixNanos accept_from = 0;
  UnixNanos send_from = 0;
  std::optional<UnixNanos> send_until;     // when the next one takes over
  const crypto::Secret* octets = nullptr;  // null: left out of the export
};

struct TcpAoExport {
  TcpAoPair pair;
  TcpAoEnd end = TcpAoEnd::kA;       // whose configuration it is
  std::vector<TcpAoExportKey> keys;  // oldest first
  std::vector<TcpAoTuple> removed;   // IOS XE is told to forget these
  std::uint32_t preferred = 0;       // version
};

// The master key: hex text. Wiped with the object.
crypto::Secret MasterKeyText(const crypto::Secret& octets);

// The chain's name on the device: the pair's id with '_' for '/'.
std::string ChainName(const TcpAoPair& pair);

// The text, which holds the master keys where octets are given; without, text formats say "(not shown)" and JSON leaves
// key-string out. InvalidArgument for a pair that BIRD cannot do: it always covers TCP options.
absl::StatusOr<crypto::Secret> Export(TcpAoFormat format, const TcpAoExport& what);

}  // namespace virp::keymgr
