// A delivered frame on its way to the sequencer: decoded, its source and key found, its tag checked. Made on the thread
// of its stream, so that the sequencer only orders.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "lib/base/clock.h"
#include "lib/chain/source_book.h"
#include "lib/frame/frame.h"
#include "lib/frame/reason.h"
#include "services/onode/domain/key_cache.h"

namespace virp::onode {

// What a deliverer sends.
struct Delivery {
  std::uint64_t number = 0;
  std::string source;
  std::string frame;
  frame::Spelling spelling = frame::Spelling::kV2;
  std::uint64_t epoch = 0;  // version 1: the run; version 2: ignored
};

struct Candidate {
  Delivery delivery;
  frame::Frame frame;  // borrows delivery.frame; valid when `shaped`
  bool shaped = false;
  std::shared_ptr<const chain::Source> source;  // null when unknown
  std::uint64_t epoch = 0;
  std::uint32_t key_version = 0;  // that verified the tag
  bool tag_good = false;
  bool admitted_late = false;
  bool bound = false;                           // the carrier may deliver this source: a duplicate may be answered
  frame::Reason reason = frame::Reason::kNone;  // of steps 1 to 3; a duplicate is answered all the same
  std::uint64_t generation = 0;                 // of the table that it was checked against
  UnixNanos received = 0;
  std::shared_ptr<const std::string> carrier;  // the deliverer's identity

  explicit Candidate(Delivery d) : delivery(std::move(d)) {}
  // `frame` points into `delivery`: a candidate stays where it was made.
  Candidate(const Candidate&) = delete;
  Candidate& operator=(const Candidate&) = delete;
};

// Acceptance steps 1 to 3 (docs/formats/frame.md). Thread-safe.
std::unique_ptr<Candidate> CheckDelivery(Delivery delivery, std::shared_ptr<const std::string> carrier,
                                         UnixNanos received, const chain::SourceBook::SourceTable& table,
                                         std::uint64_t generation, KeyCache& keys);

// The same again for a candidate whose table has been replaced since.
void Recheck(Candidate& candidate, const chain::SourceBook::SourceTable& table, std::uint64_t generation,
             KeyCache& keys);

}  // namespace virp::onode
