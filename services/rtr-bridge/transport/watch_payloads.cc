// The stream of payloads: a part of RtrHandler.
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "lib/base/status.h"
#include "lib/rtr/delta.h"
#include "lib/service/errors.h"
#include "lib/service/wire.h"
#include "lib/vrp/replace.h"
#include "services/rtr-bridge/transport/payload_wire.h"
#include "services/rtr-bridge/transport/rtr_handler.h"

namespace virp::rtr_bridge {
namespace {

namespace pb = ::virp::rtr::v1;

constexpr int kMostInMessage = 5'000;         // payloads
constexpr std::size_t kMostOctets = 1 << 20;  // of them
constexpr std::chrono::milliseconds kLook{500};
constexpr std::chrono::seconds kSilence{30};

// Cuts what is to be said into messages.
class Sender {
 public:
  Sender(grpc::ServerWriter<pb::WatchPayloadsResponse>& writer, const std::string& session, const ServedView& view,
         bool restart)
      : writer_(writer), view_(view) {
    message_.set_session(session);
    message_.set_generation(view.generation().number);
    message_.set_restart(restart);
  }

  template <typename T>
  void Announce(const std::vector<T>& payloads) {
    for (const T& payload : payloads) Add(payload, *message_.mutable_announced());
  }
  template <typename T>
  void Withdraw(const std::vector<T>& payloads) {
    for (const T& payload : payloads) Add(payload, *message_.mutable_withdrawn());
  }
  // `true_at`: see Cache::TrueAt.
  bool Finish(UnixNanos true_at) {
    message_.set_complete(true);
    *message_.mutable_true_at() = service::TimestampOf(true_at);
    message_.set_sha256(std::string(View(view_.generation().sha256)));
    message_.mutable_silence()->set_seconds(kSilence.count());
    return Flush();
  }

 private:
  void Add(const vrp::Vrp4& vrp, pb::PayloadSet& to) { Fill(vrp, *to.add_vrps()); }
  void Add(const vrp::Vrp6& vrp, pb::PayloadSet& to) { Fill(vrp, *to.add_vrps()); }
  void Add(const vrp::RouterKey& key, pb::PayloadSet& to) { Fill(key, *to.add_router_keys()); }
  void Add(const vrp::Aspa& aspa, pb::PayloadSet& to) { Fill(aspa, *to.add_aspas()); }
  template <typename T, typename Message>
  void Fill(const T& payload, Message& message) {
    ToMessage(payload, message);
    octets_ += message.ByteSizeLong();
    if (++count_ >= kMostInMessage || octets_ >= kMostOctets) Flush();
  }
  bool Flush() {
    good_ = good_ && writer_.Write(message_);
    message_.clear_announced();
    message_.clear_withdrawn();
    message_.set_restart(false);
    count_ = 0;
    octets_ = 0;
    return good_;
  }

  grpc::ServerWriter<pb::WatchPayloadsResponse>& writer_;
  const ServedView& view_;
  pb::WatchPayloadsResponse message_;
  int count_ = 0;
  std::size_t octets_ = 0;
  bool good_ = true;
};

bool SendAll(Sender sender, const vrp::Payloads& payloads, UnixNanos true_at) {
  sender.Announce(payloads.vrps4);
  sender.Announce(payloads.vrps6);
  sender.Announce(payloads.router_keys);
  sender.Announce(payloads.aspas);
  return sender.Finish(true_at);
}

// `renewed`: what is there before and after, and expires at another time.
bool SendChanges(Sender sender, const rtr::Delta& delta, const vrp::Payloads& renewed, UnixNanos true_at) {
  sender.Announce(renewed.vrps4);
  sender.Announce(renewed.vrps6);
  sender.Announce(renewed.router_keys);
  sender.Announce(renewed.aspas);
  sender.Announce(delta.vrps4.announced);
  sender.Announce(delta.vrps6.announced);
  sender.Announce(delta.router_keys.announced);
  sender.Withdraw(delta.vrps4.withdrawn);
  sender.Withdraw(delta.vrps6.withdrawn);
  sender.Withdraw(delta.router_keys.withdrawn);
  std::vector<vrp::Aspa> announced, withdrawn;
  for (const rtr::AspaChange& change : delta.aspas) {
    (change.after.empty() ? withdrawn : announced)
        .push_back({.customer = change.customer, .expires = change.expires, .providers = change.after});
  }
  sender.Announce(announced);
  sender.Withdraw(withdrawn);
  return sender.Finish(true_at);
}

}  // namespace

grpc::Status RtrHandler::WatchPayloads(grpc::ServerContext* context, const pb::WatchPayloadsRequest* request,
                                       grpc::ServerWriter<pb::WatchPayloadsResponse>* writer) {
  const absl::Cleanup gone = [this] { --watchers_; };
  const bool many = ++watchers_ > kMostWatchers;
  const auto watch = [&]() -> absl::Status {
    if (many) return ResourceExhausted("{} callers watch already", kMostWatchers);
    ASSIGN_OR_RETURN(const service::Identity caller, parts_.callers->Resolve(*context));
    service::StreamGuard guard(*parts_.callers, caller, context);
    ASSIGN_OR_RETURN(std::shared_ptr<const ServedView> told, Serving());
    // Expiries that were renewed have no number of their own, so whoever was away then gets all.
    const auto session = [this](const ServedView& view) {
      return fmt::format("{}.{}", watch_session_, view.renewals());
    };
    const bool resumes = request->session() == session(*told) && request->generation() == told->generation().number;
    const auto repeat = [&] {
      return SendChanges(Sender(*writer, session(*told), *told, false), {}, {}, parts_.cache.TrueAt());
    };
    bool open = resumes
                    ? repeat()  // it is heard at once
                    : SendAll(Sender(*writer, session(*told), *told, true), *told->payloads(), parts_.cache.TrueAt());
    auto silent_since = parts_.clock.Steady();
    while (open && !draining_ && !context->IsCancelled()) {
      RETURN_IF_ERROR(guard.Check());
      const auto now = parts_.board.WaitForOther(told.get(), kLook);
      if (now == nullptr) return Serving().status();  // the caller keeps what it has, as long as it may
      if (now != told) {
        open = SendChanges(Sender(*writer, session(*now), *now, false), rtr::Diff(*told->payloads(), *now->payloads()),
                           vrp::Renewed(*told->payloads(), *now->payloads()), parts_.cache.TrueAt());
        told = now;
        silent_since = parts_.clock.Steady();
      } else if (parts_.clock.Steady() - silent_since >= kSilence) {
        open = repeat();
        silent_since = parts_.clock.Steady();
      }
    }
    return absl::OkStatus();
  };
  return service::ToGrpcStatus(watch(), "rtr-bridge");
}

}  // namespace virp::rtr_bridge
