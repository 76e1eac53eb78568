// Questions to ChainService.
#include <optional>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/chain/proof.h"
#include "tools/virpctl/commands.h"
#include "tools/virpctl/memory.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/progress.h"
#include "tools/virpctl/session.h"
#include "virp/chain/v1/chain_service.grpc.pb.h"

namespace virp::virpctl {
namespace {

namespace pb = ::virp::chain::v1;
using Service = pb::ChainService;

// The chain as the O-Node shows it, when that does not contradict what was seen before.
absl::StatusOr<pb::GetChainResponse> GetChain(const Options& options, const std::shared_ptr<grpc::Channel>& channel) {
  pb::GetChainRequest request;
  request.set_origin(options.connection.origin);
  const auto stub = Service::NewStub(channel);
  pb::GetChainResponse response;
  RETURN_IF_ERROR(Call(options.connection, *stub, &Service::Stub::GetChain, request, response));
  ASSIGN_OR_RETURN(const Memory memory, Memory::Open(options, channel));
  RETURN_IF_ERROR(memory.See(response.origin(), response.checkpoint()));
  return response;
}

// Whether somebody without a certificate is refused. Asked of who has just answered us, so that nothing but the
// certificate makes the difference.
absl::StatusOr<bool> RefusesStrangers(const Options& options) {
  if (options.connection.onode.starts_with("unix:"))
    return InvalidArgument("--refuses-strangers: nobody shows a certificate on a socket of this machine");
  Connection stranger = options.connection;
  stranger.as_stranger = true;
  ASSIGN_OR_RETURN(const auto channel, Connect(stranger));
  pb::GetChainRequest request;
  request.set_origin(options.connection.origin);
  const auto stub = Service::NewStub(channel);
  pb::GetChainResponse response;
  const absl::Status status = Call(stranger, *stub, &Service::Stub::GetChain, request, response);
  // Who is late has not refused: that is told as the error it is.
  if (absl::IsDeadlineExceeded(status)) return status;
  return !status.ok();
}

std::string CheckpointSize(const std::string& note) {
  const std::size_t first = note.find('\n');
  if (first == std::string::npos) return "none yet";
  return note.substr(first + 1, note.find('\n', first + 1) - first - 1);
}

}  // namespace

absl::StatusOr<Exit> Status(const Options& options, bool refuses_strangers) {
  ASSIGN_OR_RETURN(const auto channel, Connect(options.connection));
  ASSIGN_OR_RETURN(const pb::GetChainResponse chain, GetChain(options, channel));
  bool closed = true;
  if (refuses_strangers) {
    ASSIGN_OR_RETURN(closed, RefusesStrangers(options));
  }
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
    if (!chain.cannot_lead().empty()) table.Add({"cannot lead", chain.cannot_lead()});
    if (refuses_strangers) table.Add({"without certificate", closed ? "refused" : "LET IN"});
    Print(table.ToString());
  }
  return chain.frozen().empty() && closed ? Exit::kYes : Exit::kNo;
}

absl::StatusOr<Exit> ChainShow(const Options& options) {
  ASSIGN_OR_RETURN(const auto channel, Connect(options.connection));
  ASSIGN_OR_RETURN(const pb::GetChainResponse chain, GetChain(options, channel));
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

namespace {

// Without a deadline: a long chain takes as long as it takes, and says how far it is.
absl::StatusOr<pb::VerifyReport> Verify(const pb::VerifyChainRequest& request,
                                        const std::shared_ptr<grpc::Channel>& channel) {
  const auto stub = Service::NewStub(channel);
  grpc::ClientContext context;
  const auto reader = stub->VerifyChain(&context, request);
  pb::VerifyChainResponse message;
  std::optional<pb::VerifyReport> report;
  Progress progress("verifying", 0);
  while (reader->Read(&message)) {
    if (message.has_report()) {
      report = std::move(*message.mutable_report());
    } else {
      progress.SetTotal(message.progress().total());
      progress.Draw(message.progress().checked());
    }
  }
  RETURN_IF_ERROR(service::FromGrpcStatus(reader->Finish()));
  if (!report) return Unavailable("the O-Node ended without a report");
  return *std::move(report);
}

void PrintReport(const pb::VerifyReport& report) {
  Print(Short(pb::VerifyReport::Result_Name(report.result()), "RESULT_") + "\n");
  if (report.result() == pb::VerifyReport::RESULT_BROKEN) {
    Print(fmt::format("first broken entry: {} ({})\n", report.broken_at(), report.broken_kind()));
  }
  if (!report.detail().empty()) Print(Printable(report.detail()) + "\n");
  // The broken entry was checked, and is not in order.
  Print(fmt::format("{} entries checked; the first {} are in order, root {}\n", report.checked(), report.size(),
                    HexEncode(report.root())));
  for (const auto& item : report.unchecked()) {
    Print(fmt::format("not checked: {} ({} entries)\n", Printable(item.what()), item.entries()));
  }
}

}  // namespace

absl::StatusOr<Exit> ChainVerify(const Options& options, const ChainOptions& range) {
  ASSIGN_OR_RETURN(const auto channel, Connect(options.connection));
  ASSIGN_OR_RETURN(const pb::GetChainResponse chain, GetChain(options, channel));
  ASSIGN_OR_RETURN(const Memory memory, Memory::Open(options, channel));
  ASSIGN_OR_RETURN(const std::optional<Memory::Kept> kept, memory.Find(chain.origin()));
  pb::VerifyChainRequest request;
  request.set_origin(chain.origin());
  request.set_begin(range.begin);
  request.set_end(range.end);
  request.set_check_subjects(range.subjects);
  ASSIGN_OR_RETURN(const pb::VerifyReport report, Verify(request, channel));
  const bool broken = report.result() == pb::VerifyReport::RESULT_BROKEN;
  if (kept && !broken && range.end == 0 && !report.root().empty()) {
    ASSIGN_OR_RETURN(const Hash root, HashFromBytes(report.root()));
    RETURN_IF_ERROR(memory.SeeRoot(*kept, report.size(), root));
  }
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(report));
  } else {
    PrintReport(report);
  }
  if (broken) return Exit::kNo;
  return report.result() == pb::VerifyReport::RESULT_VERIFIED ? Exit::kYes : Exit::kCannotSay;
}

absl::StatusOr<Exit> ChainProve(const Options& options, const ChainOptions& what) {
  pb::GetEvidenceRequest request;
  request.set_origin(options.connection.origin);
  request.set_sequence(what.sequence);
  ASSIGN_OR_RETURN(const auto channel, Connect(options.connection));
  const auto stub = Service::NewStub(channel);
  pb::GetEvidenceResponse response;
  RETURN_IF_ERROR(Call(options.connection, *stub, &Service::Stub::GetEvidence, request, response));
  ASSIGN_OR_RETURN(const Memory memory, Memory::Open(options, channel));
  ASSIGN_OR_RETURN(const chain::Proof proof, chain::DecodeProof(response.proof()));
  ASSIGN_OR_RETURN(const chain::Checkpoint checkpoint, chain::ParseCheckpointUnverified(proof.checkpoint));
  const std::string& origin = options.connection.origin;
  RETURN_IF_ERROR(memory.SeeProofs(origin.empty() ? checkpoint.origin : origin, {response.proof()}));
  if (!what.save.empty()) {
    RETURN_IF_ERROR(ReplaceFile(what.save, response.proof(), 0644));
  }
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(response));
  } else if (!what.save.empty()) {
    Print(fmt::format("saved in {}\n", what.save));
  } else {
    Print(response.proof());
  }
  return Exit::kYes;
}

}  // namespace virp::virpctl
