#include "lib/frame/key_statements.h"

#include <fmt/format.h>

#include "lib/base/bytes.h"

namespace virp::frame {

std::string PossessionStatement(std::string_view source, std::uint32_t version, std::string_view public_half) {
  return fmt::format("virp key possession/1\n{}\n{}\n{}\n", source, version, HexEncode(public_half));
}

std::string SuccessionStatement(std::string_view source, std::uint32_t version, Suite suite,
                                std::string_view public_half_or_commitment) {
  return fmt::format("virp key succession/1\n{}\n{}\n{}\n{}\n", source, version,
                     suite == Suite::kEd25519 ? "Ed25519" : "HMAC-SHA256", HexEncode(public_half_or_commitment));
}

}  // namespace virp::frame
