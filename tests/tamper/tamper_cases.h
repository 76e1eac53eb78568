// The ways to tamper, as a table: which columns each one touches, and what has to be found.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/tamper/fixture.h"

namespace virp::onode {

enum class Restarted : std::uint8_t {
  kFrozen,   // answers, says CHAIN_FROZEN in every answer, appends nothing
  kServes,   // nothing that it rests on was touched
  kRefuses,  // does not start
};

struct TamperCase {
  std::string name;
  std::vector<std::string> columns;  // "table.column"; "table.*": whole rows
  std::function<void(Intruder&, const History&)> act;
  Finding online;   // VerifyChain, before and after a restart
  Finding offline;  // the walk over a copy, without the secrets of HMAC sources
  Restarted restarted = Restarted::kFrozen;
  bool postgres_only = false;
};

// Of both stores. The same list at each call.
const std::vector<TamperCase>& TamperCases();

// A frame's payload with a word replaced by one of the same length; the header and all lengths stay.
std::string WithWord(std::string entry, std::string_view word, std::string_view by);

}  // namespace virp::onode
