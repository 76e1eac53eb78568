// VRPs into their order. Private to this folder. Thread-safe.
#pragma once

#include <vector>

#include "lib/vrp/payload.h"

namespace virp::vrp {

// By Order; equals stay, beside each other. What comes in order of its addresses, rising or falling, costs a look at
// each; else it takes room for as many again for a moment.
void SortVrps(std::vector<Vrp4>& all);
void SortVrps(std::vector<Vrp6>& all);

}  // namespace virp::vrp
