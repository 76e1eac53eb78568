// Guesses of passwords cost one processor at most: this program's crypt_r counts who is in it at once.
#include <crypt.h>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <fstream>
#include <thread>
#include <vector>

#include "services/rtr-bridge/transport/ssh_users.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"

namespace {

std::atomic<int> inside{0}, most{0}, calls{0};

}  // namespace

// Stands in front of libcrypt's.
extern "C" char* crypt_r(const char* phrase, const char* setting, crypt_data* data) {
  using Crypt = char* (*)(const char*, const char*, crypt_data*);
  static const auto real = reinterpret_cast<Crypt>(::dlsym(RTLD_NEXT, "crypt_r"));
  const int now = ++inside;
  for (int before = most; before < now && !most.compare_exchange_weak(before, now);) {
  }
  char* const made = real(phrase, setting, data);
  ++calls;
  --inside;
  return made;
}

namespace virp::rtr_bridge {
namespace {

TEST(SshPasswords, AreTriedOneAtATime) {
  constexpr int kGuessers = 4;
  const testutil::TempDir dir;
  crypt_data work{};
  // As much as it takes for one to meet another.
  const std::string hash = ::crypt_r("secret", "$6$rounds=50000$saltsalt$", &work);
  std::ofstream(dir.File("passwords")) << "edge-a:" << hash << "\n";
  ::chmod(dir.File("passwords").c_str(), 0600);
  ASSERT_OK_AND_ASSIGN(const auto users, SshUsers::Read({"", dir.File("passwords")}));
  const int before = calls;
  std::barrier begin(kGuessers);
  std::atomic<int> good{0};
  {
    std::vector<std::jthread> guessers;
    for (int i = 0; i < kGuessers; ++i) {
      guessers.emplace_back([&, i] {
        begin.arrive_and_wait();
        for (const char* user : {"edge-a", "nobody"}) good += users->PasswordFits(user, i == 0 ? "secret" : "guess");
      });
    }
  }
  EXPECT_EQ(good, 1);
  EXPECT_EQ(calls - before, 2 * kGuessers) << "this crypt_r is not the one that was called";
  EXPECT_EQ(most, 1);
}

}  // namespace
}  // namespace virp::rtr_bridge
