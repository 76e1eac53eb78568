// The part of VerifyService that lists and watches instead of judging.
#include <algorithm>
#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/chain/subject.h"
#include "lib/service/wire.h"
#include "services/onode/transport/verify_handler.h"
#include "services/onode/transport/wire.h"

namespace virp::onode {
namespace {

namespace pb = ::virp::verify::v1;

constexpr int kMaxTypes = 16;
constexpr std::size_t kScanAtOnce = 1'000;
constexpr std::chrono::milliseconds kWatchTick{1'000};

pb::Subject MessageOfSubject(const FactBook::SubjectState& from, const chain::SourceBook& book) {
  pb::Subject to;
  to.set_subject(from.subject);
  to.set_newest_entry(from.newest_entry);
  for (const auto& one : from.sources) {
    pb::Subject::SourceState& state = *to.add_sources();
    if (const auto source = book.FindByShortId(one.source)) state.set_source(source->registration.source);
    state.set_entry(one.entry);
    state.set_state(one.state);
  }
  return to;
}

absl::StatusOr<ChainStore::Filter> StoreFilterOf(const pb::ObservationFilter& filter) {
  if (filter.types_size() > kMaxTypes)
    return InvalidField("filter.types", fmt::format("has more than {} types", kMaxTypes));
  ChainStore::Filter out;
  if (!filter.source().empty()) out.source = frame::ShortIdOf(filter.source());
  if (!filter.subject().empty()) out.subject = chain::SubjectIdOf(filter.subject());
  return out;
}

// What the index cannot say, or might say wrongly.
bool Passes(const chain::v1::Entry& entry, const pb::ObservationFilter& filter) {
  if (!filter.source().empty() && entry.source() != filter.source()) return false;
  if (!filter.subject().empty() && entry.subject() != filter.subject()) return false;
  if (filter.types_size() > 0 &&
      std::find(filter.types().begin(), filter.types().end(), entry.type()) == filter.types().end())
    return false;
  return filter.at_least_tier() == pb::TIER_UNSPECIFIED ||
         static_cast<int>(entry.tier()) + 1 >= static_cast<int>(filter.at_least_tier());
}

absl::Status List(const Chain& chain, const pb::ListObservationsRequest& request,
                  pb::ListObservationsResponse& response) {
  ASSIGN_OR_RETURN(const std::size_t page, service::PageSizeOf(request.page_size()));
  ASSIGN_OR_RETURN(ChainStore::Filter filter, StoreFilterOf(request.filter()));
  ASSIGN_OR_RETURN(const std::string cursor,
                   service::ReadPageToken(request.page_token(), request.filter().SerializeAsString()));
  if (!cursor.empty() && cursor.size() != 8) return InvalidField("page_token", "is not one of ours");
  filter.descending = true;
  filter.to = cursor.empty() ? chain.size() : LoadBe<std::uint64_t>(cursor.data());
  std::size_t scanned = 0, bytes = 0;
  const auto full = [&] {
    return static_cast<std::size_t>(response.observations_size()) == page || bytes >= kPageBytes;
  };
  while (!full() && filter.to > 0) {
    ASSIGN_OR_RETURN(const auto sequences, chain.store().List(chain.info().id, filter, page));
    for (const std::uint64_t sequence : sequences) {
      filter.to = sequence;
      ASSIGN_OR_RETURN(const EntryRow row, chain.ReadChecked(sequence));
      ASSIGN_OR_RETURN(chain::v1::Entry entry, EntryOf(row, chain));
      if (Passes(entry, request.filter())) {
        bytes += entry.ByteSizeLong();
        *response.add_observations() = std::move(entry);
      }
      if (full()) break;
    }
    scanned += sequences.size();
    if (sequences.size() < page && !full()) {
      filter.to = 0;
    } else if (scanned >= kScanAtOnce) {
      break;  // a rare type: the token goes on from here, the page may be short
    }
  }
  if (filter.to > 0) {
    std::string next;
    AppendBe(next, filter.to);
    response.set_next_page_token(service::MakePageToken(next, request.filter().SerializeAsString()));
  }
  return absl::OkStatus();
}

absl::Status WatchEntries(const Chain& chain, const pb::WatchObservationsRequest& request, grpc::ServerContext& context,
                          service::StreamGuard& guard, grpc::ServerWriter<pb::WatchObservationsResponse>& writer) {
  RETURN_IF_ERROR(StoreFilterOf(request.filter()).status());
  std::uint64_t next = request.has_after_sequence() ? request.after_sequence() + 1 : chain.size();
  while (!context.IsCancelled()) {
    RETURN_IF_ERROR(guard.Check());
    const std::uint64_t size = chain.WaitForGrowth(next, std::chrono::steady_clock::now() + kWatchTick);
    if (chain.stopping()) return Unavailable("the O-Node is stopping; resume at another one");
    for (; next < size; ++next) {
      ASSIGN_OR_RETURN(const EntryRow row, chain.ReadChecked(next));
      pb::WatchObservationsResponse response;
      ASSIGN_OR_RETURN(*response.mutable_observation(), EntryOf(row, chain));
      // Write blocks while the consumer's window is closed; nothing is buffered here.
      if (Passes(response.observation(), request.filter()) && !writer.Write(response))
        return absl::CancelledError("the caller left");
    }
  }
  return absl::CancelledError("the caller left");
}

}  // namespace

grpc::Status VerifyHandler::GetSubject(grpc::ServerContext*, const pb::GetSubjectRequest* request,
                                       pb::GetSubjectResponse* response) {
  const auto chain = node_.Find(request->origin());
  if (!chain.ok()) return Reply(chain.status());
  const bool found = (*chain)->Read([&](const ChainState& state) {
    const auto subject = state.facts.FindSubject(request->subject());
    if (subject) *response->mutable_subject() = MessageOfSubject(*subject, state.book);
    return subject.has_value();
  });
  return found ? grpc::Status::OK
               : Reply(NotFound("nothing was said about subject '{}'", request->subject().substr(0, 200)));
}

grpc::Status VerifyHandler::ListSubjects(grpc::ServerContext*, const pb::ListSubjectsRequest* request,
                                         pb::ListSubjectsResponse* response) {
  const auto chain = node_.Find(request->origin());
  if (!chain.ok()) return Reply(chain.status());
  const auto page = service::PageSizeOf(request->page_size());
  if (!page.ok()) return Reply(page.status());
  const auto after = service::ReadPageToken(request->page_token(), request->prefix());
  if (!after.ok()) return Reply(after.status());
  (*chain)->Read([&](const ChainState& state) {
    for (const auto& subject : state.facts.ListSubjects(request->prefix(), *after, *page)) {
      *response->add_subjects() = MessageOfSubject(subject, state.book);
    }
  });
  if (response->subjects_size() == static_cast<int>(*page)) {
    response->set_next_page_token(service::MakePageToken(response->subjects().rbegin()->subject(), request->prefix()));
  }
  return grpc::Status::OK;
}

grpc::Status VerifyHandler::ListObservations(grpc::ServerContext*, const pb::ListObservationsRequest* request,
                                             pb::ListObservationsResponse* response) {
  const auto chain = node_.Find(request->origin());
  return Reply(chain.ok() ? List(**chain, *request, *response) : chain.status());
}

grpc::Status VerifyHandler::WatchObservations(grpc::ServerContext* context, const pb::WatchObservationsRequest* request,
                                              grpc::ServerWriter<pb::WatchObservationsResponse>* writer) {
  const auto chain = node_.Find(request->origin());
  if (!chain.ok()) return Reply(chain.status());
  const auto caller = callers_->Resolve(*context);
  if (!caller.ok()) return Reply(caller.status());
  service::StreamGuard guard(*callers_, *caller, context);
  return Reply(WatchEntries(**chain, *request, *context, guard, *writer));
}

}  // namespace virp::onode
