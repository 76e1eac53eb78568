#include "services/collector/domain/liveness.h"

#include <utility>

namespace virp::collector {

std::string_view PathName(Path path) {
  switch (path) {
    case Path::kFrames:
      return "frames";
    case Path::kBmp:
      return "bmp";
    case Path::kSubmit:
      return "submit";
    case Path::kOwn:
      return "own";
  }
  return "";
}

void Liveness::Add(std::string_view source, Path path, bool connected) {
  const MutexLock lock(mutex_);
  sources_[std::string(source)] = {std::string(source), path, connected, clock_.NowNanos(), 0};
}

void Liveness::SetConnected(std::string_view source, bool connected) {
  const MutexLock lock(mutex_);
  const auto at = sources_.find(source);
  if (at == sources_.end() || at->second.connected == connected) return;
  at->second.connected = connected;
  at->second.since = clock_.NowNanos();
  changed_ = true;
}

void Liveness::SawBytes(std::string_view source) {
  const MutexLock lock(mutex_);
  if (const auto at = sources_.find(source); at != sources_.end()) at->second.last_bytes = clock_.NowNanos();
}

bool Liveness::TakeChanged() {
  const MutexLock lock(mutex_);
  return std::exchange(changed_, false);
}

std::vector<SourceLiveness> Liveness::Sources() const {
  const MutexLock lock(mutex_);
  std::vector<SourceLiveness> all;
  for (const auto& [name, source] : sources_) all.push_back(source);
  return all;
}

chain::Heartbeat Liveness::Beat(const deliver::Outbox& outbox) const {
  chain::Heartbeat beat;
  for (const SourceLiveness& source : Sources()) {
    const deliver::Position position = outbox.position(source.source);
    if (position.epoch == 0) continue;  // it has not said anything yet
    chain::Beat& one = beat.sources.emplace_back();
    one.source_id = frame::SourceIdOf(source.source);
    one.epoch = position.epoch;
    one.last_sequence = position.last_sequence;
    one.connected = source.connected;
    one.since = source.since;
    one.last_bytes = source.last_bytes;
  }
  return beat;
}

}  // namespace virp::collector
