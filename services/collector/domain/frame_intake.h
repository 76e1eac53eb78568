// Signed frames from producers, on their way to the spool byte for byte: which source a listener speaks for, tags, runs
// of version 1. Only what a key of the source has signed is relayed, so that nobody else moves what heartbeats say of
// it (docs/adr/0001-collectors-check-tags.md). One intake for each configured listener.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/base/mutex.h"
#include "lib/deliver/outbox.h"
#include "lib/frame/frame.h"
#include "lib/frame/key.h"
#include "lib/frame/run.h"
#include "services/collector/domain/edge_limits.h"
#include "services/collector/domain/liveness.h"

namespace virp::collector {

// The runs of version 1 sources, durable with the spool.
class RunBook final : public deliver::OutboxState {
 public:
  std::string_view tag() const override { return "runs"; }
  std::string Save() const override;
  absl::Status Load(std::string_view saved) override;
  absl::Status ReplayNote(std::string_view) override { return absl::OkStatus(); }
  absl::Status ReplayFrame(std::string_view source, const frame::Frame& frame, std::uint64_t epoch) override;

  frame::RunDecision Decide(std::string_view source, const frame::Frame& frame, UnixNanos now) const;
  void Accept(std::string_view source, const frame::Frame& frame, const frame::RunDecision& decision);

 private:
  mutable Mutex mutex_;
  std::map<std::string, frame::RunState, std::less<>> runs_ ABSL_GUARDED_BY(mutex_);
};

struct FrameListenerOptions {
  std::string listen;  // "unix:/path" or "host:port"
  std::string source;  // version 1: the source of what comes in here; version 2: must be it, if set
  std::optional<frame::Spelling> spelling;         // nullopt: auto
  std::map<std::uint32_t, std::string> producers;  // v1-producer: producer id to source
  std::vector<std::string> allow;                  // addresses that may connect (TCP); loopback only when empty
  bool tls = false;                                // TCP: inside TLS, with the collector's own certificate
  std::vector<std::string> clients;  // TLS: SPIFFE ids that may connect; empty: no client certificate is asked for
  std::optional<std::uint32_t> uid;  // Unix: the only user that may connect, beside root and our own
};

// Somebody sent a frame of that source whose tag is not by its key. `bytes`: the frame, or where it began.
using OnForgery = std::function<void(std::string_view source, std::string_view bytes)>;

// Thread-safe.
class FrameIntake {
 public:
  FrameIntake(const FrameListenerOptions& options, deliver::Outbox& outbox, RunBook& runs, Liveness& liveness,
              const frame::KeyProvider& keys, const Clock& clock, OnForgery on_forgery = nullptr,
              EdgeLimits* limits = nullptr)
      : options_(options),
        outbox_(outbox),
        runs_(runs),
        liveness_(liveness),
        keys_(keys),
        clock_(clock),
        on_forgery_(std::move(on_forgery)),
        limits_(limits) {}

  struct Taken {
    std::optional<std::uint64_t> number;  // in the spool; nullopt: a duplicate, nothing was done
    bool news = false;                    // beyond all that this source has said: whoever sent it plays no recording
  };
  // Takes one frame. Errors end the producer's connection and have a reason: Unauthenticated BAD_TAG, InvalidArgument
  // SOURCE_UNKNOWN (not this listener's), FailedPrecondition KEY_VERSION_UNKNOWN (no such key is here), REPLAYED or
  // EPOCH_AHEAD (version 1), which frames of a version 1 source are that do not go on; ResourceExhausted (spool full,
  // or over this collector's own limit) asks to wait.
  absl::StatusOr<Taken> Take(const frame::Frame& frame);

  // FailedPrecondition KEY_VERSION_UNKNOWN while no key of any source of this listener is here.
  absl::Status CheckKeys() const;

  // To be told of a stream that ended with BAD_TAG before there was a frame.
  void Forged(std::string_view source, std::string_view bytes) const {
    if (on_forgery_) on_forgery_(source, bytes);
  }

  // For FrameSplitter's `auto`: does an accepted key of this listener's source make this tag?
  bool TagIsGood(const frame::Frame& frame) const;

  // The source that this frame claims, as far as this listener knows; empty for none.
  std::string SourceOf(const frame::Frame& frame) const;
  const FrameListenerOptions& options() const { return options_; }

 private:
  absl::Status CheckTag(const std::string& source, const frame::Frame& frame) const;

  const FrameListenerOptions& options_;
  deliver::Outbox& outbox_;
  RunBook& runs_;
  Liveness& liveness_;
  const frame::KeyProvider& keys_;
  const Clock& clock_;
  const OnForgery on_forgery_;
  EdgeLimits* const limits_;
  Mutex mutex_;  // one frame of a listener at a time: runs and spool must keep one order
};

}  // namespace virp::collector
