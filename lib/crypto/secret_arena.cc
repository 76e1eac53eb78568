#include "lib/crypto/secret_arena.h"

#include <openssl/crypto.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "lib/base/mutex.h"
#include "lib/crypto/secret.h"

namespace virp::crypto {
namespace {

constexpr std::size_t kSmallest = 32;  // of a piece; pieces are powers of two
constexpr std::size_t kLargest = 4'096;
constexpr std::size_t kClasses = 8;  // 32 .. 4096
constexpr std::size_t kSlab = 64 * 1024;

std::size_t PageSize() {
  static const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

std::size_t RoundUp(std::size_t size, std::size_t to) {
  return (size + to - 1) / to * to;
}

// Pieces of one size that are free are threaded through a list beside them, never through themselves: what lies in
// freed memory is zero, and a pointer that is used after it does no more than read that.
class Arena {
 public:
  static Arena& Get() {
    static Arena& arena = *new Arena;  // never destroyed: secrets of static storage outlive everything
    return arena;
  }

  void* Take(std::size_t size) {
    const MutexLock lock(mutex_);
    in_use_ += size;
    if (size > kLargest) return Map(RoundUp(size, PageSize()));
    std::vector<char*>& free = free_[ClassOf(size)];
    if (free.empty()) Fill(free, std::bit_ceil(std::max(size, kSmallest)));
    char* const piece = free.back();
    free.pop_back();
    return piece;
  }

  void GiveBack(void* memory, std::size_t size) {
    const MutexLock lock(mutex_);
    in_use_ -= size;
    if (size > kLargest) return Unmap(memory, RoundUp(size, PageSize()));
    free_[ClassOf(size)].push_back(static_cast<char*>(memory));
  }

  SecretMemory stats() const {
    const MutexLock lock(mutex_);
    return {in_use_, locked_, unlocked_};
  }

 private:
  static std::size_t ClassOf(std::size_t size) {
    const std::size_t piece = std::bit_ceil(std::max(size, kSmallest));
    return static_cast<std::size_t>(std::countr_zero(piece) - std::countr_zero(kSmallest));
  }

  void Fill(std::vector<char*>& free, std::size_t piece) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    char* const slab = Map(kSlab);
    free.reserve(free.size() + kSlab / piece);
    for (std::size_t at = kSlab; at != 0; at -= piece) free.push_back(slab + at - piece);
  }

  char* Map(std::size_t size) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const std::size_t guard = PageSize();
    void* const all = ::mmap(nullptr, size + 2 * guard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char* const pages = static_cast<char*>(all) + guard;
    if (all == MAP_FAILED || ::mprotect(pages, size, PROT_READ | PROT_WRITE) != 0) {
      std::fprintf(stderr, "fatal: no memory for secrets\n");
      std::abort();
    }
    ::madvise(pages, size, MADV_DONTDUMP);
    (::mlock(pages, size) == 0 ? locked_ : unlocked_) += size;
    return pages;
  }

  void Unmap(void* memory, std::size_t size) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const std::size_t guard = PageSize();
    // munlock says nothing of whether it was locked; large secrets are rare, so the count may be off by them.
    (locked_ >= size ? locked_ : unlocked_) -= size;
    ::munmap(static_cast<char*>(memory) - guard, size + 2 * guard);
  }

  mutable Mutex mutex_;
  std::array<std::vector<char*>, kClasses> free_ ABSL_GUARDED_BY(mutex_);
  std::size_t in_use_ ABSL_GUARDED_BY(mutex_) = 0, locked_ ABSL_GUARDED_BY(mutex_) = 0,
                      unlocked_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace

namespace internal {

void* AllocateSecret(std::size_t size) {
  return size == 0 ? nullptr : Arena::Get().Take(size);
}

void FreeSecret(void* memory, std::size_t size) {
  if (memory == nullptr) return;
  OPENSSL_cleanse(memory, size);
  Arena::Get().GiveBack(memory, size);
}

}  // namespace internal

SecretMemory SecretMemoryInUse() {
  return Arena::Get().stats();
}

}  // namespace virp::crypto
