// docs/operations/virpctl.md names every command and option, and nothing that is not there.
#include <gmock/gmock.h>

#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "tests/testutil/program.h"
#include "tools/virpctl/cli.h"

namespace virp::virpctl {
namespace {

using Options = std::set<std::string>;  // "--name"

Options OptionsOf(const CLI::App& app) {
  Options out;
  for (const CLI::Option* const option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) out.insert("--" + name);
  }
  out.erase("--help");
  return out;
}

// Commands that do something, by what is typed: "chain verify".
void Collect(const CLI::App& app, const std::string& prefix, std::map<std::string, Options>& out) {
  for (const CLI::App* const command : app.get_subcommands(nullptr)) {
    const std::string name = prefix + command->get_name();
    if (command->get_subcommands(nullptr).empty()) {
      out[name] = OptionsOf(*command);
    } else {
      Collect(*command, name + " ", out);
    }
  }
}

Options OptionsIn(const std::string& text) {
  static const std::regex kOption("--[a-z][a-z-]*[a-z]");
  return {std::sregex_token_iterator(text.begin(), text.end(), kOption), {}};
}

class DocTest : public ::testing::Test {
 protected:
  DocTest() : app_(MakeApp(state_)), global_(OptionsOf(*app_)) {
    Collect(*app_, "", commands_);
    std::istringstream page(testutil::FileText(VIRP_SOURCE_DIR "/docs/operations/virpctl.md"));
    std::string section, group;
    for (std::string line; std::getline(page, line);) {
      if (line.starts_with("### ")) {
        section = line.substr(4);
        sections_[section] = groups_[group];  // what all commands of a group share
      } else if (line.starts_with("## ")) {
        section.clear();
        group = line.substr(3);
      } else if (section.empty()) {
        groups_[group] += line + "\n";
      } else {
        sections_[section] += line + "\n";
      }
    }
  }
  State state_;
  std::unique_ptr<CLI::App> app_;
  Options global_;
  std::map<std::string, Options> commands_;
  std::map<std::string, std::string> groups_, sections_;
};

TEST_F(DocTest, EveryCommandHasASectionAndEverySectionACommand) {
  ASSERT_GT(commands_.size(), 30U);
  for (const auto& [name, options] : commands_) EXPECT_TRUE(sections_.contains(name)) << "undocumented: " << name;
  for (const auto& [name, text] : sections_) {
    EXPECT_TRUE(commands_.contains(name)) << "no such command: " << name;
    EXPECT_NE(text.find("virpctl " + name), std::string::npos) << "no example: " << name;
  }
}

TEST_F(DocTest, EveryOptionIsDocumentedWhereItCounts) {
  for (const auto& [name, options] : commands_) {
    const Options documented = OptionsIn(sections_[name]);
    for (const std::string& option : options) EXPECT_TRUE(documented.contains(option)) << name << " " << option;
  }
  const Options documented = OptionsIn(groups_["Connection"]);
  for (const std::string& option : global_) EXPECT_TRUE(documented.contains(option)) << option;
}

TEST_F(DocTest, NoOptionIsDocumentedThatIsNotThere) {
  Options all = global_;
  for (const auto& [name, options] : commands_) all.insert(options.begin(), options.end());
  all.insert("--help");
  for (const auto& [name, text] : sections_) {
    for (const std::string& option : OptionsIn(text)) EXPECT_TRUE(all.contains(option)) << name << " " << option;
  }
}

}  // namespace
}  // namespace virp::virpctl
