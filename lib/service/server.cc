#include "lib/service/server.h"

#include <dlfcn.h>
#include <google/protobuf/descriptor.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server_builder.h>

#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/service/delivery_meter.h"

namespace virp::service {
namespace {

// gRPC's own quota for what it buffers. It does not hold (receive_budget.h) and ends calls by lot, so it is above what
// the budget lets come to pass.
constexpr std::size_t kMaxBufferedBytes = std::size_t{1} << 30;

// Its static initialiser registers the plug-in with every server that is built from then on.
absl::Status LoadReflection() {
  if (dlopen("libgrpc++_reflection.so.1.51", RTLD_NOW | RTLD_GLOBAL) != nullptr) return absl::OkStatus();
  const char* reason = dlerror();
  return FailedPrecondition("reflection: {}; install libgrpc++1.51 or switch reflection off",
                            reason == nullptr ? "not loadable" : reason);
}

absl::Status CheckTable(const AuthorizationTable& table, const std::vector<ServedService>& services) {
  std::vector<const google::protobuf::ServiceDescriptor*> descriptors;
  for (const ServedService& served : services) {
    descriptors.push_back(google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(served.name));
    if (descriptors.back() == nullptr) return Internal("{} is no service that this program knows", served.name);
  }
  const std::vector<std::string> problems = table.Problems(descriptors);
  if (!problems.empty()) return Internal("authorization table: {}", fmt::join(problems, "; "));
  return absl::OkStatus();
}

int Milliseconds(std::chrono::milliseconds value) {
  return static_cast<int>(value.count());
}

void Apply(const TransportLimits& limits, grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(limits.max_message_bytes);
  builder.SetMaxSendMessageSize(limits.max_message_bytes);
  // A small message that unfolds to a large one would be counted as more than came, in DeliveryMeter.
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, limits.max_streams_per_connection);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, Milliseconds(limits.max_connection_age));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, Milliseconds(limits.connection_grace));
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, Milliseconds(limits.handshake_timeout));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(limits.keepalive_time));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(limits.keepalive_timeout));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // Half the agreed interval: a client's timer that runs a little fast is not "too many pings".
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             Milliseconds(limits.keepalive_time / 2));
  grpc::ResourceQuota quota("server");
  quota.SetMaxThreads(limits.max_threads);
  quota.Resize(kMaxBufferedBytes);
  builder.SetResourceQuota(quota);
}

}  // namespace

ServerRunner::ServerRunner(ServerOptions options, Security security, const Clock& clock)
    : options_(std::move(options)),
      security_(std::move(security)),
      clock_(clock),
      handshakes_(std::make_shared<HandshakeCount>(options_.limits.handshake_timeout, clock)) {}

absl::StatusOr<std::unique_ptr<ServerRunner>> ServerRunner::Start(ServerOptions options, Security security,
                                                                  const Clock& clock,
                                                                  const std::vector<ServedService>& services) {
  RETURN_IF_ERROR(CheckTable(*security.table, services));
  RETURN_IF_ERROR(InspectTlsFiles(options.tls).status());
  if (options.reflection) RETURN_IF_ERROR(LoadReflection());
  std::unique_ptr<ServerRunner> runner(new ServerRunner(std::move(options), std::move(security), clock));
  RETURN_IF_ERROR(runner->Listen(services));
  return runner;
}

absl::Status ServerRunner::Listen(const std::vector<ServedService>& services) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  Apply(options_.limits, builder);
  // The gate accepts and gRPC serves, so that connections are counted.
  ASSIGN_OR_RETURN(gate_, ConnectionGate::Listen(options_.listen, options_.connections));
  acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
      MakeServerCredentials(options_.tls, security_, options_.reload, [count = handshakes_] { count->Verified(); }));
  for (const ServedService& served : services) {
    builder.RegisterService(served.service);
    names_.push_back(served.name);
  }
  const auto budget = std::make_shared<ReceiveBudget>(options_.receive);
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(std::make_unique<DeliveryMeter>(budget, names_));
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) return Internal("gRPC does not start a server for {}", options_.listen);
  SetServing(false);
  gate_->Start(
      [this](int listener, FileDescriptor connection) {
        grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
        handshakes_->Accepted();
        parameters.listener_fd = listener;
        parameters.fd = connection.Release();
        acceptor_->HandleNewConnection(&parameters);
      },
      [this](const IpAddress& peer, std::string_view reason) {
        if (!security_.on_refusal) return;
        const std::string_view what =
            reason == "UNREAD_MESSAGES" ? "too much of messages that have not ended; end each before the next is begun"
                                        : "too many connections";
        security_.on_refusal({.method = "(connection)",
                              .caller = "",
                              .status = WithReason(ResourceExhausted("{}: {}", peer.ToString(), what), reason)});
      },
      budget);
  maintenance_ = std::thread([this] { MaintainUntilStopped(); });
  return absl::OkStatus();
}

ServerRunner::~ServerRunner() {
  Drain(std::chrono::milliseconds(0), std::chrono::milliseconds(0));
}

std::string ServerRunner::address() const {
  return fmt::format("{}:{}", options_.listen.substr(0, options_.listen.rfind(':')), port());
}

void ServerRunner::SetServing(bool serving) {
  grpc::HealthCheckServiceInterface* health = server_->GetHealthCheckService();
  health->SetServingStatus(serving);  // those known, and the server itself
  for (const std::string& name : names_) health->SetServingStatus(name, serving);
}

absl::Status ServerRunner::Ready() const {
  return CheckTlsFiles(options_.tls, clock_.NowNanos());
}

UnixNanos ServerRunner::certificate_not_after() const {
  const absl::StatusOr<TlsFilesState> state = InspectTlsFiles(options_.tls);
  return state.ok() ? state->leaf.not_after : 0;
}

absl::Status ServerRunner::ReloadDenyList() {
  const absl::Status read = security_.denied == nullptr ? absl::OkStatus() : security_.denied->Poll();
  security_.callers->CancelRevokedStreams();
  return read;
}

void ServerRunner::MaintainUntilStopped() {
  mutex_.lock();
  while (!stopping_) {
    wake_.wait_for(mutex_, options_.maintenance);
    if (stopping_) break;
    mutex_.unlock();
    ReloadDenyList().IgnoreError();  // a broken file is reported by the list's own hook
    mutex_.lock();
  }
  mutex_.unlock();
}

void ServerRunner::Drain(std::chrono::milliseconds delay, std::chrono::milliseconds grace) {
  {
    const MutexLock lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
  }
  wake_.notify_all();
  if (maintenance_.joinable()) maintenance_.join();
  if (server_ == nullptr) return;
  SetServing(false);
  std::this_thread::sleep_for(delay);
  gate_->Stop();
  server_->GetHealthCheckService()->Shutdown();
  server_->Shutdown(std::chrono::system_clock::now() + grace);
  server_->Wait();
}

}  // namespace virp::service
