#include "tests/bench/bench_onode.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "lib/store/storage_url.h"
#include "services/onode/storage/file_vault.h"
#include "services/onode/storage/open.h"
#include "services/onode/transport/access.h"

namespace virp::bench {
namespace {

using namespace std::chrono_literals;
using service::Role;

constexpr const char* kScopes =
    R"({"scopes": [{"role": "operator", "name": "*", "origins": ["**"], "sources": ["**", "*"]}]})";

}  // namespace

BenchONode::BenchONode(const std::string& url, int sources)
    : security_(pki_.MakeSecurity(onode::AccessTable(), "", kScopes)) {
  const UnixNanos from = clock_.NowNanos() - 3'600'000'000'000ULL;
  for (const char* folder : {"/own", "/checkpoint"}) {
    Must(frame::CreateKeyFile(dir_.path() + folder, kOrigin, 1, frame::Suite::kEd25519, from));
  }
  for (int i = 0; i < sources; ++i) {
    Must(frame::CreateKeyFile(dir_.path() + "/keys", SourceName(i), 1, frame::Suite::kHmacSha256, from));
  }
  keys_ = Must(frame::KeyDirectory::Open(dir_.path() + "/keys"));
  for (int i = 0; i < sources; ++i) source_keys_.push_back(keys_->Find(SourceName(i), 1));
  store_ = Must(onode::OpenStore(Must(store::ParseStorageUrl(url, store::UrlOrigin::kPrivate)), {}));
  onode::ChainOptions options;
  options.instance = "bench";
  options.address = "localhost";
  node_ = std::make_unique<onode::Node>(
      *store_, *keys_, clock_, options, [this](const std::string& origin) -> absl::StatusOr<onode::ChainCustody> {
        onode::ChainCustody custody;
        custody.vault = Must(onode::FileVault::Open(dir_.path() + "/checkpoint", dir_.path() + "/state", origin));
        const auto own = Must(frame::KeyDirectory::Open(dir_.path() + "/own"));
        for (const auto& version : own->Versions(origin)) custody.own_keys.push_back({version.version, version.key});
        return custody;
      });
  Must(node_->Open());
  Must(node_->Create(kOrigin, "", std::chrono::steady_clock::now() + 10s));
  chain_ = Must(node_->Find(kOrigin));
  ingest_ = std::make_unique<onode::IngestHandler>(*node_, security_.callers);
  verify_ = std::make_unique<onode::VerifyHandler>(*node_, security_.callers, clock_);
  chains_ = std::make_unique<onode::ChainHandler>(*node_);
  admin_ = std::make_unique<onode::ChainAdminHandler>(*node_, security_.callers);
  sources_ = std::make_unique<onode::SourceHandler>(*node_, security_.callers, security_.scopes, clock_);
  server_ = pki_.StartServer(Role::kOnode, security_,
                             {{ingest_.get(), "virp.ingest.v1.IngestService"},
                              {verify_.get(), "virp.verify.v1.VerifyService"},
                              {chains_.get(), "virp.chain.v1.ChainService"},
                              {admin_.get(), "virp.chain.v1.ChainAdminService"},
                              {sources_.get(), "virp.source.v1.SourceService"}});
  while (!chain_->leading()) std::this_thread::sleep_for(1ms);
  for (int i = 0; i < sources; ++i) Register(i);
}

BenchONode::~BenchONode() {
  server_->Drain(0ms, 200ms);
  server_.reset();
  node_->Stop();
}

void BenchONode::Register(int number) {
  const auto stub = source::v1::SourceService::NewStub(pki_.Channel(*server_, Role::kOperator));
  source::v1::RegisterSourceRequest request;
  request.set_request_id(fmt::format("00000000-0000-4000-8000-{:012}", number + 1));
  source::v1::Source& source = *request.mutable_source();
  source.set_name(SourceName(number));
  source.set_suite(source::v1::SUITE_HMAC_SHA256);
  source.set_key_version(1);
  source.set_vantage(source::v1::VANTAGE_BMP);
  for (const std::uint32_t type : {1U, 2U, 3U, 4U, 22U, 24U}) source.add_types(type);
  source.add_carried_by(CollectorId());
  source.add_routers()->set_name(SourceName(number));
  source.mutable_routers(0)->add_bgp_ids(fmt::format("192.0.2.{}", number + 1));
  source::v1::RegisterSourceResponse response;
  grpc::ClientContext context;
  const grpc::Status status = stub->RegisterSource(&context, request, &response);
  if (status.ok()) return;
  fmt::print(stderr, "{}\n", status.error_message());
  std::exit(1);
}

}  // namespace virp::bench
