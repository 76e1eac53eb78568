#include "tests/testutil/onode_lab.h"

#include <fmt/format.h>
#include <grpcpp/client_context.h>

#include <atomic>
#include <chrono>

#include "lib/base/status.h"
#include "lib/store/storage_url.h"
#include "services/onode/storage/file_vault.h"
#include "services/onode/storage/open.h"
#include "services/onode/transport/access.h"
#include "tests/testutil/must.h"
#include "tests/testutil/process.h"

namespace virp::testutil {
namespace {

using namespace std::chrono_literals;
using service::Role;

constexpr const char* kScopes =
    R"({"scopes": [{"role": "operator", "name": "*", "origins": ["**"], "sources": ["**", "*"]}]})";

UnixNanos AnHourAgo(const Clock& clock) {
  return clock.NowNanos() - 3'600'000'000'000ULL;
}

std::string RequestId() {
  static std::atomic<std::uint64_t> next{1};
  return fmt::format("00000000-0000-4000-8000-{:012}", next++);
}

absl::StatusOr<onode::ChainCustody> CustodyOf(const OnodeSite& site, const OnodeLabOptions& options,
                                              const std::string& origin) {
  onode::ChainCustody custody;
  ASSIGN_OR_RETURN(custody.vault,
                   onode::FileVault::Open(site.File(options.checkpoint_keys), site.File(options.state), origin));
  ASSIGN_OR_RETURN(const auto own, frame::KeyDirectory::Open(site.File("own")));
  for (const auto& version : own->Versions(origin)) custody.own_keys.push_back({version.version, version.key});
  return custody;
}

}  // namespace

OnodeSite::OnodeSite(std::string origin, const Clock& clock)
    : origin_(std::move(origin)), clock_(clock), security_(pki_.MakeSecurity(onode::AccessTable(), "", kScopes)) {
  for (const char* folder : {"own", "checkpoint"}) {
    Must(frame::CreateKeyFile(File(folder), origin_, 1, frame::Suite::kEd25519, AnHourAgo(clock)));
  }
  std::filesystem::create_directory(File("keys"));
  std::filesystem::permissions(File("keys"), std::filesystem::perms::owner_all);
  keys_ = Must(frame::KeyDirectory::Open(File("keys")));
}

void OnodeSite::AddKey(const std::string& source, frame::Suite suite) {
  Must(frame::CreateKeyFile(File("keys"), source, 1, suite, AnHourAgo(clock_)));
  Must(keys_->Refresh());
}

OnodeLab::OnodeLab(OnodeSite& site, OnodeLabOptions options) : site_(site) {
  options.store.clock = &site.clock();
  options.chain.address = options.chain.instance;
  Must(site.keys().Refresh());
  store_ = Must(
      onode::OpenStore(Must(store::ParseStorageUrl(options.store_url, store::UrlOrigin::kPrivate)), options.store));
  node_ = std::make_unique<onode::Node>(
      *store_, options.keys == nullptr ? site.keys() : *options.keys, site.clock(), options.chain,
      [&site, options](const std::string& origin) { return CustodyOf(site, options, origin); });
  Must(node_->Open());
  if (node_->chains().empty()) Must(node_->Create(site.origin(), "", std::chrono::steady_clock::now() + 10s));
  chain_ = Must(node_->Find(site.origin()));
  const service::Security& security = site.security();
  ingest_ = std::make_unique<onode::IngestHandler>(*node_, security.callers, options.delivery);
  verify_ = std::make_unique<onode::VerifyHandler>(*node_, security.callers, site.clock());
  chains_ = std::make_unique<onode::ChainHandler>(*node_);
  admin_ = std::make_unique<onode::ChainAdminHandler>(*node_, security.callers);
  sources_ = std::make_unique<onode::SourceHandler>(*node_, security.callers, security.scopes, site.clock());
  server_ = site.pki().StartServer(Role::kOnode, security,
                                   {{ingest_.get(), "virp.ingest.v1.IngestService"},
                                    {verify_.get(), "virp.verify.v1.VerifyService"},
                                    {chains_.get(), "virp.chain.v1.ChainService"},
                                    {admin_.get(), "virp.chain.v1.ChainAdminService"},
                                    {sources_.get(), "virp.source.v1.SourceService"}});
}

OnodeLab::~OnodeLab() {
  server_->Drain(0ms, 200ms);
  server_.reset();
  node_->Stop();
}

bool OnodeLab::AwaitLeading() const {
  return WaitUntil(10s, [this] { return chain_->leading(); });
}

std::shared_ptr<grpc::Channel> OnodeLab::Channel(Role role, std::string_view name) {
  return site_.pki().Channel(*server_, role, name);
}

source::v1::Source OnodeLab::Register(const LabSource& source) {
  source::v1::RegisterSourceRequest request;
  request.set_request_id(RequestId());
  source::v1::Source& to = *request.mutable_source();
  to.set_name(source.name);
  to.set_suite(source.suite);
  to.set_key_version(1);
  to.set_vantage(source.vantage);
  to.set_min_frame_version(source.min_frame_version);
  for (const std::uint32_t type : source.types) to.add_types(type);
  to.add_carried_by(site_.pki().Id(Role::kCollector, source.carrier));
  if (!source.router.empty()) {
    to.add_routers()->set_name(source.router);
    to.mutable_routers(0)->add_bgp_ids(source.bgp_id);
  }
  source::v1::RegisterSourceResponse response;
  grpc::ClientContext context;
  const auto stub = source::v1::SourceService::NewStub(Channel(Role::kOperator));
  const grpc::Status status = stub->RegisterSource(&context, request, &response);
  if (!status.ok()) Must(Internal("RegisterSource {}: {}", source.name, status.error_message()));
  return response.source();
}

}  // namespace virp::testutil
