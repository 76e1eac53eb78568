// What the bridge puts on record: observations of types 17 and 18 (docs/formats/payloads.md), as the bridge's own
// source.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/deliver/outbox.h"
#include "services/rtr-bridge/domain/generation.h"

namespace virp::rtr_bridge {

// Where records go. Thread-safe; never waits for the O-Node.
class Recorder {
 public:
  virtual ~Recorder() = default;
  // Signs and spools; the frame once it is durable. On an error nothing was spooled, and the loss is counted: it
  // becomes a record of its own as soon as there is room.
  virtual absl::StatusOr<std::string> Record(const deliver::Observation& observation) = 0;
  // False from a loss until it is told: while there is no room, trying again would only be another loss.
  virtual bool HasRoom() const = 0;
};

// Who asked for something, and why.
struct Request {
  std::string by;  // SPIFFE id, or "signal", "file"
  std::string reason;
  std::string request_id;
};

enum class Transport : std::uint8_t { kTcp, kTcpMd5, kTcpAo, kTls, kSsh };
std::string_view NameOf(Transport transport);  // "tcp", "tcp-md5", "tcp-ao", "tls", "ssh"

// A connection as its records name it.
struct SessionName {
  std::uint64_t connection = 0;
  std::string peer;  // address of the router, without port
  std::uint16_t port = 0;
  Transport transport = Transport::kTcp;
  std::string identity;  // empty: the address is all there is
};

// What a router's connections said beyond the limit of a minute (session_log.h). Times are when it was told.
struct SessionSummary {
  std::uint64_t opened = 0, sent = 0, confirmed = 0, closed = 0;
  UnixNanos first = 0, last = 0;
};

// How the start before this one ended.
enum class PreviousEnd : std::uint8_t { kNone, kStopped, kCrashed };

// Records that are not in the chain and never will be.
struct LostRecords {
  enum class Why : std::uint8_t { kNoRoom, kOverLimit, kCrash };
  Why why{};
  std::optional<std::uint64_t> count;  // nothing: nobody knows
  UnixNanos since = 0, until = 0;      // when they would have been made
};

// When a generation is put on record.
enum class ServedWhen : std::uint8_t {
  kNow,
  kResumed,  // it was served before this start, too
  kLate,     // it is served already: there was no room for the record
};

// Makes the observations of one bridge. `name` is its source's name: subjects begin with it.
class Witness {
 public:
  explicit Witness(std::string name) : name_(std::move(name)) {}

  deliver::Observation Served(const Generation& generation, const std::optional<Request>& accepted,
                              ServedWhen when) const;
  deliver::Observation Held(const HeldGeneration& held) const;
  // What stands behind the served set is another: kStale and kStopped with the reason. `generation`: served last.
  deliver::Observation ServingChanged(ServingState state, std::uint64_t generation, std::string_view problem) const;
  // A source failed, or gives data again; `expired`: for so long that what it had does not count any more. It is served
  // on where a guard holds the set without it, or there is no other: records of these tell.
  deliver::Observation SourceFailed(std::string_view source, std::string_view problem, bool expired) const;
  deliver::Observation SourceRecovered(std::string_view source) const;
  // The SLURM files could not be taken, and the last good ones stay applied; or they can again.
  deliver::Observation SlurmFailed(std::string_view problem) const;
  deliver::Observation SlurmRecovered() const;
  // A router has said which version it speaks.
  deliver::Observation SessionOpened(const SessionName& session, std::uint8_t version) const;
  // An End of Data was written to the connection: with it the router has the set of that hash. `told`: when, where the
  // record was kept back.
  deliver::Observation SessionSent(const SessionName& session, std::uint8_t version, Serial serial, const Hash& sha256,
                                   std::optional<UnixNanos> told = {}) const;
  // The router named this serial in a query: it has what that End of Data ended.
  deliver::Observation SessionConfirmed(const SessionName& session, std::uint8_t version, Serial serial,
                                        std::optional<UnixNanos> told = {}) const;
  deliver::Observation SessionClosed(const SessionName& session, std::string_view why) const;
  // Instead of records of their own, which were too many. `session` is one of the connections.
  deliver::Observation SessionsSummarised(const SessionName& session, const SessionSummary& summary) const;

  // With the first record of a start; all connections of earlier starts are over.
  deliver::Observation Started(PreviousEnd previous) const;
  // With the last one: nothing of this start is missing that is not said to be.
  deliver::Observation Stopped() const;
  deliver::Observation RecordsLost(const LostRecords& lost) const;
  // Somebody had the sources read.
  deliver::Observation Refreshed(const Request& request) const;

  const std::string& name() const { return name_; }

 private:
  const std::string name_;
};

}  // namespace virp::rtr_bridge
