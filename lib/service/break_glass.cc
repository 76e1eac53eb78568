#include "lib/service/break_glass.h"

#include <fcntl.h>
#include <google/protobuf/descriptor.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include "lib/base/file.h"
#include "lib/base/hash_map.h"
#include "lib/base/status.h"
#include "lib/service/hand_over.h"
#include "lib/service/logging.h"

namespace virp::service {
namespace {

absl::StatusOr<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path[0] != '/' || path.size() >= sizeof(address.sun_path)) {
    return InvalidArgument("break-glass socket '{}': must be an absolute path of at most {} bytes", path,
                           sizeof(address.sun_path) - 1);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

absl::Status PrepareDirectory(const std::string& socket) {
  const std::string directory = socket.substr(0, socket.rfind('/'));
  if (directory.empty()) return InvalidArgument("break-glass socket '{}': needs a directory of its own", socket);
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST)
    return FailedPrecondition("{}: {}", directory, std::strerror(errno));
  struct stat info{};
  if (lstat(directory.c_str(), &info) != 0) return FailedPrecondition("{}: {}", directory, std::strerror(errno));
  if (!S_ISDIR(info.st_mode) || info.st_uid != geteuid() || (info.st_mode & 077) != 0) {
    return FailedPrecondition(
        "{}: must be a directory of user {} with mode 0700, for nothing but the break-glass socket", directory,
        geteuid());
  }
  return absl::OkStatus();
}

// In a directory that only we can write to, so between the steps nobody else acts.
absl::StatusOr<FileDescriptor> Listen(const std::string& path) {
  ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path));
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  RETURN_IF_ERROR(PrepareDirectory(path));
  FileDescriptor probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(probe.get(), generic, sizeof(address)) == 0)
    return FailedPrecondition("{}: another process serves it", path);
  if (errno == ECONNREFUSED && unlink(path.c_str()) != 0)
    return FailedPrecondition("{}: {}", path, std::strerror(errno));
  FileDescriptor fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0 || fchmod(fd.get(), 0600) != 0 ||  // before bind: the mode that the file gets
      bind(fd.get(), generic, sizeof(address)) != 0 || chmod(path.c_str(), 0600) != 0 || listen(fd.get(), 16) != 0) {
    return FailedPrecondition("{}: {}", path, std::strerror(errno));
  }
  return fd;
}

absl::Status CheckMethods(const std::vector<std::string>& methods, const std::vector<ServedService>& services) {
  StringSet existing;
  for (const ServedService& served : services) {
    const auto* descriptor = google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(served.name);
    if (descriptor == nullptr) return Internal("{} is no service that this program knows", served.name);
    for (int i = 0; i < descriptor->method_count(); ++i) {
      existing.insert(fmt::format("/{}/{}", descriptor->full_name(), descriptor->method(i)->name()));
    }
  }
  for (const std::string& method : methods) {
    if (!existing.contains(method)) return InvalidArgument("break-glass: no service has the method '{}'", method);
  }
  return absl::OkStatus();
}

// One connection at a time. Each slot has credentials of its own, so a call's processor knows whose connection it is:
// gRPC keeps nothing else that would tell two Unix peers apart.
struct SlotPeer {
  Mutex mutex;
  PeerCredentials peer ABSL_GUARDED_BY(mutex);
};

struct Slot {
  std::shared_ptr<SlotPeer> peer = std::make_shared<SlotPeer>();  // shared with the slot's authorizer
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor;
  FileDescriptor watch;  // a duplicate of the connection, to see it end; the accepting thread's alone
};

struct Policy {
  StringSet methods;
  BreakGlassHook hook;
};

class SlotAuthorizer final : public grpc::AuthMetadataProcessor {
 public:
  SlotAuthorizer(std::shared_ptr<SlotPeer> peer, std::shared_ptr<const Policy> policy)
      : peer_(std::move(peer)), policy_(std::move(policy)) {
    hand_over_.Made();
  }
  ~SlotAuthorizer() override { hand_over_.Gone(); }

  bool IsBlocking() const override { return true; }  // the hook writes an entry

  grpc::Status Process(const InputMetadata& metadata, grpc::AuthContext*, OutputMetadata*, OutputMetadata*) override {
    const HandOver::Call call(hand_over_);
    BreakGlassUse use;
    use.method = MethodOf(metadata);
    {
      const MutexLock lock(peer_->mutex);
      use.peer = peer_->peer;
    }
    if (!policy_->methods.contains(use.method)) {
      use.refused = PermissionDenied("{} is not served by the break-glass socket", use.method);
      policy_->hook(use).IgnoreError();
      return {grpc::StatusCode::PERMISSION_DENIED, "not served by the break-glass socket"};
    }
    const absl::Status reported = policy_->hook(use);
    if (reported.ok()) return grpc::Status::OK;
    return {grpc::StatusCode::UNAVAILABLE, fmt::format("this use could not be recorded: {}", Message(reported))};
  }

 private:
  const std::shared_ptr<SlotPeer> peer_;
  const std::shared_ptr<const Policy> policy_;
  HandOver hand_over_;
};

}  // namespace

struct BreakGlassServer::Impl {
  BreakGlassOptions options;
  const uid_t owner = geteuid();
  std::shared_ptr<Policy> policy;
  std::vector<Slot> slots;
  std::unique_ptr<grpc::Server> server;
  FileDescriptor listener;
  FileDescriptor stop;
  std::thread thread;

  ~Impl();
  absl::Status Build(const std::vector<ServedService>& services);
  void Run();
  void Accept();
};

absl::StatusOr<std::unique_ptr<BreakGlassServer>> BreakGlassServer::Start(BreakGlassOptions options,
                                                                          BreakGlassHook hook,
                                                                          const std::vector<ServedService>& services) {
  RETURN_IF_ERROR(CheckMethods(options.methods, services));
  auto impl = std::make_unique<Impl>();
  impl->policy = std::make_shared<Policy>();
  impl->policy->methods.insert(options.methods.begin(), options.methods.end());
  for (const char* method : {"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"})
    impl->policy->methods.insert(method);
  impl->policy->hook = std::move(hook);
  impl->options = std::move(options);
  ASSIGN_OR_RETURN(impl->listener, Listen(impl->options.socket));
  impl->stop = FileDescriptor(eventfd(0, EFD_CLOEXEC));
  if (impl->stop.get() < 0) return Internal("eventfd: {}", std::strerror(errno));
  RETURN_IF_ERROR(impl->Build(services));
  impl->thread = std::thread([raw = impl.get()] { raw->Run(); });
  return std::unique_ptr<BreakGlassServer>(new BreakGlassServer(std::move(impl)));
}

BreakGlassServer::BreakGlassServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
BreakGlassServer::~BreakGlassServer() = default;

absl::Status BreakGlassServer::Impl::Build(const std::vector<ServedService>& services) {
  grpc::ServerBuilder builder;
  for (int i = 0; i < options.max_connections; ++i) {
    Slot slot;
    auto credentials = grpc::experimental::LocalServerCredentials(UDS);
    credentials->SetAuthMetadataProcessor(std::make_shared<SlotAuthorizer>(slot.peer, policy));
    slot.acceptor = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, credentials);
    slots.push_back(std::move(slot));
  }
  for (const ServedService& served : services) builder.RegisterService(served.service);
  server = builder.BuildAndStart();
  return server == nullptr ? Internal("break-glass: the gRPC server does not start") : absl::OkStatus();
}

BreakGlassServer::Impl::~Impl() {
  if (thread.joinable()) {
    const std::uint64_t one = 1;
    while (write(stop.get(), &one, sizeof(one)) < 0 && errno == EINTR) {
    }
    thread.join();
  }
  if (server != nullptr) {
    server->Shutdown(std::chrono::system_clock::now());
    server->Wait();
  }
  if (listener.get() >= 0) unlink(options.socket.c_str());
}

void BreakGlassServer::Impl::Run() {
  while (true) {
    std::vector<pollfd> watched = {{stop.get(), POLLIN, 0}, {listener.get(), POLLIN, 0}};
    for (const Slot& slot : slots) watched.push_back({slot.watch.get(), POLLRDHUP, 0});  // -1 is skipped by poll
    if (poll(watched.data(), watched.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return;
    }
    if (watched[0].revents != 0) return;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      if (watched[i + 2].revents != 0) slots[i].watch.Reset();  // the peer or gRPC has hung up: free again
    }
    if (watched[1].revents != 0) Accept();
  }
}

void BreakGlassServer::Impl::Accept() {
  FileDescriptor connection(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (connection.get() < 0) return;
  ucred credentials{};
  socklen_t size = sizeof(credentials);
  const bool known = getsockopt(connection.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0;
  BreakGlassUse use;
  use.peer = {credentials.pid, credentials.uid, credentials.gid};
  if (!known || (credentials.uid != 0 && credentials.uid != owner)) {
    use.refused = PermissionDenied("break-glass: user {} is neither root nor user {}", credentials.uid, owner);
    policy->hook(use).IgnoreError();
    return;
  }
  for (Slot& slot : slots) {
    if (slot.watch) continue;
    FileDescriptor duplicate(fcntl(connection.get(), F_DUPFD_CLOEXEC, 0));
    if (!duplicate) return;
    slot.watch = std::move(connection);
    {
      const MutexLock lock(slot.peer->mutex);
      slot.peer->peer = use.peer;
    }
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
    parameters.listener_fd = listener.get();
    parameters.fd = duplicate.Release();  // gRPC's from here on
    slot.acceptor->HandleNewConnection(&parameters);
    return;
  }
  use.refused = ResourceExhausted("break-glass: {} connections are open already", slots.size());
  policy->hook(use).IgnoreError();
}

absl::StatusOr<std::unique_ptr<BreakGlassServer>> StartBreakGlass(const std::string& socket,
                                                                  std::vector<std::string> methods,
                                                                  const std::vector<ServedService>& services,
                                                                  BreakGlassHook record) {
  if (socket.empty()) return nullptr;
  const auto hook = [record = std::move(record)](const BreakGlassUse& use) -> absl::Status {
    LogWarning("break-glass socket used", {{"method", use.method}, {"uid", use.peer.uid}, {"pid", use.peer.pid}});
    return use.refused.ok() ? record(use) : absl::OkStatus();
  };
  BreakGlassOptions options;
  options.socket = socket;
  options.methods = std::move(methods);
  return BreakGlassServer::Start(std::move(options), hook, services);
}

}  // namespace virp::service
