// The examples of docs/operations/virpctl.md, as they stand there.
#include <filesystem>
#include <sstream>

#include "tests/e2e/virpctl_fixture.h"

namespace virp::e2e {
namespace {

struct Example {
  std::string command;
  int exit = kYes;
  std::string output;  // as the page has it
};

// From "console" blocks: lines that begin with "$ ", each with the lines that follow; "# exit N" says how it ends.
std::vector<Example> ReadExamples(const std::string& page) {
  std::vector<Example> out;
  bool console = false, begun = false;
  std::istringstream in(page);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("```")) {
      console = line == "```console";
      begun = false;
    } else if (console && line.starts_with("$ ")) {
      Example& example = out.emplace_back();
      example.command = line.substr(2);
      begun = true;
      if (const std::size_t exit = line.find(" # exit "); exit != std::string::npos) {
        example.exit = std::stoi(line.substr(exit + 8));
      }
    } else if (console && begun) {
      out.back().output += line + "\n";
    }
  }
  return out;
}

// Columns are as wide as what is in them: runs of spaces count as one, those at the end of a line not at all.
std::string Squeeze(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n' && out.ends_with(' ')) out.pop_back();
    if (c != ' ' || !(out.ends_with(' ') || out.ends_with('\n'))) out += c;
  }
  return out;
}

// Whether `pattern`, in which "..." stands for anything, is the text.
bool Matches(std::string_view text, std::string_view pattern) {
  for (bool first = true;; first = false) {
    const std::size_t dots = pattern.find("...");
    const std::string_view piece = pattern.substr(0, dots);
    if (dots == std::string_view::npos) return first ? text == piece : text.ends_with(piece);
    const std::size_t at = text.find(piece);
    if (at == std::string_view::npos || (first && at != 0)) return false;
    text.remove_prefix(at + piece.size());
    pattern.remove_prefix(dots + 3);
    if (pattern == "\n") return true;  // a line that is all dots takes what is left
  }
}

TEST_F(VirpctlTest, TheExamplesOfThePageDoWhatItSays) {
  PeerIsUp();
  Write("trust.keys", "# published by the operator\n" + Trust() + "\n");
  const auto examples = ReadExamples(testutil::FileText(VIRP_SOURCE_DIR "/docs/operations/virpctl.md"));
  ASSERT_GT(examples.size(), 30U);
  std::vector<std::string> environment = Environment(Role::kOperator, server_->address());
  environment.push_back("PATH=/usr/bin:/bin:" + std::filesystem::path(VIRPCTL).parent_path().string());
  for (const Example& example : examples) {
    if (example.command.find("claim") != std::string::npos) Beat();  // examples take their time
    const ProgramResult result =
        testutil::RunProgram({"/bin/sh", "-c", "cd '" + dir_ + "' && " + example.command}, environment);
    EXPECT_EQ(result.exit, example.exit) << example.command << "\n" << result.err << result.out;
    EXPECT_TRUE(Matches(Squeeze(result.out), Squeeze(example.output))) << example.command << "\n"
                                                                       << result.out << "instead of\n"
                                                                       << example.output;
  }
}

}  // namespace
}  // namespace virp::e2e
