// Private to lib/pkcs11: sessions with one token, logged in, each lent to one thread at a time (PKCS #11 2.40 section
// 5.6.6: a session does one thing at a time). When the token was pulled out, restarted or logged out by somebody else,
// the next call finds it again, logs in again and opens new sessions. Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/mutex.h"
#include "lib/pkcs11/cryptoki.h"
#include "lib/pkcs11/module.h"
#include "lib/pkcs11/pin_file.h"
#include "lib/pkcs11/token_uri.h"

namespace virp::pkcs11 {

// What an operation works with.
struct Link {
  const CK_FUNCTION_LIST& f;
  CK_SESSION_HANDLE session;
  std::uint64_t generation;  // handles of objects are good within one generation only
};

enum class Repeat {
  kAlways,       // again on a new session after any loss: reading, signing
  kIfUntouched,  // again only when the token says that it did nothing: what makes or changes an object
};

class SessionPool {
 public:
  struct Options {
    TokenSelector selector;
    std::string pin_file;
    std::size_t max_sessions = 64;
    std::chrono::milliseconds patience{10'000};         // for a session when all are lent
    std::chrono::milliseconds restart_interval{5'000};  // of the module, at least, while the token is not there
  };

  SessionPool(Module module, Options options);
  ~SessionPool();  // no Run may be under way
  SessionPool(const SessionPool&) = delete;
  SessionPool& operator=(const SessionPool&) = delete;

  // Calls `use` with a session, and once more on a new one when the first was lost. What `use` returns is returned.
  // Before: the error of finding the token or logging in; ResourceExhausted when no session came free in time.
  absl::Status Run(Repeat repeat, const std::function<absl::Status(const Link&)>& use);

  // The token as it was found last.
  TokenSlot token() const;

 private:
  enum class Loss { kNone, kUntouched, kUnclear };
  static Loss LossOf(const absl::Status& status);

  absl::StatusOr<Link> Borrow();
  void Return(const Link& link, bool reusable);
  void MarkLost(std::uint64_t generation, bool sessions_are_gone);
  absl::Status Connect() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<TokenSlot> Search() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Login(const TokenSlot& token) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status AwaitSession() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropAll() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Module module_;
  const CK_FUNCTION_LIST& f_;
  const Options options_;

  mutable Mutex mutex_;
  std::condition_variable_any returned_;
  bool connected_ ABSL_GUARDED_BY(mutex_) = false;
  bool stale_are_gone_ ABSL_GUARDED_BY(mutex_) = false;  // sessions of former generations need not be closed
  std::uint64_t generation_ ABSL_GUARDED_BY(mutex_) = 0;
  TokenSlot token_ ABSL_GUARDED_BY(mutex_);
  // Never lent: the login ends with the last session, and a session that failed is closed.
  CK_SESSION_HANDLE anchor_ ABSL_GUARDED_BY(mutex_) = CK_INVALID_HANDLE;
  std::vector<CK_SESSION_HANDLE> idle_ ABSL_GUARDED_BY(mutex_);
  std::size_t lent_ ABSL_GUARDED_BY(mutex_) = 0;  // of this generation
  std::size_t out_ ABSL_GUARDED_BY(mutex_) = 0;   // of all
  std::size_t limit_ ABSL_GUARDED_BY(mutex_) =
      0;  // on sessions beside the anchor; the token may have fewer than we want
  std::optional<std::chrono::steady_clock::time_point> restarted_ ABSL_GUARDED_BY(mutex_);
  std::optional<FileStamp> refused_pin_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp::pkcs11
