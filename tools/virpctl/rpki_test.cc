// `virpctl keys rpki` as the program that people run, against a server that says what a key manager never would.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "services/keymgr/transport/rpki_handler.h"
#include "tests/testutil/program.h"
#include "tests/testutil/test_pki.h"
#include "tests/testutil/wait.h"
#include "tools/virpctl/ctl_test_util.h"
#include "virp/keymgr/v1/rpki.grpc.pb.h"

namespace virp::virpctl {
namespace {

namespace pb = ::virp::keymgr::v1;
using service::Role;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testutil::ProgramResult;

class Liar final : public pb::RpkiService::Service {
 public:
  grpc::Status ExportRouterKeys(grpc::ServerContext*, const pb::ExportRouterKeysRequest*,
                                grpc::ServerWriter<pb::ExportRouterKeysResponse>* writer) override {
    for (const pb::ExportRouterKeysResponse& part : parts) writer->Write(part);
    // Names alone, larger than anything that would be saved.
    pb::ExportRouterKeysResponse part;
    for (int i = 0; i < long_names; ++i) {
      part.set_path(std::string(3 << 20, 'a') + std::to_string(i));
      if (!writer->Write(part)) break;
    }
    return grpc::Status::OK;
  }
  grpc::Status WatchRouterKeys(grpc::ServerContext* context, const pb::WatchRouterKeysRequest*,
                               grpc::ServerWriter<pb::WatchRouterKeysResponse>* writer) override {
    pb::WatchRouterKeysResponse news;
    news.set_complete(true);
    news.set_serial(1);
    writer->Write(news);
    testutil::Eventually([&] { return go_on.load() || context->IsCancelled(); });
    return grpc::Status::OK;
  }
  grpc::Status ListExpiringCertificates(grpc::ServerContext*, const pb::ListExpiringCertificatesRequest*,
                                        pb::ListExpiringCertificatesResponse* response) override {
    response->add_missing("edge-a\x1b[2J");
    pb::ExpiringCertificate& one = *response->add_certificates();
    one.set_kind("router_certificate");
    one.set_advice("none");
    return grpc::Status::OK;
  }

  std::vector<pb::ExportRouterKeysResponse> parts;
  int long_names = 0;
  std::atomic<bool> go_on = false;
};

class RpkiCommandTest : public ::testing::Test {
 protected:
  RpkiCommandTest() {
    server_ = pki_.StartServer(Role::kKeymgr, pki_.MakeSecurity(keymgr::RpkiAccess()),
                               {{&liar_, "virp.keymgr.v1.RpkiService"}});
  }
  std::vector<std::string> Command(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {VIRPCTL, "keys", "rpki"});
    return arguments;
  }
  std::vector<std::string> Environment() {
    auto environment = CtlEnvironment(pki_, dir_.path(), server_->port(), Role::kOperator, "noc-1");
    environment.push_back("VIRPCTL_TIMEOUT=60");
    return environment;
  }
  ProgramResult Ctl(std::vector<std::string> arguments) {
    return testutil::RunProgram(Command(std::move(arguments)), Environment());
  }
  ProgramResult Export(const std::string& path) {
    liar_.parts.resize(1);
    liar_.parts[0].set_path(path);
    liar_.parts[0].set_content("keys");
    return Ctl({"export", "--save", dir_.File("out")});
  }

  testutil::TempDir dir_;
  testutil::TestPki pki_;
  Liar liar_;
  std::unique_ptr<service::ServerRunner> server_;
};

TEST_F(RpkiCommandTest, NamesOfFilesGoNowhereElse) {
  const ProgramResult sound = Export("64496/key.json");
  EXPECT_EQ(sound.exit, 0) << sound.err;
  EXPECT_EQ(testutil::FileText(dir_.File("out/64496/key.json")), "keys");
  for (const std::string path : {"../x", "a/../x", "/x", "", "a//b", "a/", "a\x1b[2Jb", "a\nb", "a\x7f", "a\u0085"}) {
    const ProgramResult result = Export(path);
    EXPECT_EQ(result.exit, 2) << path;
    EXPECT_THAT(result.err, AllOf(HasSubstr("path"), Not(HasSubstr("\x1b")), Not(HasSubstr("\u0085"))));
  }
}

TEST_F(RpkiCommandTest, NamesCountInTheSizeOfAnExport) {
  liar_.long_names = 90;
  const ProgramResult result = Ctl({"export", "--save", dir_.File("out")});
  EXPECT_EQ(result.exit, 2);
  EXPECT_THAT(result.err.substr(0, 200), HasSubstr("the export is larger than"));
}

TEST_F(RpkiCommandTest, WhatTheManagerSaysWritesToNoTerminal) {
  const ProgramResult all = Ctl({"expiring"});
  EXPECT_THAT(all.out, AllOf(HasSubstr("edge-a?[2J"), Not(HasSubstr("\x1b"))));
  EXPECT_EQ(all.err, "");
  EXPECT_THAT(Ctl({"expiring", "--limit", "1"}).err, HasSubstr("these are the 1 that end first"));
}

TEST_F(RpkiCommandTest, WhoWatchesReadsEachChangeAtOnce) {
  for (const std::string output : {"table", "json"}) {
    liar_.go_on = false;
    testutil::Program watch(Command({"watch", "--output", output}), Environment());
    EXPECT_TRUE(testutil::Eventually([&] { return watch.out().ends_with('\n'); }));
    liar_.go_on = true;
    const ProgramResult result = watch.Wait();
    EXPECT_EQ(result.exit, 0) << result.err;
    EXPECT_EQ(std::count(result.out.begin(), result.out.end(), '\n'), 1) << "a line for each change: " << result.out;
  }
}

}  // namespace
}  // namespace virp::virpctl
