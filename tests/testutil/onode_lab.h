// Whole O-Nodes in this process, for tests and benchmarks: store, chain, every handler, mutual TLS on a free port.
//
//   OnodeSite site("virp.example.net/site1", clock);
//   site.AddKey("edge-a.bgpd", frame::Suite::kHmacSha256);
//   OnodeLab onode(site, {.store_url = "sqlite:" + site.File("chain.db")});
//   onode.Register({.name = "edge-a.bgpd", .types = {1, 2}, .router = "edge-a", .bgp_id = "192.0.2.1"});
//   auto stub = verify::v1::VerifyService::NewStub(onode.Channel(service::Role::kReader));
//
// Several labs over one store URL are replicas. What goes wrong in set-up ends the program with a message.
#pragma once

#include <grpcpp/channel.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/clock.h"
#include "lib/frame/key_directory.h"
#include "lib/service/server.h"
#include "services/onode/domain/node.h"
#include "services/onode/storage/store_options.h"
#include "services/onode/transport/chain_admin_handler.h"
#include "services/onode/transport/chain_handler.h"
#include "services/onode/transport/ingest_handler.h"
#include "services/onode/transport/source_handler.h"
#include "services/onode/transport/verify_handler.h"
#include "tests/testutil/temp_dir.h"
#include "tests/testutil/test_pki.h"

namespace virp::testutil {

// What all O-Nodes of one test share: a folder, a PKI, the chain's own keys, the sources' keys, access rules that allow
// the operator everything. Keys are of version 1 and accepted since an hour ago.
class OnodeSite {
 public:
  OnodeSite(std::string origin, const Clock& clock);

  void AddKey(const std::string& source, frame::Suite suite);

  const std::string& origin() const { return origin_; }
  const Clock& clock() const { return clock_; }
  const std::string& dir() const { return dir_.path(); }
  std::string File(const std::string& name) const { return dir_.File(name); }
  TestPki& pki() { return pki_; }
  const TestPki& pki() const { return pki_; }
  const service::Security& security() const { return security_; }
  // Of the sources, in the folder `keys`.
  frame::KeyDirectory& keys() { return *keys_; }

 private:
  const std::string origin_;
  const Clock& clock_;
  TempDir dir_;
  TestPki pki_;
  service::Security security_;
  std::unique_ptr<frame::KeyDirectory> keys_;
};

struct OnodeLabOptions {
  std::string store_url;                       // opened, made when it is not there
  std::string state = "state";                 // folder of the checkpoint beside the database, below the site's
  std::string checkpoint_keys = "checkpoint";  // folder of the checkpoint keys, below the site's
  onode::StoreOptions store{};                 // the clock is the site's
  onode::ChainOptions chain{};                 // `address` too is the instance's name
  onode::DeliveryLimits delivery{};
  const frame::KeyProvider* keys = nullptr;  // of the sources; the site's when null
};

struct LabSource {
  std::string name;
  source::v1::Suite suite = source::v1::SUITE_HMAC_SHA256;
  source::v1::Vantage vantage = source::v1::VANTAGE_BMP;
  std::vector<std::uint32_t> types{};
  std::string carrier = "test";    // name of the collector
  std::string router{}, bgp_id{};  // empty: it speaks of no router
  std::uint32_t min_frame_version = 2;
};

class OnodeLab {
 public:
  // Makes the site's chain when the store has none. Serving when this returns; see AwaitLeading.
  OnodeLab(OnodeSite& site, OnodeLabOptions options);
  ~OnodeLab();
  OnodeLab(const OnodeLab&) = delete;
  OnodeLab& operator=(const OnodeLab&) = delete;

  // False when it does not within ten seconds.
  bool AwaitLeading() const;
  // Over the API, as the operator; what was registered.
  source::v1::Source Register(const LabSource& source);
  // A new connection.
  std::shared_ptr<grpc::Channel> Channel(service::Role role, std::string_view name = "test");

  onode::ChainStore& store() { return *store_; }
  onode::Node& node() { return *node_; }
  onode::Chain& chain() { return *chain_; }
  const onode::IngestHandler& ingest() const { return *ingest_; }
  const service::ServerRunner& server() const { return *server_; }

 private:
  OnodeSite& site_;
  std::unique_ptr<onode::ChainStore> store_;
  std::unique_ptr<onode::Node> node_;
  onode::Chain* chain_ = nullptr;
  std::unique_ptr<onode::IngestHandler> ingest_;
  std::unique_ptr<onode::VerifyHandler> verify_;
  std::unique_ptr<onode::ChainHandler> chains_;
  std::unique_ptr<onode::ChainAdminHandler> admin_;
  std::unique_ptr<onode::SourceHandler> sources_;
  std::unique_ptr<service::ServerRunner> server_;
};

}  // namespace virp::testutil
