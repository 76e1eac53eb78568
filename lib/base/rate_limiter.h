// How much each of many senders may send: entries a second with a burst, and bytes a day. One limiter for one kind of
// sender.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/base/token_bucket.h"

namespace virp {

struct RateLimit {
  std::uint64_t entries_per_second = 0;  // 0: no limit
  std::uint64_t burst = 0;               // 0: one second's worth
  std::uint64_t bytes_per_day = 0;       // of a UTC day; 0: no limit
  bool operator==(const RateLimit&) const = default;
};

struct RateLimitTable {
  RateLimit others;  // of whoever is not named
  std::map<std::string, RateLimit, std::less<>> named;
};

// Thread-safe. Forgets everybody's account when the table is replaced, and with the process. Names must come from a
// bounded set (registered sources, authenticated peers): each keeps an account of about 200 bytes.
class RateLimiter {
 public:
  RateLimiter(RateLimitTable table, const Clock& clock) : clock_(clock), table_(std::move(table)) {}

  // Whether `name` may send now; takes it from the account when it may. Whoever has anything left may send a whole
  // batch and pays afterwards, so a batch above the burst is late and not stuck.
  bool Admit(std::string_view name, std::uint64_t entries, std::uint64_t bytes);

  // Takes it from the account whether there is room or not: what is missing is waited for.
  void Charge(std::string_view name, std::uint64_t entries, std::uint64_t bytes);

  // How long until Admit says yes; zero when it would now.
  std::chrono::nanoseconds Until(std::string_view name);

  void Replace(RateLimitTable table);

 private:
  struct Account {
    Account(const RateLimit& of, const Clock& clock);
    const RateLimit limit;
    TokenBucket entries;
    std::uint64_t day = 0;    // days since the Unix epoch
    std::uint64_t bytes = 0;  // taken on that day
  };
  Account& Of(std::string_view name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::chrono::nanoseconds Wait(Account& account) const;
  static void Take(Account& account, std::uint64_t entries, std::uint64_t bytes);

  const Clock& clock_;
  Mutex mutex_;
  RateLimitTable table_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Account, std::less<>> accounts_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp
