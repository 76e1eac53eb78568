// What the ledger keeps of routers that speak BGPsec (RFC 8635): who they are, the keys of each (router, AS), and the
// certificate requests that came in. Rules of how one key follows another: router_roll.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/keymgr/domain/key.h"
#include "services/keymgr/domain/record.h"
#include "services/keymgr/domain/router_roll.h"

namespace virp::keymgr {

// Numbers of the enumerations stand in the proto; their names in the database.

// Who makes key pairs (RFC 8635 sections 6.1 and 6.2).
enum class KeyMethod : std::uint8_t {
  kRouterDriven = 1,    // the router, which sends a request: the private key never leaves it
  kOperatorDriven = 2,  // the manager, which hands it over in a signed package
  kEither = 3,
};
std::string_view KeyMethodName(KeyMethod method);  // "ROUTER_DRIVEN", ...

// How the first trust between manager and router came about (RFC 8635 section 3: a leap of faith).
enum class Bootstrap : std::uint8_t { kCraftPort = 1, kOneTimeToken = 2, kDeviceCertificate = 3, kSharedSecret = 4 };
std::string_view BootstrapName(Bootstrap bootstrap);

// What a capable router is known by before its first request (RFC 8635 section 9): SHA-256 of it.
enum class MaterialKind : std::uint8_t {
  kTlsCertificate = 1,  // that it comes with (802.1AR and the like), whole, DER
  kTlsKey = 2,          // SubjectPublicKeyInfo of that certificate: survives its renewal
  kRouterKey = 3,       // SubjectPublicKeyInfo of the BGPsec key that was installed before delivery
};
std::string_view MaterialKindName(MaterialKind kind);

struct Material {
  MaterialKind kind = MaterialKind::kTlsKey;
  std::string sha256;  // 32 bytes
  bool operator==(const Material&) const = default;
};

// Whom to tell at a peer (RFC 8635 section 10.1).
struct PeerContact {
  std::uint32_t asn = 0;
  std::string name;     // 1 to 128 bytes of UTF-8, a line
  std::string address;  // a URI: "mailto:noc@example.net"
  bool operator==(const PeerContact&) const = default;
};

// What an operator says of a router.
struct RouterSpec {
  std::string id;                   // as CheckKeyId, at most 200 bytes
  std::uint32_t bgp_id = 0;         // 0 only with shared_key (RFC 8635 section 5)
  bool shared_key = false;          // its key is several routers'
  std::vector<std::uint32_t> asns;  // of its configuration, rising; 1 to 64
  KeyMethod method = KeyMethod::kRouterDriven;
  ExportPolicy policy = ExportPolicy::kNever;  // of keys that are made here: kNever, kOnce or kEscrowOnly
  std::string agent;  // SPIFFE id that the router itself calls with; empty: operators act for it
  Bootstrap bootstrap = Bootstrap::kCraftPort;
  std::vector<Material> material;     // at most 8; with any, a matching first request of `agent` needs no approval
  bool needs_custody_log = false;     // nothing is issued before one is attached (RFC 8635 section 9(3))
  bool keep_next = true;              // a next key is always published (RFC 8207 section 4)
  bool outside_authority = false;     // certificates come from another CA and are imported
  std::vector<PeerContact> contacts;  // at most 32
  bool operator==(const RouterSpec&) const = default;
};
// InvalidArgument with the field below "router.".
absl::Status CheckRouter(const RouterSpec& spec);

struct CustodyLog {
  std::string sha256;  // 32 bytes, of the log as it came
  std::uint64_t size = 0;
  std::string signer;  // key identifier of who signed it, 20 bytes
  std::string attached_by;
  UnixNanos at = 0;
  bool operator==(const CustodyLog&) const = default;
};
inline constexpr std::size_t kMaxCustodyLogs = 32;

struct RouterRecord final : Record {
  static constexpr std::string_view kKind = "router";

  RouterSpec spec;
  std::string registered_by;
  std::vector<CustodyLog> logs;
  bool decommissioned = false;  // its id is never given again

  bool Has(std::uint32_t asn) const;
  Row ToRow() const override;
  static absl::StatusOr<std::shared_ptr<Record>> FromRow(const Row& row);
};

// What a router says of a key (RFC 8635 sections 6.2.1 and 8).
struct InstallReport {
  bool package_valid = false;  // the package's signature was good; of keys that it made itself true
  bool chain_valid = false;    // the certificates lead to the installed trust anchor
  bool key_match = false;      // the certificate is the installed key's
  bool proved = false;         // signed by that key over our nonce; else an operator's word
  std::string detail;          // at most 512 bytes of UTF-8, a line
  std::string by;
  UnixNanos at = 0;
  bool IsGood() const { return package_valid && chain_valid && key_match; }
  bool operator==(const InstallReport&) const = default;
};

// One key of a slot; its state is in the slot's roll.
struct RouterVersion {
  std::uint32_t version = 0;
  KeyMethod method = KeyMethod::kRouterDriven;
  std::string spki;
  std::string request;  // PKCS #10, DER, as it came
  std::string made_by;  // identity that submitted the request or asked for the key
  std::string approved_by;
  std::vector<std::string> certificates;  // of our authority, by id, newest last
  std::string imported;                   // of an outside one, DER
  std::string chain;                      // id of its RouterChainRecord
  UnixNanos renew_at = 0;                 // 0: nobody renews it here
  bool crl_out = false;                   // revoked: relying parties can know
  bool released = false;                  // its private key was given out
  bool escrowed = false;                  // its private key is here for a replacement router only
  std::optional<InstallReport> report;
  bool overdue_told = false;  // that no report comes stands in the audit
  bool operator==(const RouterVersion&) const = default;
};
inline constexpr std::size_t kMaxUsages = 8;            // slots of a router in one AS
inline constexpr std::size_t kMaxSlotVersions = 12;     // the oldest destroyed ones are forgotten beyond it
inline constexpr std::size_t kMaxSlotCertificates = 4;  // of a version; the oldest is revoked when another is made

// The keys of one router in one AS: CURRENT, NEXT, PREVIOUS.
struct RouterSlotRecord final : Record {
  static constexpr std::string_view kKind = "router_slot";

  // An order to sign with a version as soon as that is safe.
  struct Order {
    std::uint32_t version = 0;
    bool emergency = false;    // before relying parties have it
    bool unconfirmed = false;  // without a good report
    std::string by;
    UnixNanos at = 0;
    bool operator==(const Order&) const = default;
  };

  std::string router;
  std::uint32_t asn = 0;
  std::string usage;  // empty, or which of several keys: "origin", "transit" (RFC 8634 section 4.2)
  RouterRoll roll;
  std::vector<RouterVersion> versions;
  std::uint32_t last_version = 0;
  std::optional<Order> order;
  std::string fleet;                 // roll of many that this slot is in
  std::uint32_t fleet_version = 0;   // that it shall come to
  std::optional<UnixNanos> look_at;  // when time moves something next; set by whoever puts it (RouterBook)

  std::string id() const;
  KeyIdentity identity(std::uint32_t version) const;
  const RouterVersion* Find(std::uint32_t version) const;
  RouterVersion* Find(std::uint32_t version);
  bool IsOver() const;  // no key that anybody could sign with or that waits for its end

  Row ToRow() const override;
  static absl::StatusOr<std::shared_ptr<Record>> FromRow(const Row& row);
};
// "edge-a/64496", "edge-a/64496/origin". InvalidArgument for a usage that is no [a-z][a-z0-9_-]{0,31}.
absl::StatusOr<std::string> SlotId(std::string_view router, std::uint32_t asn, std::string_view usage);

enum class RequestState : std::uint8_t {
  kPending = 1,   // waits for another identity's approval
  kApproved = 2,  // it has a version; of our authority also a certificate
  kRejected = 3,
};
std::string_view RequestStateName(RequestState state);

// A certificate request as it came; kept to be compared (RFC 8635 section 6).
struct RouterRequestRecord final : Record {
  static constexpr std::string_view kKind = "router_request";

  std::string id;  // SHA-256 of the DER in hex: who sends it again asks for the same
  std::string router;
  std::uint32_t asn = 0;
  std::string usage;
  std::string request;  // DER
  std::string spki;
  RequestState state = RequestState::kPending;
  std::string submitted_by;
  std::string decided_by;
  std::string decision;       // why, in the words of who decided
  std::uint32_t version = 0;  // of the slot, once approved
  UnixNanos decided = 0;

  Row ToRow() const override;
  static absl::StatusOr<std::shared_ptr<Record>> FromRow(const Row& row);
};

// Certificates above imported ones. Kept once, however many routers have them.
struct RouterChainRecord final : Record {
  static constexpr std::string_view kKind = "router_chain";

  std::string id;                        // SHA-256 over all, hex
  std::vector<std::string> authorities;  // DER, as they came
  std::string trust_anchor;              // DER, that they were checked with

  Row ToRow() const override;
  static absl::StatusOr<std::shared_ptr<Record>> FromRow(const Row& row);
};

}  // namespace virp::keymgr
