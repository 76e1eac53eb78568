// Private to lib/pkcs11: a module of a token's maker in this process. PKCS #11 has one state per process and module
// (C_Initialize, C_Finalize, who is logged in), so a module is loaded once however many ask for it, and finalised when
// the last of them is done.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/pkcs11/cryptoki.h"
#include "lib/pkcs11/token_uri.h"

namespace virp::pkcs11 {

struct LoadedModule;

// One use of a module. Move-only. Thread-safe in what it gives: the module was told to lock for itself.
class Module {
 public:
  // Runs the module's code in this process, so the file must be an absolute path, belong to root or us, and let nobody
  // else write to it: FailedPrecondition. FailedPrecondition too when it is no shared library, no PKCS #11 module, of
  // another major version than 2 or 3, lacks a function that is needed, or cannot be used by threads.
  static absl::StatusOr<Module> Load(const std::string& path);
  Module(Module&& other) noexcept;
  Module& operator=(Module&& other) noexcept;
  ~Module();

  const CK_FUNCTION_LIST& functions() const;
  const std::string& path() const;  // as it was resolved

  // Finalises and initialises it: some modules see tokens that came later only so. FailedPrecondition, and nothing
  // happens, when others in this process use the module too. No call into it may be under way.
  absl::Status Restart() const;

 private:
  explicit Module(LoadedModule* loaded) : loaded_(loaded) {}
  LoadedModule* loaded_;
};

// A slot with an initialised token in it.
struct TokenSlot {
  CK_SLOT_ID slot = 0;
  CK_FLAGS flags = 0;
  std::string label;  // blanks at the end are gone, here and below
  std::string serial;
  std::string manufacturer;
  std::string model;
  std::string firmware;
};

absl::StatusOr<std::vector<TokenSlot>> ListTokenSlots(const CK_FUNCTION_LIST& functions);

// The one token that fits. Unavailable when there is none (it may be plugged in again), naming those that are there;
// FailedPrecondition when several fit.
absl::StatusOr<TokenSlot> FindToken(const CK_FUNCTION_LIST& functions, const TokenSelector& selector);

}  // namespace virp::pkcs11
