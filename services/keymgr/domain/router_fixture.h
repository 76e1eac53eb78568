// For tests: router keys over a ledger in memory, an RPKI authority that publishes into a map, and a custody of P-256
// and RSA keys in memory. Routers of tests make their keys here, too.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "lib/base/mutex.h"
#include "lib/crypto/p256.h"
#include "lib/crypto/sha256.h"
#include "services/keymgr/domain/router_fleet.h"
#include "services/keymgr/domain/router_keys.h"
#include "services/keymgr/domain/rpki_fixture.h"

namespace virp::keymgr {

// P-256 keys beside the RSA keys of the authorities. Thread-safe for the former.
class RouterCustody final : public Custody {
 public:
  std::string_view name() const override { return "rsa"; }
  absl::StatusOr<SealedKey> Generate(const KeyIdentity& identity, ExportPolicy policy) override {
    RETURN_IF_ERROR(rsa.fails);
    if (identity.algorithm != Algorithm::kEcdsaP256) return rsa.Generate(identity, policy);
    crypto::Secret scalar = crypto::Secret::Random(crypto::kP256ScalarSize);
    while (!crypto::P256PrivateKey::FromScalar(scalar.view()).ok())
      scalar = crypto::Secret::Random(crypto::kP256ScalarSize);
    return Import(identity, policy, scalar);
  }
  absl::StatusOr<SealedKey> Import(const KeyIdentity& identity, ExportPolicy policy,
                                   const crypto::Secret& secret) override {
    ASSIGN_OR_RETURN(const auto made, crypto::P256PrivateKey::FromScalar(secret.view()));
    const MutexLock lock(mutex_);
    SealedKey key;
    key.identity = identity;
    key.policy = policy;
    key.custody = name();
    key.blob = "p256-" + std::to_string(++made_);
    key.public_half = made.public_key().point();
    scalars_.emplace(key.blob, crypto::Secret(secret.view()));
    return key;
  }
  absl::StatusOr<std::string> Sign(const SealedKey& key, std::string_view message) override {
    if (!key.blob.starts_with("p256-")) return rsa.Sign(key, message);
    ASSIGN_OR_RETURN(const auto secret, Copy(key));
    ASSIGN_OR_RETURN(const auto signer, crypto::P256PrivateKey::FromScalar(secret.view()));
    return signer.SignDigest(crypto::Sha256(message));
  }
  absl::StatusOr<crypto::Secret> Export(const SealedKey& key) override { return Copy(key); }
  absl::Status Lock(const SealedKey&) override { return absl::OkStatus(); }
  absl::Status Destroy(const SealedKey& key) override {
    if (!key.blob.starts_with("p256-")) return rsa.Destroy(key);
    const MutexLock lock(mutex_);
    scalars_.erase(key.blob);
    return absl::OkStatus();
  }
  absl::Status Reconcile(const std::vector<SealedKey>&) override { return absl::OkStatus(); }
  absl::Status Ready() const override { return absl::OkStatus(); }

  std::size_t count() const {
    const MutexLock lock(mutex_);
    return scalars_.size();
  }

  RsaCustody rsa;

 private:
  absl::StatusOr<crypto::Secret> Copy(const SealedKey& key) const {
    const MutexLock lock(mutex_);
    const auto found = scalars_.find(key.blob);
    if (found == scalars_.end()) return DataLoss("{} is gone", ToString(key.identity));
    return crypto::Secret(found->second.view());
  }
  mutable Mutex mutex_;
  std::map<std::string, crypto::Secret> scalars_ ABSL_GUARDED_BY(mutex_);
  int made_ ABSL_GUARDED_BY(mutex_) = 0;
};

inline constexpr char kTestAgent[] = "spiffe://example.net/router/edge-a";
inline constexpr char kTestApprover[] = "spiffe://example.net/approver/second";

struct RouterFixture {
  static std::vector<RecordType> Types() {
    std::vector<RecordType> types = RouterKeys::Types();
    types.push_back(TypeOf<AuthorityRecord>());
    types.push_back(TypeOf<RouterCertificateRecord>());
    types.push_back(RouterFleets::Type());
    return types;
  }
  // `set_up`: with an authority, which has not published yet.
  explicit RouterFixture(bool set_up = true, std::vector<RecordType> types = Types(),
                         const RouterKeyOptions& router_options = {})
      : ledger(std::move(types)) {
    ledger.clock.SetWall(UnixNanos{1'760'000'000} * 1'000'000'000);
    custodies.Add(custody);
    RpkiOptions options;
    options.base_uri = "rsync://rpki.example.net/repo/";
    options.as_numbers = rpki::AsResources::Of({{64496, 64511}, {65536, 65551}});
    options.addresses = rpki::IpResources::Of({*Prefix::Parse("192.0.2.0/24"), *Prefix::Parse("2001:db8::/32")});
    authority =
        std::make_unique<RpkiAuthority>(*ledger, custodies, target, one_time_keys, ledger.clock, options, kSelf);
    keys = std::make_unique<RouterKeys>(*ledger, custodies, *authority, ledger.clock, router_options, kSelf);
    fleets = std::make_unique<RouterFleets>(*ledger, *keys, kSelf);
    ledger.Start();
    if (set_up && !authority->SetUp(TestCall("setup")).ok()) std::abort();
  }

  ~RouterFixture() { ledger->Stop(); }  // its thread calls the keys

  static RouterSpec Spec(std::string id = "edge-a", KeyMethod method = KeyMethod::kRouterDriven) {
    RouterSpec spec;
    spec.id = std::move(id);
    spec.bgp_id = 0xc0000201;
    spec.asns = {64496};
    spec.method = method;
    spec.policy = ExportPolicy::kOnce;
    if (method != KeyMethod::kOperatorDriven) spec.agent = "spiffe://example.net/router/" + spec.id;
    return spec;
  }
  static RouterCaller Operator() { return {.identity = "spiffe://example.net/operator/noc-1", .is_operator = true}; }
  static RouterCaller Agent(std::string_view name = "edge-a") {
    return {.identity = "spiffe://example.net/router/" + std::string(name)};
  }
  static std::string Csr(const crypto::P256PrivateKey& key, std::uint32_t asn = 64496) {
    return *rpki::MakeRouterRequest(key.public_key().spki(), asn, testutil::SignerOf(key));
  }
  Call NewCall(std::string_view actor = "spiffe://example.net/operator/noc-1") {
    return TestCall("request-" + std::to_string(++calls), std::string(actor));
  }
  // A request of the router, approved by somebody else.
  absl::StatusOr<RouterKeys::RequestPtr> Enrol(const crypto::P256PrivateKey& key, std::string_view router = "edge-a",
                                               std::uint32_t asn = 64496) {
    const RouterCaller agent = Agent(router);
    const std::string csr = Csr(key, asn);
    ASSIGN_OR_RETURN(const auto sent,
                     keys->SubmitRequest(NewCall(agent.identity), agent, {.asn = asn, .request = csr}));
    return keys->Approve(NewCall(kTestApprover), sent->id);
  }
  absl::StatusOr<RouterKeys::SlotPtr> Report(std::string_view slot, std::uint32_t version, RouterEvent event,
                                             const crypto::P256PrivateKey& signer, std::string_view about_spki,
                                             std::string_view router = "edge-a") {
    const RouterCaller agent = Agent(router);
    ASSIGN_OR_RETURN(const std::string nonce, keys->Nonce(agent, slot, version));
    RouterKeys::Report report;
    report.event = event;
    report.package_valid = report.chain_valid = report.key_match = true;
    const std::string statement = ReportStatement(slot, version, event, *rpki::KeyIdentifier(about_spki), nonce);
    report.signature = signer.SignDigest(crypto::Sha256(statement));
    return keys->TakeReport(NewCall(agent.identity), agent, slot, version, report);
  }
  absl::Status PublishAndAdvance() {
    RETURN_IF_ERROR(authority->Publish());
    return keys->Advance();
  }
  absl::Status Wait(std::chrono::hours time) {
    ledger.clock.Advance(time);
    if (authority->PublicationDue().value_or(true)) RETURN_IF_ERROR(authority->Publish());
    return keys->Advance();
  }
  RouterKeyState StateOf(std::string_view slot, std::uint32_t version) const {
    const auto found = keys->GetSlot(slot);
    const RollKey* const key = found.ok() ? (*found)->roll.Find(version) : nullptr;
    return key == nullptr ? RouterKeyState{} : key->state;
  }

  static constexpr char kSelf[] = "spiffe://example.net/keymgr/keymgr-1";
  TestLedger ledger;
  RouterCustody custody;
  Custodies custodies;
  MapTarget target;
  rpki::OneTimeKeys one_time_keys{4};
  std::unique_ptr<RpkiAuthority> authority;
  std::unique_ptr<RouterKeys> keys;
  std::unique_ptr<RouterFleets> fleets;
  int calls = 0;
};

}  // namespace virp::keymgr
