// Which token is meant: by label, serial number, maker or model, or all of these in a URI of RFC 7512,
// "pkcs11:token=virp;serial=0a1b?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/virp/token.pin".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace virp::pkcs11 {

inline constexpr std::size_t kMaxTokenUri = 4096;

// What a token must have to be the one; what is empty does not matter. At least one must be given.
struct TokenSelector {
  std::string label{};
  std::string serial{};
  std::string manufacturer{};
  std::string model{};
  std::optional<std::uint64_t> slot{};  // ids of slots may change when tokens are added: the label is the better name

  bool empty() const {
    return label.empty() && serial.empty() && manufacturer.empty() && model.empty() && !slot.has_value();
  }
  std::string Describe() const;  // "token 'virp', serial 0a1b", for people
  friend bool operator==(const TokenSelector&, const TokenSelector&) = default;
};

struct TokenUri {
  TokenSelector token{};
  std::string module_path{};  // absolute; empty when the URI has none
  std::string pin_file{};     // absolute; empty when the URI has none
  friend bool operator==(const TokenUri&, const TokenUri&) = default;
};

// Takes token, serial, manufacturer, model, slot-id, module-path and pin-source. InvalidArgument for another scheme,
// for any other attribute (RFC 7512 section 2.3: who does not know one must not guess what it would select), one given
// twice or empty, a broken percent escape, an embedded NUL, a path that is not absolute, or a URI that selects nothing.
// pin-value is refused by name: a PIN in a configuration is a PIN in every backup of it.
absl::StatusOr<TokenUri> ParseTokenUri(std::string_view uri);

}  // namespace virp::pkcs11
