#include "tools/virpctl/memory.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "lib/base/error_info.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/chain/merkle.h"
#include "lib/chain/proof.h"
#include "lib/crypto/sha256.h"
#include "tools/virpctl/offline.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/session.h"
#include "virp/chain/v1/chain_service.grpc.pb.h"

namespace virp::virpctl {
namespace {

namespace pb = ::virp::chain::v1;
using Service = pb::ChainService;

// A replica learns of a checkpoint about as soon as it is signed; what takes longer is no lag.
constexpr std::chrono::milliseconds kMostLag{3'000};
constexpr std::chrono::milliseconds kLookAgain{100};
constexpr int kMostRaces = 5;

absl::StatusOr<std::string> StateDirectory(const Options& options) {
  if (!options.state.empty()) return options.state;
  const auto variable = [](const char* name) {
    const char* const value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  if (const std::string state = variable("XDG_STATE_HOME"); state.starts_with('/')) return state + "/virpctl";
  if (const std::string home = variable("HOME"); home.starts_with('/')) return home + "/.local/state/virpctl";
  return InvalidArgument(
      "--state (or VIRPCTL_STATE) is needed: the folder where the largest checkpoint of each chain is kept, so that a "
      "rollback is noticed");
}

absl::Status Contradiction(std::string_view reason, const std::string& what, std::string_view kept,
                           std::string_view shown) {
  return WithReason(DataLoss("{}", what), reason, {{"kept", std::string(kept)}, {"shown", std::string(shown)}});
}

absl::StatusOr<pb::GetChainResponse> GetChain(const Connection& connection,
                                              const std::shared_ptr<grpc::Channel>& channel,
                                              const std::string& origin) {
  pb::GetChainRequest request;
  request.set_origin(origin);
  pb::GetChainResponse response;
  const auto stub = Service::NewStub(channel);
  RETURN_IF_ERROR(Call(connection, *stub, &Service::Stub::GetChain, request, response));
  return response;
}

absl::StatusOr<std::vector<Hash>> Consistency(const Connection& connection,
                                              const std::shared_ptr<grpc::Channel>& channel, const std::string& origin,
                                              std::uint64_t from, std::uint64_t to) {
  std::vector<Hash> path;
  if (from == 0 || from == to) return path;
  pb::GetConsistencyProofRequest request;
  request.set_origin(origin);
  request.set_old_size(from);
  request.set_new_size(to);
  pb::GetConsistencyProofResponse response;
  const auto stub = Service::NewStub(channel);
  RETURN_IF_ERROR(Call(connection, *stub, &Service::Stub::GetConsistencyProof, request, response));
  for (const std::string& bytes : response.path()) {
    ASSIGN_OR_RETURN(path.emplace_back(), HashFromBytes(bytes));
  }
  return path;
}

std::size_t Signatures(const std::string& note) {
  constexpr std::string_view kLine = "\n\xe2\x80\x94 ";  // "— "
  std::size_t count = 0;
  for (std::size_t at = note.find(kLine); at != std::string::npos; at = note.find(kLine, at + 1)) ++count;
  return count;
}

}  // namespace

std::optional<Exit> ExitOf(const absl::Status& status) {
  const std::string reason = GetReason(status);
  if (reason == kNotTrusted) return Exit::kCannotSay;
  for (const std::string_view broken : {kForked, kRolledBack, kBadSignature, kBrokenProof, kRecordDiffers}) {
    if (reason == broken) return Exit::kNo;
  }
  return std::nullopt;
}

absl::Status Forked(const Memory::Kept& kept, std::string_view shown) {
  return Contradiction(kForked,
                       fmt::format("chain {} has two histories: what was signed for {} entries and what is shown now "
                                   "are not of one chain",
                                   kept.checkpoint.origin, kept.checkpoint.size),
                       kept.note, shown);
}

absl::StatusOr<Memory> Memory::Open(const Options& options, std::shared_ptr<grpc::Channel> channel) {
  ASSIGN_OR_RETURN(std::string directory, StateDirectory(options));
  ASSIGN_OR_RETURN(Keys trust, ReadTrust(options.trust));
  ASSIGN_OR_RETURN(chain::CheckpointStore store, chain::CheckpointStore::Open(directory));
  return Memory(options.connection, std::move(channel), std::move(directory), std::move(trust), std::move(store));
}

std::string Memory::KeysPath(std::string_view origin) const {
  return fmt::format("{}/{}.keys", directory_, HexEncode(View(crypto::Sha256(origin)).substr(0, 16)));
}

// --trust, else what the first contact showed; nothing before that.
absl::StatusOr<Memory::Keys> Memory::KeysOf(const std::string& origin) const {
  if (!trust_.empty()) return trust_;
  const std::string path = KeysPath(origin);
  absl::StatusOr<Keys> keys = ReadTrust({path});
  if (absl::IsNotFound(keys.status())) return Keys();
  return keys;
}

// Takes keys from the O-Node: all of them at the first contact; later those that signed a note together with a key that
// is known, as both keys of a chain do while one replaces the other.
absl::Status Memory::LearnKeys(const std::string& origin, const std::string& note, Keys& keys) const {
  ASSIGN_OR_RETURN(const pb::GetChainResponse chain, GetChain(connection_, channel_, origin));
  const bool first = keys.empty();
  const std::size_t known = keys.size();
  for (const std::string& text : chain.verifier_keys()) {
    ASSIGN_OR_RETURN(chain::VerifierKey key, chain::VerifierKey::Parse(text));
    if (std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
    if (key.name() == origin && chain::OpenCheckpoint(note, {key}).ok()) keys.push_back(std::move(key));
  }
  if (keys.size() == known) return absl::OkStatus();
  std::string lines;
  for (const chain::VerifierKey& key : keys) lines += key.ToString() + "\n";
  RETURN_IF_ERROR(ReplaceFile(KeysPath(origin), lines));
  std::fputs(fmt::format("virpctl: {} {}: believing from now on\n{}Compare with what the operator published, or give "
                         "--trust.\n",
                         first ? "first contact with chain" : "new checkpoint key of chain", Printable(origin), lines)
                 .c_str(),
             stderr);
  return absl::OkStatus();
}

absl::StatusOr<chain::Checkpoint> Memory::Believe(const std::string& origin, const std::string& note,
                                                  Keys& keys) const {
  ASSIGN_OR_RETURN(keys, KeysOf(origin));
  if (trust_.empty() && keys.empty()) RETURN_IF_ERROR(LearnKeys(origin, note, keys));
  absl::StatusOr<chain::Checkpoint> checkpoint = chain::OpenCheckpoint(note, keys);
  if (checkpoint.ok() && checkpoint->origin != origin) {
    checkpoint = DataLoss("the checkpoint shown is of chain {}", checkpoint->origin);
  }
  if (absl::IsNotFound(checkpoint.status())) {
    const std::string from = trust_.empty() ? "kept in " + KeysPath(origin) : "given with --trust";
    return Contradiction(kNotTrusted,
                         fmt::format("the checkpoint of {} is signed by none of the keys {}", origin, from), "", note);
  }
  if (!checkpoint.ok()) {
    return Contradiction(kBadSignature, fmt::format("the checkpoint of {}: {}", origin, Message(checkpoint.status())),
                         "", note);
  }
  if (trust_.empty() && Signatures(note) > keys.size()) RETURN_IF_ERROR(LearnKeys(origin, note, keys));
  return checkpoint;
}

absl::Status Memory::See(const std::string& origin, const std::string& note) const {
  if (connection_.onode.starts_with("unix:")) {  // a break-glass socket gives no consistency proofs
    std::fputs("virpctl: not compared with the checkpoint that was seen before\n", stderr);
    return absl::OkStatus();
  }
  if (note.empty()) {
    ASSIGN_OR_RETURN(const std::optional<Kept> kept, Find(origin));
    if (!kept) return absl::OkStatus();
    ASSIGN_OR_RETURN(const Keys keys, KeysOf(origin));
    return Behind(*kept, note, keys);
  }
  Keys keys;
  ASSIGN_OR_RETURN(const chain::Checkpoint shown, Believe(origin, note, keys));
  return Advance(note, shown, keys);
}

// Another process may keep a larger note between our look and our proof: then both are made anew.
absl::Status Memory::Advance(const std::string& note, const chain::Checkpoint& shown, const Keys& keys) const {
  absl::Status last;
  for (int i = 0; i < kMostRaces; ++i) {
    ASSIGN_OR_RETURN(const std::optional<Kept> kept, store_.Load(shown.origin, keys));
    if (kept && shown.size < kept->checkpoint.size) return Behind(*kept, note, keys);
    std::vector<Hash> path;
    if (kept) {
      ASSIGN_OR_RETURN(path, Consistency(connection_, channel_, shown.origin, kept->checkpoint.size, shown.size));
    }
    last = store_.Advance(note, keys, kept ? kept->checkpoint.size : 0, path).status();
    if (absl::IsDataLoss(last) && kept) {
      return Forked(*kept, note);
    }
    if (!absl::IsAborted(last)) return last;
  }
  return last;
}

// The O-Node showed less than what is kept. It may have been overtaken, or be a replica that learns in a moment: then
// what it has soon includes both.
absl::Status Memory::Behind(const Kept& kept, const std::string& note, const Keys& keys) const {
  const std::string& origin = kept.checkpoint.origin;
  chain::Checkpoint shown;
  if (!note.empty()) {
    ASSIGN_OR_RETURN(shown, chain::OpenCheckpoint(note, keys));
  }
  const auto deadline =
      std::chrono::steady_clock::now() + std::min<std::chrono::nanoseconds>(kMostLag, connection_.timeout);
  for (;;) {
    ASSIGN_OR_RETURN(const pb::GetChainResponse chain, GetChain(connection_, channel_, origin));
    if (chain.size() >= kept.checkpoint.size) {
      ASSIGN_OR_RETURN(const auto path, Consistency(connection_, channel_, origin, shown.size, kept.checkpoint.size));
      const absl::Status grew = note.empty() ? absl::OkStatus()
                                             : chain::VerifyConsistency(shown.size, shown.root, kept.checkpoint.size,
                                                                        kept.checkpoint.root, path);
      if (grew.ok() && chain.checkpoint().empty()) break;  // has the entries and no checkpoint: it lost what it signed
      if (grew.ok()) return absl::OkStatus();
      return Forked(kept, note);
    }
    // A leader has all that was ever signed.
    if (chain.leading() || std::chrono::steady_clock::now() > deadline) break;
    std::this_thread::sleep_for(kLookAgain);
  }
  return Contradiction(kRolledBack,
                       fmt::format("chain {} was rolled back: {} entries were signed before, this O-Node shows {}",
                                   origin, kept.checkpoint.size, shown.size),
                       kept.note, note);
}

absl::Status Memory::SeeProofs(const std::string& origin, const std::vector<std::string>& proofs) const {
  std::string largest;
  std::uint64_t size = 0;
  std::vector<chain::Proof> decoded;
  for (const std::string& text : proofs) {
    auto proof = chain::DecodeProof(text);
    if (!proof.ok()) return WithReason(DataLoss("{}", Message(proof.status())), kBrokenProof);
    const auto checkpoint = chain::ParseCheckpointUnverified(proof->checkpoint);
    if (!checkpoint.ok()) return WithReason(DataLoss("{}", Message(checkpoint.status())), kBrokenProof);
    if (checkpoint->size >= size) {
      size = checkpoint->size;
      largest = proof->checkpoint;
    }
    decoded.push_back(*std::move(proof));
  }
  if (decoded.empty()) return absl::OkStatus();
  Keys keys;
  ASSIGN_OR_RETURN(const chain::Checkpoint shown, Believe(origin, largest, keys));
  for (const chain::Proof& proof : decoded) {
    const auto verified = chain::VerifyProof(proof, keys);
    if (verified.ok() && verified->checkpoint.origin == origin) continue;
    return WithReason(DataLoss("the proof of entry {} does not hold: {}", proof.index, Message(verified.status())),
                      kBrokenProof);
  }
  return Advance(largest, shown, keys);
}

absl::Status Memory::SeeRoot(const Kept& kept, std::uint64_t size, const Hash& root) const {
  const std::string& origin = kept.checkpoint.origin;
  const std::string shown = fmt::format("{}\n{}\n{}\n", origin, size, Base64Encode(View(root)));
  if (size < kept.checkpoint.size) {
    return Contradiction(kRolledBack,
                         fmt::format("chain {} was rolled back: {} entries were signed before, {} are stored", origin,
                                     kept.checkpoint.size, size),
                         kept.note, shown);
  }
  ASSIGN_OR_RETURN(const auto path, Consistency(connection_, channel_, origin, kept.checkpoint.size, size));
  if (chain::VerifyConsistency(kept.checkpoint.size, kept.checkpoint.root, size, root, path).ok()) {
    return absl::OkStatus();
  }
  return Forked(kept, shown);
}

absl::StatusOr<std::optional<Memory::Kept>> Memory::Find(const std::string& origin) const {
  ASSIGN_OR_RETURN(const Keys keys, KeysOf(origin));
  if (keys.empty()) return std::optional<Kept>();
  return store_.Load(origin, keys);
}

absl::Status Memory::Keep(const std::string& note, const Keys& keys) const {
  return store_.Keep(note, keys).status();
}

}  // namespace virp::virpctl
