// Questions to ChainService.
#include <unistd.h>

#include <cstdio>

#include "lib/base/bytes.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "tools/virpctl/commands.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/session.h"
#include "virp/chain/v1/chain_service.grpc.pb.h"

namespace virp::virpctl {
namespace {

namespace pb = ::virp::chain::v1;
using Service = pb::ChainService;

absl::StatusOr<pb::GetChainResponse> GetChain(const Options& options) {
  pb::GetChainRequest request;
  request.set_origin(options.connection.origin);
  ASSIGN_OR_RETURN(const auto channel, Connect(options.connection));
  const auto stub = Service::NewStub(channel);
  pb::GetChainResponse response;
  RETURN_IF_ERROR(Call(options.connection, *stub, &Service::Stub::GetChain, request, response));
  return response;
}

std::string CheckpointSize(const std::string& note) {
  const std::size_t first = note.find('\n');
  if (first == std::string::npos) return "none yet";
  return note.substr(first + 1, note.find('\n', first + 1) - first - 1);
}

}  // namespace

absl::StatusOr<Exit> Status(const Options& options) {
  ASSIGN_OR_RETURN(const pb::GetChainResponse chain, GetChain(options));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(chain));
  } else {
    Table table({"ITEM", "VALUE"});
    table.Add({"O-Node", options.connection.onode});
    table.Add({"chain", chain.origin()});
    table.Add({"entries", fmt::format("{}", chain.size())});
    table.Add({"checkpoint", CheckpointSize(chain.checkpoint())});
    table.Add({"newest entry", TimeText(chain.newest_entry_at())});
    table.Add({"leader", chain.leading() ? "this O-Node" : chain.leader().empty() ? "none" : chain.leader()});
    table.Add({"state", chain.frozen().empty() ? "OK" : "FROZEN: " + chain.frozen()});
    Print(table.ToString());
  }
  return chain.frozen().empty() ? Exit::kYes : Exit::kNo;
}

absl::StatusOr<Exit> ChainShow(const Options& options) {
  ASSIGN_OR_RETURN(const pb::GetChainResponse chain, GetChain(options));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(chain));
    return Exit::kYes;
  }
  Table table({"ITEM", "VALUE"});
  table.Add({"origin", chain.origin()});
  table.Add({"entries", fmt::format("{}", chain.size())});
  table.Add({"head", HexEncode(chain.head())});
  table.Add({"term", fmt::format("{}", chain.term())});
  if (!chain.predecessor().empty()) table.Add({"predecessor", chain.predecessor()});
  if (!chain.frozen().empty()) table.Add({"frozen", chain.frozen()});
  for (const std::string& key : chain.verifier_keys()) table.Add({"verifier key", key});
  Print(table.ToString());
  // Six lines at most, of base64 and a name.
  if (!chain.checkpoint().empty()) Print("\n" + chain.checkpoint());
  return Exit::kYes;
}

absl::StatusOr<Exit> ChainVerify(const Options& options, const ChainOptions& chain) {
  pb::VerifyChainRequest request;
  request.set_origin(options.connection.origin);
  request.set_begin(chain.begin);
  request.set_end(chain.end);
  request.set_check_subjects(chain.subjects);
  ASSIGN_OR_RETURN(const auto channel, Connect(options.connection));
  const auto stub = Service::NewStub(channel);
  grpc::ClientContext context;  // without a deadline: a long chain takes as long as it takes, and says how far it is
  const auto reader = stub->VerifyChain(&context, request);
  const bool person = isatty(STDERR_FILENO) == 1;
  pb::VerifyChainResponse message;
  pb::VerifyReport report;
  bool reported = false;
  while (reader->Read(&message)) {
    if (message.has_report()) {
      report = message.report();
      reported = true;
    } else if (person) {
      std::fputs(fmt::format("\r{} of {} entries", message.progress().checked(), message.progress().total()).c_str(),
                 stderr);
    }
  }
  if (person) std::fputs("\r\033[K", stderr);
  RETURN_IF_ERROR(service::FromGrpcStatus(reader->Finish()));
  if (!reported) return Unavailable("the O-Node ended without a report");
  const bool verified = report.result() == pb::VerifyReport::RESULT_VERIFIED;
  const bool broken = report.result() == pb::VerifyReport::RESULT_BROKEN;
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(report));
  } else {
    Print(verified ? "VERIFIED\n" : broken ? "BROKEN\n" : "COULD_NOT_CHECK\n");
    if (broken) {
      Print(fmt::format("first broken entry: {} ({})\n", report.broken_at(), report.broken_kind()));
    }
    if (!report.detail().empty()) Print(Printable(report.detail()) + "\n");
    Print(fmt::format("{} entries checked, chain size {}, root {}\n", report.checked(), report.size(),
                      HexEncode(report.root())));
    for (const auto& item : report.unchecked()) {
      Print(fmt::format("not checked: {} ({} entries)\n", Printable(item.what()), item.entries()));
    }
  }
  return verified ? Exit::kYes : broken ? Exit::kNo : Exit::kCannotSay;
}

absl::StatusOr<Exit> ChainProve(const Options& options, const ChainOptions& chain) {
  pb::GetEvidenceRequest request;
  request.set_origin(options.connection.origin);
  request.set_sequence(chain.sequence);
  ASSIGN_OR_RETURN(const auto channel, Connect(options.connection));
  const auto stub = Service::NewStub(channel);
  pb::GetEvidenceResponse response;
  RETURN_IF_ERROR(Call(options.connection, *stub, &Service::Stub::GetEvidence, request, response));
  if (!chain.save.empty()) {
    RETURN_IF_ERROR(ReplaceFile(chain.save, response.proof(), 0644));
  }
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(response));
  } else if (!chain.save.empty()) {
    Print(fmt::format("saved in {}\n", chain.save));
  } else {
    Print(response.proof());
  }
  return Exit::kYes;
}

}  // namespace virp::virpctl
