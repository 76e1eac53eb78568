// What a FactBook holds: plain structures, the fold over entries that fills them, and look-ups. Internal to the fact
// book and to the evaluation of claims.
//
// Facts are found by their whole key, never by the 8-byte subject id: who may announce prefixes can search for one
// whose id collides with that of somebody else's subject.
#pragma once

#include <algorithm>
#include <array>
#include <compare>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/clock.h"
#include "lib/base/hash_map.h"
#include "lib/base/ip.h"
#include "lib/chain/entry.h"
#include "lib/chain/source_book.h"
#include "lib/chain/subject.h"
#include "lib/frame/frame.h"
#include "lib/frame/payload.h"
#include "services/onode/domain/subject_index.h"

namespace virp::onode::facts {

inline constexpr std::uint32_t kNoIndex = ~std::uint32_t{0};

// Where a source's frame stands among its frames. A run is an epoch by the order in which the chain saw them begin
// (chain::Channel::opened): that is the order of their numbers, unless an operator declared one poisoned.
struct Position {
  std::uint32_t run = 0;
  std::uint64_t sequence = 0;
  friend auto operator<=>(const Position&, const Position&) = default;
};

// Frame types by what they can change: an unreadable frame puts in doubt only what its type could have said.
enum class Group : std::uint8_t { kPeer, kPath, kBest, kOther };
inline constexpr std::size_t kGroups = 4;
Group GroupOf(frame::Type type);

enum class Rib : std::uint8_t { kAdjInPre, kAdjInPost, kLoc, kAdjOutPre, kAdjOutPost, kBest };
inline constexpr std::size_t kRibs = 5;  // without kBest, which is no table
std::optional<Rib> RibFromName(std::string_view name);
std::string_view RibName(Rib rib);

// One statement of a source: where it stands, and what an answer says of it.
struct Mark {
  std::uint64_t sequence = 0;          // the source's
  std::uint64_t entry = chain::kNone;  // chain sequence; kNone: no statement
  UnixNanos observed = 0;              // frame time
  UnixNanos received = 0;
  std::uint32_t run = 0;
  frame::Tier tier = frame::Tier::kGreen;
  frame::Suite suite = frame::Suite::kHmacSha256;
  Group group = Group::kOther;
  bool restated = false;
  Position at() const { return {run, sequence}; }
  bool held() const { return entry != chain::kNone; }
  UnixNanos time() const { return std::min(observed, received); }  // every age counts from it
  // The newest statement counts, whatever the order of arrival.
  bool Supersedes(const Mark& other) const { return !other.held() || at() > other.at(); }
};

// The state of one peer as one source says it.
struct PeerRow {
  std::uint32_t source = 0;
  std::uint32_t state = kNoIndex;  // into FactState::states
  std::optional<std::uint32_t> peer_as{};
  Mark said{};  // newest statement of the state
  Mark down{};  // newest statement that it is not Established: paths before it are gone
};

// One path, or one best path (rib kBest, peer kNoIndex), as one source says it. Rows of a prefix are sorted by key.
struct PathRow : Mark {
  std::uint32_t source = 0;
  std::uint32_t peer = kNoIndex;  // into FactState::addresses
  std::uint32_t path_id = 0;
  std::uint32_t origin_as = 0;
  std::uint32_t next_hop = kNoIndex;  // kNoIndex: not said
  std::uint32_t learnt_from = kNoIndex;
  Rib rib = Rib::kAdjInPre;
  // Paths: 1 for the newest announcement, 0 for the newest withdrawal; the newer of both is the fact. Best paths: 1
  // when the event is not the usual one (it is then held by text as well).
  std::uint8_t slot = 0;
  bool present = false;
  bool has_origin = false;
  auto Key() const { return std::tuple(source, rib, peer, path_id, slot); }
};

// A table (source, router and VRF, peer, rib) that the source has spoken of.
struct TableRow {
  Mark spoken;                                      // newest statement of any path in it
  Mark stated;                                      // newest table_complete
  std::uint64_t first = 0;                          // source's number of the first frame of that statement; 0: not said
  Position begin;                                   // furthest beginning of any complete statement so far
  std::shared_ptr<const std::vector<Prefix>> only;  // it is about these, their more specifics and no others; null: all
  Mark summary;                                     // newest routes_summarised
  bool summary_open = false;                        // it says that what was summarised has not all been stated since

  // True when the collector said, after this statement of the table or of one of its paths, that it folds changes of
  // the table and has not stated them all since.
  bool Summarised(const Mark& mark) const { return summary_open && summary.at() > mark.at(); }
};

// The newest statement of one source about a subject under one event name, for field claims.
struct EventRow {
  std::uint32_t source = 0;
  std::uint32_t event = kNoIndex;  // into FactState::events; kNoIndex: the payload names none
  Mark said;
};

// What one signer last said of a source's liveness.
struct Report {
  Position signer;                    // of the beat among its signer's frames
  std::uint64_t epoch = 0, last = 0;  // the source's epoch and last sequence that it states
  UnixNanos time = 0;                 // the earlier of frame time and receipt
  std::uint64_t entry = chain::kNone;
  bool connected = false;
  bool held() const { return entry != chain::kNone; }
};
struct BeatRow {
  std::uint32_t signer = 0;
  Report newest{}, newest_connected{};
};

struct PeerKey {
  std::uint32_t place = 0, peer = 0;
  friend bool operator==(const PeerKey&, const PeerKey&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const PeerKey& k) {
    return H::combine(std::move(state), k.place, k.peer);
  }
};
struct TableKey {
  std::uint32_t source = 0, place = 0, peer = 0;
  Rib rib = Rib::kAdjInPre;
  friend bool operator==(const TableKey&, const TableKey&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const TableKey& k) {
    return H::combine(std::move(state), k.source, k.place, k.peer, k.rib);
  }
};
struct PrefixKey {
  std::uint32_t place = 0;
  Prefix prefix;
  friend bool operator==(const PrefixKey&, const PrefixKey&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const PrefixKey& k) {
    return H::combine(std::move(state), k.place, k.prefix);
  }
};

// What one source says about one router and VRF, as far as a claim over all peers needs it.
struct SourcePlace {
  std::vector<std::uint32_t> peers;                      // whose state it has stated
  std::array<std::vector<std::uint32_t>, kRibs> tables;  // peers whose table it has spoken of, per rib
  bool best = false;                                     // it has stated best paths (type 4)
};

struct SourceState {
  std::uint64_t short_id = 0;
  std::string name;
  std::shared_ptr<const chain::Source> current;
  std::uint64_t last_entry = chain::kNone;
  bool awaits_refold = false;
  std::vector<BeatRow> beats;  // about this source
  std::string build;           // that its newest beat names; empty: none did
  Position build_said;
  std::array<Position, kGroups> unreadable;  // newest frame of each group that nobody can rely on
  absl::flat_hash_map<std::uint32_t, SourcePlace> places;
  absl::flat_hash_set<std::uint64_t> compromised;  // scopes (CompromisedScope) that only a compromised key spoke of
  // Registrations, each with the chain sequence from which on it was valid: a refold reads old entries as they were
  // read.
  std::vector<std::pair<std::uint64_t, std::shared_ptr<const chain::Source>>> registrations;
};

// Strings as numbers.
class Names {
 public:
  std::uint32_t Intern(std::string_view text);
  std::uint32_t Find(std::string_view text) const;  // kNoIndex when it is not there
  std::string_view At(std::uint32_t index) const { return texts_[index]; }
  std::size_t size() const { return texts_.size(); }

 private:
  std::deque<std::string> texts_;
  absl::flat_hash_map<std::string_view, std::uint32_t, StringHash, std::equal_to<>> index_;
};

class Addresses {
 public:
  std::uint32_t Intern(const IpAddress& address);
  std::uint32_t Find(const IpAddress& address) const;
  const IpAddress& At(std::uint32_t index) const { return addresses_[index]; }
  std::size_t size() const { return addresses_.size(); }

 private:
  std::vector<IpAddress> addresses_;
  absl::flat_hash_map<IpAddress, std::uint32_t> index_;
};

inline constexpr std::uint32_t kEstablished = 0, kDown = 1;  // in FactState::states

// Names of what a compromised key spoke about, as coarse as claims ask: a peer, a prefix in a rib, a rib, a subject.
std::uint64_t CompromisedScope(std::string_view kind, std::string_view place, std::string_view what);

struct FactState {
  explicit FactState(std::string chain_origin);

  // Folds one entry; `book` has applied it.
  void Apply(const chain::Entry& entry, const frame::Frame& frame, const chain::Statement& statement,
             const std::optional<frame::Value>& payload, const chain::SourceBook& book);
  // Folds one entry of `source` as it would count now; used by Apply and by a refold.
  void Fold(std::uint32_t source, const chain::Entry& entry, const frame::Frame& frame,
            const chain::Statement& statement, const std::optional<frame::Value>& payload,
            const chain::SourceBook& book);
  // Takes out all that `source` has said.
  void Forget(std::uint32_t source);

  std::uint32_t SourceIndex(std::uint64_t short_id) const;  // kNoIndex when nothing of or about it was seen
  const PeerRow* FindPeer(std::uint32_t source, std::uint32_t place, std::uint32_t peer) const;
  const TableRow* FindTable(std::uint32_t source, std::uint32_t place, std::uint32_t peer, Rib rib) const;
  // All rows of one source for a prefix, sorted; empty when there are none.
  std::span<const PathRow> FindPaths(std::uint32_t source, std::uint32_t place, const Prefix& prefix) const;
  const std::vector<PathRow>* FindPaths(std::uint32_t place, const Prefix& prefix) const;
  const std::vector<EventRow>* FindEvents(std::string_view subject) const;
  const SourcePlace* FindPlace(std::uint32_t source, std::uint32_t place) const;

  std::size_t MemoryBytes() const;

  std::string origin;
  std::uint64_t size = 0;  // entries applied
  UnixNanos last_received = 0;
  Names places, states, events;  // places: "<router>/<vrf>"
  Addresses addresses;
  std::vector<SourceState> sources;
  absl::flat_hash_map<std::uint64_t, std::uint32_t> by_short_id;
  StringMap<std::vector<std::uint32_t>> by_router, by_domain;  // sources whose registration covers something there
  absl::flat_hash_map<PeerKey, std::vector<PeerRow>> peers;
  absl::flat_hash_map<TableKey, TableRow> tables;
  absl::flat_hash_map<PrefixKey, std::vector<PathRow>> paths;
  StringMap<std::vector<EventRow>> by_subject;
  SubjectIndex subjects;
  std::uint64_t build_changes = 0;

 private:
  std::uint32_t Touch(std::shared_ptr<const chain::Source> source, std::uint64_t from);
  void Cover(std::uint32_t index, const chain::Registration* before, const chain::Registration& after);
  void FoldBeats(std::uint32_t signer, const Mark& mark, std::uint64_t epoch, const frame::Value& payload,
                 const chain::SourceBook& book);
  void FoldBuild(SourceState& source, const Mark& mark, const frame::Value& payload);
  void FoldPeer(std::uint32_t source, const Mark& mark, const chain::Statement& statement, const frame::Value& payload);
  void FoldPath(std::uint32_t source, const Mark& mark, const chain::Statement& statement, const frame::Value& payload);
  void FoldBest(std::uint32_t source, const Mark& mark, const chain::Statement& statement, const frame::Value& payload);
  void FoldSummary(std::uint32_t source, const Mark& mark, const chain::Statement& statement);
  void FoldTable(std::uint32_t source, const Mark& mark, const chain::Statement& statement,
                 const frame::Value& payload);
  void FoldEvent(std::uint32_t source, const Mark& mark, const chain::Statement& statement,
                 const frame::Value& payload);
  void FoldCompromised(std::uint32_t source, const chain::Statement& statement);
  bool PutRow(std::uint32_t place, const Prefix& prefix, const PathRow& row);
  TableRow& Table(std::uint32_t source, std::uint32_t place, std::uint32_t peer, Rib rib);
  std::uint32_t PlaceOf(const chain::Statement& statement);

  std::size_t path_rows_ = 0;
  std::size_t event_rows_ = 0;
  std::string scratch_;
};

UnixNanos ReceiptOf(const chain::EntryHeader& header);

// The number of this epoch among those that the source has opened; nothing when it has not.
std::optional<std::uint32_t> RunOf(const chain::Channel& channel, std::uint64_t epoch);

// Whether an entry that this key version verified counts, by its receive time.
bool KeyCounts(const chain::Source& source, std::uint32_t version, UnixNanos received);

// What a subject's text says; the other way round than lib/chain/subject.h.
struct SubjectParts {
  enum class Form : std::uint8_t { kPeer, kPath, kTable, kBest, kSource, kOther };
  Form form = Form::kOther;
  std::string_view domain, router, vrf, peer, prefix, source;
  Rib rib = Rib::kAdjInPre;
  std::uint32_t path_id = 0;
};
// Nothing for a text that is no subject's.
std::optional<SubjectParts> ParseSubject(std::string_view subject);

}  // namespace virp::onode::facts
