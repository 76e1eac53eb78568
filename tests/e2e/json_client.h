// A client that knows the API only as grpcurl does: from the installed descriptor set, with JSON in and out. No
// generated code is used, so what it gets is what a stranger gets.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>
#include <grpcpp/channel.h>
#include <grpcpp/generic/generic_stub.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace virp::e2e {

// Used by one thread at a time.
class JsonClient {
 public:
  // `protoset`: the file. A file that is none ends the program.
  JsonClient(const std::string& protoset, std::shared_ptr<grpc::Channel> channel);

  // `method` as in "virp.verify.v1.VerifyService/VerifyClaim". InvalidArgument when the JSON does not fit the request;
  // NotFound when there is no such method; else the call's own error.
  absl::StatusOr<std::string> Call(const std::string& method, const std::string& json);

 private:
  std::unique_ptr<google::protobuf::Message> New(const google::protobuf::Descriptor* type);

  google::protobuf::DescriptorPool pool_;
  google::protobuf::DynamicMessageFactory messages_{&pool_};
  grpc::GenericStub stub_;
};

}  // namespace virp::e2e
