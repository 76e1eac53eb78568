// What virpctl's commands do, apart from how their options are read (main.cc). Each prints its answer to standard
// output and returns the exit code; an error status becomes exit code 2. For one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace virp::virpctl {

// Scripts branch on these.
enum class Exit : int {
  kYes = 0,        // confirmed, verified, done
  kNo = 1,         // refuted, broken
  kError = 2,      // the command could not be carried out
  kCannotSay = 3,  // no answer either way: stale, silent, incomplete, not authenticated...
};

struct Connection {
  std::string onode = "127.0.0.1:8443";  // or unix:/path of a break-glass socket
  std::string certificate, key, roots;   // PEM files
  std::string trust_domain;              // may be empty when `identity_map` says it
  std::string identity_map;              // file, as the services have it; empty: spiffe://<trust domain>/<role>/<name>
  std::string origin;                    // may be empty when the O-Node has one chain
  std::chrono::seconds timeout{10};
  bool to_collector = false;   // `onode` is a collector
  bool to_keymgr = false;      // `onode` is a key manager
  bool to_rtr_bridge = false;  // `onode` is an RTR bridge
  bool as_stranger = false;    // no certificate is shown
};

struct Options {
  Connection connection;
  std::string collector = "127.0.0.1:8444";   // address, as `connection.onode`
  std::string keymgr = "127.0.0.1:8445";      // likewise
  std::string rtr_bridge = "127.0.0.1:8446";  // likewise
  std::vector<std::string> trust;  // verifier keys, or files with one on each line; empty: those of the first contact
  std::string state;               // folder of the largest checkpoints; empty: one of the user's
  bool json = false;
};

struct PkiOptions {
  std::string directory;
  std::string name;
  std::string role;
  std::string out;  // of `issue`; the authority's directory when empty
  std::vector<std::string> dns, ips;
  std::uint32_t days = 0;
};
absl::StatusOr<Exit> PkiInit(const Options& options, const PkiOptions& pki);
absl::StatusOr<Exit> PkiIssue(const Options& options, const PkiOptions& pki);

struct KeyOptions {
  std::string directory;
  std::string name;  // of a source, or an origin
  std::uint32_t version = 1;
  std::string suite = "ed25519";
};
absl::StatusOr<Exit> KeysCreate(const Options& options, const KeyOptions& keys);
absl::StatusOr<Exit> KeysList(const Options& options, const KeyOptions& keys);
absl::StatusOr<Exit> KeysVerifier(const Options& options, const KeyOptions& keys);

struct FrameOptions {
  std::string file;      // "-": standard input
  std::string spelling;  // empty: v2
  bool hex = false;
  std::string keys, source;  // check the tag with a key of this directory
};
absl::StatusOr<Exit> FrameDecode(const Options& options, const FrameOptions& frame);

struct BgpsecOptions {
  std::vector<std::string> keys;  // AS=FILE: private halves to sign, origin first; public halves to verify
  std::string prefix;
  std::uint32_t target = 0;  // the AS that the route is, or was, sent to
  std::string file;          // UPDATE, or value of the attribute: to verify, or to sign on; "-": standard input
  bool hex = false;
  std::uint32_t pcount = 1;    // of `sign`: of the last hop
  bool confederation = false;  // of `sign`: the last hop's flag; of `verify`: the peer is in our confederation
  bool transparent = false;    // of `verify`: the peer may send pCount 0
  std::uint32_t peer = 0;      // of `verify`: the AS that sent it; 0: the one that its path says
  std::string save;            // of `sign`: file for the value of the attribute
};
absl::StatusOr<Exit> BgpsecSign(const Options& options, const BgpsecOptions& bgpsec);
absl::StatusOr<Exit> BgpsecVerify(const Options& options, const BgpsecOptions& bgpsec);

// What is accepted as an answer; what is empty or 0 is the O-Node's default, which the answer tells.
struct AcceptanceOptions {
  std::string max_age, max_event_age;  // durations
  std::string worst_tier;              // green, yellow, red
  std::string independence;            // signer, collector, router
  std::string level;                   // committed, checkpointed, witnessed
  std::uint32_t min_sources = 0, max_dissent = 0;
  std::vector<std::string> require, exclude;  // sources
  bool refuse_alarmed = false;
};
struct ClaimOptions {
  std::string router, vrf, peer, state, rib, prefix, next_hop;
  std::uint32_t as = 0;                 // of the peer, or of the route's origin
  bool negate = false;                  // not in that state; no such route
  std::string subject, event;           // of a field claim
  std::vector<std::string> conditions;  // of a field claim; see condition.h
  AcceptanceOptions acceptance;
  std::uint64_t at_least_size = 0, chain_size = 0;
  std::string at;       // RFC 3339; now when empty
  std::string save;     // file for the claim bundle
  bool answer = false;  // kYes for every verdict
};
absl::StatusOr<Exit> ClaimPeer(const Options& options, const ClaimOptions& claim);
absl::StatusOr<Exit> ClaimRoute(const Options& options, const ClaimOptions& claim);
absl::StatusOr<Exit> ClaimField(const Options& options, const ClaimOptions& claim);

struct ObservationOptions {
  std::string source, subject, tier;
  std::vector<std::uint32_t> types;
  std::uint32_t limit = 50;            // of `list`
  std::optional<std::uint64_t> after;  // of `watch`: begins behind this entry; at the chain's end when not given
  std::uint64_t count = 0;             // of `watch`: ends after so many; 0 is never
};
absl::StatusOr<Exit> ObservationsList(const Options& options, const ObservationOptions& filter);
// Until it is interrupted. Goes on over lost connections; ends by itself for what does not pass.
absl::StatusOr<Exit> ObservationsWatch(const Options& options, const ObservationOptions& filter);
absl::StatusOr<Exit> SubjectsList(const Options& options, const std::string& prefix, std::uint32_t limit);

struct ChainOptions {
  std::uint64_t begin = 0, end = 0;  // of `verify`; end 0 is the whole chain
  bool subjects = false;             // check what payloads say, too
  std::uint64_t sequence = 0;        // of `prove`
  std::string save;                  // of `prove` and `export`
};
// With `refuses_strangers` the same is asked once more without a certificate; kNo when that is answered, too.
absl::StatusOr<Exit> Status(const Options& options, bool refuses_strangers);
absl::StatusOr<Exit> ChainShow(const Options& options);
absl::StatusOr<Exit> ChainVerify(const Options& options, const ChainOptions& chain);
absl::StatusOr<Exit> ChainProve(const Options& options, const ChainOptions& chain);
absl::StatusOr<Exit> ChainExport(const Options& options, const ChainOptions& chain);

struct ChangeOptions {
  std::string file;  // of `register` and `update`: a virp.source.v1.Source in protobuf's JSON
  std::string source;
  std::string cause;   // of `alarms clear`; empty for all
  std::string reason;  // goes into the chain
  std::string request_id;
  bool validate_only = false;
  std::uint32_t key_version = 0;              // of `black`: that key is compromised, since the time below
  std::string since;                          // RFC 3339; now when empty
  std::uint64_t epoch = 0, from = 0, to = 0;  // of `admit-late`
};
struct BindOptions {
  std::vector<std::string> carried_by, not_carried_by;  // SPIFFE ids
  std::vector<std::uint32_t> types, not_types;
  std::vector<std::string> routers, not_routers;  // NAME=BGP-ID; names
};
absl::StatusOr<Exit> SourcesList(const Options& options);
absl::StatusOr<Exit> SourcesShow(const Options& options, const std::string& name);
absl::StatusOr<Exit> SourcesRegister(const Options& options, const ChangeOptions& change);
absl::StatusOr<Exit> SourcesUpdate(const Options& options, const ChangeOptions& change);
absl::StatusOr<Exit> SourcesBind(const Options& options, const ChangeOptions& change, const BindOptions& bind);
absl::StatusOr<Exit> SourcesSuspend(const Options& options, const ChangeOptions& change);
absl::StatusOr<Exit> SourcesResume(const Options& options, const ChangeOptions& change);
absl::StatusOr<Exit> SourcesBlack(const Options& options, const ChangeOptions& change);
absl::StatusOr<Exit> SourcesResetEpoch(const Options& options, const ChangeOptions& change);
absl::StatusOr<Exit> SourcesAdmitLate(const Options& options, const ChangeOptions& change);
absl::StatusOr<Exit> AlarmsList(const Options& options, const std::string& source);
absl::StatusOr<Exit> AlarmsClear(const Options& options, const ChangeOptions& change);
absl::StatusOr<Exit> Gaps(const Options& options);
absl::StatusOr<Exit> QuarantineList(const Options& options, std::uint32_t limit);

// Of a collector.
absl::StatusOr<Exit> CollectorStatus(const Options& options);
absl::StatusOr<Exit> CollectorProducers(const Options& options);
absl::StatusOr<Exit> BmpPeers(const Options& options, const std::string& source);

// Of a key manager.
struct TcpAoOptions {
  std::string id;                  // of the pair
  std::string reason, request_id;  // of changes
  std::string a, b;                // DEVICE=ADDRESS
  std::string agent_a, agent_b;    // SPIFFE ids
  std::string algorithm = "sha1";  // or aes128
  std::uint32_t octets = 0;        // 0: the default
  bool exclude_options = false;
  std::string use_from;                 // RFC 3339; empty: at once
  bool remove_old = false;              // of `force`
  bool yes = false;                     // ask nobody
  std::string end = "a", format, save;  // of `plan`, `report`, `export`
  std::string file;                     // of `report`
};
absl::StatusOr<Exit> TcpAoList(const Options& options);
absl::StatusOr<Exit> TcpAoShow(const Options& options, const TcpAoOptions& tcp_ao);
absl::StatusOr<Exit> TcpAoCreate(const Options& options, const TcpAoOptions& tcp_ao);
absl::StatusOr<Exit> TcpAoRoll(const Options& options, const TcpAoOptions& tcp_ao);
absl::StatusOr<Exit> TcpAoForce(const Options& options, const TcpAoOptions& tcp_ao);
absl::StatusOr<Exit> TcpAoAbort(const Options& options, const TcpAoOptions& tcp_ao);
absl::StatusOr<Exit> TcpAoDelete(const Options& options, const TcpAoOptions& tcp_ao);
absl::StatusOr<Exit> TcpAoPlan(const Options& options, const TcpAoOptions& tcp_ao);
absl::StatusOr<Exit> TcpAoReport(const Options& options, const TcpAoOptions& tcp_ao);
absl::StatusOr<Exit> TcpAoExport(const Options& options, const TcpAoOptions& tcp_ao);

// Of a router.
struct RouterOptions {
  std::string file;          // package, certificates: read by `open` and `check`, written by `enrol` and `renew`
  std::string key, request;  // files
  std::string trust_anchor;  // file of its certificate
  std::string decrypt_key, decrypt_certificate;
  std::uint32_t asn = 0;       // 0: any, or the only one
  std::string est;             // host:port
  std::uint32_t wait = 0;      // seconds
  std::string before = "30d";  // of `renew`
  bool yes = false;
};
absl::StatusOr<Exit> RouterKeygen(const Options& options, const RouterOptions& router);
absl::StatusOr<Exit> RouterOpen(const Options& options, const RouterOptions& router);
absl::StatusOr<Exit> RouterCheck(const Options& options, const RouterOptions& router);
absl::StatusOr<Exit> RouterCaCerts(const Options& options, const RouterOptions& router);
absl::StatusOr<Exit> RouterEnrol(const Options& options, const RouterOptions& router);
absl::StatusOr<Exit> RouterRenew(const Options& options, const RouterOptions& router);

struct OKeyOptions {
  std::string source;
  std::string reason, request_id;              // of changes
  std::vector<std::string> signers, carriers;  // SPIFFE ids
  std::string form = "platform";               // or hex, raw
  std::string etag;
  std::string suite;                 // ed25519, hmac; empty: as the newest version
  std::uint32_t version = 0;         // 0: the next one, or all
  std::string expect;                // of `approve`: hex
  std::string sign_for, accept_for;  // durations; empty: the defaults
  bool unconfirmed = false, while_active = false, pending = false;
  std::string since;            // of `taint`: RFC 3339; empty: now
  bool yes = false;             // ask nobody
  std::uint32_t patience = 60;  // seconds, for each step of `roll`
  std::string save;             // of `export` and `fetch`
  std::uint64_t count = 0;      // of `watch`: ends after so many changes; 0 is never
};
absl::StatusOr<Exit> OKeysList(const Options& options, const OKeyOptions& o_key);
absl::StatusOr<Exit> OKeysShow(const Options& options, const OKeyOptions& o_key);
absl::StatusOr<Exit> OKeysCreate(const Options& options, const OKeyOptions& o_key);
absl::StatusOr<Exit> OKeysHolders(const Options& options, const OKeyOptions& o_key);
absl::StatusOr<Exit> OKeysPrepare(const Options& options, const OKeyOptions& o_key);
absl::StatusOr<Exit> OKeysApprove(const Options& options, const OKeyOptions& o_key);
absl::StatusOr<Exit> OKeysActivate(const Options& options, const OKeyOptions& o_key);
absl::StatusOr<Exit> OKeysRoll(const Options& options, const OKeyOptions& o_key);
absl::StatusOr<Exit> OKeysTaint(const Options& options, const OKeyOptions& o_key);
absl::StatusOr<Exit> OKeysRevoke(const Options& options, const OKeyOptions& o_key);
absl::StatusOr<Exit> OKeysExport(const Options& options, const OKeyOptions& o_key);
absl::StatusOr<Exit> OKeysFetch(const Options& options, const OKeyOptions& o_key);
// Until it is interrupted.
absl::StatusOr<Exit> OKeysWatch(const Options& options, const OKeyOptions& o_key);

struct KeymgrOptions {
  std::string reason, request_id;              // of changes
  std::uint32_t kek_version = 0;               // of `rotate-kek`; 0: the highest
  std::uint64_t chain_record = 0;              // of `accept-rollback`
  std::string event, actor, source, from, to;  // of `audit`
  std::uint32_t limit = 50;
  std::uint32_t days = 0;  // of `expiring`; 0: the default
  bool yes = false;        // ask nobody
};
// Exit 1 when it is sealed, or another one is active.
absl::StatusOr<Exit> KeymgrStatus(const Options& options);
absl::StatusOr<Exit> KeymgrSeal(const Options& options, const KeymgrOptions& keymgr);
absl::StatusOr<Exit> KeymgrUnseal(const Options& options, const KeymgrOptions& keymgr);
absl::StatusOr<Exit> KeymgrRotateKek(const Options& options, const KeymgrOptions& keymgr);
absl::StatusOr<Exit> KeymgrAcceptRollback(const Options& options, const KeymgrOptions& keymgr);
absl::StatusOr<Exit> KeymgrAudit(const Options& options, const KeymgrOptions& keymgr);
absl::StatusOr<Exit> KeymgrExpiring(const Options& options, const KeymgrOptions& keymgr);

// What is looked at beside the machine itself, the certificate and the O-Node of the connection.
struct DoctorOptions {
  std::vector<std::string> keys;                  // key directories
  std::vector<std::string> sockets, break_glass;  // paths
  std::string store;                              // URL
  std::string frr;                                // path of bgpd; where Debian has it, if it is there
  std::vector<std::string> listening, free;       // HOST:PORT that somebody, nobody must listen on
};
absl::StatusOr<Exit> Doctor(const Options& options, const DoctorOptions& doctor);

struct OfflineOptions {
  std::string file;       // proof file, claim bundle or export
  std::string keys;       // of an export: key directory with the HMAC secrets of its sources
  bool no_tags = false;   // of an export: hashes, links and rules only
  bool subjects = false;  // of an export: what payloads say, too
};
absl::StatusOr<Exit> VerifyOffline(const Options& options, const OfflineOptions& offline);

}  // namespace virp::virpctl
