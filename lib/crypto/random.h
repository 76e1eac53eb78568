// Random bytes fit for keys and for identifiers that must not be guessed. Thread-safe. A system without randomness ends
// the process: there is no second best.
#pragma once

#include <cstddef>
#include <string>

namespace virp::crypto {

void FillRandom(void* memory, std::size_t size);
std::string RandomBytes(std::size_t size);

}  // namespace virp::crypto
