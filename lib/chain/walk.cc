#include "lib/chain/walk.h"

#include <map>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "lib/base/status.h"
#include "lib/chain/book_impl.h"

namespace virp::chain {
namespace {

using frame::Spelling;

// Keys that this walk has looked up. A key version's statement never changes in a chain, so a found key stays right;
// what was not found is asked again when the provider has changed.
struct CachedKey {
  std::shared_ptr<const frame::OKey> key;
  std::uint64_t* unchecked = nullptr;  // counts entries while there is no key
};

std::string HeaderDisagrees(const EntryHeader& header, const frame::Frame& frame) {
  const frame::Header& f = frame.header;
  if (header.source_sequence != f.sequence) return "source sequence";
  if (header.kind != KindOf(f.type)) return "kind";
  if (header.checked_by != f.suite) return "suite";
  if (f.spelling != Spelling::kV2) return "";
  if (header.source != frame::ShortIdOf(f.source_id)) return "source";
  if (header.source_epoch != f.boot_epoch) return "boot epoch";
  if (header.key_version != f.key_version) return "key version";
  return "";
}

// What entry 0 says of itself: the source that signs it is the one that it registers.
std::shared_ptr<const Source> ReadSelf(const std::optional<frame::Value>& payload) {
  if (!payload) return nullptr;
  auto event = ParseSourceEvent(*payload);
  if (!event.ok() || !event->registration) return nullptr;
  auto self = std::make_shared<Source>();
  self->registration = *std::move(event->registration);
  self->keys[self->registration.key.version].statement = self->registration.key;
  self->id = frame::SourceIdOf(self->registration.source);
  self->short_id = frame::ShortIdOf(self->id);
  return self;
}

}  // namespace

std::string_view BreakKindName(BreakKind kind) {
  switch (kind) {
    case BreakKind::kLeafHash:
      return "LEAF_HASH";
    case BreakKind::kPreviousHash:
      return "PREVIOUS_HASH";
    case BreakKind::kNotContiguous:
      return "NOT_CONTIGUOUS";
    case BreakKind::kMalformedEntry:
      return "MALFORMED_ENTRY";
    case BreakKind::kSourceSequence:
      return "SOURCE_SEQUENCE";
    case BreakKind::kSourceRules:
      return "SOURCE_RULES";
    case BreakKind::kTag:
      return "TAG";
    case BreakKind::kSubject:
      return "SUBJECT";
    case BreakKind::kIndex:
      return "INDEX";
    case BreakKind::kCheckpointRoot:
      return "CHECKPOINT_ROOT";
    case BreakKind::kCheckpointSignature:
      return "CHECKPOINT_SIGNATURE";
    case BreakKind::kTailMissing:
      return "TAIL_MISSING";
  }
  return "UNKNOWN";
}

struct ChainWalk::Impl {
  Impl(SourceBook b, Frontier f, WalkOptions o)
      : options(o), book(std::move(b)), frontier(std::move(f)), origin_id(OriginIdOf(book.origin())) {}

  // One entry on its way through the checks.
  struct Step {
    Entry entry;
    frame::Frame frame;
    std::shared_ptr<const Source> self;  // entry 0 only
    const Source* source = nullptr;      // null when unknown
    std::optional<frame::Value> payload;
    Statement statement;
    bool content = false;       // payload and statement were read
    std::uint64_t subject = 0;  // with content
  };

  WalkOptions options;
  SourceBook book;
  Frontier frontier;
  std::array<std::uint8_t, 16> origin_id;
  std::optional<Hash> head;  // nullopt: a range whose entry before is not known
  std::uint64_t first = 0;   // of the range
  bool is_range = false;
  std::uint64_t received_us = 0;  // range only; else the book knows
  std::optional<Break> first_break;
  std::multimap<std::uint64_t, Hash> expected;
  std::map<std::string, std::uint64_t, std::less<>> unchecked;
  absl::flat_hash_map<std::pair<std::uint64_t, std::uint32_t>, CachedKey> keys;
  std::uint64_t keys_generation = 0;
  frame::PayloadReader reader;
  Observer observer;

  std::uint64_t size() const { return first + frontier.size(); }
  void Fail(std::uint64_t sequence, BreakKind kind, std::string detail) {
    if (!first_break) first_break = Break{sequence, kind, std::move(detail)};
  }
  void Fail(BreakKind kind, std::string detail) { Fail(size(), kind, std::move(detail)); }
  bool good() const { return !first_break; }

  void CheckPlace(const EntryHeader& header);
  void CheckShape(Step& step);
  void FindSource(Step& step, const SourceBook::Impl& state);
  void CheckTag(const Step& step);
  const CachedKey& KeyFor(const Source& source, std::uint32_t version, const KeyStatement& statement);
  CachedKey LookUp(const Source& source, std::uint32_t version, const KeyStatement& statement);
  void ReadContent(Step& step);
  void CheckLinks(const Step& step, const SourceBook::Impl& state);
  void CheckIndex(const Step& step, const IndexColumns& index);
  void CheckExpected();
};

void ChainWalk::Impl::CheckPlace(const EntryHeader& header) {
  if (header.sequence != size()) {
    return Fail(BreakKind::kNotContiguous, fmt::format("entry {} stands where {} belongs", header.sequence, size()));
  }
  if (head && header.previous != *head) {
    return Fail(BreakKind::kPreviousHash, "the previous hash is not the leaf hash of the entry before");
  }
  if (header.origin_id != origin_id) return Fail(BreakKind::kMalformedEntry, "the entry belongs to another chain");
  const std::uint64_t before = is_range ? received_us : book.last_received_us();
  if (header.received_us < before) {
    Fail(BreakKind::kMalformedEntry,
         fmt::format("received at {} us, the entry before at {}", header.received_us, before));
  }
}

void ChainWalk::Impl::CheckShape(Step& step) {
  auto decoded = frame::Decode(step.entry.frame, step.entry.header.spelling);
  if (!decoded.ok()) return Fail(BreakKind::kMalformedEntry, fmt::format("frame: {}", Message(decoded.status())));
  step.frame = *decoded;
  if (std::string field = HeaderDisagrees(step.entry.header, step.frame); !field.empty()) {
    Fail(BreakKind::kMalformedEntry, fmt::format("header and frame disagree in {}", field));
  }
}

// The source, and the payload where it is needed before all else: the first entry names its own key.
void ChainWalk::Impl::FindSource(Step& step, const SourceBook::Impl& state) {
  const EntryHeader& header = step.entry.header;
  if (const auto* slot = state.Find(header.source)) {
    const bool same = header.spelling != Spelling::kV2 || slot->source->id == step.frame.header.source_id;
    if (same) step.source = slot->source.get();
    return;
  }
  if (state.size != 0 || is_range) return;
  const auto payload = reader.Read(step.frame.payload);
  step.self = ReadSelf(payload.ok() ? std::optional(*payload) : std::nullopt);
  if (step.self != nullptr && step.self->short_id == header.source) step.source = step.self.get();
}

CachedKey ChainWalk::Impl::LookUp(const Source& source, std::uint32_t version, const KeyStatement& statement) {
  const std::string& name = source.registration.source;
  const auto missing = [&](std::string_view why) {
    return CachedKey{nullptr, &unchecked[fmt::format("tag of source {} version {}: {}", name, version, why)]};
  };
  if (statement.suite == frame::Suite::kEd25519) {
    auto key = frame::OKey::Ed25519FromPublic(statement.public_key);
    if (!key.ok()) return missing("the chain's public key is not usable");
    return {*std::move(key), nullptr};
  }
  auto key = options.keys == nullptr ? nullptr : options.keys->Find(name, version);
  if (key == nullptr) return missing("no key");
  if (key->Commitment(name, version) != statement.commitment)
    return missing("the key given is not the one that the chain commits to");
  return {std::move(key), nullptr};
}

const CachedKey& ChainWalk::Impl::KeyFor(const Source& source, std::uint32_t version, const KeyStatement& statement) {
  if (options.keys != nullptr) {
    if (const std::uint64_t now = options.keys->Generation(); now != keys_generation) {
      keys.clear();
      keys_generation = now;
    }
  }
  const auto [found, added] = keys.try_emplace({source.short_id, version});
  if (added) found->second = LookUp(source, version, statement);
  return found->second;
}

void ChainWalk::Impl::CheckTag(const Step& step) {
  if (!options.check_tags || step.source == nullptr) return;
  const std::uint32_t version = step.entry.header.key_version;
  const auto statement = step.source->keys.find(version);
  // Without such a key, or with one of another suite, the rules of sources are broken, and that is said there.
  if (statement == step.source->keys.end() || statement->second.statement.suite != step.frame.header.suite) return;
  const CachedKey& cached = KeyFor(*step.source, version, statement->second.statement);
  if (cached.key == nullptr) {
    ++*cached.unchecked;
  } else if (!cached.key->Verify(step.frame.signed_part, step.frame.tag)) {
    Fail(BreakKind::kTag,
         fmt::format("the tag of source {} fails under key version {}", step.source->registration.source, version));
  }
}

void ChainWalk::Impl::ReadContent(Step& step) {
  const bool all = options.check_subjects || observer != nullptr;
  if ((!all && !SteersChain(step.frame.header.type)) || step.source == nullptr) return;
  const auto payload = reader.Read(step.frame.payload);
  if (payload.ok()) step.payload = *payload;
  step.statement = ReadStatement(step.source->registration, step.frame.header.type, step.payload);
  step.subject = SubjectUnder(step.statement, step.entry.header.result);
  step.content = true;
}

void ChainWalk::Impl::CheckLinks(const Step& step, const SourceBook::Impl& state) {
  const EntryHeader& header = step.entry.header;
  const auto* slot = state.Find(header.source);
  const std::uint64_t source_previous = slot == nullptr ? kNone : slot->channel->last_entry;
  if (header.source_previous != source_previous) {
    return Fail(BreakKind::kSubject, fmt::format("it names {} as its source's previous entry, which is {}",
                                                 header.source_previous, source_previous));
  }
  if (!step.content || !state.track_subjects) return;
  const std::uint64_t subject_previous = step.subject == 0 ? kNone : book.LastOfSubject(step.subject);
  if (header.subject_previous == subject_previous) return;
  Fail(BreakKind::kSubject, fmt::format("it names {} as the previous entry of subject \"{}\", which is {}",
                                        header.subject_previous, step.statement.subject, subject_previous));
}

void ChainWalk::Impl::CheckIndex(const Step& step, const IndexColumns& index) {
  const EntryHeader& header = step.entry.header;
  IndexColumns want{header.source, header.source_epoch, header.source_sequence,
                    index.subject, header.received_us,  static_cast<std::uint8_t>(header.kind),
                    header.result};
  if (step.content) want.subject = step.subject;
  if (index != want) Fail(BreakKind::kIndex, "the columns beside the entry are not what it says");
}

void ChainWalk::Impl::CheckExpected() {
  if (is_range || expected.empty()) return;
  const auto [begin, end] = expected.equal_range(frontier.size());
  if (begin == end) return;
  const Hash root = frontier.Root();
  for (auto at = begin; at != end; ++at) {
    if (at->second != root)
      Fail(frontier.size(), BreakKind::kCheckpointRoot, "a signed checkpoint of this size has another root");
  }
  expected.erase(begin, end);
}

ChainWalk::ChainWalk(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChainWalk::ChainWalk(const std::string& origin, WalkOptions options)
    : ChainWalk(SourceBook(origin, true), Frontier(), GenesisOf(origin), options) {}
ChainWalk::ChainWalk(SourceBook book, Frontier frontier, Hash head, WalkOptions options)
    : impl_(std::make_unique<Impl>(std::move(book), std::move(frontier), options)) {
  impl_->head = head;
}
ChainWalk ChainWalk::ForRange(const SourceBook& sources, std::uint64_t first, std::optional<Hash> before,
                              WalkOptions options) {
  auto impl = std::make_unique<Impl>(sources, Frontier(), options);
  impl->is_range = true;
  impl->first = first;
  impl->head = first == 0 ? GenesisOf(sources.origin()) : before;
  return ChainWalk(std::move(impl));
}
ChainWalk::~ChainWalk() = default;
ChainWalk::ChainWalk(ChainWalk&&) noexcept = default;
ChainWalk& ChainWalk::operator=(ChainWalk&&) noexcept = default;

void ChainWalk::Add(std::string_view entry_bytes, const Hash* stored_leaf, const IndexColumns* index) {
  Impl& walk = *impl_;
  if (!walk.good()) return;
  const Hash leaf = LeafHash(entry_bytes);
  if (stored_leaf != nullptr && *stored_leaf != leaf) {
    return walk.Fail(BreakKind::kLeafHash, "the entry's bytes do not hash to the stored leaf hash");
  }
  const auto decoded = DecodeEntry(entry_bytes);
  if (!decoded.ok()) return walk.Fail(BreakKind::kMalformedEntry, std::string(Message(decoded.status())));
  Impl::Step step;
  step.entry = *decoded;
  const EntryHeader& header = step.entry.header;
  SourceBook::Impl& state = *walk.book.impl_;

  walk.CheckPlace(header);
  if (walk.good()) walk.CheckShape(step);
  if (!walk.good()) return;
  walk.FindSource(step, state);
  walk.CheckTag(step);
  if (!walk.good()) return;

  if (!walk.is_range) {
    walk.ReadContent(step);
    const SourceBook::Checked checked = state.Check(step.entry, step.frame, step.statement, step.payload, step.content);
    using Rule = SourceBook::Checked::Rule;
    if (checked.broken == Rule::kSequence) walk.Fail(BreakKind::kSourceSequence, checked.detail);
    if (checked.broken == Rule::kSource) walk.Fail(BreakKind::kSourceRules, checked.detail);
    if (walk.good()) walk.CheckLinks(step, state);
    if (walk.good() && index != nullptr) walk.CheckIndex(step, *index);
    if (!walk.good()) return;
    if (!step.content) state.ForgetSubjects();
    state.Commit(step.entry, step.frame, step.statement, checked);
  } else {
    if (index != nullptr) walk.CheckIndex(step, *index);
    if (!walk.good()) return;
    ++walk.unchecked["rules of sources, sequences and subjects: this walk began in the middle"];
    walk.received_us = header.received_us;
  }
  walk.frontier.Append(leaf);
  walk.head = leaf;
  if (walk.observer) walk.observer(step.entry, step.frame, step.statement, step.payload);
  walk.CheckExpected();
}

void ChainWalk::Expect(std::uint64_t size, const Hash& root) {
  Impl& walk = *impl_;
  if (walk.is_range || size < walk.frontier.size()) {
    ++walk.unchecked[fmt::format("checkpoint of size {}: its entries are not at hand any more", size)];
    return;
  }
  walk.expected.emplace(size, root);
  walk.CheckExpected();
}

void ChainWalk::ExpectNote(std::string_view note, const std::vector<VerifierKey>& keys) {
  Impl& walk = *impl_;
  const auto opened = OpenCheckpoint(note, keys);
  if (opened.ok() && opened->origin == walk.book.origin()) return Expect(opened->size, opened->root);
  const auto claimed = ParseCheckpointUnverified(note);
  const std::uint64_t size = claimed.ok() ? claimed->size : 0;
  if (absl::IsNotFound(opened.status())) {
    ++walk.unchecked[fmt::format("checkpoint of size {}: no key for its signatures", size)];
    return;
  }
  walk.Fail(size, BreakKind::kCheckpointSignature,
            opened.ok() ? fmt::format("a checkpoint of {}", opened->origin) : std::string(Message(opened.status())));
}

void ChainWalk::Finish() {
  Impl& walk = *impl_;
  if (!walk.good() || walk.expected.empty()) return;
  const std::uint64_t largest = walk.expected.rbegin()->first;
  if (largest <= walk.size()) return;
  walk.Fail(BreakKind::kTailMissing,
            fmt::format("a signed checkpoint has {} entries, here are {}", largest, walk.size()));
}

std::uint64_t ChainWalk::size() const {
  return impl_->size();
}
Hash ChainWalk::Root() const {
  return impl_->frontier.Root();
}
Hash ChainWalk::head() const {
  return impl_->head.value_or(Hash{});
}
const Frontier& ChainWalk::frontier() const {
  return impl_->frontier;
}
const SourceBook& ChainWalk::book() const {
  return impl_->book;
}
SourceBook ChainWalk::TakeBook() && {
  return std::move(impl_->book);
}
const std::optional<Break>& ChainWalk::first_break() const {
  return impl_->first_break;
}

std::vector<Unchecked> ChainWalk::unchecked() const {
  std::vector<Unchecked> out;
  for (const auto& [what, entries] : impl_->unchecked) {
    if (entries != 0) out.push_back({what, entries});
  }
  return out;
}

void ChainWalk::SetObserver(Observer observer) {
  impl_->observer = std::move(observer);
}

}  // namespace virp::chain
