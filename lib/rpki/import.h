// Certificates that come from an outside authority: a bare .cer, PEM, or certs-only PKCS #7 in DER or PEM, with the
// chain or without. Thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace virp::rpki {

inline constexpr std::size_t kMaxImport = std::size_t{2} << 20;

struct Imported {
  std::string router;                    // the one that is no CA's, DER
  std::vector<std::string> authorities;  // the others, as they came
};

// InvalidArgument unless the input is one of the forms above and has exactly one certificate that is no CA's. Whether
// these are any good is CheckPath's to say.
absl::StatusOr<Imported> ImportCertificates(std::string_view bytes);

}  // namespace virp::rpki
