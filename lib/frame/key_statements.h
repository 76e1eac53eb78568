// What an O-Key signs about its successor: the texts of docs/formats/key-records.md, which cannot be mistaken for a
// frame, since no frame begins with them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "lib/frame/frame.h"

namespace virp::frame {

// What a producer signs with the new key to show that it holds it. Version and source are named, so that the proof
// serves nothing else; a repeat of the same registration changes nothing, so it needs no nonce.
std::string PossessionStatement(std::string_view source, std::uint32_t version, std::string_view public_half);

// What the version that signs tags to vouch for the next one.
std::string SuccessionStatement(std::string_view source, std::uint32_t version, Suite suite,
                                std::string_view public_half_or_commitment);

}  // namespace virp::frame
