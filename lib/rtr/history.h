// What a cache can answer from: the current payloads, and for each protocol version a session id, a serial and the
// changes that led to the current serial.
//
// Each version has its own serial, which goes up by one with each change that the version carries: what changes only
// ASPAs is no change for a router of version 0 or 1, and costs it no query. A version's window is the last `max_deltas`
// of its own changes, so ASPAs that change often do not push older changes out of the windows of versions 0 and 1.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/bytes.h"
#include "lib/base/mutex.h"
#include "lib/rtr/delta.h"
#include "lib/rtr/encoded.h"
#include "lib/vrp/payload.h"

namespace virp::rtr {

namespace history {

// Made by the first who asks, for all; the others wait.
struct Lazy {
  std::once_flag once;
  Encoded value;
  bool refused = false;  // there was no room to keep it
};

// One version's session: what a Snapshot answers from. What it made is shared by the snapshots that it lives through.
struct Line {
  std::uint16_t session = 0;
  std::uint32_t serial = 0;
  std::vector<std::shared_ptr<const Delta>> deltas;  // oldest first; the last one led to `serial`

  mutable Lazy image;
  mutable Mutex mutex;
  mutable std::map<std::uint32_t, std::shared_ptr<Lazy>> answers ABSL_GUARDED_BY(mutex);  // by how far behind
  mutable std::atomic<std::size_t> answer_octets{0};  // of those over several changes
};

}  // namespace history

// One state of the cache: never changes, thread-safe. Held by whoever answers from it.
class Snapshot {
 public:
  using Lines = std::array<std::shared_ptr<const history::Line>, kVersions>;

  // `max_answer_octets` is that of HistoryOptions.
  Snapshot(std::shared_ptr<const vrp::Payloads> payloads, const Hash& hash, Lines lines, std::size_t max_answer_octets)
      : payloads_(std::move(payloads)), hash_(hash), lines_(std::move(lines)), max_answer_octets_(max_answer_octets) {}

  const vrp::Payloads& payloads() const { return *payloads_; }
  const Hash& hash() const { return hash_; }  // as Update was given it

  // `version` is at most kMaxVersion, here and below.
  std::uint16_t session(std::uint8_t version) const { return lines_.at(version)->session; }
  std::uint32_t serial(std::uint8_t version) const { return lines_.at(version)->serial; }
  // How many serials back Answer() reaches.
  std::size_t window(std::uint8_t version) const { return lines_.at(version)->deltas.size(); }

  // The body of the full answer; encoded once.
  const Encoded& Image(std::uint8_t version) const;
  // Whether `serial` of the current session is the current one or in the window.
  bool Reaches(std::uint8_t version, std::uint32_t serial) const;
  // The body of the answer to a router that has `serial` of the current session: minimal, empty for the current serial,
  // composed and encoded once. Nothing when the serial is not in the window, be it too old or ahead, and when answers
  // over several changes take more memory than they may: the full answer is there for all.
  std::optional<Encoded> Answer(std::uint8_t version, std::uint32_t serial) const;
  // The same as values, composed anew with each call. That of kMaxVersion has every kind of payload.
  std::optional<Delta> Changes(std::uint8_t version, std::uint32_t serial) const;

 private:
  const std::shared_ptr<const vrp::Payloads> payloads_;
  const Hash hash_;
  const Lines lines_;
  const std::size_t max_answer_octets_;
};

struct HistoryOptions {
  std::size_t max_deltas = 10;  // of each version, at most kMaxDeltas
  // Of each version, in all its deltas: a set that is replaced as a whole again and again must not be kept ten times.
  // What is dropped is answered with Cache Reset.
  std::size_t max_delta_records = 400'000;
  // Of each version, what answers over several changes may take, all together: a hundred routers with a hundred serials
  // must not cost a hundred tables. Answers beyond it are Cache Reset.
  std::size_t max_answer_octets = std::size_t{64} << 20;
  // Names this replica in what Save writes: the state of another one is not taken, since session ids are never copied.
  std::string owner = {};
  std::uint32_t first_serial = 1;  // of a new session
};
inline constexpr std::size_t kMaxDeltas = 100;

// Evenly spread; from the operating system, or a test's.
using RandomSession = std::function<std::uint16_t()>;

// Not thread-safe; what it hands out is.
class History {
 public:
  History(HistoryOptions options, RandomSession random);

  // Before the first Update: takes what Save wrote, to be gone on with if the first payloads fit. DataLoss when the
  // bytes are damaged or of a format that is not known; FailedPrecondition when they are another replica's. The history
  // is then as if nothing had been restored, except that session ids of a readable state are not used again.
  absl::Status Restore(std::string_view state);

  struct Outcome {
    bool changed = false;                    // there is a new snapshot
    bool resumed = false;                    // the sessions of the restored state go on
    std::array<bool, kVersions> versions{};  // whose serial or session is new
    std::shared_ptr<const Delta> delta;      // from the payloads before; null at the first call
  };
  // New payloads: sorted, unique, never null, perhaps empty. `hash` is vrp::HashOf(*payloads); it is compared only with
  // the one of a restored state, and handed out. Payloads without an effective change leave the snapshot as it is.
  // `delta`: where the caller has it already, that from the payloads of the snapshot.
  Outcome Update(std::shared_ptr<const vrp::Payloads> payloads, const Hash& hash,
                 std::shared_ptr<const Delta> delta = nullptr);

  // Null before the first Update: "not loaded yet", to be answered with error 2.
  const std::shared_ptr<const Snapshot>& snapshot() const { return snapshot_; }

  // New session ids, serials from the start, no deltas: every router that asks next is told to reset.
  void StartSessions();

  // Sessions, serials, deltas and the hash that they belong to, for Restore after a restart (docs/rtr.md). Empty before
  // the first Update. To be durable before a router hears of the snapshot: else a start from an older state could give
  // a serial that routers have another meaning. Where it cannot be written, StartSessions.
  std::string Save() const;

 private:
  struct Kept {
    Hash hash{};
    std::array<std::shared_ptr<history::Line>, kVersions> lines;
  };
  Snapshot::Lines NewLines();
  std::uint16_t DrawSession();
  std::shared_ptr<history::Line> Next(const history::Line& line, const std::shared_ptr<const Delta>& delta,
                                      std::uint8_t version) const;

  const HistoryOptions options_;
  const RandomSession random_;
  std::shared_ptr<const vrp::Payloads> payloads_;
  Snapshot::Lines lines_;
  std::shared_ptr<const Snapshot> snapshot_;
  std::optional<Kept> restored_;
  std::deque<std::uint16_t> used_;  // session ids not to be drawn, oldest first
};

}  // namespace virp::rtr
