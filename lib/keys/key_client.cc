#include "lib/keys/key_client.h"

#include <grpcpp/client_context.h>

#include <array>
#include <condition_variable>
#include <map>
#include <thread>
#include <utility>

#include "lib/base/backoff.h"
#include "lib/base/mutex.h"
#include "lib/base/status.h"
#include "lib/crypto/secret.h"
#include "lib/service/errors.h"
#include "virp/keymgr/v1/observation_key.grpc.pb.h"

namespace virp::keys {
namespace {

namespace pb = ::virp::keymgr::v1;

constexpr int kMostReported = 1'000;  // in one call

void WipeSecrets(pb::WatchObservationKeysResponse& message) {
  for (pb::SourceKeys& source : *message.mutable_sources()) {
    for (pb::KeyMaterial& version : *source.mutable_versions())
      crypto::Wipe(version.mutable_secret()->data(), version.secret().size());
  }
}

}  // namespace

struct KeyClient::Impl {
  Impl(KeyClientOptions from, ChannelFactory factory, ManagedKeys& held)
      : options(std::move(from)), channels(std::move(factory)), keys(held) {}

  const KeyClientOptions options;
  const ChannelFactory channels;
  ManagedKeys& keys;

  mutable Mutex mutex;
  std::condition_variable_any wake;
  bool stopping ABSL_GUARDED_BY(mutex) = false;
  enum Call : std::uint8_t { kWatch, kReport, kCalls };
  std::array<grpc::ClientContext*, kCalls> running ABSL_GUARDED_BY(mutex){};  // to be cancelled by Stop
  std::shared_ptr<grpc::Channel> channel ABSL_GUARDED_BY(mutex);              // of the stream whose list is complete
  KeyClientStatus now ABSL_GUARDED_BY(mutex);
  std::thread watcher, reporter;

  bool Wait(std::chrono::nanoseconds time) ABSL_LOCKS_EXCLUDED(mutex) {  // false: stopping
    const MutexLock lock(mutex);
    wake.wait_for(mutex, time, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) { return stopping; });
    return !stopping;
  }
  bool Begin(Call call, grpc::ClientContext& context) {
    const MutexLock lock(mutex);
    if (stopping) return false;
    running[call] = &context;
    return true;
  }
  void End(Call call) {
    const MutexLock lock(mutex);
    running[call] = nullptr;
  }
  void Say(const absl::Status& problem) {
    const MutexLock lock(mutex);
    now.problem = problem.ok() ? "" : std::string(Message(problem));
  }

  void Watch() {
    Backoff backoff({.initial = options.backoff_min, .max = options.backoff_max});
    for (std::size_t turn = 0;; ++turn) {
      const std::string& address = options.addresses[turn % options.addresses.size()];
      const absl::Status ended = WatchOne(address, backoff);
      {
        const MutexLock lock(mutex);
        now.connected_to.clear();
        channel.reset();
        if (!ended.ok()) now.problem = fmt::format("key manager {}: {}", address, Message(ended));
      }
      keys.Interrupted();
      // The other managers at once, then a pause.
      const bool round = (turn + 1) % options.addresses.size() == 0;
      if (!Wait(round ? backoff.Next() : std::chrono::nanoseconds(0))) return;
    }
  }

  absl::Status WatchOne(const std::string& address, Backoff& backoff) {
    ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> to, channels(address));
    const auto stub = pb::ObservationKeyService::NewStub(to);
    grpc::ClientContext context;
    if (!Begin(kWatch, context)) return absl::OkStatus();
    const auto reader = stub->WatchObservationKeys(&context, pb::WatchObservationKeysRequest());
    pb::WatchObservationKeysResponse message;
    while (reader->Read(&message)) {
      const absl::Status taken = keys.Take(message);
      const bool complete = message.complete();
      WipeSecrets(message);
      Say(taken);
      if (!complete) continue;
      backoff.Reset();
      const MutexLock lock(mutex);
      now.connected_to = address;
      ++now.lists;
      channel = to;
    }
    const grpc::Status status = reader->Finish();
    End(kWatch);
    return status.ok() ? Unavailable("it ended the stream") : service::FromGrpcStatus(status);
  }

  void Report() {
    using Told = std::pair<bool, std::string>;  // compromised, statement
    std::map<std::pair<std::string, std::uint32_t>, Told> told;
    std::shared_ptr<grpc::Channel> told_to;
    while (Wait(options.report_interval)) {
      // A list that could not be kept is tried again here: the stream may be silent for days.
      if (const absl::Status kept = keys.Keep(); !kept.ok()) Say(kept);
      std::shared_ptr<grpc::Channel> to;
      {
        const MutexLock lock(mutex);
        to = channel;
      }
      if (to == nullptr || !options.known) continue;
      if (to != told_to) told.clear();
      told_to = to;
      pb::ReportObservationKeysRequest request;
      std::map<std::pair<std::string, std::uint32_t>, Told> news;
      for (KnownVersion& version : options.known()) {
        Told what{version.compromised, version.statement};
        const std::pair name{version.source, version.version};
        const auto known = told.find(name);
        if (known != told.end() && known->second == what) continue;
        if (request.known_size() == kMostReported) break;  // the rest next time
        auto& to_say = *request.add_known();
        to_say.set_source(version.source);
        to_say.set_version(version.version);
        to_say.set_entry(version.entry);
        to_say.set_compromised(version.compromised);
        to_say.set_statement(version.statement);
        news[name] = std::move(what);
      }
      if (news.empty()) continue;
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + options.call_timeout);
      if (!Begin(kReport, context)) return;
      pb::ReportObservationKeysResponse response;
      const grpc::Status status =
          pb::ObservationKeyService::NewStub(to)->ReportObservationKeys(&context, request, &response);
      End(kReport);
      if (!status.ok()) {
        Say(Annotate(service::FromGrpcStatus(status), "report to the key manager"));
        continue;
      }
      for (auto& [name, what] : news) told[name] = std::move(what);
      const MutexLock lock(mutex);
      now.reported += news.size();
    }
  }
};

KeyClient::KeyClient(KeyClientOptions options, ChannelFactory channels, ManagedKeys& keys)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(channels), keys)) {}

KeyClient::~KeyClient() {
  Stop();
}

void KeyClient::Start() {
  if (impl_->options.addresses.empty() || impl_->watcher.joinable()) return;
  impl_->watcher = std::thread([this] { impl_->Watch(); });
  impl_->reporter = std::thread([this] { impl_->Report(); });
}

void KeyClient::Stop() {
  {
    const MutexLock lock(impl_->mutex);
    impl_->stopping = true;
    for (grpc::ClientContext* call : impl_->running) {
      if (call != nullptr) call->TryCancel();
    }
  }
  impl_->wake.notify_all();
  if (impl_->watcher.joinable()) impl_->watcher.join();
  if (impl_->reporter.joinable()) impl_->reporter.join();
}

KeyClientStatus KeyClient::status() const {
  const MutexLock lock(impl_->mutex);
  return impl_->now;
}

}  // namespace virp::keys
