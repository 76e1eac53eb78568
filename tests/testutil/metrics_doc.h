// Compares what a service serves at /metrics with what docs/metrics.md documents.
#pragma once

#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace virp::testutil {

// Differences, one per line, as an assertion shows them; empty when there are none. A metric is documented by a table
// row whose first cell holds its full name in back quotes, alone or with related ones. Documented names of the same
// service that are not served count too. `others`: how names begin that are the service's as well.
inline std::vector<std::string> MetricDocDifferences(std::string_view served, std::string_view service,
                                                     const std::string& page,
                                                     const std::vector<std::string>& others = {}) {
  std::ifstream file(page);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  std::set<std::string> documented;
  std::vector<std::string> openings{"virp_" + std::string(service) + "_"};
  openings.insert(openings.end(), others.begin(), others.end());
  for (const std::string& of : openings) {
    const std::string opening = "`" + of;
    for (std::size_t row = text.find("\n| " + opening); row != std::string::npos;
         row = text.find("\n| " + opening, row + 1)) {
      const std::size_t cell_end = text.find(" |", row + 3);
      for (std::size_t at = text.find(opening, row); at < cell_end; at = text.find(opening, at + 1)) {
        documented.insert(text.substr(at + 1, text.find('`', at + 1) - at - 1));
      }
    }
  }
  std::vector<std::string> out;
  if (text.empty()) out.push_back("cannot read " + page);
  constexpr std::string_view kType = "# TYPE ";  // "# TYPE NAME KIND", once for each name
  for (std::size_t at = served.find(kType); at != std::string_view::npos; at = served.find(kType, at)) {
    at += kType.size();
    const std::string name(served.substr(at, served.find(' ', at) - at));
    if (documented.erase(name) == 0) out.push_back(name + " is served but not documented");
  }
  for (const std::string& name : documented) out.push_back(name + " is documented but not served");
  return out;
}

}  // namespace virp::testutil
