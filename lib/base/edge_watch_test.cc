#include "lib/base/edge_watch.h"

#include <gmock/gmock.h>

namespace virp {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(EdgeWatch, TellsEdgesOnly) {
  EdgeWatch watch;
  const auto look = [&watch](std::vector<std::string> names) {
    std::vector<std::string> told;
    watch.Look(
        std::move(names), [&](const std::string& name) { told.push_back("+" + name); },
        [&](const std::string& name) { told.push_back("-" + name); });
    return told;
  };
  EXPECT_THAT(look({}), IsEmpty());
  EXPECT_THAT(look({"b", "a", "a"}), ElementsAre("+a", "+b"));
  EXPECT_THAT(look({"a", "b"}), IsEmpty());
  EXPECT_THAT(look({"c", "b"}), ElementsAre("+c", "-a"));
  EXPECT_THAT(look({}), ElementsAre("-b", "-c"));
}

}  // namespace
}  // namespace virp
