#include "lib/base/rate_limiter.h"

#include <algorithm>
#include <utility>

namespace virp {
namespace {

constexpr UnixNanos kDay = 86'400'000'000'000;

double BurstOf(const RateLimit& limit) {
  return static_cast<double>(
      std::max<std::uint64_t>({limit.burst, limit.burst == 0 ? limit.entries_per_second : 0, 1}));
}

}  // namespace

RateLimiter::Account::Account(const RateLimit& of, const Clock& clock)
    : limit(of), entries(static_cast<double>(of.entries_per_second), BurstOf(of), clock) {}

RateLimiter::Account& RateLimiter::Of(std::string_view name) {
  auto account = accounts_.find(name);
  if (account == accounts_.end()) {
    const auto named = table_.named.find(name);
    account =
        accounts_.try_emplace(std::string(name), named == table_.named.end() ? table_.others : named->second, clock_)
            .first;
  }
  return account->second;
}

std::chrono::nanoseconds RateLimiter::Wait(Account& account) const {
  std::chrono::nanoseconds wait(0);
  if (account.limit.entries_per_second > 0) wait = account.entries.Until(1);
  if (account.limit.bytes_per_day > 0) {
    const UnixNanos now = clock_.NowNanos();
    if (account.day != now / kDay) {
      account.day = now / kDay;
      account.bytes = 0;
    }
    if (account.bytes >= account.limit.bytes_per_day)
      wait = std::max(wait, std::chrono::nanoseconds(kDay - now % kDay));
  }
  return wait;
}

bool RateLimiter::Admit(std::string_view name, std::uint64_t entries, std::uint64_t bytes) {
  const MutexLock lock(mutex_);
  Account& account = Of(name);
  if (Wait(account) > std::chrono::nanoseconds(0)) return false;
  Take(account, entries, bytes);
  return true;
}

void RateLimiter::Take(Account& account, std::uint64_t entries, std::uint64_t bytes) {
  if (account.limit.entries_per_second > 0) account.entries.Charge(static_cast<double>(entries));
  account.bytes += bytes;
}

void RateLimiter::Charge(std::string_view name, std::uint64_t entries, std::uint64_t bytes) {
  const MutexLock lock(mutex_);
  Account& account = Of(name);
  static_cast<void>(Wait(account));  // begins a new day where one has come
  Take(account, entries, bytes);
}

std::chrono::nanoseconds RateLimiter::Until(std::string_view name) {
  const MutexLock lock(mutex_);
  return Wait(Of(name));
}

void RateLimiter::Replace(RateLimitTable table) {
  const MutexLock lock(mutex_);
  table_ = std::move(table);
  accounts_.clear();
}

}  // namespace virp
