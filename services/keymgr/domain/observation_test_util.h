// For tests of O-Keys: a custody that holds secrets as they are, and a manager of observation keys over a ledger in
// memory.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/mac.h"
#include "services/keymgr/domain/observation_keys.h"
#include "services/keymgr/domain/test_ledger.h"

namespace virp::keymgr {

// HMAC keys only. Thread-safe.
class PlainCustody final : public Custody {
 public:
  std::string_view name() const override { return "plain"; }
  absl::StatusOr<SealedKey> Generate(const KeyIdentity& identity, ExportPolicy policy) override {
    return Import(identity, policy, crypto::Secret::Random(32));
  }
  absl::StatusOr<SealedKey> Import(const KeyIdentity& identity, ExportPolicy policy,
                                   const crypto::Secret& secret) override {
    RETURN_IF_ERROR(Ready());
    RETURN_IF_ERROR(CheckIdentity(identity));
    RETURN_IF_ERROR(CheckExportPolicy(identity, policy));
    SealedKey key;
    key.identity = identity;
    key.policy = policy;
    key.custody = "plain";
    key.blob = secret.view();
    ++made;
    return key;
  }
  absl::StatusOr<std::string> Sign(const SealedKey& key, std::string_view message) override {
    RETURN_IF_ERROR(Ready());
    return std::string(View(crypto::HmacKey(key.blob).Sign(message)));
  }
  absl::StatusOr<crypto::Secret> Export(const SealedKey& key) override {
    RETURN_IF_ERROR(Ready());
    ++exported;
    if (while_exporting) while_exporting();
    if (key.identity.id == damaged) return WithReason(DataLoss("the envelope does not open"), "KEY_DAMAGED");
    return crypto::Secret(std::string_view(key.blob));
  }
  absl::Status Lock(const SealedKey&) override { return absl::OkStatus(); }
  absl::Status Destroy(const SealedKey&) override {
    ++destroyed;
    return absl::OkStatus();
  }
  absl::Status Reconcile(const std::vector<SealedKey>&) override { return absl::OkStatus(); }
  absl::Status Ready() const override {
    return sealed ? WithReason(FailedPrecondition("no key-encryption key"), "SEALED") : absl::OkStatus();
  }

  std::atomic<int> made{0}, exported{0}, destroyed{0};
  std::atomic<bool> sealed{false};
  std::function<void()> while_exporting;
  std::string damaged;  // source whose envelopes do not open
};

inline const std::string kOperator1 = "spiffe://example.net/operator/noc-1";
inline const std::string kOperator2 = "spiffe://example.net/operator/noc-2";
inline const std::string kSignerId = "spiffe://example.net/collector/edge-a";
inline const std::string kCarrierId = "spiffe://example.net/collector/relay";
inline const std::string kStrangerId = "spiffe://example.net/collector/other";
inline const std::string kOnodeId = "spiffe://example.net/onode/onode-1";

// Starts with the ledger active. Each call has its own request id.
class ObservationLab {
 public:
  explicit ObservationLab(bool start = true) {
    custodies.Add(custody);
    if (start) ledger.Start();
  }
  ~ObservationLab() { ledger->Stop(); }  // which calls `keys`

  Call By(std::string_view actor) { return TestCall("request-" + std::to_string(++calls_), std::string(actor)); }
  Call AsHolder(std::string_view actor) const {
    Call call = TestCall({}, std::string(actor));
    call.method = "virp.keymgr.v1.ObservationKeyService/FetchObservationKeys";
    return call;
  }
  void Create(const std::string& source, ConsumerForm form = ConsumerForm::kPlatform) {
    ObservationKey key;
    key.source = source;
    key.form = form;
    key.signers = {kSignerId};
    key.carriers = {kCarrierId};
    Must(keys.Create(By(kOperator1), key));
  }
  static Done Must(absl::StatusOr<Done> done) {
    if (!done.ok()) std::fprintf(stderr, "%s\n", done.status().ToString().c_str()), std::abort();
    return *std::move(done);
  }
  void Know(const std::string& source, std::uint32_t version, bool compromised = false) {
    const ObservationVersion found = *Get(source)->Find(version);
    const std::string statement = found.public_half + found.commitment;
    if (!keys.Report(AsHolder(kOnodeId), {{source, version, 7, compromised, statement}}).ok()) std::abort();
  }
  std::shared_ptr<const ObservationKey> Get(std::string_view source) {
    return (*ledger).snapshot()->Find<ObservationKey>(source);
  }
  // The first version signs.
  void Sign(const std::string& source) {
    Create(source);
    Must(keys.Prepare(By(kOperator1), source, 0));
    Must(keys.Approve(By(kOperator2), source, 1, ""));
    Know(source, 1);
    Must(keys.Activate(By(kOperator1), source, 1, {}));
  }
  // The next version takes over.
  std::uint32_t Roll(const std::string& source, const Activation& activation = {}) {
    const std::uint32_t version = Must(keys.Prepare(By(kOperator1), source, 0)).version;
    Know(source, version);
    Must(keys.Activate(By(kOperator1), source, version, activation));
    return version;
  }

  PlainCustody custody;
  Custodies custodies;
  TestLedger ledger{{ObservationKeys::Type()}};
  ObservationKeys keys{*ledger, custodies, [this] { return custody.Ready(); }};

 private:
  int calls_ = 0;
};

}  // namespace virp::keymgr
