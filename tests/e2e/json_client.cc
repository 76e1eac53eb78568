#include "tests/e2e/json_client.h"

#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/util/json_util.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/support/byte_buffer.h>

#include <chrono>

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "tests/testutil/must.h"

namespace virp::e2e {

using google::protobuf::Descriptor;
using google::protobuf::Message;
using testutil::Must;

JsonClient::JsonClient(const std::string& protoset, std::shared_ptr<grpc::Channel> channel)
    : stub_(std::move(channel)) {
  google::protobuf::FileDescriptorSet set;
  if (!set.ParseFromString(Must(ReadFile(protoset, std::size_t{16} << 20)))) {
    Must(InvalidArgument("{} is no descriptor set", protoset));
  }
  for (const auto& file : set.file()) {
    if (pool_.BuildFile(file) == nullptr) Must(InvalidArgument("{}: {} lacks its imports", protoset, file.name()));
  }
}

std::unique_ptr<Message> JsonClient::New(const Descriptor* type) {
  return std::unique_ptr<Message>(messages_.GetPrototype(type)->New());
}

absl::StatusOr<std::string> JsonClient::Call(const std::string& method, const std::string& json) {
  std::string name = method;
  name.replace(name.find('/'), 1, ".");
  const auto* const found = pool_.FindMethodByName(name);
  if (found == nullptr) return NotFound("no method {} in the descriptor set", method);
  const auto request = New(found->input_type()), response = New(found->output_type());
  const auto fits = google::protobuf::util::JsonStringToMessage(json, request.get());
  if (!fits.ok()) return InvalidArgument("{}: {}", method, std::string(fits.message()));

  const std::string bytes = request->SerializeAsString();
  const grpc::Slice slice(bytes);
  const grpc::ByteBuffer sent(&slice, 1);
  grpc::ByteBuffer received;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  // By a queue and not by a callback: ThreadSanitizer cannot follow what gRPC's own threads hand over.
  grpc::CompletionQueue queue;
  const auto call = stub_.PrepareUnaryCall(&context, "/" + method, sent, &queue);
  call->StartCall();
  grpc::Status status;
  call->Finish(&received, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  if (!queue.Next(&tag, &ok)) return Internal("{}: the queue has ended", method);
  if (!status.ok()) {
    return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  }
  grpc::Slice answer;
  if (!received.DumpToSingleSlice(&answer).ok() ||
      !response->ParseFromArray(answer.begin(), static_cast<int>(answer.size()))) {
    return DataLoss("{}: the answer is no {}", method, found->output_type()->full_name());
  }
  std::string out;
  const auto written = google::protobuf::util::MessageToJsonString(*response, &out);
  if (!written.ok()) return DataLoss("{}: {}", method, std::string(written.message()));
  return out;
}

}  // namespace virp::e2e
