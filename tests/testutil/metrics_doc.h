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
// row whose first cell holds its full name in back quotes, alone or with related ones. Documented names of the same
// service that nobody registers count too.
inline std::vector<std::string> MetricDocDifferences(const service::Metrics& metrics, std::string_view service,
                                                     const std::string& page) {
  std::ifstream file(page);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  std::set<std::string> documented;
  const std::string opening = "`virp_" + std::string(service) + "_";
  for (std::size_t row = text.find("\n| " + opening); row != std::string::npos;
       row = text.find("\n| " + opening, row + 1)) {
    const std::size_t cell_end = text.find(" |", row + 3);
    for (std::size_t at = text.find(opening, row); at < cell_end; at = text.find(opening, at + 1)) {
      documented.insert(text.substr(at + 1, text.find('`', at + 1) - at - 1));
    }
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
