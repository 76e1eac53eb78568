// The JSON that validators write, and people: rpki-client (with `provider_authorizations` of before 2023, too),
// Routinator, OctoRPKI, StayRTR, a bare {"roas": [...]}. One pass over the text, no tree, no recursion. Thread-safe.
//
//   roas[]                                asn, prefix, maxLength (the prefix length when absent), expires
//   bgpsec_keys[], routerKeys[]           asn, ski|SKI (hex or base64), pubkey|routerPublicKey (base64), expires
//   aspas[], provider_authorizations.*[]  customer_asid|customerAsid|customerAsn|customer, providers|..., expires
//   metadata                              generated (seconds) or buildtime (ISO 8601), valid
//
// AS numbers are numbers or text, "AS64500" or "64500". A section may be null. Other sections and names are skipped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/vrp/payload.h"

namespace virp::vrp {

inline constexpr std::size_t kMaxJsonBytes = std::size_t{512} << 20;

struct JsonOptions {
  std::size_t max_bytes = kMaxJsonBytes;  // pass it to whatever reads or fetches the text, too
  std::size_t max_records = 10'000'000;   // in all sections: small ones take more memory than their text
  // Seconds since 1970: payloads that are expired then are left out. 0 leaves none out.
  std::int64_t now = 0;
  // Leave out a record that says what cannot be, instead of refusing the document. What is no JSON, or has no such
  // shape, is refused all the same.
  bool skip_bad_records = false;
};

struct Document {
  Payloads payloads;
  std::optional<std::int64_t> generated;  // seconds since 1970: metadata.generated, else metadata.buildtime
  std::optional<std::int64_t> valid;      // metadata.valid: until when, as OctoRPKI says it
  std::size_t records = 0;                // in all sections
  std::size_t expired = 0;                // left out
  std::size_t duplicates = 0;             // merged into others, the ASPAs of one customer among them
  std::size_t bad = 0;                    // left out because of skip_bad_records
  std::vector<std::string> problems;      // the first kMaxProblems bad records, and customers with too many providers
};
inline constexpr std::size_t kMaxProblems = 20;

// InvalidArgument with byte, section, record and reason for text that is no JSON in UTF-8, or has none of these
// sections or one twice, a record with a name twice, an AS number beyond 32 bits, an impossible prefix, length or
// maxLength, a value of another type than it must have, a router key that Builder refuses, or nesting deeper than 32.
// ResourceExhausted beyond max_bytes, before anything is allocated.
absl::StatusOr<Document> DecodeJson(std::string_view text, const JsonOptions& options = {});

// A document that comes in pieces, as from a file. One thread at a time.
class TextInput {
 public:
  virtual ~TextInput() = default;
  // The next octets, at least one; 0 at the end. An error ends the reading.
  virtual absl::StatusOr<std::size_t> Read(std::span<char> into) = 0;
};

// The same of a text that is never in memory as a whole: `window` octets of it, and more where a record or what is
// skipped is longer. `size` is about how long it is. Errors of the input, too; what is behind an error is not read.
absl::StatusOr<Document> DecodeJson(TextInput& input, std::size_t size, const JsonOptions& options = {},
                                    std::size_t window = std::size_t{256} << 10);

}  // namespace virp::vrp
