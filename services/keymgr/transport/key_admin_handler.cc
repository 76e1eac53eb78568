#include "services/keymgr/transport/key_admin_handler.h"

#include <charconv>
#include <chrono>

#include "absl/cleanup/cleanup.h"
#include "lib/service/wire.h"
#include "services/keymgr/transport/call.h"

namespace virp::keymgr {
namespace {

constexpr std::chrono::seconds kReadPatience{5};
constexpr std::uint32_t kDefaultDays = 60;
constexpr std::uint32_t kMostDays = 3'660;
constexpr std::size_t kPageBytes = 2 << 20;  // a message has 4 MiB
constexpr UnixNanos kDay = 86'400'000'000'000;

// The call, `change` with it, and the number of its record.
template <typename Request, typename Response, typename Change>
grpc::Status Do(const service::CallerResolver& callers, const grpc::ServerContext& context, std::string_view method,
                const Request& request, Response& response, const Change& change) {
  const auto call = CallOf(callers, context, method, request);
  if (!call.ok()) return Reply(call.status());
  const absl::StatusOr<Receipt> receipt = change(*call);
  if (!receipt.ok()) return Reply(receipt.status());
  response.set_record(receipt->record);
  return grpc::Status::OK;
}

void Fill(v1::AuditRecord& to, const AuditRow& row) {
  to.set_record(row.record);
  *to.mutable_time() = service::TimestampOf(row.time);
  to.set_event(row.event);
  to.set_source(row.source);
  to.set_actor(row.actor);
  to.set_method(row.method);
  to.set_reason(row.reason);
  to.set_request_id(row.request_id);
  to.set_frame(row.frame);
  for (const KeyIdentity& key : row.keys) {
    v1::KeyName& name = *to.add_keys();
    name.set_kind(std::string(KeyKindName(key.kind)));
    name.set_id(key.id);
    name.set_version(key.version);
    name.set_algorithm(std::string(AlgorithmName(key.algorithm)));
  }
}

absl::StatusOr<AuditFilter> FilterOf(const v1::ListAuditRecordsRequest& request) {
  AuditFilter filter;
  filter.descending = true;
  filter.event = request.event();
  filter.actor = request.actor();
  filter.source = request.source();
  filter.key_id = request.key_id();
  if (!request.key_kind().empty()) {
    filter.kind = KeyKindFromName(request.key_kind());
    if (!filter.kind) return InvalidField("key_kind", "is no kind of key: observation, router, tcp_ao, ...");
  } else if (!filter.key_id.empty()) {
    return InvalidField("key_id", "needs key_kind beside it");
  }
  if (request.has_from()) {
    ASSIGN_OR_RETURN(filter.from, service::NanosOf(request.from(), "from"));
  }
  if (request.has_to()) {
    ASSIGN_OR_RETURN(filter.to, service::NanosOf(request.to(), "to"));
  }
  return filter;
}

}  // namespace

grpc::Status KeyAdminHandler::GetStatus(grpc::ServerContext*, const v1::GetStatusRequest*,
                                        v1::GetStatusResponse* response) {
  const LedgerStatus status = ledger_.status();
  response->set_active(status.active);
  response->set_active_address(status.active_address);
  for (const SealReason reason : status.sealed) response->add_sealed(std::string(SealReasonName(reason)));
  for (const std::string& problem : {status.problem, status.clock_problem, keeper_.problem(), rollback_.problem()}) {
    if (!problem.empty()) response->add_problems(problem);
  }
  response->set_record(status.record);
  response->set_epoch(status.epoch);
  response->set_sequence(status.sequence);
  response->set_frame_sha256(std::string(View(status.frame_hash)));
  ledger_.snapshot()->ForEach<KekRecord>([&](const std::shared_ptr<const KekRecord>& kek) {
    v1::KeyEncryptionKey& to = *response->add_keks();
    to.set_version(kek->version);
    to.set_state(std::string(KekStateName(kek->state)));
    to.set_check(kek->check);
    *to.mutable_changed() = service::TimestampOf(kek->changed);
    return true;
  });
  const RewrapProgress progress = keeper_.progress();
  response->set_rewrapped(progress.done);
  response->set_rewrap_left(progress.left);
  response->set_damaged(progress.damaged);
  return grpc::Status::OK;
}

grpc::Status KeyAdminHandler::Seal(grpc::ServerContext* context, const v1::SealRequest* request,
                                   v1::SealResponse* response) {
  return Do(*callers_, *context, "virp.keymgr.v1.KeyAdminService/Seal", *request, *response,
            [&](const Call& call) { return keeper_.Seal(call); });
}

grpc::Status KeyAdminHandler::Unseal(grpc::ServerContext* context, const v1::UnsealRequest* request,
                                     v1::UnsealResponse* response) {
  return Do(*callers_, *context, "virp.keymgr.v1.KeyAdminService/Unseal", *request, *response,
            [&](const Call& call) { return keeper_.Unseal(call); });
}

grpc::Status KeyAdminHandler::RotateKek(grpc::ServerContext* context, const v1::RotateKekRequest* request,
                                        v1::RotateKekResponse* response) {
  return Do(*callers_, *context, "virp.keymgr.v1.KeyAdminService/RotateKek", *request, *response,
            [&](const Call& call) { return keeper_.Rotate(call, request->version()); });
}

grpc::Status KeyAdminHandler::AcceptRollback(grpc::ServerContext* context, const v1::AcceptRollbackRequest* request,
                                             v1::AcceptRollbackResponse* response) {
  return Do(*callers_, *context, "virp.keymgr.v1.KeyAdminService/AcceptRollback", *request, *response,
            [&](const Call& call) { return rollback_.Accept(call, request->chain_record()); });
}

absl::Status KeyAdminHandler::List(const v1::ListAuditRecordsRequest& request, v1::ListAuditRecordsResponse& response) {
  ASSIGN_OR_RETURN(AuditFilter filter, FilterOf(request));
  ASSIGN_OR_RETURN(const std::size_t size, service::PageSizeOf(request.page_size()));
  v1::ListAuditRecordsRequest bound = request;
  bound.clear_page_token();
  bound.clear_page_size();
  const std::string filter_text = bound.SerializeAsString();
  ASSIGN_OR_RETURN(const std::string cursor, service::ReadPageToken(request.page_token(), filter_text));
  std::from_chars(cursor.data(), cursor.data() + cursor.size(), filter.after);
  if (!reading_.try_acquire_for(kReadPatience))
    return ResourceExhausted("{} callers read the history already; ask again", kMostReading);
  const absl::Cleanup read = [this] { reading_.release(); };
  ASSIGN_OR_RETURN(const std::vector<AuditRow> rows, store_.ReadAudit(filter, size));
  std::size_t bytes = 0, taken = 0;
  for (const AuditRow& row : rows) {
    bytes += row.frame.size() + row.actor.size() + row.reason.size() + 512;
    if (taken != 0 && bytes > kPageBytes) break;
    Fill(*response.add_records(), row);
    ++taken;
  }
  const bool more = taken < rows.size() || rows.size() == size;
  if (more && rows[taken - 1].record > 1)
    response.set_next_page_token(service::MakePageToken(fmt::format("{}", rows[taken - 1].record), filter_text));
  return absl::OkStatus();
}

grpc::Status KeyAdminHandler::ListAuditRecords(grpc::ServerContext*, const v1::ListAuditRecordsRequest* request,
                                               v1::ListAuditRecordsResponse* response) {
  return Reply(List(*request, *response));
}

grpc::Status KeyAdminHandler::ListExpiring(grpc::ServerContext*, const v1::ListExpiringRequest* request,
                                           v1::ListExpiringResponse* response) {
  if (const absl::Status readable = ledger_.Readable(); !readable.ok()) return Reply(readable);
  const auto size = service::PageSizeOf(request->page_size());
  if (!size.ok()) return Reply(size.status());
  const std::uint32_t days = request->days() == 0 ? kDefaultDays : request->days();
  if (days > kMostDays) return Reply(InvalidField("days", fmt::format("{} is beyond {}", days, kMostDays)));
  const UnixNanos until = clock_.NowNanos() + days * kDay;
  for (const Snapshot::RecordPtr& record : ledger_.snapshot()->Due(until, *size)) {
    const Row row = record->ToRow();
    v1::ExpiringItem& item = *response->add_items();
    item.set_kind(row.kind);
    item.set_id(row.id);
    item.set_parent(row.parent);
    item.set_state(row.state);
    *item.mutable_due() = service::TimestampOf(*record->due);
  }
  return grpc::Status::OK;
}

}  // namespace virp::keymgr
