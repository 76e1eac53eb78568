// Entries as the walk takes them. First byte 0: anything as entries, each with a two-byte length. First byte 1: a
// leader that is told what to send, so that the walk gets deep: what it admits must apply, no number is accepted twice,
// and a walk over the bytes ends with the leader's book, in either mode. Then one bit of one entry is turned: the walk
// must say so. Tags are not checked here: a fuzzer does not guess them.
#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/chain/walk.h"
#include "tests/fuzz/require.h"

using namespace virp::chain;  // NOLINT(google-build-using-namespace): a fuzz target is one function
namespace frame = virp::frame;
using virp::Hash;

namespace {

constexpr char kOrigin[] = "virp.example.net/site1";  // of the `valid` vector chain
constexpr std::uint64_t kStart = 1'750'000'000'000'000'000;
const std::string kNames[] = {kOrigin, "edge-a.bgpd", "collector-1", "old.bgpd"};

class Leader {
 public:
  Leader() : book_(kOrigin), head_(GenesisOf(kOrigin)) {
    for (const std::string& name : kNames) {
      SourceEvent event;
      event.source = name;
      Registration& r = event.registration.emplace();
      r.source = name;
      const bool own = name == kOrigin;
      r.key.version = 1;
      r.key.suite = own ? frame::Suite::kEd25519 : frame::Suite::kHmacSha256;
      (own ? r.key.public_key : r.key.commitment) = std::string(32, 'k');
      r.types = own ? std::vector<std::uint8_t>{19, 22, 23, 25, 26, 27, 28}
                    : std::vector<std::uint8_t>{1, 2, 3, 4, 19, 22, 23, 24, 64};
      r.min_frame_version = name == "old.bgpd" ? 1 : 2;
      if (!own) {
        r.routers = {{"edge-a", {"192.0.2.1"}, {}, {}}};
        r.carried_by = {"spiffe://example.net/collector/collector-1"};
      }
      const std::string payload = BuildSourceEvent(event);
      REQUIRE(Own(frame::Type::kSourceEvent, payload));
    }
  }

  struct Order {
    std::uint8_t who = 0, type = 0, number = 0, epoch = 0, time = 0, tier = 0, version = 0;
    std::string_view payload;
  };

  void Obey(const Order& order) {
    now_ += static_cast<std::uint64_t>(order.time & 15U) * 7'000'000'000;
    const std::string& name = kNames[order.who & 3U];
    if (name == kOrigin) {
      static_cast<void>(Own(static_cast<frame::Type>(order.type), order.payload));
      return;
    }
    const auto source = book_.FindByName(name);
    const bool v1 = (order.who & 4U) != 0;
    frame::Header h;
    h.spelling = v1 ? frame::Spelling::kV1Le : frame::Spelling::kV2;
    h.type = static_cast<frame::Type>(order.type);
    h.tier = static_cast<frame::Tier>(order.tier & 3U);
    const std::uint64_t epoch = kStart + 1 + static_cast<std::uint64_t>(order.epoch & 31U) * 10'000'000'000;
    h.timestamp = (order.time & 16U) != 0
                      ? epoch
                      : now_ + static_cast<std::uint64_t>(order.time >> 5U) * 30'000'000'000 - 100'000'000'000;
    static_cast<void>(SourceBook::CheckSource(*source, h, "spiffe://example.net/collector/collector-1", Receipt()));
    for (const std::uint32_t accepted : SourceBook::AcceptedVersions(*source, h, Receipt(), epoch)) {
      REQUIRE(source->keys.contains(accepted));
    }
    REQUIRE(book_.table()->size() == book_.Sources().size() && book_.FindById(source->id) == source);
    const Channel* channel = book_.FindChannel(source->short_id);
    std::uint64_t next = 1;
    if (channel != nullptr && channel->epochs.contains(epoch)) next = channel->epochs.at(epoch).next;
    h.sequence = order.number < 128 ? next + (order.number & 7U) : 1 + (order.number & 31U);
    if (v1) h.sequence = std::min<std::uint64_t>(h.sequence, 0xffff'ffff);
    const std::uint32_t version = 1 + (order.version & 3U);
    if (!v1) {
      h.key_version = version;
      h.boot_epoch = epoch;
      h.source_id = source->id;
      if (const auto key = source->keys.find(version); key != source->keys.end()) h.suite = key->second.statement.suite;
    }
    Send(*source, h, epoch, version, order.payload);
  }

  const SourceBook& book() const { return book_; }
  std::vector<std::string> entries;
  std::vector<Hash> leaves;

 private:
  void Send(const Source& source, const frame::Header& h, std::uint64_t epoch, std::uint32_t version,
            std::string_view payload) {
    auto bytes = frame::EncodeUnsigned(h, payload);
    if (!bytes.ok()) return;
    bytes->append(frame::TagSize(h.suite), 't');
    const auto decoded = frame::Decode(*bytes, h.spelling);
    REQUIRE(decoded.ok());
    const auto value = Read(*decoded);
    const Statement statement = ReadStatement(source.registration, h.type, value);
    const Admission admission = book_.Admit(source, decoded->header, epoch, version, Receipt(), statement, value);
    if (admission.reason != frame::Reason::kNone || admission.placement.where == Placement::Where::kHeld) return;
    for (const Gap& gap : admission.placement.gaps) REQUIRE(Own(frame::Type::kGap, BuildGap(gap)));
    REQUIRE(accepted_.emplace(source.short_id, epoch, h.sequence).second);
    REQUIRE(Append(source, *decoded, epoch, version, admission.flags));
  }

  bool Own(frame::Type type, std::string_view payload) {
    frame::Header h;
    h.type = type;
    h.suite = frame::Suite::kEd25519;
    h.timestamp = now_;
    h.sequence = own_next_;
    h.boot_epoch = kStart;
    h.source_id = frame::SourceIdOf(kOrigin);
    auto self = book_.FindByName(kOrigin);
    h.key_version = 1;
    auto bytes = frame::EncodeUnsigned(h, payload);
    if (!bytes.ok()) return false;
    bytes->append(64, 't');
    const frame::Frame frame = frame::Decode(*bytes, frame::Spelling::kV2).value();
    const auto value = Read(frame);
    std::uint8_t flags = 0;
    if (self == nullptr) {
      auto first = std::make_shared<Source>();
      first->registration = *ParseSourceEvent(*value)->registration;
      self = first;
    } else {
      flags =
          book_.Flags(*self, frame.header, kStart, Receipt(), ReadStatement(self->registration, type, value), value);
    }
    if (!Append(*self, frame, kStart, 1, flags)) return false;
    ++own_next_;
    return true;
  }

  bool Append(const Source& source, const frame::Frame& frame, std::uint64_t epoch, std::uint32_t version,
              std::uint8_t flags) {
    const auto value = Read(frame);
    const Statement statement = ReadStatement(source.registration, frame.header.type, value);
    EntryHeader h;
    h.origin_id = OriginIdOf(kOrigin);
    h.sequence = book_.size();
    h.previous = head_;
    h.received_us = now_ / 1'000;
    h.source = frame::ShortIdOf(source.registration.source);
    h.source_epoch = epoch;
    h.source_sequence = frame.header.sequence;
    h.source_previous = book_.LastOfSource(h.source);
    const std::uint64_t subject = SubjectUnder(statement, flags);
    h.subject_previous = subject == 0 ? kNone : book_.LastOfSubject(subject);
    h.key_version = version;
    h.kind = KindOf(frame.header.type);
    h.checked_by = frame.header.suite;
    h.result = flags;
    h.spelling = frame.header.spelling;
    const std::string bytes = EncodeEntry(h, frame.bytes);
    if (!book_.Apply(DecodeEntry(bytes).value(), frame, statement, value).ok()) return false;
    entries.push_back(bytes);
    leaves.push_back(head_ = LeafHash(bytes));
    return true;
  }

  std::optional<frame::Value> Read(const frame::Frame& frame) {
    const auto value = reader_.Read(frame.payload);
    return value.ok() ? std::optional(*value) : std::nullopt;
  }
  std::uint64_t Receipt() const { return now_ / 1'000 * 1'000; }

  SourceBook book_;
  Hash head_;
  std::uint64_t now_ = kStart + 1'000'000'000;
  std::uint64_t own_next_ = 1;
  std::set<std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>> accepted_;
  frame::PayloadReader reader_;
};

struct How {
  bool deep = false;
  bool tags = false;
};

ChainWalk WalkOver(const std::vector<std::string>& entries, const std::vector<Hash>& leaves, How how) {
  ChainWalk walk(kOrigin, {how.tags, how.deep, nullptr});
  for (std::size_t i = 0; i < entries.size(); ++i) walk.Add(entries[i], leaves.empty() ? nullptr : &leaves[i], nullptr);
  walk.Finish();
  return walk;
}

// The last quarter by itself, with the columns that a store would keep; and again with one column wrong.
void Part(const std::vector<std::string>& entries, const std::vector<Hash>& leaves, const SourceBook& book) {
  const std::size_t first = entries.size() / 4 * 3;
  for (const bool wrong : {false, true}) {
    ChainWalk walk = ChainWalk::ForRange(book, first, first == 0 ? std::nullopt : std::optional(leaves[first - 1]),
                                         {true, false, nullptr});
    for (std::size_t i = first; i < entries.size(); ++i) {
      const EntryHeader h = DecodeEntry(entries[i])->header;
      const IndexColumns columns{h.source, h.source_epoch, h.source_sequence + (wrong ? 1 : 0),
                                 0,        h.received_us,  static_cast<std::uint8_t>(h.kind),
                                 h.result};
      walk.Add(entries[i], &leaves[i], &columns);
    }
    walk.Expect(entries.size(), Hash{});
    if (walk.first_break()) REQUIRE(!BreakKindName(walk.first_break()->kind).empty());
    REQUIRE(!wrong || entries.size() == first || walk.first_break());
  }
}

// A good chain, cut in two walks, with checkpoints that fit and some that do not.
void GoOn(const std::vector<std::string>& entries, const ChainWalk& whole, std::string_view note) {
  const std::size_t cut = entries.size() / 2;
  ChainWalk first(kOrigin, {false, true, nullptr});
  for (std::size_t i = 0; i < cut; ++i) first.Add(entries[i], nullptr, nullptr);
  const Frontier frontier = first.frontier();
  const Hash head = first.head();
  ChainWalk second(std::move(first).TakeBook(), frontier, head, {false, false, nullptr});
  std::size_t seen = 0;
  second.SetObserver(
      [&](const Entry&, const frame::Frame&, const Statement&, const std::optional<frame::Value>&) { ++seen; });
  second.Expect(entries.size(), whole.Root());
  if (cut > 0) second.Expect(cut - 1, Hash{});
  REQUIRE(second.book().FindRequest("none such") == std::nullopt);
  static const std::vector<VerifierKey> keys = {VerifierKey::Make(kOrigin, std::string(32, 'k')).value()};
  if (!note.empty()) second.ExpectNote(note, keys);
  for (std::size_t i = cut; i < entries.size(); ++i) second.Add(entries[i], nullptr, nullptr);
  second.Finish();
  static_cast<void>(second.unchecked());
  if (second.first_break()) {
    REQUIRE(second.first_break()->kind == BreakKind::kCheckpointSignature);
    return;
  }
  REQUIRE(seen == entries.size() - cut && second.book() == whole.book());
  second.Expect(entries.size() + 1, Hash{});
  second.Finish();
  REQUIRE(second.first_break() && second.first_break()->kind == BreakKind::kTailMissing);
}

// One entry taken out or changed, and everything made to fit again that needs no key: rules, links or tags tell, or it
// was a late frame, whose absence only a checkpoint shows.
void Forge(std::vector<std::string> entries, std::size_t victim, bool take_out, unsigned field, std::uint8_t turn) {
  if (take_out) entries.erase(entries.begin() + static_cast<std::ptrdiff_t>(victim));
  Hash head = GenesisOf(kOrigin);
  std::map<std::uint64_t, std::uint64_t> last;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const Entry entry = DecodeEntry(entries[i]).value();
    EntryHeader h = entry.header;
    if (!take_out && i == victim) {
      if (field == 0) h.result = turn & 15U;
      if (field == 1) h.received_us += turn;
      if (field == 2) h.key_version ^= turn;
      if (field == 3) h.source ^= turn;
      if (field == 4) h.source_previous ^= turn;
      if (field == 5) h.subject_previous ^= turn;
    }
    h.sequence = i;
    h.previous = head;
    if (take_out) h.source_previous = last.contains(h.source) ? last[h.source] : kNone;
    last[h.source] = i;
    entries[i] = EncodeEntry(h, std::string(entry.frame));
    head = LeafHash(entries[i]);
  }
  const ChainWalk walk = WalkOver(entries, {}, {true, false});
  REQUIRE(walk.size() == walk.book().size());
  if (walk.first_break()) REQUIRE(BreakKindName(walk.first_break()->kind).size() > 2);
}

void Raw(std::string_view bytes) {
  std::vector<std::string> entries;
  while (bytes.size() >= 2) {
    const std::size_t size = std::min<std::size_t>(virp::LoadBe<std::uint16_t>(bytes.data()), bytes.size() - 2);
    entries.emplace_back(bytes.substr(2, size));
    bytes.remove_prefix(2 + size);
  }
  for (const How how : {How{false, false}, How{true, false}, How{true, true}}) {
    const ChainWalk walk = WalkOver(entries, {}, how);
    REQUIRE(walk.size() == walk.book().size() && walk.size() <= entries.size());
    REQUIRE((walk.size() == entries.size()) == !walk.first_break().has_value());
    if (walk.first_break()) REQUIRE(walk.first_break()->sequence == walk.size() && !walk.first_break()->detail.empty());
  }
}

void Led(std::string_view bytes) {
  if (bytes.size() < 3) return;
  const std::size_t victim = static_cast<std::uint8_t>(bytes[0]);
  const std::size_t bit = virp::LoadBe<std::uint16_t>(bytes.data() + 1);
  bytes.remove_prefix(3);
  Leader leader;
  std::string_view note;  // stated as a checkpoint
  while (bytes.size() >= 9 && leader.entries.size() < 80) {
    const auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); };
    const std::size_t size = std::min<std::size_t>(virp::LoadBe<std::uint16_t>(bytes.data() + 7), bytes.size() - 9);
    if (at(0) == 0xff) {
      note = bytes.substr(9, size);
    } else {
      leader.Obey({at(0), at(1), at(2), at(3), at(4), at(5), at(6), bytes.substr(9, size)});
    }
    bytes.remove_prefix(9 + size);
  }
  const ChainWalk deep = WalkOver(leader.entries, leader.leaves, {true, false});
  if (deep.first_break())
    std::fprintf(stderr, "at %llu: %s\n", static_cast<unsigned long long>(deep.size()),
                 deep.first_break()->detail.c_str());
  REQUIRE(!deep.first_break());
  REQUIRE(deep.book() == leader.book());
  REQUIRE(!WalkOver(leader.entries, leader.leaves, {}).first_break());
  GoOn(leader.entries, deep, note);
  Part(leader.entries, leader.leaves, leader.book());

  Forge(leader.entries, victim % leader.entries.size(), bit % 2 == 0, (bit >> 1) % 6,
        static_cast<std::uint8_t>(bit >> 4));
  std::vector<std::string> entries = leader.entries;
  std::string& broken = entries[victim % entries.size()];
  broken[bit / 8 % broken.size()] = static_cast<char>(broken[bit / 8 % broken.size()] ^ (1 << bit % 8));
  const ChainWalk told = WalkOver(entries, leader.leaves, {true, false});
  REQUIRE(told.first_break() && told.first_break()->kind == BreakKind::kLeafHash);
  REQUIRE(told.first_break()->sequence == victim % entries.size());
  static_cast<void>(WalkOver(entries, {}, {true, false}));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  if (data[0] == 0) {
    Raw(bytes);
  } else {
    Led(bytes);
  }
  return 0;
}
