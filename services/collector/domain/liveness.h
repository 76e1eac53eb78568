// Who is connected, since when, and what a heartbeat says of it (docs/formats/payloads.md, "Heartbeat").
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/chain/control.h"
#include "lib/deliver/outbox.h"

namespace virp::collector {

// How a source comes in, as status shows it.
enum class Path : std::uint8_t { kFrames, kBmp, kSubmit, kOwn };
std::string_view PathName(Path path);  // "frames", "bmp", "submit", "own"

struct SourceLiveness {
  std::string source;
  Path path = Path::kFrames;
  bool connected = false;
  UnixNanos since = 0;
  UnixNanos last_bytes = 0;
};

// Thread-safe.
class Liveness {
 public:
  explicit Liveness(const Clock& clock) : clock_(clock) {}

  void Add(std::string_view source, Path path, bool connected);
  // A change of `connected` is to be told by a heartbeat at once.
  void SetConnected(std::string_view source, bool connected);
  void SawBytes(std::string_view source);

  // True once after each change since the last call.
  bool TakeChanged();
  std::vector<SourceLiveness> Sources() const;

  // One heartbeat for all sources, at the positions that they have in the outbox now.
  chain::Heartbeat Beat(const deliver::Outbox& outbox) const;

 private:
  const Clock& clock_;
  mutable Mutex mutex_;
  std::map<std::string, SourceLiveness, std::less<>> sources_ ABSL_GUARDED_BY(mutex_);
  bool changed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace virp::collector
