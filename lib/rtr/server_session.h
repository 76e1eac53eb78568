// The cache's side of one router's connection, without the connection: bytes and times in, bytes and a wish to close
// out.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/rtr/history.h"
#include "lib/rtr/output.h"
#include "lib/rtr/pdu.h"
#include "lib/rtr/stream.h"
#include "lib/rtr/version.h"

namespace virp::rtr {

struct ServerSessionOptions {
  std::uint8_t min_version = 0;
  std::uint8_t max_version = kMaxVersion;  // at least min_version
  Timers timers = {};                      // WhyWrong() finds nothing
  bool notify = true;
  std::chrono::seconds notify_interval{60};      // RFC 8210 section 8.2: not more often than once a minute
  std::chrono::seconds first_query_timeout{60};  // for a peer that says nothing, or nothing that can be served
  std::chrono::seconds answer_timeout{600};      // for what is queued, however its octets trickle
  std::chrono::seconds flush_timeout{30};        // for the last words before a close; twice that however they trickle
  std::size_t output_limit = 64 << 10;           // queued octets above which queries wait
  std::size_t input_limit = 256 << 10;           // unprocessed octets that end the session
  std::size_t max_version_errors = 3;            // error 4s until the connection is closed
};

// Which data, of which session of ours.
struct ServedData {
  std::uint16_t session = 0;
  std::uint32_t serial = 0;
  Hash hash{};  // of the payloads, as the history was given it

  friend bool operator==(const ServedData&, const ServedData&) = default;
};

struct ErrorNote {
  std::uint16_t code = 0;
  std::string text;  // printable

  friend bool operator==(const ErrorNote&, const ErrorNote&) = default;
};

// What happened, for the log and for evidence, in order.
struct SessionEvent {
  enum class Kind : std::uint8_t {
    kVersionAgreed,  // state().version
    kEndOfDataSent,  // data: the transport took the last octet of the answer
    kConfirmed,      // data: the router's Serial Query named it, and it is ours; hash only when this connection sent it
    kCacheResetSent,  //
    kErrorSent,       // error: queued
    kErrorReceived,   // error
  };
  Kind kind{};
  ServedData data{};
  ErrorNote error{};
};

struct ServerSessionState {
  std::optional<std::uint8_t> version;
  std::optional<ServedData> sent;  // the last End of Data that left
  // The last that a Serial Query of the router named and that we gave: it is in the window, or the one of `sent`. It
  // proves that the router had it only in so far as the router is believed. Its hash is zero unless it is that of
  // `sent`.
  std::optional<ServedData> confirmed;
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;  // that the transport took
  PduCounts pdus_in{};          // by type; those of unknown types are not counted
  PduCounts pdus_out{};         // queued
  std::uint64_t full_answers = 0;
  std::uint64_t incremental_answers = 0;
  std::uint64_t cache_resets = 0;
  std::uint64_t unknown_session_resets = 0;  // of them, because the router's session is none of ours
  std::optional<ErrorNote> error_sent;       // the last
  std::optional<ErrorNote> error_received;
};

// Rules: docs/rtr.md. Snapshots and encoded answers are shared by all sessions; a session that is slow holds a
// reference to what it began to send. Not thread-safe.
//
// The transport: calls Feed with what it read, as long as WantsRead(); sends what Peek shows and calls Consume with how
// much was taken; calls Tick at NextTick() or later; calls OnNewSnapshot with each new snapshot. When ShouldClose(), it
// closes its writing side, reads what still comes for a moment and throws it away (else a reset overtakes the last
// Error Report), and closes. Times never go back.
class ServerSession {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // `snapshot` is null while there is nothing to serve; so it may be again.
  ServerSession(const ServerSessionOptions& options, std::shared_ptr<const Snapshot> snapshot, Time now);

  void Feed(std::string_view bytes, Time now);
  void OnNewSnapshot(std::shared_ptr<const Snapshot> snapshot, Time now);
  void Tick(Time now);
  // The earliest time at which Tick has something to do; nothing when only a call of the others can change that.
  std::optional<Time> NextTick() const;
  // Ends the session: error 12 (kCacheRestart: we come back, keep the data) or 13 (kCacheShutdown) where the version
  // has them. An answer under way is cut off behind the PDU that it is in.
  void Shutdown(ErrorCode report, Time now);

  // Ends the session because the router takes too long for what it asked for: error 10 where the version has it.
  void GiveUp(std::string_view why, Time now);
  // Bodies of answers that it has not taken to their end, and since when something is queued.
  std::vector<std::pair<const Bytes*, std::size_t>> pinned() const { return output_.shared(); }
  Time busy_since() const { return output_since_; }

  // False while so much is queued that no further query is processed, and when the session ends.
  bool WantsRead() const { return !closing_ && output_.size() <= options_.output_limit; }
  std::size_t Peek(std::span<std::string_view> pieces) const { return output_.Peek(pieces); }
  void Consume(std::size_t bytes, Time now);
  std::size_t queued() const { return output_.size(); }
  bool closing() const { return closing_; }
  bool ShouldClose() const { return closing_ && output_.empty(); }
  const std::string& close_reason() const { return close_reason_; }  // empty until closing

  const ServerSessionState& state() const { return state_; }
  // Since the last call. To be asked after each call of the above; there are at most as many as PDUs were processed.
  std::vector<SessionEvent> TakeEvents() { return std::exchange(events_, {}); }

 private:
  using Agreed = std::pair<std::uint16_t, std::uint32_t>;  // session id and serial

  void Process(Time now);
  bool ProcessOne(const Header& header, Time now);  // false: more octets are needed
  // Whether the PDU's version is the one of the session, or becomes it; answers when not.
  bool AcceptVersion(const Header& header, std::string_view pdu, Time now);
  void Handle(const Header& header, std::string_view pdu, Time now);
  void HandleErrorReport(std::string_view pdu, Time now);
  void AnswerReset(std::string_view pdu, Time now);
  void AnswerSerial(const SerialQuery& query, std::string_view pdu, Time now);
  void Answer(const Encoded& body, Time now);
  void SendNoData(std::string_view pdu, Time now);
  void SendCacheReset(Time now);
  void MaybeNotify(Time now);
  bool NotifyPending() const;

  void SendError(std::uint8_t version, ErrorCode code, std::string_view pdu, std::string_view text, Time now);
  void Fail(ErrorCode code, std::string_view pdu, std::string_view text, Time now);
  void Close(std::string reason, Time now);
  void CutAnswers();
  void Send(PduType type, std::string_view pdu, Time now);
  std::optional<Time> StallDeadline() const;
  std::uint8_t VersionFor(std::uint8_t asked) const;
  std::uint8_t version() const { return *state_.version; }
  Agreed Current() const { return {snapshot_->session(version()), snapshot_->serial(version())}; }

  const ServerSessionOptions options_;
  std::shared_ptr<const Snapshot> snapshot_;
  PduStream input_;
  OutputQueue output_;
  std::deque<std::pair<std::uint64_t, ServedData>> on_the_way_;  // where in the output their End of Data ends
  ServerSessionState state_;
  std::vector<SessionEvent> events_;

  std::optional<std::uint16_t> agreed_session_;  // that an answer of this connection named
  std::optional<Agreed> told_;                   // the newest that the router was told of or asked behind
  std::optional<Time> last_notify_;
  std::size_t version_errors_ = 0;
  Time waits_since_;    // for a first query
  Time last_progress_;  // the transport took something, or the queue was empty
  Time output_since_;   // the queue was empty last
  Time closed_at_;
  bool closing_ = false;
  std::string close_reason_;
};

}  // namespace virp::rtr
