// What a source says to route claims. A path counts as present until the source withdraws it, loses its peer, or states
// the table without it; that something is absent is known only where the table was stated completely.
#include <algorithm>
#include <span>

#include "services/onode/domain/evaluate_source.h"

namespace virp::onode::facts {
namespace {

using Says = SourceOpinion::Says;

enum class Match : std::uint8_t { kYes, kNo, kUnknown };

Match Both(Match a, Match b) {
  if (a == Match::kNo || b == Match::kNo) return Match::kNo;
  return a == Match::kYes && b == Match::kYes ? Match::kYes : Match::kUnknown;
}

// What has become of one path: whether it is there, and the statement that says so.
struct PathStatus {
  const PathRow* row = nullptr;  // newest announcement or withdrawal
  Mark basis;
  bool present = false;
  std::string_view doubt{};  // why it may have changed since, beyond what the numbers say
};

class RouteQuestion {
 public:
  RouteQuestion(const SourceView& view, const RouteClaim& claim)
      : view_(view), claim_(claim), place_text_(claim.router + "/" + claim.vrf) {
    const FactState& state = view.state();
    rib_ = RibFromName(claim.rib).value_or(Rib::kAdjInPre);
    groups_ = rib_ == Rib::kBest ? kBestDoubts : kPathDoubts;
    place_ = state.places.Find(place_text_);
    about_ = place_ == kNoIndex ? nullptr : state.FindPlace(view.index(), place_);
    if (const auto prefix = Prefix::Parse(claim.prefix); prefix.ok()) prefix_ = *prefix;
    if (claim.peer) peer_ = AddressIndex(*claim.peer);
    if (claim.next_hop) next_hop_ = AddressIndex(*claim.next_hop);
  }

  Opinion Ask() {
    if (about_ == nullptr) return NothingSaid(kLeftOutNothing);
    FindTables();
    FindPaths();
    if (!IsMonitored()) return NothingSaid(kLeftOutRibNotMonitored);

    bool unknown = false;
    const PathStatus* match = nullptr;
    for (const PathStatus& path : paths_) {
      if (!path.present) continue;
      const Match matches = Matches(*path.row);
      unknown |= matches == Match::kUnknown;
      if (matches == Match::kYes && (match == nullptr || path.basis.at() > match->basis.at())) match = &path;
    }
    Opinion out;
    if (match != nullptr) {
      out.says = claim_.exists ? Says::kAgrees : Says::kDissents;
      Rest(*match, out);
      return out;
    }
    if (unknown) return NothingSaid(kLeftOutAttributeUnknown);
    return claim_.exists ? AgainstExistence() : ForAbsence();
  }

 private:
  std::uint32_t AddressIndex(std::string_view text) const {
    const auto address = IpAddress::Parse(text);
    return address.ok() ? view_.state().addresses.Find(*address) : kNoIndex;
  }
  // Of the table of one peer, or, for the Loc-RIB and best paths, of the only one: there a peer is an attribute.
  bool PeerSelects() const { return rib_ != Rib::kLoc && rib_ != Rib::kBest; }
  Rib TableRib() const { return rib_ == Rib::kBest ? Rib::kLoc : rib_; }
  bool Selected(std::uint32_t peer) const { return !claim_.peer || !PeerSelects() || peer == peer_; }

  Opinion NothingSaid(std::string_view why) const {
    Opinion out;
    const auto& scopes = view_.self().compromised;
    const auto compromised = [&](std::string_view rib) {
      return scopes.contains(CompromisedScope(rib, place_text_, claim_.prefix)) ||
             scopes.contains(CompromisedScope("table", place_text_, rib));
    };
    const bool tainted = compromised(claim_.rib) || (rib_ == Rib::kBest && compromised("loc"));
    out.left_out = tainted ? kLeftOutKeyCompromised : why;
    return out;
  }

  struct Table {
    std::uint32_t peer = kNoIndex;
    const TableRow* row = nullptr;   // null: it never spoke of this table
    const PeerRow* state = nullptr;  // null: it never stated this peer's state
    bool usable = false;             // a complete statement is held, whole where it says where it began, of this prefix
    bool Stated() const { return row != nullptr && row->stated.held(); }
    bool Down() const { return state != nullptr && state->said.held() && state->state != kEstablished; }
  };

  // The tables that the claim is about: those spoken of, and those of peers whose state was stated.
  void FindTables() {
    const auto add = [&](std::uint32_t peer) {
      if (!Selected(peer)) return;
      if (std::any_of(tables_.begin(), tables_.end(), [&](const Table& t) { return t.peer == peer; })) return;
      tables_.push_back(LoadTable(peer));
    };
    for (const std::uint32_t peer : about_->tables[static_cast<std::size_t>(TableRib())]) add(peer);
    if (!PeerSelects()) return;
    for (const std::uint32_t peer : about_->peers) add(peer);
  }

  Table LoadTable(std::uint32_t peer) const {
    const FactState& state = view_.state();
    Table table{.peer = peer, .row = state.FindTable(view_.index(), place_, peer, TableRib())};
    if (PeerSelects()) table.state = state.FindPeer(view_.index(), place_, peer);
    if (!table.Stated()) return table;
    const TableRow& row = *table.row;
    table.usable = (row.first == 0 || view_.Whole(row.stated.run, row.first, row.stated.sequence, groups_)) &&
                   (row.only == nullptr || IsListed(*row.only));
    return table;
  }

  // A list stands for its prefixes and all their more specifics.
  bool IsListed(const std::vector<Prefix>& list) const {
    return std::any_of(list.begin(), list.end(), [&](const Prefix& listed) { return listed.Contains(prefix_); });
  }

  const Table* FindTable(std::uint32_t peer) const {
    const auto it = std::find_if(tables_.begin(), tables_.end(), [&](const Table& t) { return t.peer == peer; });
    return it == tables_.end() ? nullptr : &*it;
  }

  // A complete statement of the table says that a path is gone when the path was stated before it began.
  bool Voids(const Table& table, const Position& path) const {
    const Position end = table.row->stated.at();
    const std::uint64_t first = table.row->first;
    if (path.run == end.run) return first != 0 && path.sequence < first;
    return path.run < end.run && view_.Whole(end.run, std::max<std::uint64_t>(first, 1), end.sequence, groups_);
  }

  PathStatus StatusOf(const PathRow& row) const {
    PathStatus out{.row = &row, .basis = row, .present = row.present};
    const PeerRow* peer = view_.state().FindPeer(view_.index(), place_, row.peer);
    if (peer != nullptr && peer->down.held() && peer->down.at() > out.basis.at()) {
      out.present = false;
      out.basis = peer->down;
    }
    const Table* table = FindTable(row.peer);
    if (table != nullptr && table->usable && table->row->stated.at() > out.basis.at() &&
        (!out.present || Voids(*table, out.basis.at()))) {
      out.present = false;
      out.basis = table->row->stated;
    }
    // An earlier complete statement left it out, and the newest one does not say where it began.
    if (out.present && table != nullptr && table->row != nullptr && out.basis.at() < table->row->begin) {
      out.doubt = kDoubtTableNotStated;
    }
    return out;
  }

  // The paths that the claim is about, each with what has become of it.
  void FindPaths() {
    const auto rows = view_.state().FindPaths(view_.index(), place_, prefix_);
    const PathRow* best = nullptr;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const PathRow& row = rows[i];
      if (row.rib == Rib::kBest) {
        if (rib_ == Rib::kBest && (best == nullptr || row.at() > best->at())) best = &row;
        continue;
      }
      if (row.rib != TableRib() || !Selected(row.peer)) continue;
      const bool pair = i + 1 < rows.size() && rows[i + 1].rib == row.rib && rows[i + 1].peer == row.peer &&
                        rows[i + 1].path_id == row.path_id;
      const PathRow& newest = pair && rows[i + 1].at() > row.at() ? rows[i + 1] : row;
      if (pair) ++i;
      paths_.push_back(StatusOf(newest));
    }
    if (best != nullptr) TakeBest(*best);
  }

  // Types 4 and Loc-RIB paths both set the best path: the newest of either kind counts.
  void TakeBest(const PathRow& best) {
    const bool loc_is_newer =
        std::any_of(paths_.begin(), paths_.end(), [&](const PathStatus& p) { return p.row->at() > best.at(); });
    if (loc_is_newer) return;
    PathStatus status{.row = &best, .basis = best, .present = best.present};
    if (best.present && best.learnt_from != kNoIndex) {
      const PeerRow* peer = view_.state().FindPeer(view_.index(), place_, best.learnt_from);
      // It must have changed, and we have not heard to what.
      if (peer != nullptr && peer->down.held() && peer->down.at() > best.at()) status.doubt = kDoubtPeerLeft;
    }
    paths_ = {status};
  }

  bool IsMonitored() const {
    if (rib_ == Rib::kBest && about_->best) return true;
    const auto& spoken = about_->tables[static_cast<std::size_t>(TableRib())];
    if (claim_.peer && PeerSelects()) {
      if (std::find(spoken.begin(), spoken.end(), peer_) != spoken.end()) return true;
    } else if (!spoken.empty()) {
      return true;
    }
    // A source that follows no paths still knows that a peer that is down has none.
    return !tables_.empty() && std::all_of(tables_.begin(), tables_.end(), [](const Table& t) { return t.Down(); });
  }

  Match Matches(const PathRow& row) const {
    Match out = Match::kYes;
    if (claim_.origin_as) {
      out = Both(out, !row.has_origin                      ? Match::kUnknown
                      : row.origin_as == *claim_.origin_as ? Match::kYes
                                                           : Match::kNo);
    }
    if (claim_.next_hop) {
      out = Both(out, row.next_hop == kNoIndex    ? Match::kUnknown
                      : row.next_hop == next_hop_ ? Match::kYes
                                                  : Match::kNo);
    }
    if (claim_.peer && !PeerSelects()) {
      out = Both(out, row.learnt_from == kNoIndex ? Match::kUnknown
                      : row.learnt_from == peer_  ? Match::kYes
                                                  : Match::kNo);
    }
    return out;
  }

  void Rest(const Mark& basis, Opinion& out, bool is_event) {
    if (std::any_of(out.bases.begin(), out.bases.end(), [&](const Mark& m) { return m.entry == basis.entry; })) return;
    view_.AddDoubt(basis, groups_, out);
    // The newest statement comes first: it is the fact that the answer shows.
    if (!out.bases.empty() && basis.at() > out.bases.front().at()) {
      out.bases.insert(out.bases.begin(), basis);
      out.is_event = is_event;
    } else {
      if (out.bases.empty()) out.is_event = is_event;
      out.bases.push_back(basis);
    }
  }
  void Rest(const PathStatus& path, Opinion& out) {
    Rest(path.basis, out, path.basis.entry == path.row->entry || path.basis.group == Group::kPeer);
    if (out.doubt.empty()) out.doubt = path.doubt;
    if (out.doubt.empty() && IsSummarised(path)) out.doubt = kDoubtSummarised;
  }

  // The path may have changed among what the collector folded. A best path (type 4) stands on the whole Loc-RIB.
  bool IsSummarised(const PathStatus& path) const {
    return std::any_of(tables_.begin(), tables_.end(), [&](const Table& table) {
      const bool same = path.row->rib == Rib::kBest || table.peer == path.row->peer;
      return same && table.row != nullptr && table.row->Summarised(path.basis);
    });
  }

  // That nothing fits is not known of a table of which changes were folded, unless it was stated, or its peer lost,
  // since.
  void DoubtSummaries(Opinion& out) const {
    for (const Table& table : tables_) {
      if (table.row == nullptr || !table.row->Summarised({})) continue;
      const bool stated = table.usable && !table.row->Summarised(table.row->stated);
      const bool lost = table.state != nullptr && table.state->down.held() && !table.row->Summarised(table.state->down);
      if (!stated && !lost && out.doubt.empty()) out.doubt = kDoubtSummarised;
    }
  }

  // No path fits a claim that one exists: every path spoken of counts, or, if none was, every table.
  Opinion AgainstExistence() {
    Opinion out;
    out.says = Says::kDissents;
    for (const PathStatus& path : paths_) Rest(path, out);
    DoubtSummaries(out);
    if (!paths_.empty()) return out;
    for (const Table& table : tables_) {
      if (!table.Stated() && !table.Down()) return NothingSaid(kLeftOutNothing);
    }
    for (const Table& table : tables_) RestOnTable(table, out);
    return out.bases.empty() ? NothingSaid(kLeftOutNothing) : out;
  }

  // Nothing fits a claim of absence: it stands on every table's complete statement.
  Opinion ForAbsence() {
    Opinion out;
    out.says = Says::kAgrees;
    for (const PathStatus& path : paths_) Rest(path, out);
    for (const Table& table : tables_) RestOnTable(table, out);
    DoubtSummaries(out);
    if (out.bases.empty()) return NothingSaid(kLeftOutNothing);
    if (tables_.empty() && out.doubt.empty()) out.doubt = kDoubtTableNotStated;
    return out;
  }

  void RestOnTable(const Table& table, Opinion& out) {
    // Who asks about all peers relies on knowing all of them, so their states must be beyond doubt as well: the frame
    // that got lost may have been a new peer's.
    if (!claim_.peer && table.state != nullptr) Rest(table.state->said, out, true);
    const bool stated = table.usable && !view_.InDoubt(table.row->stated, groups_);
    if (!stated && table.Down() && !view_.InDoubt(table.state->said, groups_)) {
      return Rest(table.state->said, out, true);  // no session, no table
    }
    if (table.usable) return Rest(table.row->stated, out, false);
    if (out.doubt.empty()) out.doubt = kDoubtTableNotStated;
    if (table.Stated()) {
      Rest(table.row->stated, out, false);
    } else if (table.row != nullptr && table.row->spoken.held()) {
      Rest(table.row->spoken, out, false);
    } else if (table.state != nullptr) {
      Rest(table.state->said, out, true);
    }
  }

  const SourceView& view_;
  const RouteClaim& claim_;
  std::string place_text_;
  Rib rib_ = Rib::kAdjInPre;
  Groups groups_ = 0;
  std::uint32_t place_ = kNoIndex;
  const SourcePlace* about_ = nullptr;
  Prefix prefix_;
  std::uint32_t peer_ = kNoIndex;
  std::uint32_t next_hop_ = kNoIndex;
  std::vector<Table> tables_;
  std::vector<PathStatus> paths_;
};

}  // namespace

Opinion RouteOpinion(const SourceView& view, const RouteClaim& claim) {
  return RouteQuestion(view, claim).Ask();
}

}  // namespace virp::onode::facts
