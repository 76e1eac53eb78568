// Stands between a client and a server on Unix sockets and cuts the line when told to: at once, or when the client says
// a certain word, before or after the server has heard it. For commits whose outcome the client cannot know.
#pragma once

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/mutex.h"
#include "tests/testutil/temp_dir.h"

namespace virp::testutil {

class SocketProxy {
 public:
  enum class Cut {
    kBefore,  // the server never hears the word
    kAfter,   // the server hears it and acts; its answer is lost
  };

  // Listens at <a new folder>/<name> and connects each client to `target`.
  SocketProxy(const std::string& name, std::string target);
  ~SocketProxy();
  SocketProxy(const SocketProxy&) = delete;
  SocketProxy& operator=(const SocketProxy&) = delete;

  const std::string& folder() const { return dir_.path(); }

  // Cuts the first connection whose client sends `word` from now on; once.
  void CutOn(std::string word, Cut how);
  void CutAll();
  int cuts() const { return cuts_; }

 private:
  void Accept();
  void Carry(int client, int server);
  bool Forward(int from, int to, bool from_client, bool* drop_answers);

  TempDir dir_;
  const std::string target_;
  int listener_ = -1;
  std::atomic<bool> stop_ = false;
  std::atomic<int> cut_all_ = 0;  // counts CutAll calls
  std::atomic<int> cuts_ = 0;
  Mutex mutex_;
  std::string word_ ABSL_GUARDED_BY(mutex_);
  Cut how_ ABSL_GUARDED_BY(mutex_) = Cut::kBefore;
  std::vector<std::thread> carriers_ ABSL_GUARDED_BY(mutex_);
  std::thread acceptor_;
};

}  // namespace virp::testutil
