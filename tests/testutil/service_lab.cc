#include "tests/testutil/service_lab.h"

#include <arpa/inet.h>
#include <grpcpp/client_context.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "lib/base/status.h"
#include "lib/chain/note.h"
#include "lib/service/credentials.h"
#include "lib/service/errors.h"
#include "tests/testutil/must.h"

namespace virp::testutil {
namespace {

using namespace std::chrono_literals;
using service::Role;

constexpr auto kPatience = 30s;
constexpr auto kWalk = 180s;  // through a whole chain
constexpr const char* kScopes =
    R"({"scopes": [{"role": "operator", "name": "*", "origins": ["**"], "sources": ["**", "*"]}]})";

absl::Status FromGrpc(const grpc::Status& status, std::string_view what) {
  return status.ok() ? absl::OkStatus() : Unavailable("{}: {}", what, status.error_message());
}

// Also waits for the connection: gRPC gets on with a handshake only while somebody waits for a call.
void SetDeadline(grpc::ClientContext& context, std::chrono::milliseconds patience) {
  context.set_wait_for_ready(true);
  context.set_deadline(std::chrono::system_clock::now() + patience);
}

}  // namespace

ServiceLab::ServiceLab(LabOptions options) : options_(std::move(options)) {
  MakeKeys();
  tls_["onode"] = pki_.Files(Role::kOnode);
  tls_["collector"] = pki_.Files(Role::kCollector, kCollector);
  for (int i = 0; i < options_.onodes; ++i) {
    auto node = std::make_unique<Node>();
    node->address = node->port.address();
    node->folder = dir_.File(fmt::format("onode-{}", i));
    std::filesystem::create_directory(node->folder);
    onodes_.push_back(std::move(node));
  }
  if (options_.keymgr) keymgr_ = MakeKeymgr("keymgr-state", "");
  if (options_.standby) standby_ = MakeKeymgr("standby-state", keymgr_->kek_folder());
  std::filesystem::create_directory(collector_folder());
  WriteConfigurations();
  for (std::size_t i = 0; i < onodes_.size(); ++i) {
    Node& node = *onodes_[i];
    node.process = std::make_unique<Process>(
        ProcessOptions{ONodeCommand(node, i), options_.onode_environment, dir_.File(fmt::format("onode-{}.log", i))});
    node.reader = Channel(node.address, Role::kOnode, Role::kReader, "test");
  }
  collector_ = std::make_unique<Process>(
      ProcessOptions{CollectorCommand(), options_.collector_environment, dir_.File("collector.log")});
  collector_operator_ = CollectorChannel(Role::kOperator);
}

ServiceLab::~ServiceLab() = default;

void ServiceLab::MakeKeys() {
  const UnixNanos from = SystemClock().NowNanos() - 3'600'000'000'000ULL;
  for (const char* folder : {"own-key", "checkpoint-keys"}) {
    Must(frame::CreateKeyFile(dir_.File(folder), kOrigin, 1, frame::Suite::kEd25519, from));
  }
  for (const char* source : {kDaemon, kNative, kDirect}) {
    Must(frame::CreateKeyFile(dir_.File("keys"), source, 1, frame::Suite::kHmacSha256, from));
  }
  for (const char* source : {kSubmitted, kBmp, kCollector, kManager}) {
    Must(frame::CreateKeyFile(dir_.File("keys"), source, 1, frame::Suite::kEd25519, from));
  }
  keys_ = Must(frame::KeyDirectory::Open(dir_.File("keys")));
  const auto checkpoint = Must(frame::KeyDirectory::Open(dir_.File("checkpoint-keys")));
  verifier_ = Must(chain::VerifierKey::Make(kOrigin, checkpoint->Find(kOrigin, 1)->public_key())).ToString();
}

void ServiceLab::WriteConfigurations() const {
  std::ofstream(dir_.File("scopes.json")) << kScopes;
  std::ofstream(dir_.File("sources.json")) << fmt::format(
      R"({{"frames": [{{"listen": "unix:{}", "source": "{}", "spelling": "v1-le"}}, {{"listen": "{}", "source": "{}", "spelling": "v2"}},
           {{"listen": "{}", "source": "{}", "spelling": "v2", "tls": true}}],
           "producers": [{{"identity": "{}", "sources": ["{}"], "types": [1, 2, 3, 4]}}],
           "bmp": {{"listen": ["{}"], "quiet": "5s", "routers": [{{"source": "{}", "addresses": ["127.0.0.1"], "sys_name": "edge-b", "mode": "routes"}}]}}}})",
      frame_socket(), kDaemon, frame_port_.address(), kNative, frame_tls_port_.address(), kNative,
      pki_.Id(Role::kProducer), kSubmitted, bmp_port_.address(), kBmp);
}

std::vector<std::string> ServiceLab::ONodeCommand(const Node& node, std::size_t i) const {
  std::vector<std::string> keymgr;
  if (options_.keymgr) keymgr = KeymgrFlags(node.folder + "/keys");
  const std::string store = i < options_.stores.size() ? options_.stores[i] : "sqlite:" + node.folder + "/chain.db";
  const service::TlsFiles& tls = tls_.at("onode");
  std::vector<std::string> command{options_.binaries + "/services/onode/virp-onode",
                                   "--store",
                                   store,
                                   "--keys",
                                   dir_.File("keys"),
                                   "--own-key",
                                   dir_.File("own-key"),
                                   "--checkpoint-keys",
                                   dir_.File("checkpoint-keys"),
                                   "--state",
                                   node.folder + "/state",
                                   "--scopes",
                                   dir_.File("scopes.json"),
                                   "--lease",
                                   fmt::format("{}ms", options_.lease.count()),
                                   "--checkpoint-interval",
                                   fmt::format("{}ms", options_.checkpoint_interval.count()),
                                   "--listen",
                                   node.address,
                                   "--admin-listen",
                                   node.admin.address()};
  const std::vector<std::string> tls_flags = testutil::TlsFlags(tls);
  command.insert(command.end(), tls_flags.begin(), tls_flags.end());
  command.insert(command.end(), keymgr.begin(), keymgr.end());
  return command;
}

std::vector<std::string> ServiceLab::KeymgrFlags(const std::string& state) const {
  std::vector<std::string> flags{"--key-state", state, "--key-manager", keymgr_->address()};
  if (standby_ != nullptr) flags.insert(flags.end(), {"--key-manager", standby_->address()});
  return flags;
}

std::unique_ptr<KeymgrLab> ServiceLab::MakeKeymgr(const std::string& state, const std::string& kek) {
  KeymgrLabOptions options;
  options.store = options_.keymgr_store;
  options.kek = kek;
  options.binaries = options_.binaries;
  options.name = kManager;
  options.own_key = dir_.File("keys");
  options.options = {"--state", dir_.File(state), "--origin", kOrigin, "--checkpoint-key", verifier_, "--lease", "1s"};
  for (const auto& node : onodes_) options.options.insert(options.options.end(), {"--onode", node->address});
  options.options.insert(options.options.end(), options_.keymgr_options.begin(), options_.keymgr_options.end());
  return std::make_unique<KeymgrLab>(std::move(options), pki_);
}

std::vector<std::string> ServiceLab::CollectorCommand() const {
  const service::TlsFiles& tls = tls_.at("collector");
  std::vector<std::string> command{options_.binaries + "/services/collector/virp-collector",
                                   "--name",
                                   kCollector,
                                   "--origin",
                                   kOrigin,
                                   "--checkpoint-key",
                                   verifier_,
                                   "--keys",
                                   dir_.File("keys"),
                                   "--spool",
                                   collector_folder() + "/spool",
                                   "--sources",
                                   dir_.File("sources.json"),
                                   "--listen",
                                   submit_port_.address(),
                                   "--admin-listen",
                                   collector_admin_.address()};
  const std::vector<std::string> tls_flags = testutil::TlsFlags(tls);
  command.insert(command.end(), tls_flags.begin(), tls_flags.end());
  for (const auto& node : onodes_) command.insert(command.end(), {"--onode", node->address});
  if (options_.keymgr) {
    const std::vector<std::string> flags = KeymgrFlags(collector_folder() + "/keys");
    command.insert(command.end(), flags.begin(), flags.end());
  }
  return command;
}

std::shared_ptr<grpc::Channel> ServiceLab::Channel(const std::string& target, Role server, Role role,
                                                   std::string_view name) {
  service::ChannelOptions options;
  options.target = target;
  options.tls = pki_.Files(role, name);
  options.server = {.role = server, .spiffe_id = "", .check_host = true};
  options.identities = pki_.identities();
  options.arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  options.arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 20);
  options.arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 100);
  return Must(service::MakeChannel(options));
}

std::shared_ptr<grpc::Channel> ServiceLab::ONodeChannel(Role role, std::size_t i, std::string_view name) {
  return Channel(onode_address(i), Role::kOnode, role, name);
}

std::shared_ptr<grpc::Channel> ServiceLab::CollectorChannel(Role role, std::string_view name) {
  return Channel(submit_port_.address(), Role::kCollector, role, name);
}

absl::Status ServiceLab::Start() {
  std::vector<std::string> init = onodes_.at(0)->process->options().command;
  init.insert(init.end(), {"init", "--origin", kOrigin});
  Process once(ProcessOptions{init, onode().options().environment, dir_.File("init.log")});
  RETURN_IF_ERROR(once.Start());
  ASSIGN_OR_RETURN(const int status, once.AwaitExit(kPatience));
  if (status != 0) return Internal("virp-onode init: exit status {}: {}", status, once.log());
  for (std::size_t i = 0; i < onodes_.size(); ++i) RETURN_IF_ERROR(StartONode(i));
  const int leader = AwaitLeader(kPatience);
  if (leader < 0) return Unavailable("no O-Node leads: {}", onode().log());
  RETURN_IF_ERROR(RegisterSources(static_cast<std::size_t>(leader)));
  if (options_.keymgr) RETURN_IF_ERROR(keymgr_->Start());
  return StartCollector();
}

absl::Status ServiceLab::StartONode(std::size_t i) {
  Process& process = onode(i);
  RETURN_IF_ERROR(process.Start());
  const bool up = WaitUntil(kPatience, [&] { return !process.running() || GetChain(i).ok(); });
  return up && process.running() ? absl::OkStatus() : Unavailable("O-Node {} does not come up: {}", i, process.log());
}

absl::Status ServiceLab::StopCollector(std::chrono::milliseconds patience) {
  collector_operator_.reset();
  return collector().Terminate(patience).status();
}

absl::Status ServiceLab::StartCollector() {
  RETURN_IF_ERROR(collector().Start());
  if (collector_operator_ == nullptr) collector_operator_ = CollectorChannel(Role::kOperator);
  const bool up = WaitUntil(kPatience, [&] { return !collector().running() || CollectorStatus().ok(); });
  return up && collector().running() ? absl::OkStatus()
                                     : Unavailable("the collector does not come up: {}", collector().log());
}

absl::StatusOr<chain::v1::GetChainResponse> ServiceLab::GetChain(std::size_t i) {
  grpc::ClientContext context;
  SetDeadline(context, 1s);
  chain::v1::GetChainResponse response;
  RETURN_IF_ERROR(
      FromGrpc(chain::v1::ChainService::NewStub(onodes_.at(i)->reader)->GetChain(&context, {}, &response), "GetChain"));
  return response;
}

int ServiceLab::AwaitLeader(std::chrono::milliseconds patience) {
  int leader = -1;
  WaitUntil(patience, [&] {
    for (std::size_t i = 0; i < onodes_.size() && leader < 0; ++i) {
      const auto chain = GetChain(i);
      if (chain.ok() && chain->leading()) leader = static_cast<int>(i);
    }
    return leader >= 0;
  });
  return leader;
}

absl::StatusOr<collector::v1::GetStatusResponse> ServiceLab::CollectorStatus() {
  grpc::ClientContext context;
  SetDeadline(context, 1s);
  collector::v1::GetStatusResponse response;
  RETURN_IF_ERROR(FromGrpc(
      collector::v1::CollectorService::NewStub(collector_operator_)->GetStatus(&context, {}, &response), "GetStatus"));
  return response;
}

std::string ServiceLab::AdminPage(const Process& service, std::string_view path) {
  constexpr std::string_view kPort = "admin_port=";
  const std::string log = service.log();
  const std::size_t said = log.rfind(kPort);
  if (said == std::string::npos) return "";
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(log.c_str() + said + kPort.size())));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const std::string request = fmt::format("GET {} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n", path);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size())) {
    return "";
  }
  std::string page;
  char buffer[4'096];
  for (ssize_t got = 0; (got = ::recv(socket.get(), buffer, sizeof(buffer), 0)) > 0;)
    page.append(buffer, static_cast<std::size_t>(got));
  return page;
}

absl::StatusOr<chain::v1::VerifyReport> ServiceLab::VerifyChain(std::size_t i) {
  chain::v1::VerifyChainRequest request;
  request.set_check_subjects(true);
  grpc::ClientContext context;
  SetDeadline(context, kWalk);
  const auto stub = chain::v1::ChainService::NewStub(onodes_.at(i)->reader);
  const auto stream = stub->VerifyChain(&context, request);
  chain::v1::VerifyChainResponse response;
  chain::v1::VerifyReport report;
  while (stream->Read(&response)) {
    if (response.has_report()) report = response.report();
  }
  RETURN_IF_ERROR(FromGrpc(stream->Finish(), "VerifyChain"));
  return report;
}

absl::StatusOr<std::vector<std::string>> ServiceLab::Entries(std::size_t i, std::uint64_t begin) {
  grpc::ClientContext context;
  SetDeadline(context, kWalk);
  const auto stub = chain::v1::ChainService::NewStub(onodes_.at(i)->reader);
  chain::v1::StreamEntriesRequest request;
  request.set_begin(begin);
  const auto stream = stub->StreamEntries(&context, request);
  chain::v1::StreamEntriesResponse response;
  std::vector<std::string> out;
  while (stream->Read(&response)) {
    for (std::string& entry : *response.mutable_entries()) out.push_back(std::move(entry));
  }
  RETURN_IF_ERROR(FromGrpc(stream->Finish(), "StreamEntries"));
  return out;
}

absl::Status ServiceLab::RegisterSources(std::size_t leader) {
  struct Kind {
    const char* name;
    source::v1::Suite suite;
    source::v1::Vantage vantage;
    const char* router;
    const char* bgp_id;
    std::string carrier;
  };
  const std::string collector = pki_.Id(Role::kCollector, kCollector);
  std::vector<Kind> kinds = {
      {kDaemon, source::v1::SUITE_HMAC_SHA256, source::v1::VANTAGE_DAEMON, "edge-a", kRouterId, collector},
      {kNative, source::v1::SUITE_HMAC_SHA256, source::v1::VANTAGE_DAEMON, "edge-a", kRouterId, collector},
      {kSubmitted, source::v1::SUITE_ED25519, source::v1::VANTAGE_SERVICE, "edge-a", kRouterId, collector},
      {kDirect, source::v1::SUITE_HMAC_SHA256, source::v1::VANTAGE_DAEMON, "edge-a", kRouterId,
       pki_.Id(Role::kCollector, "direct")},
      {kBmp, source::v1::SUITE_ED25519, source::v1::VANTAGE_BMP, "edge-b", kBmpRouterId, collector},
      {kCollector, source::v1::SUITE_ED25519, source::v1::VANTAGE_SERVICE, nullptr, nullptr, collector},
  };
  if (options_.keymgr) {
    kinds.push_back({kManager, source::v1::SUITE_ED25519, source::v1::VANTAGE_SERVICE, nullptr, nullptr,
                     pki_.Id(Role::kKeymgr, kManager)});
  }
  const auto stub = source::v1::SourceService::NewStub(ONodeChannel(Role::kOperator, leader));
  int number = 0;
  for (const Kind& kind : kinds) {
    source::v1::RegisterSourceRequest request;
    request.set_request_id(fmt::format("00000000-0000-4000-8000-{:012}", ++number));
    source::v1::Source& source = *request.mutable_source();
    source.set_name(kind.name);
    source.set_suite(kind.suite);
    source.set_key_version(1);
    source.set_min_frame_version(kind.name == std::string_view(kDaemon) ? 1 : 2);
    source.set_vantage(kind.vantage);
    for (const std::uint32_t type : kind.router != nullptr ? std::vector<std::uint32_t>{1, 2, 3, 4, 22}
                                    : kind.name == std::string_view(kManager)
                                        ? std::vector<std::uint32_t>{19, 22, 24}
                                        : std::vector<std::uint32_t>{22, 23, 24}) {
      source.add_types(type);
    }
    source.add_carried_by(kind.carrier);
    if (kind.router != nullptr) {
      source.add_routers()->set_name(kind.router);
      source.mutable_routers(0)->add_bgp_ids(kind.bgp_id);
    }
    source::v1::RegisterSourceResponse response;
    grpc::ClientContext context;
    SetDeadline(context, kPatience);
    RETURN_IF_ERROR(FromGrpc(stub->RegisterSource(&context, request, &response), kind.name));
  }
  return absl::OkStatus();
}

}  // namespace virp::testutil
