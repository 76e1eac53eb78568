// Private to lib/crypto: where secrets lie. Pages of their own that are not swapped (mlock), not dumped (MADV_DONTDUMP)
// and have unreadable ones on both sides. Thread-safe.
#pragma once

#include <cstddef>

namespace virp::crypto::internal {

void* AllocateSecret(std::size_t size);           // zeroed; ends the process when memory is out; size 0 is null
void FreeSecret(void* memory, std::size_t size);  // wipes it; `size` as it was allocated

}  // namespace virp::crypto::internal
