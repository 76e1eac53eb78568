// Claims evaluated the slow way: straight from docs/claims.md, over all entries each time, keeping nothing. The fact
// book has to agree with it at every chain size. Shares no code with the fact book beyond the parsing of entries and
// payloads.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lib/chain/control.h"
#include "lib/chain/entry.h"
#include "lib/chain/subject.h"
#include "services/onode/domain/claim.h"

namespace virp::testutil {

// An entry, parsed once.
struct NaiveEntry {
  chain::EntryHeader header;
  frame::Type type{};
  frame::Tier tier{};
  UnixNanos frame_time = 0;
  UnixNanos received = 0;
  std::string signer;
  chain::Statement statement;
  std::string event;
  std::string payload;  // text; empty when it is not I-JSON
  std::optional<chain::SourceEvent> source_event;
  std::optional<chain::KeyEvent> key_event;
  std::optional<chain::Gap> gap;
  std::optional<chain::Alarm> alarm;
  std::optional<chain::AlarmCleared> cleared;
  std::optional<chain::Heartbeat> heartbeat;
  bool lists_sources = false;  // a heartbeat with `sources`
  std::optional<std::uint64_t> peer_as;
  std::optional<std::uint64_t> origin_as;
  std::string next_hop, learnt_from;  // canonical; empty: not said
  std::uint64_t first_sequence = 0;
  std::optional<std::set<std::string>> only_prefixes;

  UnixNanos time() const { return std::min(frame_time, received); }
};

struct NaiveChain {
  std::string origin;
  std::vector<NaiveEntry> entries;
};
// The entries must be those of a chain that verifies.
NaiveChain ParseNaively(const std::string& origin, const std::vector<std::string>& entries);

struct NaiveOpinion {
  std::string source;
  onode::SourceOpinion::Says says = onode::SourceOpinion::Says::kNothing;
  std::string left_out;
  bool counted = false;
  bool in_doubt = false;
  std::uint64_t entry = chain::kNone;
  UnixNanos confirmed_at = 0;
  frame::Tier tier = frame::Tier::kGreen;
};
struct NaiveAnswer {
  onode::Verdict verdict = onode::Verdict::kNoEvidence;
  std::string reason;
  UnixNanos evaluated_at = 0;
  std::vector<NaiveOpinion> opinions;  // by source
};

// The world as the first `size` entries tell it.
class NaiveWorld {
 public:
  NaiveWorld(const NaiveChain& chain, std::size_t size);
  ~NaiveWorld();

  NaiveAnswer Evaluate(const onode::Claim& claim, const onode::Acceptance& accept, UnixNanos now, bool frozen,
                       std::uint64_t checkpointed) const;

 private:
  struct Source;
  struct Question;
  class RouteQuestion;
  struct Finding;
  struct Court;

  void Learn(const NaiveEntry& entry);
  bool Counts(const NaiveEntry& entry) const;
  bool KeyCounts(const NaiveEntry& entry) const;
  bool MaySpeakFor(const Source& signer, const Source& about) const;
  static bool Newer(const Source& source, const NaiveEntry& a, const NaiveEntry& b);
  static const NaiveEntry* Newest(const Source& source, const std::vector<const NaiveEntry*>& of);
  bool BeatCounts(const Source& about, const Source& signer, const onode::Acceptance& accept) const;

  const NaiveChain& chain_;
  std::size_t size_;
  std::map<std::string, Source> sources_;
};

}  // namespace virp::testutil
