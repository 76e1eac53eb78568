#include "services/onode/domain/fact_book.h"

#include <algorithm>
#include <map>

#include "lib/base/status.h"
#include "services/onode/domain/fact_book_impl.h"

namespace virp::onode {
namespace {

using facts::FactState;
using facts::PathRow;
using facts::SourceState;
using PerSource = FactBook::SubjectState::PerSource;

const chain::Registration& RegistrationAt(const SourceState& source, std::uint64_t sequence) {
  const auto after = std::upper_bound(source.registrations.begin(), source.registrations.end(), sequence,
                                      [](std::uint64_t s, const auto& r) { return s < r.first; });
  return after == source.registrations.begin() ? source.registrations.front().second->registration
                                               : std::prev(after)->second->registration;
}

absl::Status RefoldSource(FactState& state, std::uint32_t index, const chain::SourceBook& book,
                          const FactBook::EntryReader& read) {
  state.Forget(index);
  frame::PayloadReader payloads;
  // From the newest back: what counts is newest by the source's own numbers, so the order of folding does not matter.
  for (std::uint64_t at = state.sources[index].last_entry; at != chain::kNone;) {
    ASSIGN_OR_RETURN(const std::string bytes, read(at));
    const auto entry = chain::DecodeEntry(bytes);
    if (!entry.ok()) return DataLoss("entry {}: {}", at, Message(entry.status()));
    const chain::EntryHeader& header = entry->header;
    const std::uint64_t previous = header.source_previous;
    if (header.sequence != at || header.source != state.sources[index].short_id ||
        (previous != chain::kNone && previous >= at)) {
      return DataLoss("entry {} is not one of source {}, though a later one of its entries links to it", at,
                      state.sources[index].name);
    }
    const auto frame = frame::Decode(entry->frame, header.spelling);
    if (!frame.ok()) return DataLoss("entry {}: {}", at, Message(frame.status()));
    std::optional<frame::Value> payload;
    if (auto value = payloads.Read(frame->payload); value.ok()) payload = *value;
    const auto statement = chain::ReadStatement(RegistrationAt(state.sources[index], at), frame->header.type, payload);
    state.Fold(index, *entry, *frame, statement, payload, book);
    at = previous;
  }
  state.sources[index].awaits_refold = false;
  return absl::OkStatus();
}

// The newest of what each source says.
class Newest {
 public:
  void Add(std::uint32_t source, const facts::Mark& mark, std::string_view state) {
    auto& held = by_source_[source];
    if (mark.held() && mark.Supersedes(held.mark)) held = {mark, state};
  }
  void AddTo(FactBook::SubjectState& out, const FactState& state) const {
    for (const auto& [source, said] : by_source_) {
      if (!said.mark.held()) continue;
      out.sources.push_back(
          {.source = state.sources[source].short_id, .entry = said.mark.entry, .state = std::string(said.state)});
      out.newest_entry = std::max(out.newest_entry, said.mark.entry);
    }
  }

 private:
  struct Said {
    facts::Mark mark;
    std::string_view state;
  };
  std::map<std::uint32_t, Said> by_source_;
};

void AddPaths(const FactState& state, const facts::SubjectParts& parts, std::uint32_t place, std::uint32_t peer,
              Newest& to) {
  const auto prefix = Prefix::ParseCanonical(parts.prefix);
  const auto* rows = prefix.ok() ? state.FindPaths(place, *prefix) : nullptr;
  if (rows == nullptr) return;
  const bool best = parts.form == facts::SubjectParts::Form::kBest;
  for (const PathRow& row : *rows) {
    if (row.rib != parts.rib || (!best && (row.peer != peer || row.path_id != parts.path_id))) continue;
    to.Add(row.source, row, row.present ? "present" : "absent");
  }
}

}  // namespace

FactBook::FactBook(std::string origin) : impl_(std::make_unique<Impl>(std::move(origin))) {}
FactBook::FactBook(FactBook&&) noexcept = default;
FactBook& FactBook::operator=(FactBook&&) noexcept = default;
FactBook::~FactBook() = default;

void FactBook::Apply(const chain::Entry& entry, const frame::Frame& frame, const chain::Statement& statement,
                     const std::optional<frame::Value>& payload, const chain::SourceBook& book) {
  impl_->state.Apply(entry, frame, statement, payload, book);
}

bool FactBook::NeedsRefold() const {
  return std::any_of(impl_->state.sources.begin(), impl_->state.sources.end(),
                     [](const SourceState& source) { return source.awaits_refold; });
}

absl::Status FactBook::Refold(const chain::SourceBook& book, const EntryReader& read) {
  FactState& state = impl_->state;
  for (std::uint32_t i = 0; i < state.sources.size(); ++i) {
    if (!state.sources[i].awaits_refold) continue;
    RETURN_IF_ERROR(Annotate(RefoldSource(state, i, book, read), "folding a source anew after a compromised key"));
  }
  return absl::OkStatus();
}

std::optional<FactBook::SubjectState> FactBook::FindSubject(std::string_view subject) const {
  using Form = facts::SubjectParts::Form;
  const FactState& state = impl_->state;
  const auto parts = facts::ParseSubject(subject);
  if (!parts) return std::nullopt;
  Newest newest;
  if (const auto* rows = state.FindEvents(subject); rows != nullptr) {
    for (const facts::EventRow& row : *rows) {
      newest.Add(row.source, row.said, row.event == facts::kNoIndex ? std::string_view() : state.events.At(row.event));
    }
  }
  const std::uint32_t place = state.places.Find(std::string(parts->router).append("/").append(parts->vrf));
  const auto address = IpAddress::ParseCanonical(parts->peer);
  const std::uint32_t peer = address.ok() ? state.addresses.Find(*address) : facts::kNoIndex;
  if (parts->form == Form::kPath || parts->form == Form::kBest) AddPaths(state, *parts, place, peer, newest);
  if (const auto covering = state.by_router.find(parts->router);
      parts->form == Form::kTable && covering != state.by_router.end()) {
    for (const std::uint32_t source : covering->second) {
      const auto* row = state.FindTable(source, place, peer, parts->rib);
      if (row == nullptr) continue;
      newest.Add(source, row->stated, "table_complete");
      newest.Add(source, row->summary, "routes_summarised");
    }
  }
  SubjectState out;
  out.subject = subject;
  newest.AddTo(out, state);
  if (out.sources.empty()) return std::nullopt;
  for (PerSource& source : out.sources) {
    const auto* row =
        parts->form == Form::kPeer ? state.FindPeer(state.SourceIndex(source.source), place, peer) : nullptr;
    if (row != nullptr && row->said.held()) source.state = state.states.At(row->state);
  }
  return out;
}

std::vector<FactBook::SubjectState> FactBook::ListSubjects(std::string_view prefix, std::string_view after,
                                                           std::size_t limit) const {
  std::vector<SubjectState> out;
  for (const std::string& subject : impl_->state.subjects.List(prefix, after, limit)) {
    auto found = FindSubject(subject);
    if (!found) {
      // All that was said of it does not count any more: it is listed, with nothing to show.
      found.emplace();
      found->subject = subject;
      found->newest_entry = chain::kNone;
    }
    out.push_back(*std::move(found));
  }
  return out;
}

std::uint64_t FactBook::size() const {
  return impl_->state.size;
}
std::size_t FactBook::subjects() const {
  return impl_->state.subjects.size();
}
std::uint64_t FactBook::build_changes() const {
  return impl_->state.build_changes;
}
std::size_t FactBook::MemoryBytes() const {
  return impl_->state.MemoryBytes();
}

}  // namespace virp::onode
