// Which builds of their programs sources may name in their beats. What an operator lists is expected; another one is an
// alarm, since who replaces a program signs as before.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/mutex.h"

namespace virp::onode {

// Thread-safe.
class ExpectedBuilds {
 public:
  struct Rule {
    std::vector<std::string> sources;        // names; one * in a name stands for anything
    std::set<std::string, std::less<>> ids;  // build ids, lower-case hexadecimal digits
  };

  void Replace(std::vector<Rule> rules);

  // True where a rule about the source lists the build, and where no rule is about the source. Several rules about one
  // source are one. An empty `build` is that of a beat that names none.
  bool Expects(std::string_view source, std::string_view build) const;

 private:
  mutable Mutex mutex_;
  std::vector<Rule> rules_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp::onode
