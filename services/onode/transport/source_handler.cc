#include "services/onode/transport/source_handler.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/service/wire.h"
#include "services/onode/transport/source_wire.h"
#include "services/onode/transport/wire.h"

namespace virp::onode {
namespace {

namespace pb = ::virp::source::v1;

constexpr std::chrono::milliseconds kMostWait{30'000};
constexpr std::size_t kMaxReason = 1'024;
constexpr std::uint64_t kMaxAdmitted = 100'000;

bool IsUuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    const char c = text[i];
    const bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    if (dash ? c != '-' : !hex) return false;
  }
  return true;
}

// NOT_FOUND with reason NO_SOURCE when the chain has no source of that name.
absl::Status NeedSource(const chain::SourceBook& book, const Chain& chain, const std::string& name) {
  if (book.FindByName(name) != nullptr) return absl::OkStatus();
  return WithReason(NotFound("chain {} has no source {}", chain.origin(), name), "NO_SOURCE");
}

// The entry that a repeated request_id made must be the one that this request would make.
absl::Status CheckSame(const Chain& chain, std::uint64_t sequence, const Chain::OwnEntry& wanted) {
  ASSIGN_OR_RETURN(const EntryRow row, chain.ReadChecked(sequence));
  ASSIGN_OR_RETURN(const chain::Entry entry, chain::DecodeEntry(row.bytes));
  ASSIGN_OR_RETURN(const frame::Frame frame, frame::Decode(entry.frame, entry.header.spelling));
  if (frame.header.type == wanted.type && frame.payload == wanted.payload) return absl::OkStatus();
  return WithReason(AlreadyExists("this request_id was used for another request, answered by entry {}", sequence),
                    "REQUEST_ID_REUSED");
}

// Enters what `build` gives. The key statement is rebuilt for the comparison of a repeat, so `build` must not depend on
// time.
absl::StatusOr<Chain::Mutation> Enter(Chain& chain, const std::string& request_id, std::chrono::nanoseconds timeout,
                                      const std::function<Chain::OwnEntry()>& build,
                                      const std::function<absl::Status(const chain::SourceBook&)>& check) {
  ASSIGN_OR_RETURN(Chain::Mutation done,
                   chain.Mutate(
                       request_id,
                       [&](const chain::SourceBook& book) -> absl::StatusOr<std::vector<Chain::OwnEntry>> {
                         RETURN_IF_ERROR(check(book));
                         return std::vector<Chain::OwnEntry>{build()};
                       },
                       timeout));
  if (done.replayed) RETURN_IF_ERROR(CheckSame(chain, done.entries.front(), build()));
  return done;
}

}  // namespace

absl::StatusOr<SourceHandler::Change> SourceHandler::Begin(const grpc::ServerContext& context,
                                                           const std::string& origin, const std::string& source,
                                                           const std::string& request_id, const std::string& reason,
                                                           bool reason_required) const {
  Change change;
  ASSIGN_OR_RETURN(change.chain, node_.Find(origin));
  ASSIGN_OR_RETURN(const service::Identity caller, callers_->Resolve(context));
  if (scopes_ != nullptr) RETURN_IF_ERROR(scopes_->Check(caller, {change.chain->origin(), source, std::nullopt}));
  change.by = caller.spiffe_id.empty() ? service::Describe(caller) : caller.spiffe_id;
  change.timeout = DeadlineOf(context.deadline(), kMostWait) - std::chrono::steady_clock::now();
  if (!IsUuid(request_id)) return InvalidField("request_id", "is not a UUID; make a new one for each change");
  if (reason_required && reason.empty()) return InvalidField("reason", "is empty; it goes into the chain");
  if (reason.size() > kMaxReason)
    return InvalidField("reason", fmt::format("has {} bytes; at most {}", reason.size(), kMaxReason));
  return change;
}

absl::StatusOr<std::uint64_t> SourceHandler::EnterRegistration(const grpc::ServerContext& context,
                                                               const pb::RegisterSourceRequest& request) const {
  ASSIGN_OR_RETURN(const Change change, Begin(context, request.origin(), request.source().name(), request.request_id(),
                                              request.reason(), false));
  chain::SourceEvent event;
  event.event = chain::SourceEvent::Event::kRegistered;
  event.source = request.source().name();
  event.by = change.by;
  event.reason = request.reason();
  event.request_id = request.request_id();
  ASSIGN_OR_RETURN(event.registration, RegistrationOf(request.source()));
  chain::KeyStatement& key = event.registration->key;
  std::shared_ptr<const frame::OKey> secret;
  for (const frame::KeyVersion& version : change.chain->keys().provider().Versions(event.source)) {
    if (version.version != key.version) continue;
    secret = version.key;
    key.accept_from = version.accept_from;
    key.accept_until = version.accept_until;
  }
  if (secret == nullptr || secret->suite() != key.suite) {
    return WithReason(
        FailedPrecondition(
            "the O-Node has no {} key of version {} for source {}: put its file into the key directory first",
            frame::SuiteName(key.suite), key.version, event.source),
        "KEY_MISSING");
  }
  key.public_key = secret->public_key();
  key.commitment = secret->Commitment(event.source, key.version);
  const auto check = [&](const chain::SourceBook& book) { return book.CheckSourceEvent(event); };
  if (request.validate_only()) {
    RETURN_IF_ERROR(change.chain->Read([&](const ChainState& state) { return check(state.book); }));
    return chain::kNone;
  }
  ASSIGN_OR_RETURN(const auto done, Enter(
                                        *change.chain, request.request_id(), change.timeout,
                                        [&] {
                                          return Chain::OwnEntry{frame::Type::kSourceEvent, frame::Tier::kGreen,
                                                                 chain::BuildSourceEvent(event)};
                                        },
                                        check));
  return done.entries.front();
}

absl::StatusOr<std::uint64_t> SourceHandler::EnterUpdate(const grpc::ServerContext& context,
                                                         const pb::UpdateSourceRequest& request) const {
  const std::string& name = request.source().name();
  ASSIGN_OR_RETURN(const Change change,
                   Begin(context, request.origin(), name, request.request_id(), request.reason(), false));
  chain::SourceEvent event;
  event.event = chain::SourceEvent::Event::kChanged;
  event.source = name;
  event.by = change.by;
  event.reason = request.reason();
  event.request_id = request.request_id();
  ASSIGN_OR_RETURN(event.registration, RegistrationOf(request.source()));
  RETURN_IF_ERROR(
      change.chain->Read([&](const ChainState& state) { return NeedSource(state.book, *change.chain, name); }));
  const auto present = change.chain->Read([&](const ChainState& state) { return state.book.FindByName(name); });
  event.registration->key = present->registration.key;  // name, suite and keys stay
  const auto check = [&](const chain::SourceBook& book) -> absl::Status {
    const auto now = book.FindByName(name);
    if (now != nullptr && EtagOf(*now) != request.source().etag()) {
      return WithReason(Aborted("source {} was changed since etag {}; read it again", name, request.source().etag()),
                        "ETAG_MISMATCH");
    }
    return book.CheckSourceEvent(event);
  };
  if (request.validate_only()) {
    RETURN_IF_ERROR(change.chain->Read([&](const ChainState& state) { return check(state.book); }));
    return chain::kNone;
  }
  ASSIGN_OR_RETURN(const auto done, Enter(
                                        *change.chain, request.request_id(), change.timeout,
                                        [&] {
                                          return Chain::OwnEntry{frame::Type::kSourceEvent, frame::Tier::kGreen,
                                                                 chain::BuildSourceEvent(event)};
                                        },
                                        check));
  return done.entries.front();
}

template <typename Request>
absl::StatusOr<std::uint64_t> SourceHandler::EnterEvent(const grpc::ServerContext& context, const Request& request,
                                                        chain::SourceEvent event) const {
  ASSIGN_OR_RETURN(const Change change,
                   Begin(context, request.origin(), request.name(), request.request_id(), request.reason(), true));
  event.source = request.name();
  event.by = change.by;
  event.reason = request.reason();
  event.request_id = request.request_id();
  if (event.event == chain::SourceEvent::Event::kEpochReset) {
    event.epoch = change.chain->Read([&](const ChainState& state) {
      const auto source = state.book.FindByName(event.source);
      const chain::Channel* channel = source == nullptr ? nullptr : state.book.FindChannel(source->short_id);
      return channel == nullptr ? std::uint64_t{0} : channel->newest_epoch;
    });
  }
  ASSIGN_OR_RETURN(
      const auto done,
      Enter(
          *change.chain, request.request_id(), change.timeout,
          [&] {
            return Chain::OwnEntry{frame::Type::kSourceEvent, frame::Tier::kGreen, chain::BuildSourceEvent(event)};
          },
          [&](const chain::SourceBook& book) -> absl::Status {
            RETURN_IF_ERROR(NeedSource(book, *change.chain, event.source));
            if (event.event == chain::SourceEvent::Event::kEpochReset && event.epoch == 0) {
              return FailedPrecondition("source {} has not sent anything: it has no epoch to reset", event.source);
            }
            return book.CheckSourceEvent(event);
          }));
  return done.entries.front();
}

absl::StatusOr<std::uint64_t> SourceHandler::EnterBlack(const grpc::ServerContext& context,
                                                        const pb::MarkBlackRequest& request) const {
  ASSIGN_OR_RETURN(const Change change,
                   Begin(context, request.origin(), request.name(), request.request_id(), request.reason(), true));
  if (request.key_version() != 0) {
    chain::KeyEvent event;
    event.event = chain::KeyEvent::Event::kCompromised;
    event.source = request.name();
    event.version = request.key_version();
    event.by = change.by;
    event.reason = request.reason();
    event.request_id = request.request_id();
    event.compromised_since = clock_.NowNanos();
    if (request.has_compromised_since()) {
      ASSIGN_OR_RETURN(event.compromised_since, service::NanosOf(request.compromised_since(), "compromised_since"));
    }
    const auto decide = [&](const chain::SourceBook& book) -> absl::StatusOr<std::vector<Chain::OwnEntry>> {
      RETURN_IF_ERROR(NeedSource(book, *change.chain, event.source));
      RETURN_IF_ERROR(book.CheckKeyEvent(event));
      return std::vector<Chain::OwnEntry>{{frame::Type::kKeyEvent, frame::Tier::kYellow, chain::BuildKeyEvent(event)}};
    };
    ASSIGN_OR_RETURN(const auto done, change.chain->Mutate(request.request_id(), decide, change.timeout));
    return done.entries.front();
  }
  chain::Alarm alarm;
  alarm.source = request.name();
  alarm.cause = "OPERATOR";
  alarm.state = chain::ChannelState::kBlack;
  alarm.by = change.by;
  alarm.reason = request.reason();
  alarm.request_id = request.request_id();
  ASSIGN_OR_RETURN(
      const auto done,
      Enter(
          *change.chain, request.request_id(), change.timeout,
          [&] { return Chain::OwnEntry{frame::Type::kChannelAlarm, frame::Tier::kYellow, chain::BuildAlarm(alarm)}; },
          [&](const chain::SourceBook& book) { return NeedSource(book, *change.chain, alarm.source); }));
  return done.entries.front();
}

absl::Status SourceHandler::Clear(const grpc::ServerContext& context, const pb::ClearAlarmRequest& request,
                                  pb::ClearAlarmResponse& response) const {
  if (request.source().empty() && request.cause().empty())
    return InvalidField("source", "and cause are both empty; name at least one");
  ASSIGN_OR_RETURN(const Change change,
                   Begin(context, request.origin(), request.source(), request.request_id(), request.reason(), true));
  std::vector<chain::AlarmCleared> cleared;
  const auto collect = [&](const chain::SourceBook& book) -> absl::Status {
    if (!request.source().empty()) RETURN_IF_ERROR(NeedSource(book, *change.chain, request.source()));
    cleared.clear();
    for (const auto& source : book.Sources()) {
      const chain::Channel* channel = book.FindChannel(source->short_id);
      if (channel == nullptr || (!request.source().empty() && source->registration.source != request.source()))
        continue;
      for (const auto& [cause, alarm] : channel->alarms) {
        if (!request.cause().empty() && cause != request.cause()) continue;
        cleared.push_back({source->registration.source, cause, change.by, request.reason(), request.request_id()});
      }
    }
    return cleared.empty()
               ? NotFound("no standing alarm fits source '{}' and cause '{}'", request.source(), request.cause())
               : absl::OkStatus();
  };
  std::vector<std::uint64_t> entries;
  if (request.validate_only()) {
    RETURN_IF_ERROR(change.chain->Read([&](const ChainState& state) { return collect(state.book); }));
  } else {
    ASSIGN_OR_RETURN(
        const auto done,
        change.chain->Mutate(
            request.request_id(),
            [&](const chain::SourceBook& book) -> absl::StatusOr<std::vector<Chain::OwnEntry>> {
              RETURN_IF_ERROR(collect(book));
              std::vector<Chain::OwnEntry> payloads;
              for (const auto& one : cleared)
                payloads.push_back({frame::Type::kAlarmCleared, frame::Tier::kGreen, chain::BuildAlarmCleared(one)});
              return payloads;
            },
            change.timeout));
    entries = done.entries;
  }
  for (std::size_t i = 0; i < std::max(cleared.size(), entries.size()); ++i) {
    auto& one = *response.add_cleared();
    if (i < cleared.size()) one.set_source(cleared[i].source);
    if (i < cleared.size()) one.set_cause(cleared[i].cause);
    if (i < entries.size()) one.set_entry(entries[i]);
  }
  return absl::OkStatus();
}

absl::StatusOr<pb::Source> SourceHandler::Describe(const std::string& origin, const std::string& name) const {
  ASSIGN_OR_RETURN(const Chain* const chain, node_.Find(origin));
  return chain->Read([&](const ChainState& state) -> absl::StatusOr<pb::Source> {
    RETURN_IF_ERROR(NeedSource(state.book, *chain, name));
    const auto source = state.book.FindByName(name);
    return MessageOf(*source, state.book.FindChannel(source->short_id));
  });
}

// The common end of changes: the source as it is now, and the entry.
#define VIRP_ANSWER_CHANGE(ENTERED, NAME)            \
  const auto entered = ENTERED;                      \
  if (!entered.ok()) return Reply(entered.status()); \
  if (*entered == chain::kNone) {                    \
    *response->mutable_source() = request->source(); \
    return grpc::Status::OK;                         \
  }                                                  \
  response->set_entry(*entered);                     \
  return ReplyWith(Describe(request->origin(), NAME), response->mutable_source())

grpc::Status SourceHandler::RegisterSource(grpc::ServerContext* context, const pb::RegisterSourceRequest* request,
                                           pb::RegisterSourceResponse* response) {
  VIRP_ANSWER_CHANGE(EnterRegistration(*context, *request), request->source().name());
}

grpc::Status SourceHandler::UpdateSource(grpc::ServerContext* context, const pb::UpdateSourceRequest* request,
                                         pb::UpdateSourceResponse* response) {
  VIRP_ANSWER_CHANGE(EnterUpdate(*context, *request), request->source().name());
}
#undef VIRP_ANSWER_CHANGE

#define VIRP_ANSWER_EVENT(ENTERED)                   \
  const auto entered = ENTERED;                      \
  if (!entered.ok()) return Reply(entered.status()); \
  response->set_entry(*entered);                     \
  return ReplyWith(Describe(request->origin(), request->name()), response->mutable_source())

grpc::Status SourceHandler::SuspendSource(grpc::ServerContext* context, const pb::SuspendSourceRequest* request,
                                          pb::SuspendSourceResponse* response) {
  chain::SourceEvent event;
  event.event = chain::SourceEvent::Event::kSuspended;
  VIRP_ANSWER_EVENT(EnterEvent(*context, *request, event));
}

grpc::Status SourceHandler::ResumeSource(grpc::ServerContext* context, const pb::ResumeSourceRequest* request,
                                         pb::ResumeSourceResponse* response) {
  chain::SourceEvent event;
  event.event = chain::SourceEvent::Event::kResumed;
  VIRP_ANSWER_EVENT(EnterEvent(*context, *request, event));
}

grpc::Status SourceHandler::MarkBlack(grpc::ServerContext* context, const pb::MarkBlackRequest* request,
                                      pb::MarkBlackResponse* response) {
  VIRP_ANSWER_EVENT(EnterBlack(*context, *request));
}

grpc::Status SourceHandler::ResetSourceEpoch(grpc::ServerContext* context, const pb::ResetSourceEpochRequest* request,
                                             pb::ResetSourceEpochResponse* response) {
  chain::SourceEvent event;
  event.event = chain::SourceEvent::Event::kEpochReset;
  VIRP_ANSWER_EVENT(EnterEvent(*context, *request, event));
}
#undef VIRP_ANSWER_EVENT

grpc::Status SourceHandler::AdmitLate(grpc::ServerContext* context, const pb::AdmitLateRequest* request,
                                      pb::AdmitLateResponse* response) {
  if (request->from() > request->to() || request->to() - request->from() > kMaxAdmitted) {
    return Reply(InvalidField("to", fmt::format("must not be below from, nor more than {} behind it", kMaxAdmitted)));
  }
  chain::SourceEvent event;
  event.event = chain::SourceEvent::Event::kLateAdmitted;
  event.epoch = request->epoch();
  event.from = request->from();
  event.to = request->to();
  const auto entered = EnterEvent(*context, *request, event);
  if (entered.ok()) response->set_entry(*entered);
  return Reply(entered.status());
}

grpc::Status SourceHandler::ClearAlarm(grpc::ServerContext* context, const pb::ClearAlarmRequest* request,
                                       pb::ClearAlarmResponse* response) {
  return Reply(Clear(*context, *request, *response));
}

grpc::Status SourceHandler::GetSource(grpc::ServerContext*, const pb::GetSourceRequest* request,
                                      pb::GetSourceResponse* response) {
  return ReplyWith(Describe(request->origin(), request->name()), response->mutable_source());
}

grpc::Status SourceHandler::ListSources(grpc::ServerContext*, const pb::ListSourcesRequest* request,
                                        pb::ListSourcesResponse* response) {
  const auto chain = node_.Find(request->origin());
  if (!chain.ok()) return Reply(chain.status());
  const auto page = service::PageSizeOf(request->page_size());
  if (!page.ok()) return Reply(page.status());
  const auto after = service::ReadPageToken(request->page_token(), request->alarmed_only() ? "alarmed" : "all");
  if (!after.ok()) return Reply(after.status());
  (*chain)->Read([&](const ChainState& state) {
    for (const auto& source : state.book.Sources()) {
      if (source->registration.source <= *after) continue;
      const chain::Channel* channel = state.book.FindChannel(source->short_id);
      if (request->alarmed_only() && (channel == nullptr || channel->alarms.empty())) continue;
      if (response->sources_size() == static_cast<int>(*page)) {
        response->set_next_page_token(
            service::MakePageToken(response->sources().rbegin()->name(), request->alarmed_only() ? "alarmed" : "all"));
        return;
      }
      *response->add_sources() = MessageOf(*source, channel);
    }
  });
  return grpc::Status::OK;
}

grpc::Status SourceHandler::ListQuarantine(grpc::ServerContext*, const pb::ListQuarantineRequest* request,
                                           pb::ListQuarantineResponse* response) {
  const auto chain = node_.Find(request->origin());
  if (!chain.ok()) return Reply(chain.status());
  const auto page = service::PageSizeOf(request->page_size());
  if (!page.ok()) return Reply(page.status());
  const auto cursor = service::ReadPageToken(request->page_token(), "quarantine");
  if (!cursor.ok() || (!cursor->empty() && cursor->size() != 8))
    return Reply(InvalidField("page_token", "is not one of ours"));
  const std::uint64_t after = cursor->empty() ? 0 : LoadBe<std::uint64_t>(cursor->data());
  const auto frames = (*chain)->store().ListQuarantine((*chain)->info().id, after, *page);
  if (!frames.ok()) return Reply(frames.status());
  // The store's page too may be shorter than what was asked for.
  std::size_t bytes = 0;
  std::uint64_t last = 0;
  for (const QuarantinedFrame& from : *frames) {
    bytes += from.frame.size() + from.path.size() + from.source.size();
    if (bytes > kPageBytes && last != 0) break;
    last = from.id;
    pb::QuarantinedFrame& to = *response->add_frames();
    *to.mutable_received_at() = service::TimestampOf(from.received);
    to.set_path(from.path);
    to.set_source(from.source);
    to.set_reason(from.reason);
    to.set_frame(from.frame);
  }
  if (last != 0) {  // the end is a page without frames
    std::string next;
    AppendBe(next, last);
    response->set_next_page_token(service::MakePageToken(next, "quarantine"));
  }
  return grpc::Status::OK;
}

}  // namespace virp::onode
