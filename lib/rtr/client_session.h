// The router's side of a session with a cache, without the connection: for dumps, comparisons, load and tests.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "lib/rtr/encoded.h"
#include "lib/rtr/output.h"
#include "lib/rtr/pdu.h"
#include "lib/rtr/server_session.h"
#include "lib/rtr/stream.h"
#include "lib/rtr/update.h"
#include "lib/rtr/version.h"
#include "lib/vrp/payload.h"

namespace virp::rtr {

struct ClientSessionOptions {
  std::uint8_t version = kMaxVersion;  // asked in first
  std::uint8_t min_version = 0;        // down to which an error 4, or a close without a word, is followed
  // As strict routers are: duplicates, withdrawals of what is not there, timers out of range and, where the version
  // requires an order, what is out of it end the session with an Error Report. Else all that is passed over.
  bool strict = true;
  bool check_order = false;  // in versions 0 and 1, too
  bool keep = true;          // false: records are counted and not kept, the table stays empty
};

struct ClientUpdate {
  bool full = false;
  std::uint64_t announced = 0;
  std::uint64_t withdrawn = 0;
};

struct ClientSessionState {
  std::optional<std::uint8_t> version;  // once the cache answered in it
  bool has_data = false;                // an answer was complete and is neither expired nor flushed
  std::uint16_t session = 0;            // of that data, as the next
  std::uint32_t serial = 0;
  Timers timers;             // of the last End of Data that had some; defaults otherwise
  ClientUpdate last_update;  //
  std::uint64_t updates = 0;
  std::uint64_t notifies = 0;
  std::uint64_t cache_resets = 0;
  std::uint64_t bytes_in = 0;
  PduCounts pdus_in{};
  std::optional<ErrorNote> error_sent;  // the last
  std::optional<ErrorNote> error_received;
};

// One cache, over any number of connections, one at a time. Not thread-safe. Times never go back.
//
// The transport: calls Connected, sends what Peek shows and calls Consume, calls Feed with what it read and Tick at
// NextTick(); closes when ShouldClose(), calls Disconnected when the connection is gone, and connects anew when it
// likes.
class ClientSession {
 public:
  using Time = std::chrono::steady_clock::time_point;

  explicit ClientSession(const ClientSessionOptions& options) : options_(options), asked_(options.version) {}

  // Asks for changes when there is data of this version, else for everything.
  void Connected(Time now);
  void Disconnected(Time now);
  void Feed(std::string_view bytes, Time now);
  void Tick(Time now);
  std::optional<Time> NextTick() const;
  // Asks now, unless an answer is awaited. `reset`: for everything.
  void Query(bool reset, Time now);

  std::size_t Peek(std::span<std::string_view> pieces) const { return output_.Peek(pieces); }
  void Consume(std::size_t bytes) { output_.Consume(bytes); }
  bool closing() const { return closing_; }
  bool ShouldClose() const { return closing_ && output_.empty(); }
  const std::string& close_reason() const { return close_reason_; }

  // True between queries: nothing is awaited.
  bool idle() const { return phase_ == Phase::kIdle; }
  const ClientSessionState& state() const { return state_; }
  // What the cache announced; complete when state().has_data. Valid until the next call that is not const.
  const vrp::Payloads& table() const { return table_; }

 private:
  enum class Phase : std::uint8_t { kOffline, kIdle, kAwaiting, kReceiving };

  bool ProcessOne(const Header& header, Time now);
  bool AcceptVersion(const Header& header, std::string_view pdu);
  void Handle(const Body& body, std::string_view pdu, Time now);
  void HandleError(const ErrorReport& report, std::uint8_t version, Time now);
  void HandleNotify(const SerialNotify& notify, Time now);
  void HandleResponse(const CacheResponse& response, std::string_view pdu, Time now);
  void HandleEnd(const EndOfData& end, std::string_view pdu, Time now);
  void HandleReset(std::string_view pdu, Time now);
  template <typename Record>
  void HandleRecord(const Record& record, std::string_view pdu);
  void Fail(ErrorCode code, std::string_view pdu, std::string_view text);
  void Close(std::string reason);
  void Flush();
  std::uint8_t version() const { return state_.version.value_or(asked_); }

  const ClientSessionOptions options_;
  std::uint8_t asked_;  // the version of the next query
  PduStream input_;
  OutputQueue output_;
  Phase phase_ = Phase::kOffline;
  bool full_ = false;   // what was asked for
  bool heard_ = false;  // the cache said something on this connection
  bool ever_heard_ = false;
  std::uint16_t answering_ = 0;  // session id of the answer under way
  std::optional<Update> update_;
  std::optional<SerialNotify> notified_;  // while an answer was under way
  ClientSessionState state_;
  std::uint8_t data_version_ = 0;
  vrp::Payloads table_;
  Time ask_at_;     // when idle
  Time expire_at_;  // with data
  bool closing_ = false;
  std::string close_reason_;
};

}  // namespace virp::rtr
