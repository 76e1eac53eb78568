// A SoftHSM token of a test's own, in a folder of its own. SoftHSM reads SOFTHSM2_CONF when it is initialised, so one
// test at a time has one of these, and what uses it (pkcs11::Token) ends before it does.
#pragma once

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "lib/pkcs11/token.h"
#include "tests/testutil/faulty_pkcs11.h"
#include "tests/testutil/program.h"
#include "tests/testutil/temp_dir.h"

namespace virp::testutil {

inline constexpr const char* kSoftHsmModule = "/usr/lib/softhsm/libsofthsm2.so";

class SoftToken {
 public:
  explicit SoftToken(std::string label = "virp-test") : label_(std::move(label)) {
    std::filesystem::create_directory(folder_.File("tokens"));
    Write("softhsm2.conf", "directories.tokendir = " + folder_.File("tokens") +
                               "\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n");
    ::setenv("SOFTHSM2_CONF", folder_.File("softhsm2.conf").c_str(), 1);
    Add(label_);
    SetPin("1234-right");
  }
  ~SoftToken() { ::unsetenv("SOFTHSM2_CONF"); }

  // Another token in the same place, with the same PIN.
  void Add(const std::string& label) {
    const ProgramResult made = RunProgram({"/usr/bin/softhsm2-util", "--init-token", "--free", "--label", label,
                                           "--so-pin", "so-pin-1234", "--pin", "1234-right"},
                                          {"SOFTHSM2_CONF=" + folder_.File("softhsm2.conf")});
    if (made.exit != 0) throw std::runtime_error("softhsm2-util: " + made.out + made.err);
  }
  // What the PIN file says.
  void SetPin(std::string_view pin) {
    std::filesystem::remove(pin_file());
    Write("pin", pin);
    std::filesystem::permissions(pin_file(), std::filesystem::perms::owner_read);
  }
  std::string pin_file() const { return folder_.File("pin"); }
  std::string tokens() const { return folder_.File("tokens"); }
  std::string File(const std::string& name) const { return folder_.File(name); }

  pkcs11::TokenOptions Options() const {
    return {.module_path = kSoftHsmModule, .selector = {.label = label_}, .pin_file = pin_file()};
  }

 private:
  // SoftHSM syncs each file of each object: in memory, where there is such a place, that takes no time.
  static std::filesystem::path Place() {
    const bool memory = ::access("/dev/shm", W_OK | X_OK) == 0;
    return memory ? std::filesystem::path("/dev/shm") : std::filesystem::temp_directory_path();
  }
  void Write(const std::string& name, std::string_view text) const {
    std::ofstream(folder_.File(name), std::ios::binary) << text;
  }

  TempDir folder_{Place()};
  std::string label_;
};

#ifdef VIRP_FAULTY_PKCS11
// The faulty module over the same SoftHSM, with the handle that a test steers it by.
class FaultyModule {
 public:
  explicit FaultyModule(const SoftToken& token) : path_(token.File("faulty.so")) {
    // Whatever the umask of the build was, modules that others may write to are refused.
    std::filesystem::copy_file(VIRP_FAULTY_PKCS11, path_);
    std::filesystem::permissions(path_, std::filesystem::perms(0755));
    void* const library = ::dlopen(path_.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (library == nullptr) throw std::runtime_error(::dlerror());
    plan_ = reinterpret_cast<decltype(plan_)>(::dlsym(library, "VirpFaultyPlan"));
    flags_ = reinterpret_cast<decltype(flags_)>(::dlsym(library, "VirpFaultyTokenFlags"));
    calls_ = reinterpret_cast<decltype(calls_)>(::dlsym(library, "VirpFaultyCalls"));
    reset_ = reinterpret_cast<decltype(reset_)>(::dlsym(library, "VirpFaultyReset"));
    get_list_ = ::dlsym(library, "C_GetFunctionList");
  }
  const std::string& path() const { return path_; }
  void* get_list() const { return get_list_; }  // its C_GetFunctionList

  void Fail(const char* function, unsigned long code, int skip = 0, int times = 1) {
    plan_(function, kFaultyBefore, code, skip, times);
  }
  void FailAfter(const char* function, unsigned long code, int skip = 0, int times = 1) {
    plan_(function, kFaultyAfter, code, skip, times);
  }
  void Do(const char* function, FaultyMode mode, int times = 1) { plan_(function, mode, 0, 0, times); }
  void Flags(unsigned long flags) { flags_(flags); }
  int Calls(const char* function) const { return calls_(function); }
  void Reset() { reset_(); }

 private:
  std::string path_;
  decltype(&VirpFaultyPlan) plan_ = nullptr;
  decltype(&VirpFaultyTokenFlags) flags_ = nullptr;
  decltype(&VirpFaultyCalls) calls_ = nullptr;
  decltype(&VirpFaultyReset) reset_ = nullptr;
  void* get_list_ = nullptr;
};
#endif

}  // namespace virp::testutil
