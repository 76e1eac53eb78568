#include "lib/service/delivery_meter.h"

#include <google/protobuf/message.h>
#include <grpcpp/server_context.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

namespace virp::service {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;

// What cannot be missing on the wire, however a client writes. gRPC's prefix of a message:
constexpr std::uint64_t kPrefix = 5;
// and of a call two headers of HTTP/2 frames and six fields of HPACK, a byte each.
constexpr std::uint64_t kCall = 9 + 9 + 6;

// A message is at least as long on the wire as when protobuf writes it, since no proto has a map and no client may
// compress (server.cc): so what is counted is never more than what came.
class Meter final : public grpc::experimental::Interceptor {
 public:
  Meter(std::shared_ptr<ReceiveBudget> budget, grpc::experimental::ServerRpcInfo* info)
      : budget_(std::move(budget)), info_(info) {}

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_MESSAGE)) {
      // Null when the stream has ended or the bytes were no message.
      if (const auto* message = static_cast<const google::protobuf::Message*>(methods->GetRecvMessage())) {
        if (!peer_) peer_ = ParsePeer(info_->server_context()->peer());
        if (peer_) budget_->Delivered(*peer_, message->ByteSizeLong() + kPrefix + std::exchange(call_, 0));
      }
    }
    methods->Proceed();
  }

 private:
  const std::shared_ptr<ReceiveBudget> budget_;
  grpc::experimental::ServerRpcInfo* const info_;  // lives as long as the call
  std::optional<PeerPort> peer_;                   // gRPC does not know it yet when it makes an interceptor
  std::uint64_t call_ = kCall;
};

}  // namespace

grpc::experimental::Interceptor* DeliveryMeter::CreateServerInterceptor(grpc::experimental::ServerRpcInfo* info) {
  const HandOver::Call call(hand_over_);
  std::string_view service = info->method();  // "/package.Service/Method"
  service = service.substr(std::min<std::size_t>(1, service.size()));
  service = service.substr(0, service.find('/'));
  if (std::find(services_.begin(), services_.end(), service) == services_.end()) return nullptr;
  return new Meter(budget_, info);  // gRPC's from here
}

}  // namespace virp::service
