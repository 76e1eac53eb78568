// Local exceptions (RFC 8416, SLURM) with the extension for ASPAs (draft-ietf-sidrops-aspa-slurm): what the operator
// takes out of what validators found, and what he adds. Pure and thread-safe.
//
// A file is taken whole or not at all: RFC 8416 section 3.1 calls any deviation an error, members that it does not know
// and members that are missing among them. What to serve when a file is refused is for the caller to decide; serving
// the unfiltered table is the one thing it must not do.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/bytes.h"
#include "lib/base/ip.h"
#include "lib/vrp/payload.h"

namespace virp::vrp {

inline constexpr std::size_t kMaxSlurmBytes = std::size_t{64} << 20;  // of one file

struct SlurmText {
  std::string name;  // for messages
  std::string_view text;
};

// A VRP matches when its prefix is this one or inside of it, and its AS this one; one of the two may be absent.
struct PrefixFilter {
  std::optional<Prefix> prefix;
  std::optional<std::uint32_t> as;
};
struct BgpsecFilter {
  std::optional<std::uint32_t> as;
  std::optional<std::array<std::uint8_t, 20>> ski;
};

// What one or several files say. A value.
struct Slurm {
  struct File {
    std::string name;
    Hash sha256;                              // of its bytes
    std::size_t filters = 0, assertions = 0;  // in it, of all kinds
  };
  std::vector<File> files;
  std::vector<PrefixFilter> prefix_filters;
  std::vector<BgpsecFilter> bgpsec_filters;
  std::vector<std::uint32_t> aspa_filters;  // customers
  Payloads assertions;
};

// InvalidArgument, with file, byte, place and reason, when one is no such document, and when two files speak of the
// same addresses, of keys of the same AS or of ASPAs of the same customer (RFC 8416 section 4.2): then none of them
// counts. ResourceExhausted for a file beyond kMaxSlurmBytes. Without files an answer that changes nothing.
//
// SKIs and keys are base64url without padding as the RFC has them, or standard base64 with padding, which StayRTR
// wants. ASPA members need slurmVersion 2; customer_asid|customerAsid|customerAsn and
// provider_set|providerSet|providerAsns| providers are taken. A router key must belong to its SKI.
absl::StatusOr<Slurm> ParseSlurm(std::span<const SlurmText> files);

struct Applied {
  Payloads payloads;
  std::size_t filtered = 0;          // payloads that a filter took
  std::vector<std::string> refused;  // as in Built, when validators' and own providers together are too many
};

// Filters, then assertions: what is asserted stays whatever the filters say. Assertions never expire; the ASPA of a
// customer that is asserted and not filtered has the providers of both.
Applied Apply(const Slurm& slurm, const Payloads& set);

}  // namespace virp::vrp
