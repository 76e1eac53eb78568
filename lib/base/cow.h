// A value that copies share until one of them changes it.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace virp {

// Holds a T. Copying costs one reference count; Mutable() makes a private copy first when another Cow holds the same
// value. Thread-safe as std::shared_ptr is: distinct Cows may be used by distinct threads, one Cow by one writer or
// many readers. A default-constructed Cow holds T() without having allocated it.
template <typename T>
class Cow {
 public:
  Cow() = default;
  explicit Cow(T value) : box_(new Box(std::move(value))) {}
  Cow(const Cow& other) : box_(other.box_) {
    if (box_ != nullptr) box_->references.fetch_add(1, std::memory_order_relaxed);
  }
  Cow(Cow&& other) noexcept : box_(std::exchange(other.box_, nullptr)) {}
  Cow& operator=(Cow other) noexcept {
    std::swap(box_, other.box_);
    return *this;
  }
  ~Cow() {
    // The last holder sees everything that the others did with the value.
    if (box_ != nullptr && box_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete box_;
  }

  const T& operator*() const {
    static const T kEmpty{};
    return box_ != nullptr ? box_->value : kEmpty;
  }
  const T* operator->() const { return &**this; }
  bool allocated() const { return box_ != nullptr; }
  bool SharesWith(const Cow& other) const { return box_ == other.box_; }

  // References into the value that were taken before are invalid afterwards.
  T& Mutable() {
    if (box_ == nullptr) {
      box_ = new Box(T{});
    } else if (box_->references.load(std::memory_order_acquire) != 1) {
      *this = Cow(T(box_->value));
    }
    return box_->value;
  }

  friend bool operator==(const Cow& a, const Cow& b) { return a.box_ == b.box_ || *a == *b; }

 private:
  struct Box {
    explicit Box(T v) : value(std::move(v)) {}
    std::atomic<std::uint64_t> references{1};
    T value;
  };
  Box* box_ = nullptr;
};

}  // namespace virp
