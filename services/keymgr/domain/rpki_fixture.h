// For tests: a custody of RSA keys in memory, and an RPKI authority over a ledger in memory that publishes into a map.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/p256.h"
#include "services/keymgr/domain/expiry_notice.h"
#include "services/keymgr/domain/rpki_authority.h"
#include "services/keymgr/domain/test_ledger.h"
#include "tests/testutil/rpki_lab.h"

namespace virp::keymgr {

class RsaCustody final : public Custody {
 public:
  std::string_view name() const override { return "rsa"; }
  absl::StatusOr<SealedKey> Generate(const KeyIdentity& identity, ExportPolicy policy) override {
    RETURN_IF_ERROR(fails);
    const std::size_t number = made_++;
    SealedKey key;
    key.identity = identity;
    key.policy = policy;
    key.custody = name();
    key.blob = std::to_string(number);
    key.public_half = testutil::RsaKeyForTests(number).public_key().spki();
    return key;
  }
  absl::StatusOr<SealedKey> Import(const KeyIdentity&, ExportPolicy, const crypto::Secret&) override {
    return FailedPrecondition("makes its own keys only");
  }
  absl::StatusOr<std::string> Sign(const SealedKey& key, std::string_view message) override {
    RETURN_IF_ERROR(fails);
    if (gone_.contains(key.blob))
      return WithReason(DataLoss("{} was destroyed", ToString(key.identity)), "KEY_DAMAGED");
    return testutil::RsaKeyForTests(std::stoul(key.blob)).Sign(message);
  }
  absl::StatusOr<crypto::Secret> Export(const SealedKey&) override { return PermissionDenied("never"); }
  absl::Status Lock(const SealedKey&) override { return absl::OkStatus(); }
  absl::Status Destroy(const SealedKey& key) override {
    gone_.insert(key.blob);
    ++destroyed;
    return absl::OkStatus();
  }
  absl::Status Reconcile(const std::vector<SealedKey>&) override { return absl::OkStatus(); }
  absl::Status Ready() const override { return absl::OkStatus(); }

  absl::Status fails;
  int destroyed = 0;

 private:
  std::size_t made_ = 0;
  std::set<std::string> gone_;
};

class MapTarget final : public PublicationTarget {
 public:
  absl::StatusOr<std::uint64_t> Number() override { return number; }
  absl::Status Publish(const Tree& next, std::uint64_t of) override {
    RETURN_IF_ERROR(fails);
    if (of <= number) return WithReason(Aborted("{} is out", number), "NEWER_PUBLICATION");
    tree = next;
    number = of;
    return fails_after;
  }
  Tree tree;
  std::uint64_t number = 0;
  absl::Status fails, fails_after;  // before and after anything was changed
};

// As the end of a router key does it, without the key.
inline absl::Status RevokeCertificate(Ledger& ledger, std::string_view id, const Call& call = TestCall()) {
  return ledger
      .Commit(call,
              [&](const Snapshot& now, Changes& changes) {
                AuditRecord audit;
                audit.event = "router_key_revoked";
                changes.Audit(std::move(audit));
                return RpkiAuthority::RevokeIn(now, changes, id);
              })
      .status();
}

struct RpkiFixture {
  // For who has to subscribe to the ledger before it starts.
  enum Later { kLater };
  explicit RpkiFixture(Later, UnixNanos now = 0) {
    if (now != 0) ledger.clock.SetWall(now);
    custodies.Add(custody);
    RpkiOptions options;
    options.base_uri = "rsync://rpki.example.net/repo/";
    options.as_numbers = rpki::AsResources::Of({{64496, 64511}, {65536, 65551}});
    options.addresses = rpki::IpResources::Of({*Prefix::Parse("192.0.2.0/24"), *Prefix::Parse("2001:db8::/32")});
    authority = std::make_unique<RpkiAuthority>(*ledger, custodies, target, one_time_keys, ledger.clock, options,
                                                "spiffe://example.net/keymgr/keymgr-1");
  }
  explicit RpkiFixture(UnixNanos now = 0) : RpkiFixture(kLater, now) { Start(); }
  void Start() { ledger.Start(); }

  absl::StatusOr<RpkiAuthority::CertificatePtr> Issue(const crypto::P256PrivateKey& key, std::uint32_t asn,
                                                      const std::string& router, bool renew = false,
                                                      std::string request_id = {}) {
    const std::string request = *rpki::MakeRouterRequest(key.public_key().spki(), asn, testutil::SignerOf(key));
    return authority->Issue(TestCall(std::move(request_id)),
                            {.router = router, .asn = asn, .bgp_id = 0xc0000201, .request = request}, renew);
  }
  rpki::Time Now() const { return rpki::Time(std::chrono::seconds(ledger.clock.NowNanos() / 1'000'000'000)); }

  TestLedger ledger{{TypeOf<AuthorityRecord>(), TypeOf<RouterCertificateRecord>(), TypeOf<ExpiryNoticeRecord>()}};
  RsaCustody custody;
  Custodies custodies;
  MapTarget target;
  rpki::OneTimeKeys one_time_keys{4, &testutil::OneTimeKeyForTests};
  std::unique_ptr<RpkiAuthority> authority;
};

}  // namespace virp::keymgr
