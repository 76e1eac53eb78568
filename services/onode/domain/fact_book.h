// What the sources of one chain say about peers, paths, tables and other subjects: the newest facts, per source, by
// (epoch, sequence). A fold over the chain's entries like chain::SourceBook; verdicts are computed from the two books
// alone (plus, for field claims, the payloads of the entries that an opinion rests on). Memory per subject and per fact
// is in docs/claims.md. Const calls may run in parallel; Apply and Refold need the book alone.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/chain/entry.h"
#include "lib/chain/source_book.h"
#include "lib/chain/subject.h"
#include "services/onode/domain/claim.h"

namespace virp::onode {

class FactBook {
 public:
  explicit FactBook(std::string origin);
  FactBook(const FactBook&) = delete;
  FactBook& operator=(const FactBook&) = delete;
  FactBook(FactBook&&) noexcept;
  FactBook& operator=(FactBook&&) noexcept;
  ~FactBook();

  // Folds one checked entry; `book` has applied it already. Call in chain order.
  void Apply(const chain::Entry& entry, const frame::Frame& frame, const chain::Statement& statement,
             const std::optional<frame::Value>& payload, const chain::SourceBook& book);

  // Reads an entry's bytes by chain sequence; checked by the caller's hashes.
  using EntryReader = std::function<absl::StatusOr<std::string>(std::uint64_t sequence)>;

  // When a key version is marked compromised since a time that has passed, what its entries said since then must go and
  // what they had replaced counts again. The sources concerned are folded anew from their entries, which are found
  // backwards through the entries' own links, so no index is believed. Until then such a source counts nowhere
  // (KEY_COMPROMISED), so call Refold after the entry was applied and before anything is answered; a replay may wait
  // until its end. Errors: the reader's; DataLoss when an entry is not what its successor links to. Repeat it then.
  bool NeedsRefold() const;
  absl::Status Refold(const chain::SourceBook& book, const EntryReader& read);

  // The verdict: a pure function of the books and `now`; `read` is called for field claims only, once per source.
  // `book` must have applied the same entries. Looks at the sources that cover the claim and at what they said of it,
  // whatever the length of the chain. Errors: InvalidArgument (CheckClaim, CheckAcceptance), Internal (the books
  // differ), or the reader's.
  absl::StatusOr<Answer> Evaluate(const Claim& claim, const Acceptance& acceptance, const chain::SourceBook& book,
                                  UnixNanos now, bool frozen, std::uint64_t checkpointed_size,
                                  const EntryReader& read) const;

  // Subjects with their newest entry, for GetSubject and ListSubjects: by text, from `after` (exclusive), at most
  // `limit`. One of which only a compromised key spoke is listed with newest_entry kNone, and not found.
  struct SubjectState {
    std::string subject;
    std::uint64_t newest_entry = 0;
    struct PerSource {
      std::uint64_t source = 0;
      std::uint64_t entry = 0;
      std::string state;  // of a peer, "present" or "absent" of a path, else the event's name
    };
    std::vector<PerSource> sources;
  };
  std::vector<SubjectState> ListSubjects(std::string_view prefix, std::string_view after, std::size_t limit) const;
  std::optional<SubjectState> FindSubject(std::string_view subject) const;

  std::uint64_t size() const;  // entries applied
  std::size_t subjects() const;
  std::uint64_t build_changes() const;  // over the whole chain: a source's beats named another build than before
  std::size_t MemoryBytes() const;      // estimate, for the metric

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace virp::onode
