// What a source says to route claims.
#include <algorithm>

#include "lib/base/ip.h"
#include "tests/testutil/naive_world.h"

namespace virp::testutil {
namespace {

bool SaysNotEstablished(const NaiveEntry& e) {
  return e.statement.what == What::kPeerDown ||
         (e.statement.what == What::kPeerState && e.statement.state != "Established");
}

bool IsBgpFact(What what) {
  return what == What::kPeerState || what == What::kPeerDown || what == What::kPathPresent ||
         what == What::kPathAbsent || what == What::kTableComplete || what == What::kTableSummary ||
         what == What::kBestPath;
}

}  // namespace

// One route claim put to one source.
class NaiveWorld::RouteQuestion {
 public:
  using Answer = Question::Answer;

  RouteQuestion(const Question& question, const onode::RouteClaim& claim)
      : q_(question),
        claim_(claim),
        best_(claim.rib == "best"),
        one_table_(best_ || claim.rib == "loc"),
        rib_(best_ ? "loc" : claim.rib),
        types_(best_ ? Types{1, 2, 3, 4} : Types{1, 2, 3}) {}

  Answer Ask() {
    if (q_.SaidAs([&](const NaiveEntry& e) { return IsHere(e) && IsBgpFact(e.statement.what); }).empty()) {
      return SaysNothing("NOTHING_SAID");
    }
    FindTables();
    FindPaths();
    if (!IsMonitored()) return SaysNothing("RIB_NOT_MONITORED");

    bool unknown = false;
    const Path* match = nullptr;
    for (const Path& path : paths_) {
      if (!path.present) continue;
      const auto fits = Fits(*path.said);
      unknown |= !fits.has_value();
      if (fits == true && (match == nullptr || Newer(q_.s, *path.basis, *match->basis))) match = &path;
    }
    if (match != nullptr) {
      answer_.says = claim_.exists ? Says::kAgrees : Says::kDissents;
      Rest(match->basis, match->is_event, match->doubt || FoldedSince(*match));
      return answer_;
    }
    if (unknown) return SaysNothing("ATTRIBUTE_UNKNOWN");
    return NothingFits();
  }

 private:
  // The table of one peer; for loc and best paths, one of those of the Loc-RIB.
  struct Table {
    const NaiveEntry* state = nullptr;   // newest state of the peer
    const NaiveEntry* spoken = nullptr;  // newest path of any prefix
    const NaiveEntry* stated = nullptr;  // newest table_complete
    const NaiveEntry* folded = nullptr;  // newest routes_summarised, if what it folded is not all stated since
    bool spoken_of = false;
    bool usable = false;
    std::pair<int, std::uint64_t> begin{0, 0};  // furthest beginning of any statement
    bool Down() const { return state != nullptr && SaysNotEstablished(*state); }
  };
  struct Path {
    const NaiveEntry* said = nullptr;
    const NaiveEntry* basis = nullptr;
    bool present = false, doubt = false, is_event = true;
  };

  bool IsHere(const NaiveEntry& e) const {
    return e.statement.router == claim_.router && e.statement.vrf == claim_.vrf;
  }
  bool IsPath(const NaiveEntry& e) const {
    return IsHere(e) && e.statement.rib == rib_ &&
           (e.statement.what == What::kPathPresent || e.statement.what == What::kPathAbsent);
  }
  bool IsTable(const NaiveEntry& e) const {
    return IsHere(e) && e.statement.rib == rib_ && e.statement.what == What::kTableComplete;
  }
  bool IsSummary(const NaiveEntry& e) const {
    return IsHere(e) && e.statement.rib == rib_ && e.statement.what == What::kTableSummary;
  }
  bool IsState(const NaiveEntry& e) const {
    return IsHere(e) && (e.statement.what == What::kPeerState || e.statement.what == What::kPeerDown);
  }
  bool IsBest(const NaiveEntry& e) const { return IsHere(e) && e.statement.what == What::kBestPath; }
  bool IsSelected(const std::string& peer) const { return one_table_ || !claim_.peer || *claim_.peer == peer; }

  template <typename F>
  const NaiveEntry* NewestOf(const std::string& peer, F&& kind) const {
    return Newest(q_.s, q_.SaidAs([&](const NaiveEntry& e) { return kind(e) && e.statement.peer == peer; }));
  }

  Answer SaysNothing(const char* why) const {
    const bool compromised = q_.CompromisedSaid([&](const NaiveEntry& e) {
      const bool same = e.statement.prefix == claim_.prefix;
      return (IsPath(e) && same) || IsTable(e) || IsSummary(e) || (best_ && IsBest(e) && same);
    });
    Answer out;
    out.left_out = compromised ? "KEY_COMPROMISED" : why;
    return out;
  }

  void FindTables() {
    for (const NaiveEntry* e :
         q_.SaidAs([&](const NaiveEntry& e) { return IsPath(e) || IsTable(e) || IsSummary(e); })) {
      if (!IsSelected(e->statement.peer)) continue;
      Table& table = tables_[e->statement.peer];
      table.spoken_of = true;
      if (IsTable(*e)) {
        table.begin = std::max(table.begin, std::pair(q_.s.Rank(e->header.source_epoch), e->first_sequence));
      }
    }
    if (!one_table_) {
      for (const NaiveEntry* e : q_.SaidAs([&](const NaiveEntry& e) { return IsState(e); })) {
        if (IsSelected(e->statement.peer)) tables_[e->statement.peer];
      }
    }
    for (auto& [peer, table] : tables_) {
      if (!one_table_) table.state = NewestOf(peer, [&](const NaiveEntry& e) { return IsState(e); });
      table.spoken = NewestOf(peer, [&](const NaiveEntry& e) { return IsPath(e); });
      table.stated = NewestOf(peer, [&](const NaiveEntry& e) { return IsTable(e); });
      table.folded = NewestOf(peer, [&](const NaiveEntry& e) { return IsSummary(e); });
      if (table.folded != nullptr && !table.folded->statement.open) table.folded = nullptr;
      table.usable = table.stated != nullptr && IsAboutPrefix(*table.stated) &&
                     (table.stated->first_sequence == 0 || IsWholeFrom(*table.stated, table.stated->first_sequence));
    }
  }
  bool IsAboutPrefix(const NaiveEntry& stated) const {
    if (!stated.only_prefixes) return true;
    const Prefix asked = Prefix::Parse(claim_.prefix).value();
    return std::any_of(stated.only_prefixes->begin(), stated.only_prefixes->end(),
                       [&](const std::string& listed) { return Prefix::Parse(listed).value().Contains(asked); });
  }
  bool IsWholeFrom(const NaiveEntry& stated, std::uint64_t first) const {
    return q_.Whole(stated.header.source_epoch, first, stated.header.source_sequence, types_);
  }

  void FindPaths() {
    std::map<std::pair<std::string, std::uint64_t>, std::vector<const NaiveEntry*>> by_path;
    for (const NaiveEntry* e : q_.SaidAs([&](const NaiveEntry& e) { return IsPath(e); })) {
      if (!IsSelected(e->statement.peer) || e->statement.prefix != claim_.prefix) continue;
      by_path[{e->statement.peer, e->statement.path_id}].push_back(e);
    }
    for (const auto& [key, statements] : by_path) paths_.push_back(BecameOf(*Newest(q_.s, statements)));
    if (best_) TakeBest();
  }

  // What has become of a path since it was announced or withdrawn.
  Path BecameOf(const NaiveEntry& said) const {
    Path path{&said, &said, said.statement.what == What::kPathPresent};
    const NaiveEntry* left = LeftAfter(said.statement.peer, said);
    if (left != nullptr) {
      path.present = false;
      path.basis = left;
    }
    const Table& table = tables_.at(said.statement.peer);
    if (table.usable && Newer(q_.s, *table.stated, *path.basis)) {
      const std::uint64_t first = table.stated->first_sequence;
      const bool same_epoch = path.basis->header.source_epoch == table.stated->header.source_epoch;
      const bool gone = same_epoch ? first != 0 && path.basis->header.source_sequence < first
                                   : IsWholeFrom(*table.stated, std::max<std::uint64_t>(first, 1));
      if (!path.present || gone) path = {&said, table.stated, false, false, false};
    }
    const auto& at = path.basis->header;
    path.doubt = path.present && std::pair(q_.s.Rank(at.source_epoch), at.source_sequence) < table.begin;
    return path;
  }
  // The newest word after `e` that this peer is not Established.
  const NaiveEntry* LeftAfter(const std::string& peer, const NaiveEntry& e) const {
    const NaiveEntry* left =
        NewestOf(peer, [&](const NaiveEntry& other) { return IsState(other) && SaysNotEstablished(other); });
    return left != nullptr && Newer(q_.s, *left, e) ? left : nullptr;
  }
  void TakeBest() {
    const NaiveEntry* fact =
        Newest(q_.s, q_.SaidAs([&](const NaiveEntry& e) { return IsBest(e) && e.statement.prefix == claim_.prefix; }));
    if (fact == nullptr) return;
    for (const Path& path : paths_) {
      if (Newer(q_.s, *path.said, *fact)) return;
    }
    Path path{fact, fact, fact->statement.best_exists};
    path.doubt = path.present && !fact->learnt_from.empty() && LeftAfter(fact->learnt_from, *fact) != nullptr;
    paths_ = {path};
  }

  bool IsMonitored() const {
    bool spoken = false, all_down = !tables_.empty();
    for (const auto& [peer, table] : tables_) {
      spoken |= table.spoken_of;
      all_down &= table.Down();
    }
    return spoken || all_down || (best_ && !q_.SaidAs([&](const NaiveEntry& e) { return IsBest(e); }).empty());
  }

  // Nothing: the path does not say.
  std::optional<bool> Fits(const NaiveEntry& e) const {
    bool unknown = false, other = false;
    const auto compare = [&](const auto& asked, const auto& said, bool is_said) {
      if (!asked) return;
      unknown |= !is_said;
      other |= is_said && said != *asked;
    };
    const std::string from = LearntFrom(e);
    compare(claim_.origin_as, e.origin_as.value_or(0), e.origin_as.has_value());
    compare(claim_.next_hop, e.next_hop, !e.next_hop.empty());
    if (one_table_) compare(claim_.peer, from, !from.empty());
    if (other) return false;
    return unknown ? std::nullopt : std::optional(true);
  }
  static std::string LearntFrom(const NaiveEntry& e) {
    if (e.statement.what == What::kBestPath) return e.learnt_from;
    const bool unspecified = e.statement.peer == "0.0.0.0" || e.statement.peer == "::";
    return unspecified ? std::string() : e.statement.peer;
  }

  Answer NothingFits() {
    answer_.says = claim_.exists ? Says::kDissents : Says::kAgrees;
    for (const Path& path : paths_) Rest(path.basis, path.is_event, path.doubt || FoldedSince(path));
    for (const auto& [peer, table] : tables_) answer_.in_doubt |= NotKnownSince(peer, table);
    if (!claim_.exists || paths_.empty()) {
      for (const auto& [peer, table] : tables_) {
        if (claim_.exists && table.stated == nullptr && !table.Down()) return SaysNothing("NOTHING_SAID");
      }
      for (const auto& [peer, table] : tables_) RestOn(table);
      if (!claim_.exists && tables_.empty()) answer_.in_doubt = true;
    }
    return answer_.bases.empty() ? SaysNothing("NOTHING_SAID") : answer_;
  }
  // The path's table was summarised after what the path rests on.
  bool FoldedSince(const Path& path) const {
    const bool any = path.said->statement.what == What::kBestPath;
    return std::any_of(tables_.begin(), tables_.end(), [&](const auto& at) {
      const bool same = any || at.first == path.said->statement.peer;
      return same && at.second.folded != nullptr && Newer(q_.s, *at.second.folded, *path.basis);
    });
  }
  // Summarised, and neither stated completely nor lost with its peer since.
  bool NotKnownSince(const std::string& peer, const Table& table) const {
    if (table.folded == nullptr) return false;
    if (table.usable && Newer(q_.s, *table.stated, *table.folded)) return false;
    return one_table_ || LeftAfter(peer, *table.folded) == nullptr;
  }
  void RestOn(const Table& table) {
    if (!claim_.peer && table.state != nullptr) Rest(table.state, true, false);
    const bool good = table.usable && !q_.Doubt(*table.stated, types_);
    if (!good && table.Down() && !q_.Doubt(*table.state, types_)) return Rest(table.state, true, false);
    if (table.usable) return Rest(table.stated, false, false);
    answer_.in_doubt = true;
    if (table.stated != nullptr) return Rest(table.stated, false, false);
    if (table.spoken != nullptr) return Rest(table.spoken, false, false);
    if (table.state != nullptr) Rest(table.state, true, false);
  }
  void Rest(const NaiveEntry* basis, bool is_event, bool doubt) {
    answer_.in_doubt |= doubt;
    auto& bases = answer_.bases;
    if (std::count(bases.begin(), bases.end(), basis) > 0) return;
    answer_.in_doubt |= q_.Doubt(*basis, types_);
    if (!bases.empty() && !Newer(q_.s, *basis, *bases.front())) return bases.push_back(basis);
    bases.insert(bases.begin(), basis);
    answer_.is_event = is_event;
  }

  const Question& q_;
  const onode::RouteClaim& claim_;
  const bool best_;
  const bool one_table_;  // peers do not select tables there
  const std::string rib_;
  const Types types_;
  std::map<std::string, Table> tables_;
  std::vector<Path> paths_;
  Answer answer_;
};

NaiveWorld::Question::Answer NaiveWorld::Question::Ask(const onode::RouteClaim& claim) const {
  return RouteQuestion(*this, claim).Ask();
}

}  // namespace virp::testutil
