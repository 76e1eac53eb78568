// What Builder and the functions over sets share. Private to this folder.
#pragma once

#include <string>
#include <vector>

#include "lib/vrp/payload.h"

namespace virp::vrp {

// Sorts the providers of a customer, each once, without AS 0 beside others. False, with the reason in `refused`, when
// they do not fit a PDU.
bool FinishAspa(Aspa& aspa, std::vector<std::string>& refused);

}  // namespace virp::vrp
