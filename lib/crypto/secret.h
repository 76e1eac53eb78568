// Bytes that nobody else may see: wiped when they go, never copied, never printed.
#pragma once

#include <cstddef>
#include <memory>
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

  std::string_view view() const { return {bytes_.get(), size_}; }
  char* data() { return bytes_.get(); }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // Wipes what is behind `size`, which becomes the size; no effect when it is larger.
  void Truncate(std::size_t size);
  void Clear();

 private:
  std::unique_ptr<char[]> bytes_;
  std::size_t size_ = 0;
};

inline bool EqualConstantTime(const Secret& a, const Secret& b) {
  return EqualConstantTime(a.view(), b.view());
}

}  // namespace virp::crypto
