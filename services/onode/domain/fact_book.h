// What the sources of one chain say about peers, paths, tables and other subjects: the newest facts, per source, by (epoch,
// sequence). A fold over the chain's entries like chain::SourceBook; verdicts are computed from the two books alone
// (plus the payloads of the entries that an opinion rests on).
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

  // A key version was marked compromised: facts and beats that entries after that receive time gave must go, and older ones
  // count again. Sources whose facts must be folded anew from the chain (short ids); the caller re-feeds every entry of
  // theirs, in order, through Refold* and the list is empty afterwards.
  std::vector<std::uint64_t> TakeSourcesToRefold();
  void BeginRefold(std::uint64_t source);
  void Refold(const chain::Entry& entry, const frame::Frame& frame, const chain::Statement& statement,
              const std::optional<frame::Value>& payload, const chain::SourceBook& book);

  // Reads an entry's bytes by chain sequence (for attributes of paths and field claims); checked by the caller's hashes.
  using EntryReader = std::function<absl::StatusOr<std::string>(std::uint64_t sequence)>;

  // The verdict: a pure function of the books and `now`. Errors: InvalidArgument (CheckClaim), or the reader's.
  absl::StatusOr<Answer> Evaluate(const Claim& claim, const Acceptance& acceptance, const chain::SourceBook& book, UnixNanos now,
                                  bool frozen, std::uint64_t checkpointed_size, const EntryReader& read) const;

  // Subjects with their newest entry, for GetSubject and ListSubjects: by text, from `after` (exclusive), at most `limit`.
  struct SubjectState {
    std::string subject;
    std::uint64_t newest_entry = 0;
    struct PerSource { std::uint64_t source = 0; std::uint64_t entry = 0; std::string state; };
    std::vector<PerSource> sources;
  };
  std::vector<SubjectState> ListSubjects(std::string_view prefix, std::string_view after, std::size_t limit) const;
  std::optional<SubjectState> FindSubject(std::string_view subject) const;

  std::size_t subjects() const;
  std::size_t MemoryBytes() const;  // estimate, for the metric

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace virp::onode
