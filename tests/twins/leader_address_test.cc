// A leader says under which address it is reached, and with port 0 it learns that only by taking a port.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/fault/fault_test_util.h"

namespace virp::twins {
namespace {

using namespace std::chrono_literals;
using testutil::ServiceLab;
using testutil::WaitUntil;

// In the last line of the log that says so: "... onode: serving address=127.0.0.1:PORT admin_port=...".
std::string ServedAddress(const std::string& log) {
  constexpr std::string_view kSays = "serving address=";
  const std::size_t at = log.rfind(kSays);
  if (at == std::string::npos) return "";
  const std::size_t from = at + kSays.size();
  return log.substr(from, log.find_first_of(" \n", from) - from);
}

TEST(LeaderAddress, OfPortZeroIsThePortThatIsOpen) {
  testutil::LabOptions options;
  options.binaries = fault::BuildFolder();
  ServiceLab lab(options);
  const auto up = lab.Start();
  ASSERT_TRUE(up.ok()) << up;
  ASSERT_TRUE(lab.onode().Terminate(20s).ok());
  std::vector<std::string>& command = lab.onode().options().command;
  std::replace(command.begin(), command.end(), lab.onode_address(), std::string("127.0.0.1:0"));
  ASSERT_TRUE(lab.onode().Start().ok());

  std::string address;
  ASSERT_TRUE(WaitUntil(20s, [&] {
    address = ServedAddress(lab.onode().log());
    return !address.empty() && address != lab.onode_address();
  })) << lab.onode().log();
  const auto channel = lab.pki().Channel(address, lab.pki().Files(service::Role::kReader),
                                         {.role = service::Role::kOnode, .spiffe_id = "", .check_host = true});
  const auto stub = chain::v1::ChainService::NewStub(channel);
  chain::v1::GetChainResponse chain;
  ASSERT_TRUE(WaitUntil(20s, [&] {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 1s);
    return stub->GetChain(&context, {}, &chain).ok() && chain.leading();
  })) << chain.ShortDebugString();
  EXPECT_EQ(chain.leader(), address);
}

}  // namespace
}  // namespace virp::twins
