#include "ring.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace virp::frr {
namespace {

class Ring {
 public:
  explicit Ring(std::size_t size) : ring_(::virp_ring_new(size)) {}
  ~Ring() { ::virp_ring_free(ring_); }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  bool Push(const std::string& record) {
    void* room = ::virp_ring_reserve(ring_, record.size());
    if (room == nullptr) return false;
    std::memcpy(room, record.data(), record.size());
    ::virp_ring_commit(ring_);
    return true;
  }
  std::string Pop() {
    std::size_t size = 0;
    const void* record = ::virp_ring_peek(ring_, &size);
    if (record == nullptr) return "nothing";
    std::string out(static_cast<const char*>(record), size);
    ::virp_ring_release(ring_);
    return out;
  }
  virp_ring* get() { return ring_; }

 private:
  virp_ring* const ring_;
};

TEST(FrrRing, KeepsOrderOverItsEnd) {
  Ring ring(4096);
  std::size_t in = 0, out = 0;
  for (int round = 0; round < 200; ++round) {
    while (ring.Push(std::string(1 + in % 700, static_cast<char>('a' + in % 26)))) ++in;
    EXPECT_GT(in, out);
    for (int i = 0; i < 3 && out < in; ++i, ++out) {
      ASSERT_EQ(ring.Pop(), std::string(1 + out % 700, static_cast<char>('a' + out % 26)));
    }
  }
  while (out < in) {
    ASSERT_EQ(ring.Pop(), std::string(1 + out % 700, static_cast<char>('a' + out % 26)));
    ++out;
  }
  EXPECT_EQ(ring.Pop(), "nothing");
  EXPECT_EQ(::virp_ring_depth(ring.get()), 0u);
}

TEST(FrrRing, SaysWhatFits) {
  Ring ring(4096);
  EXPECT_FALSE(ring.Push(std::string(4096, 'x')));  // its own eight bytes have no room
  EXPECT_TRUE(::virp_ring_fits(ring.get(), 2040, 2040));
  EXPECT_FALSE(::virp_ring_fits(ring.get(), 2040, 2041));
  EXPECT_TRUE(ring.Push(std::string(2040, 'x')));
  EXPECT_FALSE(::virp_ring_fits(ring.get(), 2040, 0));
  EXPECT_TRUE(ring.Push(std::string(2040, 'y')));
  EXPECT_FALSE(ring.Push(""));
  EXPECT_EQ(::virp_ring_bytes(ring.get()), 4096u);
  EXPECT_EQ(::virp_ring_depth(ring.get()), 2u);
}

// Of 20 MiB what the writer comes to next is there before it comes, and no more than that.
TEST(FrrRing, MemoryIsReadyAheadOfTheWriter) {
  Ring ring(20 << 20);
  const std::string record(4000,
                           'x');  // one for all: an allocator that does not give memory twice has faults of its own
  const auto faults = [&](int records) {
    rusage before{}, after{};
    ::getrusage(RUSAGE_THREAD, &before);
    for (int i = 0; i < records; ++i) EXPECT_TRUE(ring.Push(record));
    ::getrusage(RUSAGE_THREAD, &after);
    return after.ru_minflt - before.ru_minflt;
  };
  EXPECT_GT(faults(500), 400) << "nobody has made it ready";
  ::virp_ring_warm(ring.get());
  EXPECT_LT(faults(500), 100);
  EXPECT_GT(faults(2000), 400) << "it is not all of it that was made ready";
}

TEST(FrrRing, TwoThreadsNeedNoLock) {
  constexpr std::uint64_t kMany = 200'000;
  Ring ring(1 << 16);
  std::thread reader([&] {
    for (std::uint64_t wanted = 0; wanted < kMany;) {
      std::size_t size = 0;
      const void* record = ::virp_ring_peek(ring.get(), &size);
      if (record == nullptr) {
        std::this_thread::yield();
        continue;
      }
      std::uint64_t got = 0;
      std::memcpy(&got, record, sizeof(got));
      ASSERT_EQ(got, wanted);
      ASSERT_EQ(size, sizeof(got) + got % 100);
      ::virp_ring_release(ring.get());
      ++wanted;
    }
  });
  for (std::uint64_t i = 0; i < kMany;) {
    std::string record(sizeof(i) + i % 100, '.');
    std::memcpy(record.data(), &i, sizeof(i));
    if (ring.Push(record)) {
      ++i;
    } else {
      std::this_thread::yield();
    }
  }
  reader.join();
}

}  // namespace
}  // namespace virp::frr
