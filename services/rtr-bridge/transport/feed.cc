#include "services/rtr-bridge/transport/feed.h"

#include <grpcpp/client_context.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <map>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "lib/base/backoff.h"
#include "lib/base/mutex.h"
#include "lib/base/status.h"
#include "lib/base/text.h"
#include "lib/base/units.h"
#include "lib/service/errors.h"
#include "lib/vrp/replace.h"
#include "lib/vrp/set.h"
#include "services/rtr-bridge/transport/payload_wire.h"
#include "virp/keymgr/v1/rpki.grpc.pb.h"
#include "virp/rtr/v1/rtr_service.grpc.pb.h"

namespace virp::rtr_bridge {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t kMostPayloads = 10'000'000;  // of a feed; a server that sends more is cut off
// For a server's first words. Then twice the time that it says it may be silent for, within these.
constexpr std::chrono::seconds kFirstWords{60};
constexpr std::chrono::nanoseconds kLeastSilence = std::chrono::milliseconds(10), kMostSilence = std::chrono::hours(1);

// The state as of the last complete message, and what came since.
class State {
 public:
  // A new stream: what the last one left unfinished is said again, or is no longer so.
  void Resume() {
    started_ = kept_;
    whole_ = false;
    builder_ = {};
    gone_ = {};
  }
  void Begin() {
    started_ = true;
    whole_ = true;
    builder_ = {};
    gone_ = {};
  }
  absl::Status Add(const virp::rtr::v1::PayloadSet& announced, const virp::rtr::v1::PayloadSet& withdrawn) {
    if (!started_) return FailedPrecondition("changes came before a whole set");
    RETURN_IF_ERROR(AddMessage(announced, builder_));
    RETURN_IF_ERROR(AddWithdrawn(withdrawn, gone_));
    if (builder_.size() + gone_.size() > kMostPayloads)
      return ResourceExhausted("more than {} payloads", kMostPayloads);
    return absl::OkStatus();
  }
  struct Completed {
    std::shared_ptr<const vrp::Payloads> payloads;
    std::shared_ptr<const Step> step;  // null: the set came as a whole
  };
  absl::StatusOr<Completed> Complete() {
    vrp::Payloads news = std::exchange(builder_, {}).Build().payloads;
    const vrp::Payloads gone = std::exchange(gone_, {}).Build().payloads;
    kept_ = true;
    std::shared_ptr<const Step> step;
    if (std::exchange(whole_, false)) {
      state_ = std::make_shared<const vrp::Payloads>(std::move(news));
    } else {
      vrp::Exchanged exchanged = vrp::Exchange(*state_, gone, news);
      step = std::make_shared<const Step>(Step{state_, std::move(exchanged.left), std::move(news)});
      state_ = std::make_shared<const vrp::Payloads>(std::move(exchanged.set));
    }
    if (state_->size() > kMostPayloads) return ResourceExhausted("more than {} payloads", kMostPayloads);
    return Completed{state_, std::move(step)};
  }

 private:
  bool started_ = false;  // there is a set to change, or one is on its way
  bool whole_ = false;    // it is on its way
  bool kept_ = false;     // there is one
  vrp::Builder builder_, gone_;
  std::shared_ptr<const vrp::Payloads> state_ = std::make_shared<const vrp::Payloads>();
};

// What differs between the two services.
struct KeyManager {
  using Stub = ::virp::keymgr::v1::RpkiService;
  using Message = ::virp::keymgr::v1::WatchRouterKeysResponse;
  struct Place {
    std::string session;
    std::uint64_t serial = 0;
  };
  static auto Open(Stub::Stub& stub, grpc::ClientContext& context, const Place& place) {
    ::virp::keymgr::v1::WatchRouterKeysRequest request;
    request.set_session(place.session);
    request.set_serial(place.serial);
    return stub.WatchRouterKeys(&context, request);
  }
  static void Note(const Message& message, Place& place) { place = {message.session(), message.serial()}; }
  static absl::Status Check(const Message&, const Hash&) { return absl::OkStatus(); }  // it names no hash
  static std::optional<UnixNanos> TrueAt(const Message&) { return std::nullopt; }      // as they are in its ledger now
  // Nothing: it speaks when there is news.
  static std::optional<std::chrono::nanoseconds> Silence(const Message&) { return std::nullopt; }
  static absl::Status Take(const Message& message, State& state) {
    virp::rtr::v1::PayloadSet announced, withdrawn;
    for (const auto& [from, to] : {std::pair{&message.announced(), &announced}, {&message.withdrawn(), &withdrawn}}) {
      for (const auto& entry : *from) {
        virp::rtr::v1::RouterKey& key = *to->add_router_keys();
        key.set_ski(entry.ski());
        key.set_asn(entry.asn());
        key.set_spki(entry.spki());
        key.set_expires(static_cast<std::uint32_t>(entry.expires().seconds()));
      }
    }
    return state.Add(announced, withdrawn);
  }
};

struct Bridge {
  using Stub = ::virp::rtr::v1::RtrService;
  using Message = ::virp::rtr::v1::WatchPayloadsResponse;
  struct Place {
    std::string session;
    std::uint64_t generation = 0;
  };
  static auto Open(Stub::Stub& stub, grpc::ClientContext& context, const Place& place) {
    ::virp::rtr::v1::WatchPayloadsRequest request;
    request.set_session(place.session);
    request.set_generation(place.generation);
    return stub.WatchPayloads(&context, request);
  }
  static void Note(const Message& message, Place& place) { place = {message.session(), message.generation()}; }
  static absl::Status Check(const Message& message, const Hash& hash) {
    if (message.sha256() == View(hash)) return absl::OkStatus();
    return DataLoss("what was sent makes another set than generation {}", message.generation());
  }
  static std::optional<UnixNanos> TrueAt(const Message& message) {
    if (!message.has_true_at()) return std::nullopt;
    constexpr std::int64_t kNanos = 1'000'000'000;
    const std::int64_t seconds = std::clamp<std::int64_t>(message.true_at().seconds(), 0, INT64_MAX / kNanos - 1);
    const bool before_1970 = message.true_at().seconds() < 0;
    const std::int64_t nanos = before_1970 ? 0 : std::clamp<std::int64_t>(message.true_at().nanos(), 0, kNanos - 1);
    return static_cast<UnixNanos>(seconds * kNanos + nanos);
  }
  static std::optional<std::chrono::nanoseconds> Silence(const Message& message) {
    const std::int64_t seconds = std::clamp<std::int64_t>(message.silence().seconds(), 0, 3'600);
    return std::chrono::seconds(seconds) + std::chrono::nanoseconds(message.silence().nanos());
  }
  static absl::Status Take(const Message& message, State& state) {
    return state.Add(message.announced(), message.withdrawn());
  }
};

template <typename Service>
class GrpcFeed final : public Feed {
 public:
  GrpcFeed(std::vector<std::string> addresses, service::ChannelFactory channels)
      : addresses_(std::move(addresses)), channels_(std::move(channels)) {}

  void Run(const OnReading& on_reading, const OnFailure& on_failure) override {
    Backoff backoff({.initial = std::chrono::milliseconds(200), .max = std::chrono::seconds(10)});
    bool told = false;
    std::size_t at = 0, failed = 0;  // addresses, one after the other
    while (true) {
      bool heard = false;
      const Ended ended = WatchOne(addresses_[at], [&](Reading reading) -> absl::Status {
        RETURN_IF_ERROR(on_reading(std::move(reading)));
        heard = true;
        told = false;
        backoff.Reset();
        return absl::OkStatus();
      });
      if (heard) failed = 0;
      if (!heard || ended.fault) {
        at = (at + 1) % addresses_.size();
        if (++failed < addresses_.size() && !stopping()) continue;  // the others before any pause
        if (!stopping() && !std::exchange(told, true)) on_failure(ended.why);
      }
      if (!Wait(backoff.Next())) return;
    }
  }

  void Stop() override {
    const MutexLock lock(mutex_);
    stopping_ = true;
    if (running_ != nullptr) running_->TryCancel();
    wake_.notify_all();
  }

 private:
  struct Ended {
    absl::Status why;
    bool fault = false;  // what the server said, or did not say, is wrong
  };

  Ended WatchOne(const std::string& address, const OnReading& on_reading) {
    const auto channel = channels_(address);
    if (!channel.ok()) return {channel.status(), true};
    const auto stub = Service::Stub::NewStub(*channel);
    grpc::ClientContext context;
    {
      const MutexLock lock(mutex_);
      if (stopping_) return {};
      running_ = &context;
      silent_ = false;
      silence_ = kFirstWords;
      quiet_until_ = steady_clock::now() + silence_;
    }
    state_.Resume();
    refused_ = false;
    absl::Status problem;
    grpc::Status ended;
    {
      const std::jthread guard([&] { LeaveTheSilent(context); });
      const auto stream = Service::Open(*stub, context, place_);
      typename Service::Message message;
      while (problem.ok() && stream->Read(&message)) problem = Take(message, on_reading);
      if (!problem.ok()) {
        context.TryCancel();
        if (!refused_) place_ = {};  // what was said does not fit what we have: all anew
      }
      ended = stream->Finish();
      const MutexLock lock(mutex_);
      running_ = nullptr;
      wake_.notify_all();
      if (silent_ && problem.ok()) problem = DeadlineExceeded("the server has said nothing for too long");
    }
    if (!problem.ok()) return {Annotate(problem, address), true};
    return {ended.ok() ? Unavailable("{}: the stream ended", address)
                       : Annotate(service::FromGrpcStatus(ended), address)};
  }

  // Ends the stream when its server is silent for longer than it said.
  void LeaveTheSilent(grpc::ClientContext& context) {
    const MutexLock lock(mutex_);
    while (running_ == &context) {
      const auto now = steady_clock::now();
      if (now < quiet_until_) {
        wake_.wait_for(mutex_, std::min<std::chrono::nanoseconds>(quiet_until_ - now, kMostSilence));
        continue;
      }
      silent_ = true;
      context.TryCancel();
      return;
    }
  }

  absl::Status Take(const typename Service::Message& message, const OnReading& on_reading) {
    {
      const auto silence = Service::Silence(message);
      const MutexLock lock(mutex_);
      if (message.complete() && silence) silence_ = 2 * std::clamp(*silence, kLeastSilence, kMostSilence);
      quiet_until_ = silence ? steady_clock::now() + silence_ : steady_clock::time_point::max();
      wake_.notify_all();
    }
    if (message.restart()) state_.Begin();
    RETURN_IF_ERROR(Service::Take(message, state_));
    if (!message.complete()) return absl::OkStatus();
    ASSIGN_OR_RETURN(auto completed, state_.Complete());
    Reading reading;
    reading.sha256 = vrp::HashOf(*completed.payloads);
    RETURN_IF_ERROR(Service::Check(message, reading.sha256));
    Service::Note(message, place_);
    reading.payloads = std::move(completed.payloads);
    reading.step = std::move(completed.step);
    reading.built = Service::TrueAt(message);
    reading.live = reading.sha256_of_set = true;
    const absl::Status taken = on_reading(std::move(reading));
    refused_ = !taken.ok();
    return taken;
  }

  bool stopping() const {
    const MutexLock lock(mutex_);
    return stopping_;
  }
  bool Wait(std::chrono::nanoseconds time) {  // false: stopping
    const MutexLock lock(mutex_);
    wake_.wait_for(mutex_, time, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_; });
    return !stopping_;
  }

  const std::vector<std::string> addresses_;
  const service::ChannelFactory channels_;
  State state_;                    // of Run's thread
  typename Service::Place place_;  // likewise
  bool refused_ = false;           // likewise: the newest reading was understood, and is not wanted
  mutable Mutex mutex_;
  std::condition_variable_any wake_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::ClientContext* running_ ABSL_GUARDED_BY(mutex_) = nullptr;
  // Of the stream that runs.
  std::chrono::nanoseconds silence_ ABSL_GUARDED_BY(mutex_){};
  steady_clock::time_point quiet_until_ ABSL_GUARDED_BY(mutex_);
  bool silent_ ABSL_GUARDED_BY(mutex_) = false;
};

template <typename Service>
absl::StatusOr<std::unique_ptr<Feed>> MakeFeed(const std::string& addresses, service::ChannelFactory channels) {
  const std::vector<std::string_view> words = SplitWords(addresses, ",");
  std::vector<std::string> list(words.begin(), words.end());
  if (list.empty()) return InvalidArgument("a feed needs an address, HOST:PORT");
  for (const std::string& address : list) RETURN_IF_ERROR(ParseHostPort(address).status());
  if (!channels)
    return InvalidArgument("a feed needs the bridge's own certificate (tls-certificate, tls-key, tls-roots)");
  return std::make_unique<GrpcFeed<Service>>(std::move(list), std::move(channels));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Feed>> MakeKeyFeed(const std::string& addresses, service::ChannelFactory channels) {
  return MakeFeed<KeyManager>(addresses, std::move(channels));
}

absl::StatusOr<std::unique_ptr<Feed>> MakeBridgeFeed(const std::string& addresses, service::ChannelFactory channels) {
  return MakeFeed<Bridge>(addresses, std::move(channels));
}

}  // namespace virp::rtr_bridge
