// Tells a ReceiveBudget of each message that a handler gets.
#pragma once

#include <grpcpp/support/server_interceptor.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lib/service/hand_over.h"
#include "lib/service/receive_budget.h"

namespace virp::service {

// Only the methods of `services` (full names) are metered: their messages are protobuf, which those of gRPC's own
// services are not.
class DeliveryMeter final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  DeliveryMeter(std::shared_ptr<ReceiveBudget> budget, std::vector<std::string> services)
      : budget_(std::move(budget)), services_(std::move(services)) {
    hand_over_.Made();
  }
  ~DeliveryMeter() override { hand_over_.Gone(); }

  // Null for a call that is not metered.
  grpc::experimental::Interceptor* CreateServerInterceptor(grpc::experimental::ServerRpcInfo* info) override;

 private:
  const std::shared_ptr<ReceiveBudget> budget_;
  const std::vector<std::string> services_;
  HandOver hand_over_;
};

}  // namespace virp::service
