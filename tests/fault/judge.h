// Holds a ledger of what was sent and answered against the chain that came of it. Reads entries with its own eyes: the
// O-Node's word (VerifyChain) is asked beside, never instead.
#pragma once

#include <string>
#include <vector>

#include "tests/fault/load.h"

namespace virp::fault {

// What is wrong, in words; empty when nothing is: links and leaf hashes, every source's numbers once and in order,
// everything that Submit and Deliver answered where they said, every number sent entered or in a gap entry, the
// router's table as the chain tells it. At most 20.
std::vector<std::string> Judge(const std::vector<std::string>& entries, const Ledger& ledger);

}  // namespace virp::fault
