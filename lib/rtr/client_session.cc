#include "lib/rtr/client_session.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "fmt/format.h"

namespace virp::rtr {

void ClientSession::Connected(Time now) {
  input_.Clear();
  output_.Clear();
  closing_ = heard_ = false;
  close_reason_.clear();
  state_.version.reset();
  update_.reset();
  notified_.reset();
  phase_ = Phase::kIdle;
  Query(false, now);
}

void ClientSession::Disconnected(Time now) {
  // Caches of before version 1 close without a word when they are asked in a version that they do not know.
  // Once there was an answer, silence is a fault of the network.
  if (phase_ != Phase::kOffline && !heard_ && !ever_heard_ && asked_ > options_.min_version) --asked_;
  phase_ = Phase::kOffline;
  update_.reset();
  output_.Clear();
  ask_at_ = now;
}

void ClientSession::Query(bool reset, Time now) {
  if (phase_ != Phase::kIdle || closing_) return;
  std::string pdu;
  full_ = reset || !state_.has_data || data_version_ != version();
  if (full_) {
    AppendResetQuery(pdu, version());
  } else {
    AppendSerialQuery(pdu, version(), state_.session, state_.serial);
  }
  output_.Append(pdu);
  phase_ = Phase::kAwaiting;
  ask_at_ = now + std::chrono::seconds(state_.timers.retry);
}

void ClientSession::Feed(std::string_view bytes, Time now) {
  if (closing_ || phase_ == Phase::kOffline) return;
  state_.bytes_in += bytes.size();
  heard_ = ever_heard_ = true;
  if (phase_ == Phase::kReceiving) ask_at_ = now + std::chrono::seconds(state_.timers.retry);
  input_.Push(bytes);
  while (!closing_) {
    const auto header = input_.header();
    if (!header || !ProcessOne(*header, now)) return;
  }
}

bool ClientSession::ProcessOne(const Header& header, Time now) {
  const bool error_report = header.type == static_cast<std::uint8_t>(PduType::kErrorReport);
  auto fault = CheckLength(header);
  // An Error Report may come in any version, and looks the same in each. All else of a version that we do not know is
  // refused for that.
  if (!fault && error_report) fault = CheckShape(header, RulesOf(0));
  if (!fault && header.version <= kMaxVersion) fault = CheckShape(header, RulesOf(header.version));
  if (fault && error_report) {
    Close("the cache sent an Error Report that cannot be read");
    return false;
  }
  if (fault) {
    Fail(fault->code, input_.rest().substr(0, kHeaderSize), fault->text);
    return false;
  }
  const auto pdu = input_.Whole(header);
  if (!pdu) return false;
  if (header.type < kPduTypes) ++state_.pdus_in.at(header.type);
  if (!error_report && !AcceptVersion(header, *pdu)) {
    if (!closing_) input_.Pop(header);
    return !closing_;
  }
  Body body;
  fault = Decode(*pdu, body);
  if (fault && error_report) {
    Close("the cache sent an Error Report that cannot be read");
  } else if (fault && (options_.strict || fault->code != ErrorCode::kAspaProviderList)) {
    Fail(RulesOf(version()).Has(fault->code) ? fault->code : ErrorCode::kCorruptData, *pdu, fault->text);
  } else if (error_report) {
    HandleError(std::get<ErrorReport>(body), header.version, now);
  } else if (!fault) {
    Handle(body, *pdu, now);
  }
  if (!closing_) input_.Pop(header);
  return !closing_;
}

// False also for what is to be passed over.
bool ClientSession::AcceptVersion(const Header& header, std::string_view pdu) {
  if (!state_.version) {
    if (header.type == static_cast<std::uint8_t>(PduType::kSerialNotify)) return false;
    if (header.version > asked_ || header.version < options_.min_version) {
      Fail(ErrorCode::kUnsupportedVersion, pdu, fmt::format("asked in version {}", asked_));
      return false;
    }
    state_.version = asked_ = header.version;
    return true;
  }
  if (header.version == *state_.version) return true;
  Fail(RulesOf(version()).version_change, pdu, "another version in the session");
  return false;
}

void ClientSession::Handle(const Body& body, std::string_view pdu, Time now) {
  std::visit(
      [&](const auto& content) {
        using T = std::decay_t<decltype(content)>;
        if constexpr (std::is_same_v<T, SerialNotify>) {
          HandleNotify(content, now);
        } else if constexpr (std::is_same_v<T, CacheResponse>) {
          HandleResponse(content, pdu, now);
        } else if constexpr (std::is_same_v<T, EndOfData>) {
          HandleEnd(content, pdu, now);
        } else if constexpr (std::is_same_v<T, CacheReset>) {
          HandleReset(pdu, now);
        } else if constexpr (std::is_same_v<T, Ipv4Prefix> || std::is_same_v<T, Ipv6Prefix> ||
                             std::is_same_v<T, RouterKey> || std::is_same_v<T, Aspa>) {
          HandleRecord(content, pdu);
        } else {
          Fail(ErrorCode::kInvalidRequest, pdu, "a cache sends no queries");
        }
      },
      body);
}

template <typename Record>
void ClientSession::HandleRecord(const Record& record, std::string_view pdu) {
  if (phase_ != Phase::kReceiving) {
    Fail(ErrorCode::kCorruptData, pdu, "a record outside of an answer");
    return;
  }
  if (full_ && !record.announce && options_.strict) {
    Fail(ErrorCode::kUnknownWithdrawal, pdu, "a withdrawal in a full answer");
    return;
  }
  if (const auto fault = update_->Add(record)) Fail(fault->code, pdu, fault->text);
}

void ClientSession::HandleNotify(const SerialNotify& notify, Time now) {
  ++state_.notifies;
  if (phase_ != Phase::kIdle) {
    notified_ = notify;
  } else if (!state_.has_data || notify.session != state_.session) {
    Query(true, now);
  } else if (notify.serial != state_.serial) {
    Query(false, now);
  }
}

void ClientSession::HandleResponse(const CacheResponse& response, std::string_view pdu, Time now) {
  if (phase_ != Phase::kAwaiting) {
    Fail(ErrorCode::kCorruptData, pdu, "a Cache Response that nothing asked for");
    return;
  }
  if (!full_ && (response.session != state_.session || data_version_ != version())) {
    Fail(ErrorCode::kCorruptData, pdu, "the answer is of another session than the query");
    return;
  }
  phase_ = Phase::kReceiving;
  answering_ = response.session;
  const bool order = options_.check_order || (options_.strict && RulesOf(version()).order_required);
  update_.emplace(
      Update::Rules{.version = version(), .order = order, .strict = options_.strict, .keep = options_.keep});
  ask_at_ = now + std::chrono::seconds(state_.timers.retry);
}

void ClientSession::HandleEnd(const EndOfData& end, std::string_view pdu, Time now) {
  if (phase_ != Phase::kReceiving || end.session != answering_) {
    Fail(ErrorCode::kCorruptData, pdu, "an End of Data that ends no answer");
    return;
  }
  if (end.timers && !WhyWrong(*end.timers).empty() && options_.strict) {
    Fail(ErrorCode::kCorruptData, pdu, WhyWrong(*end.timers));
    return;
  }
  if (full_) table_ = {};
  if (const auto late = update_->ApplyTo(table_)) {
    Fail(late->fault.code, late->pdu, late->fault.text);
    return;
  }
  if (end.timers && WhyWrong(*end.timers).empty()) state_.timers = *end.timers;
  state_.last_update = {.full = full_, .announced = update_->announced(), .withdrawn = update_->withdrawn()};
  ++state_.updates;
  state_.has_data = true;
  state_.session = answering_;
  state_.serial = end.serial;
  data_version_ = version();
  update_.reset();
  phase_ = Phase::kIdle;
  ask_at_ = now + std::chrono::seconds(state_.timers.refresh);
  expire_at_ = now + std::chrono::seconds(state_.timers.expire);
  if (notified_) {
    const SerialNotify notify = *std::exchange(notified_, std::nullopt);
    const bool newer = notify.session != state_.session || SerialLess(state_.serial, notify.serial);
    if (newer) Query(notify.session != state_.session, now);
  }
}

void ClientSession::HandleReset(std::string_view pdu, Time now) {
  if (phase_ != Phase::kAwaiting || full_) {
    Fail(ErrorCode::kCorruptData, pdu, "a Cache Reset that answers no Serial Query");
    return;
  }
  ++state_.cache_resets;
  phase_ = Phase::kIdle;
  Query(true, now);
}

void ClientSession::HandleError(const ErrorReport& report, std::uint8_t version, Time now) {
  state_.error_received = ErrorNote{.code = report.code, .text = Printable(report.text)};
  const auto code = static_cast<ErrorCode>(report.code);
  const std::string said = fmt::format("the cache reports error {} ({}): {}", report.code, ErrorCodeName(report.code),
                                       state_.error_received->text);
  if (code == ErrorCode::kUnsupportedVersion && !state_.version && version < asked_ &&
      version >= options_.min_version) {
    asked_ = version;
    phase_ = Phase::kIdle;
    Query(false, now);  // lost if the cache closes; asked again on the next connection
    return;
  }
  if (code == ErrorCode::kNoDataAvailable && phase_ == Phase::kAwaiting && version == this->version()) {
    state_.version = version;
    phase_ = Phase::kIdle;
    ask_at_ = now + std::chrono::seconds(state_.timers.retry);
    return;
  }
  if (IsFatal(report.code)) Flush();
  Close(said);
}

void ClientSession::Tick(Time now) {
  if (state_.has_data && now >= expire_at_) Flush();
  if (closing_ || phase_ == Phase::kOffline || now < ask_at_) return;
  if (phase_ == Phase::kIdle) {
    Query(false, now);
  } else {
    Close("the cache does not answer");
  }
}

std::optional<ClientSession::Time> ClientSession::NextTick() const {
  std::optional<Time> next;
  if (state_.has_data) next = expire_at_;
  if (!closing_ && phase_ != Phase::kOffline) next = next ? std::min(*next, ask_at_) : ask_at_;
  return next;
}

void ClientSession::Fail(ErrorCode code, std::string_view pdu, std::string_view text) {
  std::string report;
  AppendErrorReport(report, version(), code, pdu, text);
  output_.Append(report);
  state_.error_sent = ErrorNote{.code = static_cast<std::uint16_t>(code), .text = std::string(text)};
  if (IsFatal(static_cast<std::uint16_t>(code))) Flush();
  Close(fmt::format("error {} ({}) sent: {}", static_cast<std::uint16_t>(code),
                    ErrorCodeName(static_cast<std::uint16_t>(code)), text));
}

void ClientSession::Flush() {
  table_ = {};
  state_.has_data = false;
}

void ClientSession::Close(std::string reason) {
  closing_ = true;
  close_reason_ = std::move(reason);
  update_.reset();
  input_.Clear();
}

}  // namespace virp::rtr
