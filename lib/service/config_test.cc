#include "lib/service/config.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "lib/service/common_options.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"

namespace virp::service {
namespace {

using absl::StatusCode;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testutil::StatusIs;
using namespace std::chrono_literals;

class ConfigTest : public ::testing::Test {
 protected:
  ConfigTest() {
    options_.Add(&listen_, "listen", "Where gRPC is served.");
    options_.Add(&name_, "name", "The name of this node.");
    options_.Add(&reflection_, "reflection", "Serve reflection.");
    options_.Add(&connections_, "max-connections", "Connections at most.", 1, 100'000);
    options_.Add(&interval_, "interval", "Time between checkpoints.", 1ms, 1h);
    options_.AddSize(&spool_, "spool-size", "Bound of the spool.", 1024);
    options_.Add(&chains_, "chain", "A chain to serve.");
    options_.AddSecretFile(&key_, "key-file", "The key.");
    options_.AddCustom(
        "store", "URL", "The database.", "sqlite:x.db",
        [this](const std::string& text, ValueOrigin origin) -> absl::Status {
          store_ = text;
          if (origin == ValueOrigin::kCommandLine && text.find(':') != text.rfind(':'))
            return InvalidArgument("a password on the command line");
          return absl::OkStatus();
        },
        true);
  }
  ~ConfigTest() override {
    for (const std::string& name : set_) ::unsetenv(name.c_str());
  }

  absl::StatusOr<Options::Next> Read(const std::vector<std::string>& arguments) {
    std::vector<const char*> argv = {"virp-onode"};
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    return options_.Read(static_cast<int>(argv.size()), argv.data(), out_);
  }
  void Env(const std::string& name, const std::string& value) {
    ::setenv(name.c_str(), value.c_str(), 1);
    set_.push_back(name);
  }
  std::string File(const std::string& text) {
    std::ofstream(dir_.File("config.json")) << text;
    return dir_.File("config.json");
  }

  testutil::TempDir dir_;
  std::vector<std::string> set_;
  std::ostringstream out_;
  HostPort listen_{"127.0.0.1", 7000};
  std::string name_ = "node";
  bool reflection_ = false;
  int connections_ = 1000;
  std::chrono::milliseconds interval_{1000};
  std::uint64_t spool_ = 1 << 20;
  std::vector<std::string> chains_;
  std::string key_;
  std::string store_;
  Options options_{"virp-onode", "The O-Node.", "1.2.3"};
};

TEST_F(ConfigTest, DefaultsStand) {
  ASSERT_OK_AND_ASSIGN(const auto next, Read({}));
  EXPECT_EQ(next, Options::Next::kRun);
  EXPECT_EQ(listen_.port, 7000);
  EXPECT_EQ(name_, "node");
  EXPECT_EQ(options_.Origin("name"), ValueOrigin::kDefault);
}

TEST_F(ConfigTest, FlagBeforeEnvironmentBeforeFile) {
  const std::string file = File(R"({"name": "file", "interval": "3s", "max-connections": 30, "chain": ["f"]})");
  Env("VIRP_ONODE_CONFIG", file);
  Env("VIRP_ONODE_INTERVAL", "2s");
  Env("VIRP_ONODE_MAX_CONNECTIONS", "20");
  ASSERT_OK(Read({"--max-connections", "10"}));
  EXPECT_EQ(name_, "file");
  EXPECT_EQ(interval_, 2s);
  EXPECT_EQ(connections_, 10);
  EXPECT_THAT(chains_, ElementsAre("f"));
  EXPECT_EQ(options_.Origin("name"), ValueOrigin::kConfigFile);
  EXPECT_EQ(options_.Origin("interval"), ValueOrigin::kEnvironment);
  EXPECT_EQ(options_.Origin("max-connections"), ValueOrigin::kCommandLine);
}

TEST_F(ConfigTest, EveryKindFromEachPlace) {
  const auto expect = [this] {
    EXPECT_EQ(listen_, (HostPort{"::1", 1}));
    EXPECT_EQ(name_, "n n");
    EXPECT_TRUE(reflection_);
    EXPECT_EQ(connections_, 5);
    EXPECT_EQ(interval_, 1500ms);
    EXPECT_EQ(spool_, 2048U);
    EXPECT_THAT(chains_, ElementsAre("a", "b"));
  };
  ASSERT_OK(Read({"--listen", "[::1]:1", "--name=n n", "--reflection", "--max-connections=5", "--interval", "1s500ms",
                  "--spool-size", "2KiB", "--chain", "a", "--chain", "b"}));
  expect();
}

TEST_F(ConfigTest, EveryKindFromTheEnvironment) {
  Env("VIRP_ONODE_LISTEN", "[::1]:1");
  Env("VIRP_ONODE_REFLECTION", "true");
  Env("VIRP_ONODE_SPOOL_SIZE", "2KiB");
  Env("VIRP_ONODE_CHAIN", "a,b");
  ASSERT_OK(Read({}));
  EXPECT_EQ(listen_.host, "::1");
  EXPECT_TRUE(reflection_);
  EXPECT_EQ(spool_, 2048U);
  EXPECT_THAT(chains_, ElementsAre("a", "b"));
}

TEST_F(ConfigTest, EveryKindFromTheFile) {
  const std::string file = File(R"({
    // a comment
    "listen": "[::1]:1", "reflection": true, "max-connections": 5, "spool-size": 2048, /* another */
    "interval": "1s500ms", "chain": ["a", "b"]
  })");
  ASSERT_OK(Read({"--config", file}));
  EXPECT_EQ(listen_.host, "::1");
  EXPECT_TRUE(reflection_);
  EXPECT_EQ(connections_, 5);
  EXPECT_EQ(interval_, 1500ms);
  EXPECT_EQ(spool_, 2048U);
  EXPECT_THAT(chains_, ElementsAre("a", "b"));
}

TEST_F(ConfigTest, AFlagCanBeSwitchedOff) {
  ASSERT_OK(Read({"--config", File(R"({"reflection": true})"), "--reflection=false"}));
  EXPECT_FALSE(reflection_);
}

TEST_F(ConfigTest, WrongValuesAreNamedWithKeyReasonAndPlace) {
  EXPECT_THAT(Read({"--listen", "nowhere"}),
              StatusIs(StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("listen: "), HasSubstr("no port"), HasSubstr("command line"))));
  EXPECT_THAT(Read({"--max-connections", "0"}),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("max-connections: 0 is not within 1 and 100000")));
  EXPECT_THAT(Read({"--max-connections", "5x"}),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("not a whole number")));
  EXPECT_THAT(Read({"--interval", "2h"}), StatusIs(StatusCode::kInvalidArgument, HasSubstr("interval: ")));
  EXPECT_THAT(Read({"--interval", "1s1us"}), StatusIs(StatusCode::kInvalidArgument, HasSubstr("finer than 1ms")));
  EXPECT_THAT(Read({"--spool-size", "10"}), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(Read({"--name", "a", "--name", "b"}),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("more than once")));
  EXPECT_THAT(Read({"--nonsense"}), StatusIs(StatusCode::kInvalidArgument, HasSubstr("nonsense")));
  EXPECT_THAT(Read({"stray"}), StatusIs(StatusCode::kInvalidArgument, HasSubstr("stray")));
  EXPECT_THAT(Read({"--name"}), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(Read({"--reflection=maybe"}), StatusIs(StatusCode::kInvalidArgument));
  Env("VIRP_ONODE_MAX_CONNECTIONS", "many");
  EXPECT_THAT(Read({}),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("environment variable VIRP_ONODE_MAX_CONNECTIONS")));
}

TEST_F(ConfigTest, WrongFilesAreRefused) {
  const auto refused = [this](const std::string& text, const std::string& why) {
    EXPECT_THAT(Read({"--config", File(text)}),
                StatusIs(StatusCode::kInvalidArgument, AllOf(HasSubstr("config.json"), HasSubstr(why))))
        << text;
  };
  refused(R"({"lisen": "x:1"})", "unknown key 'lisen'");
  refused(R"({"name": "a", "name": "b"})", "'name' is there twice");
  refused(R"({"config": "x"})", "unknown key");
  refused(R"({"check-config": true})", "unknown key");
  refused(R"({"name": null})", "name: must be");
  refused(R"({"name": ["a"]})", "name: must be");
  refused(R"({"chain": [["a"]]})", "chain: must be");
  refused(R"({"max-connections": 1.5})", "max-connections: must be");
  refused(R"({"max-connections": "ten"})", "not a whole number");
  refused(R"([1])", "one JSON object");
  refused(R"({"name": )", "JSON");
  EXPECT_THAT(Read({"--config", dir_.File("missing")}), StatusIs(StatusCode::kNotFound));
}

TEST_F(ConfigTest, RequiredOptionsAndRules) {
  options_.Require("key-file");
  EXPECT_THAT(Read({}),
              StatusIs(StatusCode::kInvalidArgument, AllOf(HasSubstr("--key-file"), HasSubstr("VIRP_ONODE_KEY_FILE"))));
}

TEST_F(ConfigTest, RulesOverSeveralOptions) {
  options_.Check([this] {
    return connections_ > 10 && reflection_ ? InvalidArgument("reflection and max-connections: do not go together")
                                            : absl::OkStatus();
  });
  EXPECT_OK(Read({"--max-connections=5", "--reflection"}));
  EXPECT_THAT(Read({"--max-connections=50", "--reflection"}),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("do not go together")));
}

TEST_F(ConfigTest, SecretFilesMustBePrivate) {
  const std::string path = dir_.File("key");
  std::ofstream(path) << "secret";
  ::chmod(path.c_str(), 0644);
  EXPECT_THAT(Read({"--key-file", path}),
              StatusIs(StatusCode::kInvalidArgument, AllOf(HasSubstr("key-file: "), HasSubstr("0644"))));
  ::chmod(path.c_str(), 0440);
  EXPECT_OK(Read({"--key-file", path}));
  EXPECT_EQ(key_, path);
  ::chmod(path.c_str(), 0620);
  EXPECT_THAT(CheckSecretFile(path), StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_THAT(CheckSecretFile(dir_.path()), StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_THAT(CheckSecretFile(dir_.File("none")), StatusIs(StatusCode::kNotFound));
}

TEST_F(ConfigTest, OriginReachesTheParser) {
  EXPECT_THAT(Read({"--store", "postgresql://u:p@h"}), StatusIs(StatusCode::kInvalidArgument));
  Env("VIRP_ONODE_STORE", "postgresql://u:p@h");
  EXPECT_OK(Read({}));
  EXPECT_EQ(store_, "postgresql://u:p@h");
}

TEST_F(ConfigTest, HelpIsComplete) {
  ASSERT_OK_AND_ASSIGN(const auto next, Read({"--help"}));
  EXPECT_EQ(next, Options::Next::kExit);
  for (const char* text : {"--listen HOST:PORT", "default 127.0.0.1:7000; VIRP_ONODE_LISTEN",
                           "--max-connections NUMBER", "VIRP_ONODE_MAX_CONNECTIONS", "--interval DURATION",
                           "default 1s", "--chain TEXT", "May be repeated", "--key-file FILE", "--config FILE",
                           "--check-config", "--print-config", "--help", "--version", "--reflection"}) {
    EXPECT_THAT(out_.str(), HasSubstr(text));
  }
}

TEST_F(ConfigTest, VersionAndCheck) {
  ASSERT_OK_AND_ASSIGN(auto next, Read({"--version"}));
  EXPECT_EQ(next, Options::Next::kExit);
  EXPECT_EQ(out_.str(), "virp-onode 1.2.3\n");
  ASSERT_OK_AND_ASSIGN(next, Read({"--check-config"}));
  EXPECT_EQ(next, Options::Next::kExit);
  EXPECT_THAT(out_.str(), HasSubstr("the configuration is valid\n"));
  EXPECT_FALSE(Read({"--check-config", "--name", "a", "--name", "b"}).ok());
}

TEST_F(ConfigTest, PrintShowsOriginsButNoPrivateValue) {
  Env("VIRP_ONODE_STORE", "postgresql://u:hunter2@h");
  ASSERT_OK_AND_ASSIGN(const auto next, Read({"--print-config", "--name", "x", "--chain", "a", "--chain", "b"}));
  EXPECT_EQ(next, Options::Next::kExit);
  const auto printed = nlohmann::json::parse(out_.str());
  EXPECT_EQ(printed["name"]["value"], "x");
  EXPECT_EQ(printed["name"]["from"], "command line");
  EXPECT_EQ(printed["listen"]["value"], "127.0.0.1:7000");
  EXPECT_EQ(printed["chain"]["value"], nlohmann::json({"a", "b"}));
  EXPECT_EQ(printed["store"]["value"], "(set)");
  EXPECT_EQ(out_.str().find("hunter2"), std::string::npos);
}

TEST_F(ConfigTest, Commands) {
  std::string origin;
  Options& init = options_.AddCommand("init", "Open a chain.");
  init.Add(&origin, "origin", "The chain's origin.");
  init.Require("origin");
  options_.Require("key-file");  // not for the command
  EXPECT_THAT(Read({"init"}), StatusIs(StatusCode::kInvalidArgument, HasSubstr("VIRP_ONODE_INIT_ORIGIN")));
  ASSERT_OK(Read({"--name", "x", "init", "--origin", "site/a", "--max-connections", "7"}));
  EXPECT_EQ(options_.command(), "init");
  EXPECT_EQ(origin, "site/a");
  EXPECT_EQ(name_, "x");
  EXPECT_EQ(connections_, 7);
  ASSERT_OK_AND_ASSIGN(const auto next, Read({"init", "--help"}));
  EXPECT_EQ(next, Options::Next::kExit);
  EXPECT_THAT(out_.str(), HasSubstr("--origin"));
  EXPECT_THAT(Read({"--origin", "x"}), StatusIs(StatusCode::kInvalidArgument));
}

TEST_F(ConfigTest, OptionsOfEveryService) {
  CommonConfig common;
  common.admin_listen.port = 9100;
  AddCommonOptions(options_, &common);
  ASSERT_OK(Read({"--log-format=json", "--log-level", "debug", "--drain-grace", "3s"}));
  EXPECT_EQ(common.log_format, LogFormat::kJson);
  EXPECT_EQ(common.log_level, LogLevel::kDebug);
  EXPECT_EQ(common.drain_grace, 3s);
  EXPECT_EQ(common.admin_listen.port, 9100);
  EXPECT_THAT(Read({"--log-level", "loud"}), StatusIs(StatusCode::kInvalidArgument, HasSubstr("log-level: ")));
}

}  // namespace
}  // namespace virp::service
