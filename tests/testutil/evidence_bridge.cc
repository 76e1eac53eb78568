#include "tests/testutil/evidence_bridge.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>

#include "lib/base/status.h"
#include "tests/testutil/must.h"
#include "tests/testutil/unary_call.h"

namespace virp::testutil {

using service::Role;

EvidenceBridge::EvidenceBridge(ServiceLab& lab) : lab_(lab) {
  const UnixNanos from = SystemClock().NowNanos() - 3'600'000'000'000ULL;
  Must(frame::CreateKeyFile(key_folder(), kName, 1, frame::Suite::kEd25519, from));
  const auto keys = Must(frame::KeyDirectory::Open(key_folder()));
  const std::string public_key = keys->Find(kName, 1)->public_key();
  public_key_ = Must(frame::OKey::Ed25519FromPublic(public_key));
  const std::string folder = lab_.key_folder() + "/" + kName;
  std::filesystem::create_directory(folder);
  std::filesystem::permissions(folder, std::filesystem::perms::owner_all);
  std::ofstream(folder + "/1.pub") << HexEncode(public_key);
  std::filesystem::permissions(folder + "/1.pub",
                               std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

absl::Status EvidenceBridge::Register(const std::string& name) {
  const int leader = lab_.AwaitLeader(std::chrono::seconds(30));
  if (leader < 0) return Unavailable("no O-Node leads");
  source::v1::RegisterSourceRequest request;
  request.set_request_id(fmt::format("00000000-0000-4000-8000-0000000001{:02}", ++registered_));
  source::v1::Source& source = *request.mutable_source();
  source.set_name(name);
  source.set_suite(source::v1::SUITE_ED25519);
  source.set_key_version(1);
  source.set_min_frame_version(2);
  source.set_vantage(source::v1::VANTAGE_SERVICE);
  for (const std::uint32_t type : {17U, 18U, 21U, 22U, 23U, 24U}) source.add_types(type);
  source.add_subject_prefixes("rtr/" + name + "/");
  source.add_carried_by(lab_.pki().Id(Role::kRtrBridge, kName));
  return UnaryCall(lab_.ONodeChannel(Role::kOperator, static_cast<std::size_t>(leader)),
                   &source::v1::SourceService::Stub::RegisterSource, request)
      .status();
}

absl::Status EvidenceBridge::Start(std::vector<std::string> more) {
  std::vector<std::string> evidence{
      "--name",           kName,           "--keys",  key_folder(),       "--origin", ServiceLab::kOrigin,
      "--checkpoint-key", lab_.verifier(), "--spool", rtr_.File("spool"), "--listen", address()};
  for (std::size_t i = 0; i < lab_.onodes(); ++i) evidence.insert(evidence.end(), {"--onode", lab_.onode_address(i)});
  const std::vector<std::string> tls = TlsFlags(lab_.pki().Files(Role::kRtrBridge, kName));
  evidence.insert(evidence.end(), tls.begin(), tls.end());
  more.insert(more.begin(), evidence.begin(), evidence.end());
  return rtr_.Start(more);
}

}  // namespace virp::testutil
