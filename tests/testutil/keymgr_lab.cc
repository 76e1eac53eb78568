#include "tests/testutil/keymgr_lab.h"

#include <fmt/format.h>
#include <grpcpp/client_context.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/crypto/secret.h"
#include "lib/frame/key_directory.h"
#include "lib/service/credentials.h"
#include "tests/testutil/must.h"
#include "tests/testutil/wait.h"

namespace virp::testutil {
namespace {

using namespace std::chrono_literals;
using service::Role;

constexpr auto kPatience = 30s;

}  // namespace

KeymgrLab::KeymgrLab(KeymgrLabOptions options, TestPki& pki) : options_(std::move(options)), pki_(pki) {
  const UnixNanos from = SystemClock().NowNanos() - 3'600'000'000'000ULL;
  if (options_.own_key.empty()) Must(frame::CreateKeyFile(own_key(), options_.name, 1, frame::Suite::kEd25519, from));
  if (options_.with_kek && options_.kek.empty()) PutKek(1);
  process_.options() = {Command(), options_.environment, dir_.File("keymgr.log")};
}

std::vector<std::string> KeymgrLab::Command() {
  const service::TlsFiles tls = pki_.Files(Role::kKeymgr, options_.name);
  std::vector<std::string> command{options_.binaries + "/services/keymgr/virp-keymgr",
                                   "--store",
                                   options_.store.empty() ? "sqlite:" + database() : options_.store,
                                   "--name",
                                   options_.name,
                                   "--own-key",
                                   own_key(),
                                   "--kek",
                                   kek_folder(),
                                   "--listen",
                                   port_.address(),
                                   "--admin-listen",
                                   admin_.address()};
  const std::vector<std::string> tls_flags = testutil::TlsFlags(tls);
  command.insert(command.end(), tls_flags.begin(), tls_flags.end());
  command.insert(command.end(), options_.options.begin(), options_.options.end());
  return command;
}

void KeymgrLab::PutKek(int version) {
  Must(MakeDirectory(kek_folder()));
  const std::string path = fmt::format("{}/{}.kek", kek_folder(), version);
  ::unlink(path.c_str());
  Must(ReplaceFile(path, crypto::Secret::Random(32).view(), 0400));
}

std::string KeymgrLab::PublicKey() const {
  const auto keys = Must(frame::KeyDirectory::Open(own_key()));
  return std::string(keys->Find(options_.name, 1)->public_key());
}

std::shared_ptr<grpc::Channel> KeymgrLab::Channel(Role role, std::string_view name) {
  service::ChannelOptions options;
  options.target = address();
  options.tls = pki_.Files(role, name);
  options.server = {.role = Role::kKeymgr, .spiffe_id = "", .check_host = true};
  options.identities = pki_.identities();
  options.arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  options.arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 20);
  options.arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 100);
  return Must(service::MakeChannel(options));
}

absl::StatusOr<keymgr::v1::GetStatusResponse> KeymgrLab::Status() {
  const auto stub = keymgr::v1::KeyAdminService::NewStub(Channel(Role::kReader));
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  context.set_deadline(std::chrono::system_clock::now() + 1s);
  keymgr::v1::GetStatusResponse response;
  const grpc::Status status = stub->GetStatus(&context, {}, &response);
  if (!status.ok()) return Unavailable("GetStatus: {}", status.error_message());
  return response;
}

absl::Status KeymgrLab::Start() {
  return StartUntil(/*sealed=*/!options_.with_kek);
}

absl::Status KeymgrLab::StartSealed() {
  return StartUntil(/*sealed=*/true);
}

absl::Status KeymgrLab::StartUntil(bool sealed) {
  RETURN_IF_ERROR(process_.Start());
  const bool up = WaitUntil(kPatience, [&] {
    if (!process_.running()) return true;
    const auto status = Status();
    if (!status.ok() || !status->active()) return false;
    // While it starts it is sealed, too, for that reason alone.
    const bool starting = status->sealed_size() == 1 && status->sealed(0) == "STARTING";
    return sealed ? status->sealed_size() != 0 && !starting : status->sealed_size() == 0;
  });
  return up && process_.running() ? absl::OkStatus()
                                  : Unavailable("the key manager does not come up: {}", process_.log());
}

}  // namespace virp::testutil
