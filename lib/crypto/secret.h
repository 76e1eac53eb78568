// Bytes that nobody else may see: wiped when they go, never copied, never printed, in memory that is neither swapped
// nor dumped.
#pragma once

#include <cstddef>
#include <string_view>

namespace virp::crypto {

// Overwrites memory in a way that the compiler keeps.
void Wipe(void* memory, std::size_t size);

// True when both have the same bytes; takes the same time wherever they differ. Lengths are not secret.
bool EqualConstantTime(std::string_view a, std::string_view b);

// An owned secret of fixed size. Move-only; has no formatter, no comparison but the constant-time one and no way out
// but view(), so each place that can see a secret is found by searching for it. Not thread-safe while being written.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::size_t size);        // all zero, to be written through data()
  explicit Secret(std::string_view bytes);  // a copy; the caller wipes its own
  static Secret Random(std::size_t size);
  ~Secret() { Clear(); }

  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;

  std::string_view view() const { return {bytes_, size_}; }
  char* data() { return bytes_; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // Wipes what is behind `size`, which becomes the size; no effect when it is larger.
  void Truncate(std::size_t size);
  void Clear();

 private:
  char* bytes_ = nullptr;
  std::size_t allocated_ = 0;
  std::size_t size_ = 0;
};

inline bool EqualConstantTime(const Secret& a, const Secret& b) {
  return EqualConstantTime(a.view(), b.view());
}

// What secrets take, in bytes. Memory that could not be locked (RLIMIT_MEMLOCK is too low) may be swapped; it is used
// all the same, and a service that keeps keys warns of it.
struct SecretMemory {
  std::size_t in_use = 0;
  std::size_t locked = 0, unlocked = 0;  // mapped, in use or not
};
SecretMemory SecretMemoryInUse();

// For programs that keep the keys of others; first thing in main. No core dump, no debugger of the same user, and
// OpenSSL's own copies of private numbers lie in locked memory, too. Returns what could not be done, empty for nothing.
const char* HardenProcess();

}  // namespace virp::crypto
