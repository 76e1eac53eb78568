// For logs that say when something begins and when it ends, not while it lasts.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

namespace virp {

// What came and what went between two looks at a set of names. Not thread-safe.
class EdgeWatch {
 public:
  // Calls `began` for each name that was not there at the last look, then `ended` for each that is not there now, in
  // order. Before the first look there is none.
  template <typename Began, typename Ended>
  void Look(std::vector<std::string> names, const Began& began, const Ended& ended) {
    const std::set<std::string> now(std::make_move_iterator(names.begin()), std::make_move_iterator(names.end()));
    const std::set<std::string> before = std::exchange(known_, now);
    for (const std::string& name : now) {
      if (!before.contains(name)) began(name);
    }
    for (const std::string& name : before) {
      if (!now.contains(name)) ended(name);
    }
  }

 private:
  std::set<std::string> known_;
};

}  // namespace virp
