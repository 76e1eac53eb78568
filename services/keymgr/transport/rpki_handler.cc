#include "services/keymgr/transport/rpki_handler.h"

#include <algorithm>
#include <chrono>
#include <map>

#include "lib/crypto/sha256.h"
#include "lib/service/wire.h"
#include "services/keymgr/domain/expiry_calendar.h"
#include "services/keymgr/domain/rpki_names.h"
#include "services/keymgr/transport/call.h"

namespace virp::keymgr {
namespace {

constexpr std::string_view kService = "virp.keymgr.v1.RpkiService/";
constexpr std::chrono::milliseconds kLook{500};  // how often a waiting stream looks at its caller
constexpr int kKeysAtOnce = 4'096;               // in one message of a watch: less than 1 MiB
constexpr std::size_t kPart = std::size_t{1} << 20;
constexpr std::uint32_t kDefaultDays = 60, kMostDays = 3'660;
constexpr UnixNanos kDay = 86'400 * kNanosPerSecond;
constexpr std::size_t kMostInCalendar = 1'000;  // the soonest: calendars do not take more, and nobody reads them

std::string Method(std::string_view name) {
  return std::string(kService).append(name);
}

void Fill(v1::AuthorityRoll& to, const AuthorityRoll& roll) {
  to.set_version(roll.version);
  to.set_state(static_cast<v1::AuthorityRollState>(roll.state));
  to.set_next(roll.next);
  if (roll.since != 0) *to.mutable_since() = service::TimestampOf(roll.since);
  to.set_reissued(roll.reissued);
  to.set_left(roll.left);
}

void Fill(v1::ExpiringCertificate& to, const ExpiringCertificate& one) {
  to.set_kind(one.kind);
  to.set_id(one.id);
  to.set_router(one.router);
  to.set_asn(one.asn);
  *to.mutable_not_after() = service::TimestampOf(one.not_after);
  to.set_has_other(one.has_other);
  to.set_advice(Advice(one));
  if (!one.acknowledged) return;
  to.set_acknowledged_by(one.acknowledged->by);
  to.set_acknowledged_why(one.acknowledged->why);
  *to.mutable_acknowledged() = service::TimestampOf(one.acknowledged->at);
}

absl::Status Fill(v1::RouterKeyEntry& to, const rpki::RouterKey& key) {
  to.set_asn(key.asn);
  ASSIGN_OR_RETURN(std::string ski, rpki::KeyIdentifier(key.spki));
  to.set_ski(std::move(ski));
  to.set_spki(key.spki);
  *to.mutable_expires() = service::TimestampOf(NanosOf(key.expires));
  return absl::OkStatus();
}

}  // namespace

std::vector<service::MethodRule> RpkiAccess() {
  using service::Role;
  const service::RoleSet operators{Role::kOperator}, readers{Role::kReader, Role::kOperator, Role::kApprover};
  const service::RoleSet feeders{Role::kRtrBridge, Role::kReader, Role::kOperator, Role::kApprover};
  std::vector<service::MethodRule> rows;
  const auto add = [&rows](std::initializer_list<std::string_view> methods, const service::RoleSet& roles) {
    for (const std::string_view method : methods) rows.push_back({"/" + Method(method), roles});
  };
  add({"SetUpAuthority", "PublishNow", "RollAuthority"}, operators);
  add({"AcknowledgeExpiry"}, service::RoleSet{Role::kOperator, Role::kApprover});
  add({"GetTrustAnchor"}, service::RoleSet::All());
  add({"GetPublication", "ListExpiringCertificates", "ExportExpiryCalendar"}, readers);
  add({"WatchRouterKeys", "ExportRouterKeys"}, feeders);
  return rows;
}

void RpkiHandler::Drain() {
  draining_ = true;
  parts_.feed.WakeAll();
}

absl::Status RpkiHandler::Fill(v1::TrustAnchor& to) const {
  ASSIGN_OR_RETURN(std::string tal, parts_.authority.Tal());
  ASSIGN_OR_RETURN(std::string certificate, parts_.authority.TrustAnchor());
  to.set_tal(std::move(tal));
  to.set_sha256(std::string(View(crypto::Sha256(certificate))));
  to.set_certificate(std::move(certificate));
  return absl::OkStatus();
}

absl::Status RpkiHandler::SetUp(const grpc::ServerContext& context, const v1::SetUpAuthorityRequest& request,
                                v1::SetUpAuthorityResponse& response) {
  ASSIGN_OR_RETURN(const Call call, CallOf(*callers_, context, Method("SetUpAuthority"), request));
  RETURN_IF_ERROR(parts_.authority.SetUp(call));
  return Fill(*response.mutable_trust_anchor());
}

grpc::Status RpkiHandler::SetUpAuthority(grpc::ServerContext* context, const v1::SetUpAuthorityRequest* request,
                                         v1::SetUpAuthorityResponse* response) {
  return Reply(SetUp(*context, *request, *response));
}

grpc::Status RpkiHandler::GetTrustAnchor(grpc::ServerContext*, const v1::GetTrustAnchorRequest*,
                                         v1::GetTrustAnchorResponse* response) {
  const absl::Status readable = parts_.readable();
  return Reply(readable.ok() ? Fill(*response->mutable_trust_anchor()) : readable);
}

grpc::Status RpkiHandler::GetPublication(grpc::ServerContext*, const v1::GetPublicationRequest*,
                                         v1::GetPublicationResponse* response) {
  if (const absl::Status readable = parts_.readable(); !readable.ok()) return Reply(readable);
  const PublicationState state = parts_.authority.State();
  response->set_set_up(state.set_up);
  response->set_number(state.number);
  if (state.number != 0) {
    *response->mutable_published() = service::TimestampOf(state.published_at);
    *response->mutable_until() = service::TimestampOf(state.published_until);
  }
  response->set_certificates(state.certificates);
  response->set_revoked(state.revoked);
  response->set_waiting(state.waiting);
  response->set_problem(parts_.keeper.health().problem);
  keymgr::Fill(*response->mutable_roll(), parts_.authority.Roll());
  return grpc::Status::OK;
}

grpc::Status RpkiHandler::PublishNow(grpc::ServerContext* context, const v1::PublishNowRequest* request,
                                     v1::PublishNowResponse* response) {
  const auto call = CallOf(*callers_, *context, Method("PublishNow"), *request);
  if (!call.ok()) return Reply(call.status());
  if (const absl::Status done = parts_.authority.Publish(&*call); !done.ok()) return Reply(done);
  response->set_number(parts_.authority.State().number);
  return grpc::Status::OK;
}

absl::Status RpkiHandler::Watch(grpc::ServerContext& context, const v1::WatchRouterKeysRequest& request,
                                grpc::ServerWriter<v1::WatchRouterKeysResponse>& writer) {
  ASSIGN_OR_RETURN(const service::Identity caller, callers_->Resolve(context));
  ASSIGN_OR_RETURN(const StreamPlaces::Place place, places_.Take(caller.spiffe_id));
  service::StreamGuard guard(*callers_, caller, &context);
  std::string session = request.session();
  std::uint64_t serial = request.serial();
  bool first = true;
  while (!draining_ && !context.IsCancelled()) {
    RETURN_IF_ERROR(guard.Check());
    RETURN_IF_ERROR(parts_.readable());
    const RouterKeyNews news = parts_.feed.Wait(session, serial, first ? std::chrono::milliseconds(0) : kLook);
    if (!news.loaded) return Unavailable("this key manager has no state yet, or has lost the lease");
    // Nothing is said about the state before it was known to be readable, and it is not said after it ceased to be.
    RETURN_IF_ERROR(parts_.readable());
    if (!first && !news.restart && news.serial == serial) continue;
    first = false;
    session = news.session;
    serial = news.serial;
    v1::WatchRouterKeysResponse message;
    message.set_restart(news.restart);
    const auto send = [&](bool complete) {
      message.set_session(session);
      message.set_serial(serial);
      message.set_complete(complete);
      const bool sent = writer.Write(message);
      message.Clear();
      return sent ? absl::OkStatus() : absl::CancelledError("the caller went away");
    };
    for (const RouterKeyChange& change : news.changes) {
      if (message.announced_size() + message.withdrawn_size() >= kKeysAtOnce) RETURN_IF_ERROR(send(false));
      RETURN_IF_ERROR(keymgr::Fill(change.withdrawn ? *message.add_withdrawn() : *message.add_announced(), change.key));
    }
    RETURN_IF_ERROR(send(true));
  }
  return draining_ ? Unavailable("the key manager is going down") : absl::OkStatus();
}

grpc::Status RpkiHandler::WatchRouterKeys(grpc::ServerContext* context, const v1::WatchRouterKeysRequest* request,
                                          grpc::ServerWriter<v1::WatchRouterKeysResponse>* writer) {
  return Reply(Watch(*context, *request, *writer));
}

absl::Status RpkiHandler::Export(const v1::ExportRouterKeysRequest& request,
                                 grpc::ServerWriter<v1::ExportRouterKeysResponse>& writer) const {
  RETURN_IF_ERROR(parts_.readable());
  const rpki::Time now = TimeOf(clock_.NowNanos());
  std::map<std::string, std::string> files;
  switch (request.format()) {
    case v1::ROUTER_KEY_FORMAT_RPKI_CLIENT_JSON: {
      ASSIGN_OR_RETURN(files["router-keys.json"], rpki::RpkiClientJson(parts_.authority.RouterKeys(), "virp", now));
      break;
    }
    case v1::ROUTER_KEY_FORMAT_SLURM: {
      ASSIGN_OR_RETURN(files["slurm.json"], rpki::Slurm(parts_.authority.RouterKeys()));
      break;
    }
    case v1::ROUTER_KEY_FORMAT_BGP_SRX: {
      ASSIGN_OR_RETURN(files, rpki::BgpSrxTree(parts_.authority.PublishedCertificates()));
      break;
    }
    default:
      return InvalidField("format", "is none of the formats");
  }
  v1::ExportRouterKeysResponse message;
  for (const auto& [path, content] : files) {
    for (std::size_t at = 0; at == 0 || at < content.size(); at += kPart) {
      message.set_path(path);
      message.set_content(content.substr(at, kPart));
      if (!writer.Write(message)) return absl::CancelledError("the caller went away");
    }
  }
  return absl::OkStatus();
}

grpc::Status RpkiHandler::ExportRouterKeys(grpc::ServerContext*, const v1::ExportRouterKeysRequest* request,
                                           grpc::ServerWriter<v1::ExportRouterKeysResponse>* writer) {
  return Reply(Export(*request, *writer));
}

absl::Status RpkiHandler::List(const v1::ListExpiringCertificatesRequest& request,
                               v1::ListExpiringCertificatesResponse& response) const {
  RETURN_IF_ERROR(parts_.readable());
  ASSIGN_OR_RETURN(const std::size_t size, service::PageSizeOf(request.page_size()));
  const std::uint32_t days = request.days() == 0 ? kDefaultDays : request.days();
  if (days > kMostDays) return InvalidField("days", fmt::format("{} is beyond {}", days, kMostDays));
  for (const ExpiringCertificate& one : parts_.expiry.Expiring(clock_.NowNanos() + days * kDay, size)) {
    keymgr::Fill(*response.add_certificates(), one);
  }
  const Coverage coverage = parts_.expiry.coverage();
  response.set_covered(coverage.covered);
  response.set_uncovered(coverage.uncovered);
  for (const std::string& missing : coverage.missing) response.add_missing(missing);
  return absl::OkStatus();
}

grpc::Status RpkiHandler::ListExpiringCertificates(grpc::ServerContext*,
                                                   const v1::ListExpiringCertificatesRequest* request,
                                                   v1::ListExpiringCertificatesResponse* response) {
  return Reply(List(*request, *response));
}

grpc::Status RpkiHandler::RollAuthority(grpc::ServerContext* context, const v1::RollAuthorityRequest* request,
                                        v1::RollAuthorityResponse* response) {
  const auto call = CallOf(*callers_, *context, Method("RollAuthority"), *request);
  if (!call.ok()) return Reply(call.status());
  if (const absl::Status done = parts_.authority.StartRoll(*call); !done.ok()) return Reply(done);
  keymgr::Fill(*response->mutable_roll(), parts_.authority.Roll());
  return grpc::Status::OK;
}

grpc::Status RpkiHandler::AcknowledgeExpiry(grpc::ServerContext* context, const v1::AcknowledgeExpiryRequest* request,
                                            v1::AcknowledgeExpiryResponse* response) {
  const auto call = CallOf(*callers_, *context, Method("AcknowledgeExpiry"), *request);
  if (!call.ok()) return Reply(call.status());
  const auto done = parts_.expiry.Acknowledge(*call, request->kind() + "/" + request->id());
  if (!done.ok()) return Reply(done.status());
  keymgr::Fill(*response->mutable_certificate(), *done);
  return grpc::Status::OK;
}

grpc::Status RpkiHandler::ExportExpiryCalendar(grpc::ServerContext*, const v1::ExportExpiryCalendarRequest*,
                                               v1::ExportExpiryCalendarResponse* response) {
  if (const absl::Status readable = parts_.readable(); !readable.ok()) return Reply(readable);
  response->set_calendar(ExpiryCalendar(parts_.expiry.Expiring(~UnixNanos{0}, kMostInCalendar), clock_.NowNanos()));
  return grpc::Status::OK;
}

}  // namespace virp::keymgr
