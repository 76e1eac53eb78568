// From what each source says to one verdict: the order of docs/claims.md. Internal to the evaluation of claims.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "lib/chain/source_book.h"
#include "services/onode/domain/claim.h"

namespace virp::onode::facts {

// How one source stands to a claim, whatever the time.
struct Finding {
  enum class Standing : std::uint8_t {
    kNothing,      // says nothing, or was left out for good; opinion.left_out says why
    kRefused,      // speaks on an ALARMED channel, and the asker does not accept that
    kCompromised,  // BLACK, or all that it said was tagged by a compromised key
    kSpeaks,
  };
  SourceOpinion opinion;
  std::shared_ptr<const chain::Source> source;
  Standing standing = Standing::kNothing;
  UnixNanos fact_time = 0;   // of the newest fact: the earlier of frame time and receipt
  bool event_known = false;  // the newest fact is an event of its own, so it has an age
  bool lost = false;         // connection last reported lost
  bool tier_ok = true;
  std::uint64_t newest_entry = 0;  // highest chain sequence that the opinion rests on
};

struct Decision {
  Verdict verdict = Verdict::kNoEvidence;
  std::string_view reason;
  std::vector<std::size_t> rests_on;       // findings
  std::vector<std::string_view> left_out;  // per finding; empty for those that count
  bool operator==(const Decision&) const = default;
};

class Judge {
 public:
  struct Limits {
    bool frozen = false;
    std::uint64_t checkpointed_size = 0;
    bool one_router = false;  // the claim names one router, so all sources speak about the same
  };
  // `findings` and `acceptance` must outlive the judge.
  Judge(const std::vector<Finding>& findings, const Acceptance& acceptance, const Limits& limits);

  Decision At(UnixNanos now) const;
  // The last instant from `now` on at which verdict and reason are those of `decision`; 0 when time alone changes
  // nothing.
  UnixNanos ValidUntil(UnixNanos now, const Decision& decision) const;

 private:
  using Set = std::vector<std::size_t>;
  bool Silent(const Finding& finding, UnixNanos now) const;
  bool Stale(const Finding& finding, UnixNanos now) const;
  bool Related(std::size_t a, std::size_t b) const;
  std::size_t Groups(const Set& set) const;
  bool Enough(const Set& set) const;
  bool Settling(const Set& set, UnixNanos now) const;
  void Weigh(const Set& left, UnixNanos now, Decision& out) const;

  const std::vector<Finding>& findings_;
  const Acceptance& acceptance_;
  Limits limits_;
  std::vector<bool> related_;  // a matrix
};

}  // namespace virp::onode::facts
