#include "services/onode/domain/quarantine.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace virp::onode {
namespace {

constexpr std::size_t kAtOnce = 64;
// Between writes, so that entries find the store free.
constexpr std::chrono::milliseconds kPause{10};

}  // namespace

Quarantine::~Quarantine() {
  Stop();
}

void Quarantine::Start() {
  writer_ = std::jthread([this] { Run(); });
}

void Quarantine::Stop() {
  if (!writer_.joinable()) return;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  writer_.join();
}

void Quarantine::Put(QuarantinedFrame frame) {
  if (frame.frame.size() > kLongestFrame) frame.frame.resize(kLongestFrame);
  const MutexLock lock(mutex_);
  if (!paths_.contains(frame.path) && paths_.size() >= kQueuedPaths) {
    ++counters_.gone;
    return;
  }
  Path& path = paths_[frame.path];
  path.bytes += frame.frame.size();
  path.frames.push_back(std::move(frame));
  while (path.frames.size() > kQueuedFrames || path.bytes > kQueuedBytes) {
    path.bytes -= path.frames.front().frame.size();
    path.frames.pop_front();
    ++counters_.gone;
  }
  changed_.notify_all();
}

// Each path in turn, so that one that floods does not keep the others waiting.
std::vector<QuarantinedFrame> Quarantine::Next() {
  std::vector<QuarantinedFrame> next;
  const MutexLock lock(mutex_);
  changed_.wait(mutex_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || !paths_.empty(); });
  while (!paths_.empty() && next.size() < kAtOnce) {
    for (auto at = paths_.begin(); at != paths_.end() && next.size() < kAtOnce;) {
      Path& path = at->second;
      path.bytes -= path.frames.front().frame.size();
      next.push_back(std::move(path.frames.front()));
      path.frames.pop_front();
      at = path.frames.empty() ? paths_.erase(at) : std::next(at);
    }
  }
  return next;
}

void Quarantine::Run() {
  while (true) {
    const std::vector<QuarantinedFrame> frames = Next();
    if (frames.empty()) return;
    const auto gone = store_.PutQuarantineAll(chain_, frames);
    if (gone.ok()) {
      counters_.kept += frames.size();
      counters_.gone += *gone;
    } else {
      counters_.failed += frames.size();
    }
    const MutexLock lock(mutex_);
    changed_.wait_for(mutex_, kPause, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_; });
  }
}

}  // namespace virp::onode
