// Stands between an O-Node and PostgreSQL on Unix sockets, reads what the O-Node says message by message, and strikes
// at one exact moment: the COMMIT of a transaction that has copied rows, which is an append.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "lib/base/file.h"
#include "lib/base/mutex.h"
#include "tests/testutil/temp_dir.h"

namespace virp::twins {

class PostgresProxy {
 public:
  enum class Strike {
    kHold,       // the COMMIT stays here until Release: between COPY and COMMIT for as long as one likes
    kCutBefore,  // the server never hears it
    kCutDuring,  // the server hears it, and the line is cut before it can have answered
    kCutAfter,   // the server has committed and answered; the answer is lost
  };

  // Listens in a folder of its own and connects each client to the server whose socket is in `server_folder`.
  explicit PostgresProxy(const std::string& server_folder);
  ~PostgresProxy();
  PostgresProxy(const PostgresProxy&) = delete;
  PostgresProxy& operator=(const PostgresProxy&) = delete;

  const std::string& folder() const { return dir_.path(); }

  // The next append's COMMIT is struck; once.
  void OnNextAppend(Strike strike);
  // True once it was: the COMMIT is held, or the line is cut. False when that does not happen in time.
  bool AwaitStruck(std::chrono::milliseconds patience);
  void Release();  // lets a held COMMIT through

  // Until Mend nothing goes either way and nobody connects, as when a cable is out: no end of a line is told. What was
  // open then is reset by Mend.
  void Cut() { cut_ = true; }
  void Mend();

 private:
  struct Line;

  void Accept();
  void Carry(Line& line);
  bool FromClient(Line& line);
  bool FromServer(Line& line);
  bool Message(Line& line, std::string_view message);
  bool StrikeCommit(Line& line, std::string_view message);

  testutil::TempDir dir_;
  const std::string target_;
  FileDescriptor listener_;
  std::atomic<bool> stop_{false}, cut_{false};
  std::atomic<int> mended_{0};
  Mutex mutex_;
  std::condition_variable_any changed_;
  bool armed_ ABSL_GUARDED_BY(mutex_) = false;
  bool struck_ ABSL_GUARDED_BY(mutex_) = false;
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
  Strike strike_ ABSL_GUARDED_BY(mutex_) = Strike::kHold;
  std::vector<std::thread> carriers_ ABSL_GUARDED_BY(mutex_);
  std::thread acceptor_;
};

}  // namespace virp::twins
