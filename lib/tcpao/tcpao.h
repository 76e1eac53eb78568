// TCP-AO (RFC 5925) as far as its keys go: traffic keys from master keys (RFC 5926 section 3.1) and the MAC of a
// segment (RFC 5925 section 5.1), to prove a key, a capture or another implementation by. Thread-safe: no state.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/crypto/secret.h"

namespace virp::tcpao {

inline constexpr std::size_t kMacSize = 12;           // both algorithms are cut to 96 bits
inline constexpr std::size_t kMaxMasterKeySize = 80;  // what Linux takes (TCP_AO_MAXKEYLEN)

enum class Algorithm {
  kHmacSha1_96,   // RFC 5926 sections 3.1.1.1 and 3.2.1
  kAes128Cmac96,  // RFC 5926 sections 3.1.1.2 and 3.2.2
};

// The names of RFC 5926 section 2.2 for people who type them: "SHA1", "AES128".
std::string_view Name(Algorithm algorithm);

// One direction of one connection: the sender's side is the source.
struct Direction {
  std::string source;       // 4 or 16 bytes
  std::string destination;  // as many
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint32_t source_isn = 0;
  std::uint32_t destination_isn = 0;  // zero for a SYN, whose sender does not know it
};

// The traffic key of one direction: 20 or 16 bytes. InvalidArgument for a master key that is empty or over 80 bytes,
// and for addresses that are not two of one family.
absl::StatusOr<crypto::Secret> TrafficKey(Algorithm algorithm, std::string_view master_key, const Direction& direction);

// What a segment's TCP-AO option says. Views into the segment.
struct Option {
  std::uint8_t key_id = 0;        // the sender's SendID
  std::uint8_t rnext_key_id = 0;  // the RecvID that the sender wants to receive under next
  std::string_view mac;
};

// Finds the one TCP-AO option of a TCP segment (header and data). NotFound when there is none; InvalidArgument for a
// header or options that do not add up, two such options, or a MAC that is not 12 bytes.
absl::StatusOr<Option> FindOption(std::string_view segment);

// The MAC of a TCP segment. `sne`: the sequence number's upper 32 bits. `covers_options`: whether the other options are
// covered, which both ends must have configured alike. The segment carries a TCP-AO option already; what its MAC and
// the checksum hold is not looked at. Errors as of FindOption, and of the addresses.
absl::StatusOr<std::string> Mac(Algorithm algorithm, const crypto::Secret& traffic_key, std::uint32_t sne,
                                std::string_view source, std::string_view destination, std::string_view segment,
                                bool covers_options);

}  // namespace virp::tcpao
