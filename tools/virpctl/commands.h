// What virpctl's commands do, apart from how their options are read (main.cc). Each prints its answer to standard
// output and returns the exit code; an error status becomes exit code 2. For one thread.
#pragma once

#include <chrono>
#include <cstdint>
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
  std::string trust_domain;
  std::string origin;  // may be empty when the O-Node has one chain
  std::chrono::seconds timeout{10};
};

struct Options {
  Connection connection;
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

struct ClaimOptions {
  std::string router, vrf, peer, state, rib, prefix, next_hop;
  std::uint32_t as = 0;  // of the peer, or of the route's origin
  bool negate = false;   // not in that state; no such route
  std::string max_age;
  std::uint32_t min_sources = 0;
  std::string level;
  std::string save;  // file for the claim bundle
};
absl::StatusOr<Exit> ClaimPeer(const Options& options, const ClaimOptions& claim);
absl::StatusOr<Exit> ClaimRoute(const Options& options, const ClaimOptions& claim);

struct ObservationOptions {
  std::string source, subject, tier;
  std::vector<std::uint32_t> types;
  std::uint32_t limit = 50;
};
absl::StatusOr<Exit> ObservationsList(const Options& options, const ObservationOptions& filter);
absl::StatusOr<Exit> SubjectsList(const Options& options, const std::string& prefix, std::uint32_t limit);

struct ChainOptions {
  std::uint64_t begin = 0, end = 0;  // of `verify`; end 0 is the whole chain
  bool subjects = false;             // check what payloads say, too
  std::uint64_t sequence = 0;        // of `prove`
  std::string save;                  // of `prove` and `export`
};
absl::StatusOr<Exit> Status(const Options& options);
absl::StatusOr<Exit> ChainShow(const Options& options);
absl::StatusOr<Exit> ChainVerify(const Options& options, const ChainOptions& chain);
absl::StatusOr<Exit> ChainProve(const Options& options, const ChainOptions& chain);
absl::StatusOr<Exit> ChainExport(const Options& options, const ChainOptions& chain);

struct ChangeOptions {
  std::string file;  // of `register`: a virp.source.v1.Source in protobuf's JSON
  std::string source;
  std::string cause;   // of `alarms clear`; empty for all
  std::string reason;  // goes into the chain
  std::string request_id;
  bool validate_only = false;
};
absl::StatusOr<Exit> SourcesRegister(const Options& options, const ChangeOptions& change);
absl::StatusOr<Exit> SourcesList(const Options& options);
absl::StatusOr<Exit> SourcesGet(const Options& options, const std::string& name);
absl::StatusOr<Exit> AlarmsList(const Options& options);
absl::StatusOr<Exit> AlarmsClear(const Options& options, const ChangeOptions& change);

struct OfflineOptions {
  std::string file;       // proof file, claim bundle or export
  std::string keys;       // of an export: key directory with the HMAC secrets of its sources
  bool no_tags = false;   // of an export: hashes, links and rules only
  bool subjects = false;  // of an export: what payloads say, too
};
absl::StatusOr<Exit> VerifyOffline(const Options& options, const OfflineOptions& offline);

}  // namespace virp::virpctl
