#include "lib/rtr/server_session.h"

#include <algorithm>

#include "fmt/format.h"

namespace virp::rtr {
namespace {

bool IsErrorReport(const Header& header) {
  return header.type == static_cast<std::uint8_t>(PduType::kErrorReport);
}

// Of last words: within so many times the flush timeout they are taken whole,
// however their octets trickle.
constexpr int kMostFlushes = 2;

}  // namespace

ServerSession::ServerSession(const ServerSessionOptions& options, std::shared_ptr<const Snapshot> snapshot, Time now)
    : options_(options),
      snapshot_(std::move(snapshot)),
      waits_since_(now),
      last_progress_(now),
      output_since_(now),
      closed_at_(now) {}

void ServerSession::Feed(std::string_view bytes, Time now) {
  if (closing_) return;
  state_.bytes_in += bytes.size();
  input_.Push(bytes);
  Process(now);
  if (closing_ || input_.rest().size() <= options_.input_limit) return;
  CutAnswers();
  Close("the router sends more than it reads", now);
}

void ServerSession::OnNewSnapshot(std::shared_ptr<const Snapshot> snapshot, Time now) {
  snapshot_ = std::move(snapshot);
  MaybeNotify(now);
}

void ServerSession::Process(Time now) {
  while (WantsRead()) {
    const auto header = input_.header();
    if (!header || !ProcessOne(*header, now)) return;
  }
}

bool ServerSession::ProcessOne(const Header& header, Time now) {
  if (const auto fault = CheckLength(header)) {
    if (IsErrorReport(header)) {
      CutAnswers();
      Close("the router sent an Error Report of an impossible length", now);
    } else {
      Fail(fault->code, input_.rest().substr(0, kHeaderSize), fault->text, now);
    }
    return false;
  }
  const auto pdu = input_.Whole(header);
  if (!pdu) return false;
  if (header.type < kPduTypes) ++state_.pdus_in.at(header.type);
  if (IsErrorReport(header)) {
    HandleErrorReport(*pdu,
                      now);  // in whatever version: an error is never answered
  } else if (AcceptVersion(header, *pdu, now)) {
    Handle(header, *pdu, now);
  }
  if (!closing_) input_.Pop(header);
  return !closing_;
}

bool ServerSession::AcceptVersion(const Header& header, std::string_view pdu, Time now) {
  if (state_.version) {
    if (header.version == version()) return true;
    Fail(RulesOf(version()).version_change, pdu,
         fmt::format("version {} in a session of version {}", header.version, version()), now);
    return false;
  }
  if (header.version >= options_.min_version && header.version <= options_.max_version) return true;
  const std::string text = fmt::format("versions {} to {} are served here", options_.min_version, options_.max_version);
  SendError(options_.max_version, ErrorCode::kUnsupportedVersion, pdu, text, now);
  // The router may come down to what the report says, on this connection or the
  // next. It cannot go up.
  waits_since_ = now;
  if (header.version < options_.min_version || ++version_errors_ >= options_.max_version_errors) {
    Close(fmt::format("the router asks in version {}; {}", header.version, text), now);
  }
  return false;
}

void ServerSession::Handle(const Header& header, std::string_view pdu, Time now) {
  const VersionRules& rules = RulesOf(header.version);
  Body body;
  auto fault = CheckShape(header, rules);
  if (!fault) fault = Decode(pdu, body);
  const auto* const serial = std::get_if<SerialQuery>(&body);
  const bool query = serial != nullptr || std::holds_alternative<ResetQuery>(body);
  if (!fault && !query) fault = Fault{ErrorCode::kInvalidRequest, "a router sends queries only"};
  if (fault) {
    Fail(rules.Has(fault->code) ? fault->code : ErrorCode::kCorruptData, pdu, fault->text, now);
    return;
  }
  if (!state_.version) {
    state_.version = header.version;
    events_.push_back({.kind = SessionEvent::Kind::kVersionAgreed});
  }
  if (serial != nullptr) {
    AnswerSerial(*serial, pdu, now);
  } else {
    AnswerReset(pdu, now);
  }
}

void ServerSession::HandleErrorReport(std::string_view pdu, Time now) {
  CutAnswers();
  Body body = ErrorReport{};
  // The shape is the same in each version.
  if (CheckShape(ReadHeader(pdu), RulesOf(0)) || Decode(pdu, body)) {
    Close("the router sent an Error Report that cannot be read", now);
    return;
  }
  const auto& report = std::get<ErrorReport>(body);
  state_.error_received = ErrorNote{.code = report.code, .text = Printable(report.text)};
  events_.push_back({.kind = SessionEvent::Kind::kErrorReceived, .error = *state_.error_received});
  Close(fmt::format("the router reports error {} ({}): {}", report.code, ErrorCodeName(report.code),
                    state_.error_received->text),
        now);
}

void ServerSession::AnswerReset(std::string_view pdu, Time now) {
  if (snapshot_ == nullptr) return SendNoData(pdu, now);
  ++state_.full_answers;
  Answer(snapshot_->Image(version()), now);
}

// A Serial Notify follows when there is something, be it what the router had
// before.
void ServerSession::SendNoData(std::string_view pdu, Time now) {
  told_.reset();
  SendError(version(), ErrorCode::kNoDataAvailable, pdu, "there is nothing to serve now", now);
}

void ServerSession::AnswerSerial(const SerialQuery& query, std::string_view pdu, Time now) {
  if (agreed_session_ && query.session != *agreed_session_ &&
      (snapshot_ == nullptr || query.session != snapshot_->session(version()))) {
    Fail(ErrorCode::kCorruptData, pdu,
         fmt::format("session {} was agreed, the query is for {}", *agreed_session_, query.session), now);
    return;
  }
  if (snapshot_ == nullptr) return SendNoData(pdu, now);
  if (query.session != snapshot_->session(version())) {
    if (!RulesOf(version()).unknown_session_resets) {
      return Fail(ErrorCode::kCorruptData, pdu, "the session is not known here", now);
    }
    ++state_.unknown_session_resets;
    SendCacheReset(now);
    return;
  }
  const auto body = snapshot_->Answer(version(), query.serial);
  ServedData confirmed{.session = query.session, .serial = query.serial, .hash = {}};
  const auto& sent = state_.sent;
  const bool sent_here = sent && sent->session == query.session && sent->serial == query.serial;
  if (sent_here) confirmed.hash = sent->hash;
  if (sent_here || snapshot_->Reaches(version(),
                                      query.serial)) {  // else anybody could have us say that
                                                        // a router has what we never gave
    state_.confirmed = confirmed;
    events_.push_back({.kind = SessionEvent::Kind::kConfirmed, .data = confirmed});
  }
  if (!body) {
    SendCacheReset(now);
    return;
  }
  ++state_.incremental_answers;
  Answer(*body, now);
}

void ServerSession::Answer(const Encoded& body, Time now) {
  const auto [session, serial] = Current();
  std::string pdu;
  AppendCacheResponse(pdu, version(), session);
  Send(PduType::kCacheResponse, pdu, now);
  output_.Append(body.bytes);
  for (std::size_t type = 0; type < kPduTypes; ++type) state_.pdus_out.at(type) += body.pdus.at(type);
  pdu.clear();
  AppendEndOfData(pdu, version(), session, serial, options_.timers);
  Send(PduType::kEndOfData, pdu, now);
  on_the_way_.emplace_back(output_.appended(),
                           ServedData{.session = session, .serial = serial, .hash = snapshot_->hash()});
  agreed_session_ = session;
  told_ = Current();
}

void ServerSession::SendCacheReset(Time now) {
  std::string pdu;
  AppendCacheReset(pdu, version());
  Send(PduType::kCacheReset, pdu, now);
  ++state_.cache_resets;
  events_.push_back({.kind = SessionEvent::Kind::kCacheResetSent});
  told_ = Current();
}

bool ServerSession::NotifyPending() const {
  return options_.notify && !closing_ && state_.version && snapshot_ != nullptr && told_ != Current();
}

// Only behind all answers, so that what is said is the newest.
void ServerSession::MaybeNotify(Time now) {
  if (!NotifyPending() || !output_.empty()) return;
  if (last_notify_ && now < *last_notify_ + options_.notify_interval) return;
  const auto [session, serial] = Current();
  std::string pdu;
  AppendSerialNotify(pdu, version(), session, serial);
  Send(PduType::kSerialNotify, pdu, now);
  told_ = Current();
  last_notify_ = now;
}

void ServerSession::Tick(Time now) {
  const auto stalled = StallDeadline();
  if (stalled && now >= *stalled) {
    if (closing_) {
      output_.Clear();
      return;
    }
    GiveUp("the router does not read", now);
    return;
  }
  if (!closing_ && !state_.version && now >= waits_since_ + options_.first_query_timeout) {
    Close("the router sent no query that can be served", now);
    return;
  }
  MaybeNotify(now);
}

// What was being sent is of no use any more, and would keep its set in memory.
// An End of Data that has begun to leave stays.
void ServerSession::CutAnswers() {
  output_.CutToPdu();
  while (!on_the_way_.empty() && on_the_way_.back().first > output_.appended()) on_the_way_.pop_back();
}

void ServerSession::GiveUp(std::string_view why, Time now) {
  if (closing_) return;
  CutAnswers();
  if (state_.version && RulesOf(version()).stall_report) {
    SendError(version(), ErrorCode::kTransportFailure, {}, why, now);
  } else {
    output_.Clear();
  }
  Close(std::string(why), now);
}

// What is read too slowly keeps old sets in memory; behind the expiry of its
// data it is of no use either.
std::optional<ServerSession::Time> ServerSession::StallDeadline() const {
  if (output_.empty()) return std::nullopt;
  if (closing_)
    return std::min(last_progress_ + options_.flush_timeout, closed_at_ + kMostFlushes * options_.flush_timeout);
  return std::min(last_progress_ + std::chrono::seconds(3 * options_.timers.retry),
                  output_since_ + std::min(options_.answer_timeout, std::chrono::seconds(options_.timers.expire)));
}

std::optional<ServerSession::Time> ServerSession::NextTick() const {
  std::optional<Time> next = StallDeadline();
  const auto sooner = [&](Time time) { next = next ? std::min(*next, time) : time; };
  if (!closing_ && !state_.version) sooner(waits_since_ + options_.first_query_timeout);
  if (NotifyPending() && output_.empty()) {
    sooner(last_notify_ ? *last_notify_ + options_.notify_interval : last_progress_);
  }
  return next;
}

void ServerSession::Shutdown(ErrorCode report, Time now) {
  if (closing_) return;
  CutAnswers();
  const std::string_view text = ErrorCodeName(static_cast<std::uint16_t>(report));
  if (state_.version && RulesOf(version()).shutdown_reports) {
    SendError(version(), report, {}, text, now);
  }
  Close(std::string(text), now);
}

void ServerSession::Consume(std::size_t bytes, Time now) {
  if (bytes == 0) return;
  output_.Consume(bytes);
  state_.bytes_out += bytes;
  last_progress_ = now;
  while (!on_the_way_.empty() && on_the_way_.front().first <= output_.consumed()) {
    state_.sent = on_the_way_.front().second;
    events_.push_back({.kind = SessionEvent::Kind::kEndOfDataSent, .data = *state_.sent});
    on_the_way_.pop_front();
  }
  Process(now);
  MaybeNotify(now);
}

void ServerSession::Send(PduType type, std::string_view pdu, Time now) {
  if (output_.empty()) {
    last_progress_ = now;
    output_since_ = now;
  }
  output_.Append(pdu);
  ++state_.pdus_out.at(static_cast<std::size_t>(type));
}

void ServerSession::SendError(std::uint8_t version, ErrorCode code, std::string_view pdu, std::string_view text,
                              Time now) {
  std::string report;
  AppendErrorReport(report, version, code, pdu, text);
  Send(PduType::kErrorReport, report, now);
  state_.error_sent = ErrorNote{.code = static_cast<std::uint16_t>(code), .text = std::string(text)};
  events_.push_back({.kind = SessionEvent::Kind::kErrorSent, .error = *state_.error_sent});
}

// The version of an Error Report to a peer with which none is agreed: its own
// where that is served.
std::uint8_t ServerSession::VersionFor(std::uint8_t asked) const {
  if (state_.version) return *state_.version;
  return asked >= options_.min_version && asked <= options_.max_version ? asked : options_.max_version;
}

void ServerSession::Fail(ErrorCode code, std::string_view pdu, std::string_view text, Time now) {
  const std::uint8_t version = VersionFor(ReadHeader(pdu).version);
  CutAnswers();
  SendError(version, code, pdu, text, now);
  Close(fmt::format("error {} ({}) sent: {}", static_cast<std::uint16_t>(code),
                    ErrorCodeName(static_cast<std::uint16_t>(code)), text),
        now);
}

void ServerSession::Close(std::string reason, Time now) {
  closing_ = true;
  close_reason_ = std::move(reason);
  last_progress_ = closed_at_ = now;
  input_.Clear();
}

}  // namespace virp::rtr
