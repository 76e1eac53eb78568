// The examples of docs/formats/payloads.md are what they say they are.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <string>

#include "lib/base/status.h"
#include "lib/chain/break_glass.h"
#include "lib/chain/control.h"
#include "lib/chain/subject.h"

namespace virp::chain {
namespace {

struct Example {
  int type = 0;
  std::string about;
  std::string payload;
};

// "### Type N", then "Example, about `SUBJECT`[, type N]:" or "Example, about nothing, type N:", then a fenced block of
// one line.
std::vector<Example> Examples() {
  std::ifstream file(VIRP_SOURCE_DIR "/docs/formats/payloads.md");
  std::vector<Example> out;
  std::string line;
  int type = 0;
  Example next;
  bool inside = false;
  while (std::getline(file, line)) {
    if (line.starts_with("### Type ")) type = std::stoi(line.substr(9));
    if (line.starts_with("Example, about ")) {
      const bool nothing = line.starts_with("Example, about nothing");
      next = {type, nothing ? "" : line.substr(16, line.find('`', 16) - 16), ""};
      if (const std::size_t other = line.find(", type "); other != std::string::npos)
        next.type = std::stoi(line.substr(other + 7));
    }
    if (inside) {
      next.payload = line;
      out.push_back(next);
      inside = false;
    }
    if (line == "```json") inside = true;
  }
  return out;
}

absl::Status Parses(int type, const frame::Value& payload) {
  switch (static_cast<frame::Type>(type)) {
    case frame::Type::kSourceEvent: {
      const auto event = ParseSourceEvent(payload);
      return event.ok() && event->registration ? CheckRegistration(*event->registration) : event.status();
    }
    case frame::Type::kKeyEvent: {
      const auto event = ParseKeyEvent(payload);
      return event.ok() && event->event == KeyEvent::Event::kVersion ? CheckKeyStatement(event->key) : event.status();
    }
    case frame::Type::kGap:
      return ParseGap(payload).status();
    case frame::Type::kChannelAlarm:
      return ParseAlarm(payload).status();
    case frame::Type::kAlarmCleared:
      return ParseAlarmCleared(payload).status();
    case frame::Type::kHeartbeat:
      return ParseHeartbeat(payload).status();
    default:
      return absl::OkStatus();
  }
}

TEST(PayloadDocTest, ExamplesParseAndHaveTheSubjectsThatThePageStates) {
  Registration daemon, collector;
  daemon.source = "edge-a.bgpd";
  daemon.routers = {{"edge-a", {"192.0.2.1"}, {}, {"default"}}};
  daemon.subject_prefixes = {"rtr/rtr.bridge-1/"};
  collector.source = "collector-1";
  frame::PayloadReader reader;
  std::set<int> types;
  std::set<Statement::What> said;
  for (const Example& example : Examples()) {
    const auto payload = reader.Read(example.payload);
    ASSERT_TRUE(payload.ok()) << payload.status() << example.payload;
    EXPECT_TRUE(Parses(example.type, *payload).ok()) << Parses(example.type, *payload) << example.payload;
    const Registration& signer = example.type == 24 ? collector : daemon;
    const Statement statement = ReadStatement(signer, static_cast<frame::Type>(example.type), *payload);
    EXPECT_EQ(statement.subject, example.about) << example.payload;
    EXPECT_EQ(statement.flags, 0);
    types.insert(example.type);
    said.insert(statement.what);
  }
  EXPECT_EQ(types, (std::set<int>{1, 2, 3, 4, 17, 19, 22, 23, 24, 25, 26, 28}));
  EXPECT_EQ(said.size(), 14U) << "every What has an example";
}

TEST(PayloadDocTest, TheBreakGlassExampleIsWhatServicesWrite) {
  const std::string built = BuildBreakGlass({"/virp.chain.v1.ChainService/GetChain", 0, 4711});
  const auto examples = Examples();
  EXPECT_TRUE(std::any_of(examples.begin(), examples.end(), [&](const Example& e) { return e.payload == built; }))
      << built;
}

}  // namespace
}  // namespace virp::chain
