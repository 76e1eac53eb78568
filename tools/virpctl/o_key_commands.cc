// O-Keys of a key manager: who holds them, their versions, and the steps of a roll.
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <thread>
#include <utility>

#include "lib/base/file.h"
#include "lib/base/units.h"
#include "tools/virpctl/ceremony.h"
#include "tools/virpctl/interrupt.h"
#include "tools/virpctl/keymgr_session.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/session.h"
#include "virp/keymgr/v1/observation_key.grpc.pb.h"

namespace virp::virpctl {
namespace {

namespace pb = ::virp::keymgr::v1;
using Service = pb::ObservationKeyService;

std::string StateText(const pb::ObservationKeyVersion& version) {
  return Short(pb::ObservationKeyState_Name(version.state()), "OBSERVATION_KEY_STATE_");
}

std::string SuiteText(pb::KeySuite suite) {
  return suite == pb::KEY_SUITE_ED25519 ? "Ed25519" : "HMAC-SHA256";
}

// What the chain states of it: what an approver compares.
const std::string& StatementOf(const pb::ObservationKeyVersion& version) {
  return version.suite() == pb::KEY_SUITE_ED25519 ? version.public_key() : version.commitment();
}

std::string VouchedBy(const pb::ObservationKeyVersion& version) {
  if (!version.approved_by().empty()) return version.approved_by();
  if (!version.succession().empty()) return "the version before";
  return "-";
}

std::string Until(bool there, const google::protobuf::Timestamp& time) {
  return there ? TimeText(time) : "-";
}

const pb::ObservationKeyVersion* FindVersion(const pb::ObservationKey& key, std::uint32_t version) {
  const auto found = std::find_if(key.versions().begin(), key.versions().end(),
                                  [&](const auto& one) { return one.version() == version; });
  return found == key.versions().end() ? nullptr : &*found;
}

std::string KeyText(const pb::ObservationKey& key) {
  std::string out =
      fmt::format("{}, {}\n", Printable(key.source()), Short(pb::ConsumerForm_Name(key.form()), "CONSUMER_FORM_"));
  for (const std::string& id : key.signers()) out += fmt::format("signs    {}\n", Printable(id));
  for (const std::string& id : key.carriers()) out += fmt::format("relays   {}\n", Printable(id));
  if (key.wanted_version() != 0) out += fmt::format("waits for version {} from who signs\n", key.wanted_version());
  Table table({"VERSION", "SUITE", "STATE", "MADE BY", "VOUCHED BY", "IN CHAIN", "SIGNS UNTIL", "ACCEPTED UNTIL",
               "COMPROMISED SINCE", "KEY"});
  for (const pb::ObservationKeyVersion& version : key.versions()) {
    table.Add({fmt::format("{}", version.version()), SuiteText(version.suite()), StateText(version), version.made_by(),
               VouchedBy(version), fmt::format("{}", version.known_by_size()),
               Until(version.has_sign_until(), version.sign_until()),
               Until(version.has_accept_until(), version.accept_until()),
               Until(version.has_compromised_since(), version.compromised_since()), HexEncode(StatementOf(version))});
  }
  return out + table.ToString();
}

template <typename Response>
absl::StatusOr<Exit> ShowKey(const Options& options, const absl::StatusOr<Response>& response) {
  return Show(options, response, [](const Response& answer) { return KeyText(answer.key()); });
}

template <typename Request>
Request ChangeOf(const OKeyOptions& o_key) {
  auto request = Change<Request>(o_key);
  request.set_source(o_key.source);
  if constexpr (requires { request.set_version(o_key.version); }) request.set_version(o_key.version);
  return request;
}

pb::KeySuite SuiteOf(const OKeyOptions& o_key) {
  if (o_key.suite.empty()) return pb::KEY_SUITE_UNSPECIFIED;
  return o_key.suite == "ed25519" ? pb::KEY_SUITE_ED25519 : pb::KEY_SUITE_HMAC_SHA256;
}

absl::Status SetDuration(const std::string& text, std::string_view option, google::protobuf::Duration& to) {
  const auto duration = ParseDuration(text);
  if (!duration.ok()) return Annotate(duration.status(), option);
  to = google::protobuf::util::TimeUtil::NanosecondsToDuration(duration->count());
  return absl::OkStatus();
}

absl::Status SetOverlap(const OKeyOptions& o_key, pb::ActivateObservationKeyRequest& request) {
  if (!o_key.sign_for.empty()) RETURN_IF_ERROR(SetDuration(o_key.sign_for, "--sign-for", *request.mutable_sign_for()));
  if (!o_key.accept_for.empty())
    RETURN_IF_ERROR(SetDuration(o_key.accept_for, "--accept-for", *request.mutable_accept_for()));
  request.set_unconfirmed(o_key.unconfirmed);
  return absl::OkStatus();
}

absl::StatusOr<pb::ObservationKey> Get(const Connection& to, const std::string& source) {
  pb::GetObservationKeyRequest request;
  request.set_source(source);
  ASSIGN_OR_RETURN(auto response, Ask(to, &Service::Stub::GetObservationKey, request));
  return std::move(*response.mutable_key());
}

// A secret goes to a file that only its owner reads, never to a terminal.
absl::Status SaveSecret(const std::string& path, std::string_view secret) {
  if (path.empty()) return InvalidArgument("--save is needed: a secret is not shown");
  RETURN_IF_ERROR(ReplaceFile(path, secret, 0600));
  std::cerr << "written to " << path << ", for its owner only\n";
  return absl::OkStatus();
}

// ---- the guided roll ----

void Tell(std::string_view text) {
  std::cerr << text << "\n";
}

// The version, once `condition` holds of it.
absl::StatusOr<pb::ObservationKeyVersion> Await(
    const Connection& to, const OKeyOptions& o_key, std::uint32_t version, std::string_view what,
    const std::function<bool(const pb::ObservationKeyVersion&)>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(o_key.patience);
  for (bool told = false;; told = true) {
    ASSIGN_OR_RETURN(const pb::ObservationKey key, Get(to, o_key.source));
    const pb::ObservationKeyVersion* const found = FindVersion(key, version);
    if (found != nullptr && condition(*found)) return *found;
    if (!told) Tell(fmt::format("waiting until {}", what));
    if (std::chrono::steady_clock::now() >= deadline) {
      return DeadlineExceeded("version {} of {} waits until {}; the same command goes on from here", version,
                              o_key.source, what);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
}

}  // namespace

absl::StatusOr<Exit> OKeysList(const Options& options, const OKeyOptions& o_key) {
  pb::ListObservationKeysRequest request;
  request.set_pending_only(o_key.pending);
  ASSIGN_OR_RETURN(const auto all, AskPages(ToKeymgr(options), &Service::Stub::ListObservationKeys, request,
                                            &pb::ListObservationKeysResponse::mutable_keys));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(all));
    return Exit::kYes;
  }
  Table table({"SOURCE", "SIGNS WITH", "SUITE", "NEWEST", "STATE", "SIGNERS", "CARRIERS"});
  for (const pb::ObservationKey& key : all.keys()) {
    const auto active = std::find_if(key.versions().begin(), key.versions().end(), [](const auto& version) {
      return version.state() == pb::OBSERVATION_KEY_STATE_ACTIVE;
    });
    const bool none = key.versions().empty();
    table.Add({key.source(), active == key.versions().end() ? "-" : fmt::format("{}", active->version()),
               none ? "-" : SuiteText(key.versions().rbegin()->suite()),
               none ? "-" : fmt::format("{}", key.versions().rbegin()->version()),
               key.wanted_version() != 0 ? fmt::format("waits for {}", key.wanted_version())
               : none                    ? "-"
                                         : StateText(*key.versions().rbegin()),
               fmt::format("{}", key.signers_size()), fmt::format("{}", key.carriers_size())});
  }
  Print(table.ToString());
  return Exit::kYes;
}

absl::StatusOr<Exit> OKeysShow(const Options& options, const OKeyOptions& o_key) {
  pb::GetObservationKeyRequest request;
  request.set_source(o_key.source);
  return ShowKey(options, Ask(ToKeymgr(options), &Service::Stub::GetObservationKey, request));
}

absl::StatusOr<Exit> OKeysCreate(const Options& options, const OKeyOptions& o_key) {
  auto request = Change<pb::CreateObservationKeyRequest>(o_key);
  pb::ObservationKey& key = *request.mutable_key();
  key.set_source(o_key.source);
  key.set_form(o_key.form == "hex"   ? pb::CONSUMER_FORM_HEX_TEXT
               : o_key.form == "raw" ? pb::CONSUMER_FORM_RAW
                                     : pb::CONSUMER_FORM_PLATFORM);
  for (const std::string& id : o_key.signers) key.add_signers(id);
  for (const std::string& id : o_key.carriers) key.add_carriers(id);
  return ShowKey(options, Ask(ToKeymgr(options), &Service::Stub::CreateObservationKey, request));
}

absl::StatusOr<Exit> OKeysHolders(const Options& options, const OKeyOptions& o_key) {
  auto request = ChangeOf<pb::UpdateObservationKeyRequest>(o_key);
  for (const std::string& id : o_key.signers) request.add_signers(id);
  for (const std::string& id : o_key.carriers) request.add_carriers(id);
  request.set_etag(o_key.etag);
  return ShowKey(options, Ask(ToKeymgr(options), &Service::Stub::UpdateObservationKey, request));
}

absl::StatusOr<Exit> OKeysPrepare(const Options& options, const OKeyOptions& o_key) {
  auto request = ChangeOf<pb::PrepareObservationKeyRequest>(o_key);
  request.set_suite(SuiteOf(o_key));
  return ShowKey(options, Ask(ToKeymgr(options), &Service::Stub::PrepareObservationKey, request));
}

absl::StatusOr<Exit> OKeysApprove(const Options& options, const OKeyOptions& o_key) {
  auto request = ChangeOf<pb::ApproveObservationKeyRequest>(o_key);
  ASSIGN_OR_RETURN(const std::string expected, HexDecode(o_key.expect));
  request.set_expected(expected);
  return ShowKey(options, Ask(ToKeymgr(options), &Service::Stub::ApproveObservationKey, request));
}

absl::StatusOr<Exit> OKeysActivate(const Options& options, const OKeyOptions& o_key) {
  auto request = ChangeOf<pb::ActivateObservationKeyRequest>(o_key);
  RETURN_IF_ERROR(SetOverlap(o_key, request));
  return ShowKey(options, Ask(ToKeymgr(options), &Service::Stub::ActivateObservationKey, request));
}

absl::StatusOr<Exit> OKeysTaint(const Options& options, const OKeyOptions& o_key) {
  auto request = ChangeOf<pb::TaintObservationKeyRequest>(o_key);
  if (!o_key.since.empty()) {
    ASSIGN_OR_RETURN(*request.mutable_compromised_since(), TimestampIn(o_key.since, "--since"));
  }
  request.set_while_active(o_key.while_active);
  RETURN_IF_ERROR(Announce(o_key.yes,
                           fmt::format("Version {} of {} is marked compromised", o_key.version, o_key.source),
                           {fmt::format("every entry that it verified {} counts in no verdict any more",
                                        o_key.since.empty() ? "from now on" : fmt::format("since {}", o_key.since)),
                            "the channel of the source is BLACK until an operator clears it at the O-Node"}));
  return ShowKey(options, Ask(ToKeymgr(options), &Service::Stub::TaintObservationKey, request));
}

absl::StatusOr<Exit> OKeysRevoke(const Options& options, const OKeyOptions& o_key) {
  auto request = ChangeOf<pb::RevokeObservationKeyRequest>(o_key);
  request.set_unconfirmed(o_key.unconfirmed);
  RETURN_IF_ERROR(Announce(
      o_key.yes, fmt::format("Version {} of {} ends for good", o_key.version, o_key.source),
      {"its secret is destroyed, and nobody gets it any more", "where it is HMAC, its tags cannot be checked again"}));
  return ShowKey(options, Ask(ToKeymgr(options), &Service::Stub::RevokeObservationKey, request));
}

absl::StatusOr<Exit> OKeysExport(const Options& options, const OKeyOptions& o_key) {
  if (o_key.save.empty()) return InvalidArgument("--save is needed: a secret is not shown");
  auto request = ChangeOf<pb::ExportObservationKeyRequest>(o_key);
  ASSIGN_OR_RETURN(const auto made, Ask(ToKeymgr(options), &Service::Stub::ExportObservationKey, request));
  RETURN_IF_ERROR(SaveSecret(o_key.save, made.file()));
  return Exit::kYes;
}

absl::StatusOr<Exit> OKeysFetch(const Options& options, const OKeyOptions& o_key) {
  const Connection to = ToKeymgr(options);
  ASSIGN_OR_RETURN(const auto channel, Connect(to));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + to.timeout);
  const auto stream = Service::NewStub(channel)->FetchObservationKeys(&context);
  pb::FetchObservationKeysRequest request;
  request.set_source(o_key.source);
  request.set_version(o_key.version);
  pb::FetchObservationKeysResponse response;
  stream->Write(request);
  stream->WritesDone();
  const bool answered = stream->Read(&response);
  RETURN_IF_ERROR(service::FromGrpcStatus(stream->Finish()));
  const pb::SourceKeys& keys = response.keys();
  if (!answered || keys.versions().empty()) return NotFound("there is no key of {} for this certificate", o_key.source);
  Table table({"VERSION", "SUITE", "SIGNS", "PUBLIC KEY"});
  for (const pb::KeyMaterial& version : keys.versions()) {
    table.Add({fmt::format("{}", version.version()), SuiteText(version.suite()), version.may_sign() ? "yes" : "no",
               version.public_key().empty() ? "-" : HexEncode(version.public_key())});
  }
  Print(table.ToString());
  if (o_key.save.empty()) return Exit::kYes;
  if (keys.versions_size() != 1) return InvalidArgument("--save takes one version; say --key-version");
  const pb::KeyMaterial& version = keys.versions(0);
  if (version.secret().empty()) return FailedPrecondition("version {} has no secret to save", version.version());
  RETURN_IF_ERROR(SaveSecret(o_key.save, version.secret()));
  return Exit::kYes;
}

absl::StatusOr<Exit> OKeysRoll(const Options& options, const OKeyOptions& o_key) {
  const Connection to = ToKeymgr(options);
  ASSIGN_OR_RETURN(pb::ObservationKey key, Get(to, o_key.source));
  // What was begun is gone on with: a version that waits, or that was asked for.
  std::uint32_t next = key.wanted_version();
  for (const pb::ObservationKeyVersion& version : key.versions()) {
    if (version.state() == pb::OBSERVATION_KEY_STATE_PENDING || version.state() == pb::OBSERVATION_KEY_STATE_PREPARED)
      next = version.version();
  }
  if (next == 0) {
    auto request = ChangeOf<pb::PrepareObservationKeyRequest>(o_key);
    request.set_suite(SuiteOf(o_key));
    ASSIGN_OR_RETURN(const auto made, Ask(to, &Service::Stub::PrepareObservationKey, request));
    next = made.version();
    Tell(fmt::format("version {} of {} is prepared", next, o_key.source));
  } else {
    Tell(fmt::format("going on with version {} of {}", next, o_key.source));
  }
  ASSIGN_OR_RETURN(pb::ObservationKeyVersion version,
                   Await(to, o_key, next, "who signs has made it", [](const auto&) { return true; }));
  if (version.state() == pb::OBSERVATION_KEY_STATE_PENDING) {
    Tell(
        fmt::format("nothing vouches for it: another operator compares {} and runs\n  virpctl keys o-keys approve {} "
                    "--key-version {} --expect {} --reason ...",
                    HexEncode(StatementOf(version)), o_key.source, next, HexEncode(StatementOf(version))));
    ASSIGN_OR_RETURN(version, Await(to, o_key, next, "another operator has approved it",
                                    [](const auto& one) { return one.state() != pb::OBSERVATION_KEY_STATE_PENDING; }));
  }
  if (!o_key.unconfirmed) {
    ASSIGN_OR_RETURN(version, Await(to, o_key, next, "an O-Node's chain has it",
                                    [](const auto& one) { return one.known_by_size() > 0; }));
  }
  constexpr std::string_view kUsual = "the key manager's usual time";
  auto activate = ChangeOf<pb::ActivateObservationKeyRequest>(o_key);
  activate.set_version(next);
  activate.set_request_id(RequestId(""));
  RETURN_IF_ERROR(SetOverlap(o_key, activate));
  RETURN_IF_ERROR(Announce(o_key.yes, fmt::format("Version {} of {} is activated", next, o_key.source),
                           {"whoever signs for the source signs its next frame with it",
                            fmt::format("the version before may sign for {} more, and its frames may arrive for {}",
                                        o_key.sign_for.empty() ? kUsual : std::string_view(o_key.sign_for),
                                        o_key.accept_for.empty() ? kUsual : std::string_view(o_key.accept_for))}));
  return ShowKey(options, Ask(to, &Service::Stub::ActivateObservationKey, activate));
}

absl::StatusOr<Exit> OKeysWatch(const Options& options, const OKeyOptions& o_key) {
  const Interrupt interrupt;
  const Connection to = ToKeymgr(options);
  std::map<std::string, std::string> seen;  // etag by source
  bool first = true;
  for (std::uint64_t changes = 0; !interrupt.token().stop_requested();) {
    ASSIGN_OR_RETURN(const auto all, AskPages(to, &Service::Stub::ListObservationKeys, pb::ListObservationKeysRequest(),
                                              &pb::ListObservationKeysResponse::mutable_keys));
    for (const pb::ObservationKey& key : all.keys()) {
      if (!o_key.source.empty() && key.source() != o_key.source) continue;
      if (std::exchange(seen[key.source()], key.etag()) == key.etag()) continue;
      if (first && o_key.source.empty()) continue;
      if (options.json) {
        RETURN_IF_ERROR(PrintJsonLine(key));
      } else {
        Print(KeyText(key));
      }
      std::cout << std::flush;
      if (++changes == o_key.count) return Exit::kYes;
    }
    first = false;
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
  return Exit::kYes;
}

}  // namespace virp::virpctl
