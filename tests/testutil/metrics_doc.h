// Compares what a service registers with what docs/metrics.md documents.
#pragma once

#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lib/service/metrics.h"

namespace virp::testutil {

// Differences, one per line, as an assertion shows them; empty when there are none. A metric is documented by a table
// row whose first cell is its full name in back quotes. Documented names of the same service that nobody registers
// count too.
inline std::vector<std::string> MetricDocDifferences(const service::Metrics& metrics, std::string_view service,
                                                     const std::string& page) {
  std::ifstream file(page);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  std::set<std::string> documented;
  const std::string opening = "\n| `virp_" + std::string(service) + "_";
  for (std::size_t at = text.find(opening); at != std::string::npos; at = text.find(opening, at + 1)) {
    const std::size_t begin = at + 4;
    documented.insert(text.substr(begin, text.find('`', begin) - begin));
  }
  std::vector<std::string> out;
  if (text.empty()) out.push_back("cannot read " + page);
  for (const std::string& name : metrics.Names()) {
    if (documented.erase(name) == 0) out.push_back(name + " is registered but not documented");
  }
  for (const std::string& name : documented) out.push_back(name + " is documented but not registered");
  return out;
}

}  // namespace virp::testutil
