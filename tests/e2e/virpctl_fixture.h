// virpctl as people and scripts use it: the program itself, against an O-Node that runs in this process.
#pragma once

#include <gmock/gmock.h>
#include <sqlite3.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/e2e/platform_fixture.h"
#include "tests/testutil/program.h"

namespace virp::e2e {

using testutil::ProgramResult;

inline constexpr int kYes = 0, kNo = 1, kError = 2, kCannotSay = 3;

inline constexpr const char* kOutOfScope =
    R"({"domain":"bgp","event":"peer_state_change","peer_addr":"192.0.2.2","peer_as":64501,"old_state":"OpenConfirm","new_state":"Established","router_id":"198.51.100.9"})";

class VirpctlTest : public PlatformTest {
 protected:
  std::vector<std::string> Environment(Role role, const std::string& onode) {
    const service::TlsFiles files = pki_.Files(role);
    return {"HOME=" + dir_,
            "VIRPCTL_ONODE=" + onode,
            "VIRPCTL_TLS_CERTIFICATE=" + files.certificate,
            "VIRPCTL_TLS_KEY=" + files.private_key,
            "VIRPCTL_TLS_ROOTS=" + files.roots,
            "VIRPCTL_TRUST_DOMAIN=test.virp.example"};
  }
  static std::vector<std::string> Command(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), VIRPCTL);
    return arguments;
  }
  ProgramResult Ctl(std::vector<std::string> arguments, Role role = Role::kReader) {
    return testutil::RunProgram(Command(std::move(arguments)), Environment(role, server_->address()));
  }
  // The same with --output json: the exit code must not depend on the form.
  nlohmann::json Json(std::vector<std::string> arguments, int exit = kYes, Role role = Role::kReader) {
    arguments.insert(arguments.end(), {"--output", "json"});
    const ProgramResult result = Ctl(std::move(arguments), role);
    EXPECT_EQ(result.exit, exit) << result.err << result.out;
    auto json = nlohmann::json::parse(result.out, nullptr, /*allow_exceptions=*/false);
    EXPECT_FALSE(json.is_discarded()) << result.out;
    return json;
  }
  std::string Trust() const { return chain_->vault().Verifiers().front().ToString(); }
  std::string Write(const std::string& name, const std::string& text) {
    std::ofstream(dir_ + "/" + name, std::ios::binary) << text;
    return dir_ + "/" + name;
  }
  // An O-Node with the peer up, confirmed, and under a checkpoint.
  void PeerIsUp() {
    StartONode();
    RegisterBoth();
    StartCollector();
    Observe(kPeerUp, frame::Type::kPeerStatusChanged);
    Beat();
    ASSERT_TRUE(Until([&] { return Ask().proofs_size() >= 2; }));
  }
  void PeerGoesDown() {
    Observe(kPeerDown, frame::Type::kPeerBackwardTransition, frame::Tier::kYellow);
    Beat();
  }
  // Changes the database behind the O-Node's back.
  void Execute(const std::string& sql) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open((dir_ + "/chain.db").c_str(), &db), SQLITE_OK);
    char* error = nullptr;
    EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &error), SQLITE_OK) << error;
    sqlite3_free(error);
    sqlite3_close(db);
  }

  const std::vector<std::string> peer_{"claim", "peer", "--router", "edge-a", "--peer", "192.0.2.2"};
  std::vector<std::string> Peer(std::vector<std::string> more) const {
    more.insert(more.begin(), peer_.begin(), peer_.end());
    return more;
  }
};

}  // namespace virp::e2e
