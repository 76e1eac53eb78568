// Questions to a key manager about TCP-AO keys, and what operators do with them.
#include <google/protobuf/util/json_util.h>

#include <map>

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "tools/virpctl/ceremony.h"
#include "tools/virpctl/commands.h"
#include "tools/virpctl/input.h"
#include "tools/virpctl/keymgr_session.h"
#include "tools/virpctl/output.h"
#include "virp/keymgr/v1/tcp_ao_key.grpc.pb.h"

namespace virp::virpctl {
namespace {

namespace pb = ::virp::keymgr::v1;
using Service = pb::TcpAoKeyService;

constexpr std::size_t kMaxReport = 1 << 20;

std::string PhaseText(const pb::TcpAoRollover& rollover) {
  const std::string phase = Short(pb::TcpAoPhase_Name(rollover.phase()), "TCP_AO_PHASE_");
  return rollover.overdue() ? phase + ", late" : phase;
}

std::string SideText(const pb::TcpAoSide& side) {
  return fmt::format("{} {}", side.device(), side.address());
}

std::string TupleText(const pb::TcpAoTuple& tuple) {
  if (tuple.version() == 0) return "-";
  return fmt::format("{} (a sends {}, b sends {})", tuple.version(), tuple.from_a(), tuple.from_b());
}

std::string ViewText(const pb::TcpAoView& view) {
  if (!view.has_reported_at()) return "nothing";
  return fmt::format("{}: plan {}, {}{}, {} sessions{}, {} good, {} bad", TimeText(view.reported_at()), view.serial(),
                     view.has_old() ? "old key, " : "", view.has_new() ? "new key" : "no new key", view.sessions(),
                     view.sessions() != 0 && view.all_current() ? " all on the new key" : "", view.good(), view.bad());
}

std::string PairTable(const pb::TcpAoPair& pair) {
  const pb::TcpAoRollover& rollover = pair.rollover();
  Table table({"ITEM", "VALUE"});
  table.Add({"pair", pair.id()});
  table.Add({"a", SideText(pair.a())});
  table.Add({"b", SideText(pair.b())});
  table.Add({"agents", fmt::format("{}, {}", pair.a().agent().empty() ? "-" : pair.a().agent(),
                                   pair.b().agent().empty() ? "-" : pair.b().agent())});
  table.Add({"algorithm", Short(pb::TcpAoAlgorithm_Name(pair.algorithm()), "TCP_AO_ALGORITHM_") +
                              (pair.excludes_options() ? ", TCP options left out" : ", TCP options covered")});
  table.Add({"rollover", PhaseText(rollover)});
  table.Add({"plan", fmt::format("{}", rollover.serial())});
  table.Add({"old key", TupleText(rollover.old_key())});
  table.Add({"new key", TupleText(rollover.new_key())});
  table.Add({"used from", TimeText(rollover.use_from())});
  table.Add({"to be over by", TimeText(rollover.deadline())});
  table.Add({"a reported", ViewText(rollover.a())});
  table.Add({"b reported", ViewText(rollover.b())});
  for (const std::string& what : rollover.missing()) table.Add({"waits", what});
  return table.ToString();
}

template <typename Response>
absl::StatusOr<Exit> ShowPair(const Options& options, const absl::StatusOr<Response>& response) {
  return Show(options, response, [](const Response& answer) { return PairTable(answer.pair()); });
}

template <typename Request>
Request ChangeOf(const TcpAoOptions& tcp_ao) {
  auto request = Change<Request>(tcp_ao);
  request.set_id(tcp_ao.id);
  return request;
}

pb::TcpAoEnd EndOf(const TcpAoOptions& tcp_ao) {
  return tcp_ao.end == "a" ? pb::TCP_AO_END_A : pb::TCP_AO_END_B;
}

// DEVICE=ADDRESS
absl::Status ParseSide(const std::string& text, const std::string& agent, std::string_view option, pb::TcpAoSide& to) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos) return InvalidArgument("{}: '{}' is not DEVICE=ADDRESS", option, text);
  to.set_device(text.substr(0, equals));
  to.set_address(text.substr(equals + 1));
  to.set_agent(agent);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Exit> TcpAoList(const Options& options) {
  ASSIGN_OR_RETURN(const auto all, AskPages(ToKeymgr(options), &Service::Stub::ListTcpAoPairs,
                                            pb::ListTcpAoPairsRequest(), &pb::ListTcpAoPairsResponse::mutable_pairs));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(all));
    return Exit::kYes;
  }
  Table table({"PAIR", "A", "B", "KEY", "ROLLOVER", "TO BE OVER BY"});
  for (const pb::TcpAoPair& pair : all.pairs()) {
    table.Add({pair.id(), SideText(pair.a()), SideText(pair.b()),
               fmt::format("{}", pair.rollover().new_key().version()), PhaseText(pair.rollover()),
               TimeText(pair.rollover().deadline())});
  }
  Print(table.ToString());
  return Exit::kYes;
}

absl::StatusOr<Exit> TcpAoShow(const Options& options, const TcpAoOptions& tcp_ao) {
  pb::GetTcpAoPairRequest request;
  request.set_id(tcp_ao.id);
  return ShowPair(options, Ask(ToKeymgr(options), &Service::Stub::GetTcpAoPair, request));
}

absl::StatusOr<Exit> TcpAoCreate(const Options& options, const TcpAoOptions& tcp_ao) {
  auto request = Change<pb::CreateTcpAoPairRequest>(tcp_ao);
  pb::TcpAoPair& pair = *request.mutable_pair();
  pair.set_id(tcp_ao.id);
  RETURN_IF_ERROR(ParseSide(tcp_ao.a, tcp_ao.agent_a, "--end-a", *pair.mutable_a()));
  RETURN_IF_ERROR(ParseSide(tcp_ao.b, tcp_ao.agent_b, "--end-b", *pair.mutable_b()));
  pair.set_algorithm(tcp_ao.algorithm == "sha1" ? pb::TCP_AO_ALGORITHM_HMAC_SHA1_96
                                                : pb::TCP_AO_ALGORITHM_AES_128_CMAC_96);
  pair.set_excludes_options(tcp_ao.exclude_options);
  pair.set_octets(tcp_ao.octets);
  if (!tcp_ao.use_from.empty()) {
    ASSIGN_OR_RETURN(*request.mutable_use_from(), TimestampIn(tcp_ao.use_from, "--use-from"));
  }
  return ShowPair(options, Ask(ToKeymgr(options), &Service::Stub::CreateTcpAoPair, request));
}

absl::StatusOr<Exit> TcpAoRoll(const Options& options, const TcpAoOptions& tcp_ao) {
  auto request = ChangeOf<pb::StartTcpAoRolloverRequest>(tcp_ao);
  if (!tcp_ao.use_from.empty()) {
    ASSIGN_OR_RETURN(*request.mutable_use_from(), TimestampIn(tcp_ao.use_from, "--use-from"));
  }
  return ShowPair(options, Ask(ToKeymgr(options), &Service::Stub::StartTcpAoRollover, request));
}

absl::StatusOr<Exit> TcpAoForce(const Options& options, const TcpAoOptions& tcp_ao) {
  if (tcp_ao.remove_old) {
    RETURN_IF_ERROR(Announce(tcp_ao.yes, fmt::format("The old key of {} goes, whoever still needs it", tcp_ao.id),
                             {"both ends are told to remove it, and it is destroyed here: it does not come back",
                              "connections whose end does not have the new key break, and with them what they carry"}));
  }
  auto request = ChangeOf<pb::ForceTcpAoRolloverRequest>(tcp_ao);
  request.set_force(tcp_ao.remove_old ? pb::TCP_AO_FORCE_REMOVAL : pb::TCP_AO_FORCE_CURRENT);
  return ShowPair(options, Ask(ToKeymgr(options), &Service::Stub::ForceTcpAoRollover, request));
}

absl::StatusOr<Exit> TcpAoAbort(const Options& options, const TcpAoOptions& tcp_ao) {
  return ShowPair(options, Ask(ToKeymgr(options), &Service::Stub::AbortTcpAoRollover,
                               ChangeOf<pb::AbortTcpAoRolloverRequest>(tcp_ao)));
}

absl::StatusOr<Exit> TcpAoDelete(const Options& options, const TcpAoOptions& tcp_ao) {
  RETURN_IF_ERROR(Announce(tcp_ao.yes, fmt::format("The end of TCP-AO pair {}", tcp_ao.id),
                           {"its keys are destroyed, and nobody gets them any more",
                            "connections that need them go on until they are set up again: take the keys off both ends",
                            "its id is not given again, and its identifiers rest"}));
  ASSIGN_OR_RETURN(const auto done, Ask(ToKeymgr(options), &Service::Stub::DeleteTcpAoPair,
                                        ChangeOf<pb::DeleteTcpAoPairRequest>(tcp_ao)));
  if (options.json) RETURN_IF_ERROR(PrintJson(done));
  return Exit::kYes;
}

absl::StatusOr<Exit> TcpAoPlan(const Options& options, const TcpAoOptions& tcp_ao) {
  pb::GetTcpAoPlanRequest request;
  request.set_id(tcp_ao.id);
  request.set_end(EndOf(tcp_ao));
  ASSIGN_OR_RETURN(const auto plan, Ask(ToKeymgr(options), &Service::Stub::GetTcpAoPlan, request));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(plan));
    return Exit::kYes;
  }
  Print(fmt::format("plan {} for {} towards {}{}\n", plan.serial(), Printable(plan.local_address()),
                    Printable(plan.peer_address()),
                    plan.set_current() ? "; every connection sends by the preferred key at once" : ""));
  Table table({"KEY", "SEND ID", "RECV ID", "PREFERRED"});
  for (const pb::TcpAoPlannedKey& key : plan.keys()) {
    table.Add({fmt::format("{}", key.version()), fmt::format("{}", key.send_id()), fmt::format("{}", key.recv_id()),
               key.version() == plan.preferred() ? "yes" : "no"});
  }
  Print(table.ToString());
  return Exit::kYes;
}

absl::StatusOr<Exit> TcpAoReport(const Options& options, const TcpAoOptions& tcp_ao) {
  ASSIGN_OR_RETURN(const std::string text, ReadInput(tcp_ao.file, false, kMaxReport));
  pb::ReportTcpAoEndRequest request;
  if (const auto read = google::protobuf::util::JsonStringToMessage(text, &request); !read.ok())
    return InvalidArgument("{}: no report: {}", tcp_ao.file, read.ToString());
  request.set_id(tcp_ao.id);
  request.set_end(EndOf(tcp_ao));
  ASSIGN_OR_RETURN(const auto taken, Ask(ToKeymgr(options), &Service::Stub::ReportTcpAoEnd, request));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(taken));
  } else {
    Print(fmt::format("the newest plan is {}\n", taken.serial()));
  }
  return Exit::kYes;
}

absl::StatusOr<Exit> TcpAoExport(const Options& options, const TcpAoOptions& tcp_ao) {
  static const std::map<std::string, pb::TcpAoFormat> kFormats{{"bird", pb::TCP_AO_FORMAT_BIRD},
                                                               {"junos", pb::TCP_AO_FORMAT_JUNOS},
                                                               {"ios-xe", pb::TCP_AO_FORMAT_IOS_XE},
                                                               {"rfc8177", pb::TCP_AO_FORMAT_RFC8177}};
  auto request = ChangeOf<pb::ExportTcpAoKeyChainRequest>(tcp_ao);
  request.set_end(EndOf(tcp_ao));
  request.set_format(kFormats.at(tcp_ao.format));
  request.set_include_secrets(!tcp_ao.save.empty());
  ASSIGN_OR_RETURN(const auto made, Ask(ToKeymgr(options), &Service::Stub::ExportTcpAoKeyChain, request));
  if (!tcp_ao.save.empty()) {
    RETURN_IF_ERROR(ReplaceFile(tcp_ao.save, made.configuration()));  // for its owner only
  } else if (options.json) {
    RETURN_IF_ERROR(PrintJson(made));
  } else {
    Print(made.configuration());
  }
  return Exit::kYes;
}

}  // namespace virp::virpctl
