// `chain export`: the whole chain up to its newest checkpoint as one file that proves itself (docs/formats/chain.md,
// "Export").
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/chain/export.h"
#include "lib/service/wire.h"
#include "tools/virpctl/commands.h"
#include "tools/virpctl/memory.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/progress.h"
#include "tools/virpctl/session.h"
#include "virp/chain/v1/chain_service.grpc.pb.h"
#include "virp/source/v1/source_service.grpc.pb.h"

namespace virp::virpctl {
namespace {

using chain::v1::ChainService;
using source::v1::SourceService;
using Channel = std::shared_ptr<grpc::Channel>;

absl::StatusOr<chain::KeyStatement> StatementOf(const source::v1::Key& key) {
  chain::KeyStatement out;
  out.version = key.version();
  out.suite = key.suite() == source::v1::SUITE_ED25519 ? frame::Suite::kEd25519 : frame::Suite::kHmacSha256;
  out.public_key = key.public_key();
  out.commitment = key.commitment();
  ASSIGN_OR_RETURN(out.accept_from, service::NanosOf(key.accept_from(), "accept_from"));
  if (key.has_accept_until()) {
    ASSIGN_OR_RETURN(out.accept_until, service::NanosOf(key.accept_until(), "accept_until"));
  }
  return out;
}

absl::StatusOr<chain::ExportKeys> KeysOf(const Options& options, const chain::v1::GetChainResponse& shown) {
  chain::ExportKeys keys;
  for (const std::string& text : shown.verifier_keys()) {
    ASSIGN_OR_RETURN(chain::VerifierKey key, chain::VerifierKey::Parse(text));
    keys.checkpoint_keys.push_back(std::move(key));
  }
  source::v1::ListSourcesRequest request;
  request.set_origin(shown.origin());
  ASSIGN_OR_RETURN(const auto listed, AskPages(options.connection, &SourceService::Stub::ListSources, request,
                                               &source::v1::ListSourcesResponse::mutable_sources));
  for (const source::v1::Source& source : listed.sources()) {
    chain::ExportKeys::Source& out = keys.sources.emplace_back();
    out.name = source.name();
    for (const source::v1::Key& key : source.keys()) {
      ASSIGN_OR_RETURN(chain::KeyStatement statement, StatementOf(key));
      out.keys.push_back(std::move(statement));
    }
  }
  return keys;
}

// The entries from `at` on, as far as this call gives them. A server ends calls that last longer than its connections
// may: whoever calls asks again for the rest.
absl::Status Fetch(const Channel& channel, const chain::Checkpoint& checkpoint, std::uint64_t& at,
                   chain::ExportWriter& writer, Progress& progress) {
  chain::v1::StreamEntriesRequest request;
  request.set_origin(checkpoint.origin);
  request.set_begin(at);
  request.set_end(checkpoint.size);
  grpc::ClientContext context;
  const auto stub = ChainService::NewStub(channel);
  const auto reader = stub->StreamEntries(&context, request);
  chain::v1::StreamEntriesResponse part;
  absl::Status written;
  while (written.ok() && reader->Read(&part)) {
    for (const std::string& entry : part.entries()) {
      written = writer.Add(entry);
      if (!written.ok()) break;
      progress.Update(++at);
    }
  }
  if (!written.ok()) context.TryCancel();
  const absl::Status finished = service::FromGrpcStatus(reader->Finish());
  return written.ok() ? finished : written;
}

absl::Status WriteExport(const Channel& channel, const std::string& note, const chain::Checkpoint& checkpoint,
                         const chain::ExportKeys& keys, int fd, const std::string& path) {
  ASSIGN_OR_RETURN(chain::ExportWriter writer, chain::ExportWriter::Start(note, keys, chain::SinkTo(fd, path)));
  Progress progress("exporting", checkpoint.size);
  for (std::uint64_t at = 0; at < checkpoint.size;) {
    const std::uint64_t before = at;
    absl::Status fetched = Fetch(channel, checkpoint, at, writer, progress);
    if (!fetched.ok() && !(absl::IsUnavailable(fetched) && at > before)) return fetched;
    if (fetched.ok() && at < checkpoint.size)
      return DataLoss("the O-Node ended at entry {} of {}", at, checkpoint.size);
  }
  absl::Status finished = writer.Finish();
  if (absl::IsDataLoss(finished)) return WithReason(std::move(finished), kBrokenProof, {{"shown", note}});
  RETURN_IF_ERROR(finished);
  return SyncFile(fd, path);
}

}  // namespace

absl::StatusOr<Exit> ChainExport(const Options& options, const ChainOptions& what) {
  ASSIGN_OR_RETURN(const auto channel, Connect(options.connection));
  const auto stub = ChainService::NewStub(channel);
  chain::v1::GetChainRequest request;
  request.set_origin(options.connection.origin);
  chain::v1::GetChainResponse shown;
  RETURN_IF_ERROR(Call(options.connection, *stub, &ChainService::Stub::GetChain, request, shown));
  if (shown.checkpoint().empty()) return FailedPrecondition("chain {} has no checkpoint yet", shown.origin());
  ASSIGN_OR_RETURN(const Memory memory, Memory::Open(options, channel));
  RETURN_IF_ERROR(memory.See(shown.origin(), shown.checkpoint()));
  ASSIGN_OR_RETURN(const chain::Checkpoint checkpoint, chain::ParseCheckpointUnverified(shown.checkpoint()));
  ASSIGN_OR_RETURN(const chain::ExportKeys keys, KeysOf(options, shown));

  // Under its own name only when it is whole.
  const std::string part = what.save + ".part";
  ASSIGN_OR_RETURN(const FileDescriptor fd, OpenFile(part, O_WRONLY | O_CREAT | O_TRUNC, 0644));
  const absl::Status written = WriteExport(channel, shown.checkpoint(), checkpoint, keys, fd.get(), part);
  if (!written.ok() || std::rename(part.c_str(), what.save.c_str()) != 0) {
    const int error = errno;
    unlink(part.c_str());
    return written.ok() ? ErrnoStatus(error, "cannot rename to", what.save) : written;
  }
  if (options.json) {
    frame::JsonWriter json;
    json.BeginObject().Field("file", std::string_view(what.save)).Field("origin", std::string_view(checkpoint.origin));
    json.Field("size", std::to_string(checkpoint.size)).Field("root", Base64Encode(View(checkpoint.root)));
    PrintJson(json.Field("checkpoint", std::string_view(shown.checkpoint())).EndObject());
  } else {
    Print(fmt::format("{} entries of {} saved in {}\n", checkpoint.size, checkpoint.origin, what.save));
  }
  return Exit::kYes;
}

}  // namespace virp::virpctl
