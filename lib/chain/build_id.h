// Which build of a program signs: stated in its beats, so that a program that was replaced shows in the chain.
#pragma once

#include <string>

#include "lib/chain/control.h"

namespace virp::chain {

// The GNU build id of this program, in hexadecimal digits; empty when it was linked without one. Thread-safe.
const std::string& OwnBuildId();

// BuildHeartbeat with `build_id`, where there is one.
std::string BuildOwnHeartbeat(const Heartbeat& heartbeat);

}  // namespace virp::chain
