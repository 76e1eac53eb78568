#include "lib/tcpao/tcpao.h"

#include <optional>

#include "lib/base/bytes.h"
#include "lib/base/status.h"
#include "lib/crypto/tcpao_prf.h"

namespace virp::tcpao {
namespace {

constexpr std::size_t kHeaderSize = 20;
constexpr std::size_t kChecksumAt = 16;
constexpr std::uint8_t kEndOfOptions = 0, kNoOperation = 1, kTcpAo = 29;  // RFC 9293 section 3.1, RFC 5925 section 2.2
constexpr std::size_t kAoHeadSize = 4;                                    // kind, length, KeyID, RNextKeyID
constexpr std::uint8_t kTcp = 6;

absl::Status CheckAddresses(std::string_view source, std::string_view destination) {
  if (source.size() == destination.size() && (source.size() == 4 || source.size() == 16)) return absl::OkStatus();
  return InvalidArgument("TCP-AO: addresses of {} and {} bytes are not two of one family", source.size(),
                         destination.size());
}

// The pseudo header of the checksum: RFC 9293 section 3.1, RFC 8200 section 8.1.
std::string PseudoHeader(std::string_view source, std::string_view destination, std::size_t size) {
  std::string out = std::string(source).append(destination);
  if (source.size() == 4) {
    AppendBe(out, std::uint16_t{kTcp});
    AppendBe(out, static_cast<std::uint16_t>(size));
  } else {
    AppendBe(out, static_cast<std::uint32_t>(size));
    AppendBe(out, std::uint32_t{kTcp});
  }
  return out;
}

struct Parsed {
  std::size_t header_size;  // options included
  std::size_t ao_at;
};

absl::StatusOr<Parsed> Parse(std::string_view segment) {
  if (segment.size() < kHeaderSize)
    return InvalidArgument("TCP-AO: a TCP header has at least {} bytes, not {}", kHeaderSize, segment.size());
  const std::size_t header = std::size_t{LoadBe<std::uint8_t>(segment.data() + 12)} / 16 * 4;
  if (header < kHeaderSize || header > segment.size()) {
    return InvalidArgument("TCP-AO: the TCP header says it has {} bytes, of a segment of {}", header, segment.size());
  }
  std::optional<std::size_t> found;
  for (std::size_t at = kHeaderSize; at < header;) {
    const auto kind = LoadBe<std::uint8_t>(segment.data() + at);
    if (kind == kEndOfOptions) break;
    if (kind == kNoOperation) {
      ++at;
      continue;
    }
    const std::size_t size = at + 1 < header ? LoadBe<std::uint8_t>(segment.data() + at + 1) : 0;
    if (size < 2 || size > header - at)
      return InvalidArgument("TCP-AO: option {} at byte {} has a wrong length", kind, at);
    if (kind == kTcpAo) {
      if (found.has_value()) return InvalidArgument("TCP-AO: two TCP-AO options, which RFC 5925 section 2.2 forbids");
      if (size != kAoHeadSize + kMacSize)
        return InvalidArgument("TCP-AO: an option of {} bytes, not {}", size, kAoHeadSize + kMacSize);
      found = at;
    }
    at += size;
  }
  if (!found.has_value()) return NotFound("TCP-AO: the segment has no TCP-AO option");
  return Parsed{header, *found};
}

std::string Prf(Algorithm algorithm, std::string_view key, std::string_view message) {
  if (algorithm == Algorithm::kHmacSha1_96) return crypto::HmacSha1(key, message);
  return crypto::Aes128Cmac(key, message);
}

crypto::Secret TakeSecret(std::string bytes) {
  crypto::Secret secret(bytes);
  crypto::Wipe(bytes.data(), bytes.size());
  return secret;
}

}  // namespace

std::string_view Name(Algorithm algorithm) {
  return algorithm == Algorithm::kHmacSha1_96 ? "SHA1" : "AES128";
}

absl::StatusOr<crypto::Secret> TrafficKey(Algorithm algorithm, std::string_view master_key,
                                          const Direction& direction) {
  if (master_key.empty() || master_key.size() > kMaxMasterKeySize) {
    return InvalidArgument("TCP-AO: a master key has 1 to {} bytes, not {}", kMaxMasterKeySize, master_key.size());
  }
  RETURN_IF_ERROR(CheckAddresses(direction.source, direction.destination));
  std::string context("\x01TCP-AO");
  context.append(direction.source).append(direction.destination);
  AppendBe(context, direction.source_port);
  AppendBe(context, direction.destination_port);
  AppendBe(context, direction.source_isn);
  AppendBe(context, direction.destination_isn);
  const bool sha1 = algorithm == Algorithm::kHmacSha1_96;
  AppendBe(context, static_cast<std::uint16_t>(sha1 ? 160 : 128));
  crypto::Secret key(master_key);
  if (!sha1 && key.size() != crypto::kAes128KeySize) {  // RFC 5926 section 3.1.1.2: squeezed under the key of zeros
    key = TakeSecret(crypto::Aes128Cmac(std::string(crypto::kAes128KeySize, '\0'), master_key));
  }
  return TakeSecret(Prf(algorithm, key.view(), context));
}

absl::StatusOr<Option> FindOption(std::string_view segment) {
  ASSIGN_OR_RETURN(const Parsed parsed, Parse(segment));
  const std::string_view option = segment.substr(parsed.ao_at, kAoHeadSize + kMacSize);
  return Option{LoadBe<std::uint8_t>(option.data() + 2), LoadBe<std::uint8_t>(option.data() + 3),
                option.substr(kAoHeadSize)};
}

absl::StatusOr<std::string> Mac(Algorithm algorithm, const crypto::Secret& traffic_key, std::uint32_t sne,
                                std::string_view source, std::string_view destination, std::string_view segment,
                                bool covers_options) {
  RETURN_IF_ERROR(CheckAddresses(source, destination));
  ASSIGN_OR_RETURN(const Parsed parsed, Parse(segment));
  const std::size_t wanted = algorithm == Algorithm::kHmacSha1_96 ? 20 : 16;
  if (traffic_key.size() != wanted)
    return InvalidArgument("TCP-AO: a traffic key for {} has {} bytes, not {}", Name(algorithm), wanted,
                           traffic_key.size());
  std::string header(segment.substr(0, parsed.header_size));
  header.replace(kChecksumAt, 2, 2, '\0');
  header.replace(parsed.ao_at + kAoHeadSize, kMacSize, kMacSize, '\0');
  if (!covers_options) header = header.substr(0, kHeaderSize) + header.substr(parsed.ao_at, kAoHeadSize + kMacSize);
  std::string input;
  AppendBe(input, sne);
  input += PseudoHeader(source, destination, segment.size());
  input.append(header).append(segment.substr(parsed.header_size));
  std::string mac = Prf(algorithm, traffic_key.view(), input);
  mac.resize(kMacSize);
  return mac;
}

}  // namespace virp::tcpao
