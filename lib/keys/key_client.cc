#include "lib/keys/key_client.h"

#include <grpcpp/client_context.h>

#include <array>
#include <condition_variable>
#include <map>
#include <thread>
#include <utility>

#include "lib/base/backoff.h"
#include "lib/base/bytes.h"
#include "lib/base/mutex.h"
#include "lib/base/status.h"
#include "lib/keys/wipe_secrets.h"
#include "lib/service/errors.h"
#include "virp/keymgr/v1/observation_key.grpc.pb.h"

namespace virp::keys {
namespace {

namespace pb = ::virp::keymgr::v1;

constexpr int kMostReported = 1'000;  // in one call
constexpr std::chrono::seconds kRegisterAgain{2};

std::string ProblemIn(const absl::Status& status) {
  return status.ok() ? "" : std::string(Message(status));
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
  enum Origin : std::uint8_t { kOfList, kOfKeeping, kOfReports, kOrigins };
  struct State {
    KeyClientStatus status;
    std::array<std::string, kOrigins> problems;  // what lasts of each; `status.problem` is all of them
    std::shared_ptr<grpc::Channel> channel;      // of the stream whose list is complete
  };
  State now ABSL_GUARDED_BY(mutex);
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
  // Changes the state, and says so where somebody listens.
  template <typename Edit>
  void Change(Edit&& edit) ABSL_LOCKS_EXCLUDED(mutex) {
    KeyClientStatus before, after;
    {
      const MutexLock lock(mutex);
      before = now.status;
      edit(now);
      now.status.problem.clear();
      for (const std::string& problem : now.problems) {
        if (!problem.empty()) now.status.problem += (now.status.problem.empty() ? "" : "; ") + problem;
      }
      after = now.status;
    }
    const bool differs = before.connected_to != after.connected_to || before.problem != after.problem;
    if (differs && options.on_change) options.on_change(after);
  }
  // The outcome of the last attempt: a success ends what was said of the one before.
  void Say(Origin origin, const absl::Status& outcome) {
    Change([&](State& state) { state.problems[origin] = ProblemIn(outcome); });
  }
  std::shared_ptr<grpc::Channel> Connected() const {
    const MutexLock lock(mutex);
    return now.channel;
  }

  void Watch() {
    Backoff backoff({.initial = options.backoff_min, .max = options.backoff_max});
    for (std::size_t turn = 0;; ++turn) {
      const std::string& address = options.addresses[turn % options.addresses.size()];
      const absl::Status ended = WatchOne(address, backoff);
      Change([&](State& state) {
        state.status.connected_to.clear();
        state.channel.reset();
        if (!ended.ok()) state.problems[kOfList] = fmt::format("key manager {}: {}", address, Message(ended));
      });
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
      for (pb::SourceKeys& source : *message.mutable_sources()) WipeSecrets(source);
      if (complete) backoff.Reset();
      if (complete) Say(kOfKeeping, keys.Keep());
      Change([&](State& state) {
        state.problems[kOfList] = ProblemIn(taken);
        if (!complete) return;
        state.status.connected_to = address;
        ++state.status.lists;
        state.channel = to;
      });
    }
    const grpc::Status status = reader->Finish();
    End(kWatch);
    return status.ok() ? Unavailable("it ended the stream") : service::FromGrpcStatus(status);
  }

  // What goes to the manager, from a thread of its own: the stream may be silent for days.
  void Report() {
    std::shared_ptr<grpc::Channel> told_to;
    while (Wait(options.report_interval)) {
      Say(kOfKeeping, keys.Keep());  // one that could not be kept before
      const std::shared_ptr<grpc::Channel> to = Connected();
      if (to == nullptr) continue;
      if (to != told_to) {
        told.clear();
        asked.clear();
      }
      told_to = to;
      absl::Status done;
      if (options.known) done.Update(ReportKnown(to));
      if (options.made) done.Update(Register(to));
      Say(kOfReports, done);
    }
  }

  absl::Status ReportKnown(const std::shared_ptr<grpc::Channel>& to) {
    pb::ReportObservationKeysRequest request;
    std::map<Name, Told> news;
    for (KnownVersion& version : options.known()) {
      Told what{version.compromised, version.statement};
      const Name name{version.source, version.version};
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
    if (news.empty()) return absl::OkStatus();
    pb::ReportObservationKeysResponse response;
    RETURN_IF_ERROR(Annotate(Unary(to, &pb::ObservationKeyService::Stub::ReportObservationKeys, request, response),
                             "report to the key manager"));
    for (auto& [name, what] : news) told[name] = std::move(what);
    const MutexLock lock(mutex);
    now.status.reported += news.size();
    return absl::OkStatus();
  }

  absl::Status Register(const std::shared_ptr<grpc::Channel>& to) {
    if (keys.Wanted().empty()) return absl::OkStatus();
    const auto due = options.made();
    if (!due.ok()) return Annotate(due.status(), "make a key for the key manager");
    absl::Status failed;
    for (const Registration& made : *due) {
      const auto moment = std::chrono::steady_clock::now();
      Asked& before = asked[{made.source, made.version}];
      if (moment < before.again) {
        failed.Update(before.outcome);
        continue;
      }
      pb::RegisterPublicKeyRequest request;
      request.set_source(made.source);
      request.set_version(made.version);
      request.set_public_key(made.public_key);
      request.set_possession(made.possession);
      request.set_succession(made.succession);
      request.set_reason("asked for by the key manager");
      // One key, one registration, however often it has to be said.
      request.set_request_id("made-" + HexEncode(made.public_key));
      pb::RegisterPublicKeyResponse response;
      before.outcome = Annotate(Unary(to, &pb::ObservationKeyService::Stub::RegisterPublicKey, request, response),
                                fmt::format("register version {} of {}", made.version, made.source));
      before.again = moment + kRegisterAgain;
      failed.Update(before.outcome);
    }
    return failed;
  }

  template <typename Method, typename Request, typename Response>
  absl::Status Unary(const std::shared_ptr<grpc::Channel>& to, Method method, const Request& request,
                     Response& response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + options.call_timeout);
    if (!Begin(kReport, context)) return absl::OkStatus();
    const auto stub = pb::ObservationKeyService::NewStub(to);
    const grpc::Status status = (stub.get()->*method)(&context, request, &response);
    End(kReport);
    return service::FromGrpcStatus(status);
  }

  // The reporter's thread only.
  using Name = std::pair<std::string, std::uint32_t>;  // source, version
  using Told = std::pair<bool, std::string>;           // compromised, statement
  struct Asked {
    std::chrono::steady_clock::time_point again;
    absl::Status outcome;
  };
  std::map<Name, Told> told;
  std::map<Name, Asked> asked;
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
  return impl_->now.status;
}

}  // namespace virp::keys
