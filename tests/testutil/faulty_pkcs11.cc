#include "tests/testutil/faulty_pkcs11.h"

#include <dlfcn.h>
#include <p11-kit/pkcs11.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>

namespace {

struct Plan {
  int mode;
  CK_RV code;
  int skip;
  int times;
};

struct State {
  std::mutex mutex;
  std::map<std::string, Plan> plans;
  std::map<std::string, int> calls;
  CK_FLAGS token_flags = 0;
  CK_FUNCTION_LIST* real = nullptr;
  CK_FUNCTION_LIST ours{};
};

State& TheState() {
  static auto* const state = new State;
  return *state;
}

std::optional<Plan> Due(const char* function) {
  State& state = TheState();
  const std::lock_guard lock(state.mutex);
  ++state.calls[function];
  const auto at = state.plans.find(function);
  if (at == state.plans.end() || at->second.times == 0) return std::nullopt;
  if (at->second.skip > 0) {
    --at->second.skip;
    return std::nullopt;
  }
  --at->second.times;
  return at->second;
}

// The last argument of every call that gives bytes back is their length.
template <typename... Arguments>
void Lie(int mode, const Arguments&... arguments) {
  const auto last = std::get<sizeof...(Arguments) - 1>(std::tie(arguments...));
  if constexpr (std::is_same_v<std::decay_t<decltype(last)>, CK_ULONG_PTR>) {
    if (last != nullptr) *last = mode == kFaultyHuge ? 1UL << 40 : *last - 1;
  }
}

template <std::size_t N>
struct Name {
  constexpr Name(const char (&from)[N]) { std::copy_n(from, N, text); }  // NOLINT(google-explicit-constructor)
  char text[N];
};

template <typename Function>
struct Hook;

template <typename... Arguments>
struct Hook<CK_RV (*)(Arguments...)> {
  template <Name kName, auto kMember>
  static CK_RV Call(Arguments... arguments) {
    State& state = TheState();
    const std::optional<Plan> plan = Due(kName.text);
    if (plan && plan->mode == kFaultyBefore) return plan->code;
    if (plan && plan->mode == kFaultyPretend) return CKR_OK;
    const CK_RV code = (state.real->*kMember)(arguments...);
    if (plan && plan->mode == kFaultyAfter) return plan->code;
    if (plan) Lie(plan->mode, arguments...);
    return code;
  }
};

CK_RV TokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO* info) {
  State& state = TheState();
  const CK_RV code = state.real->C_GetTokenInfo(slot, info);
  const std::lock_guard lock(state.mutex);
  info->flags |= state.token_flags;
  return code;
}

#define HOOK(name) \
  state.ours.name = &Hook<decltype(CK_FUNCTION_LIST::name)>::template Call<#name, &CK_FUNCTION_LIST::name>

bool Prepare(State& state) {
  if (state.real != nullptr) return true;
  void* const library = ::dlopen("/usr/lib/softhsm/libsofthsm2.so", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) return false;
  const auto get = reinterpret_cast<CK_C_GetFunctionList>(::dlsym(library, "C_GetFunctionList"));
  if (get == nullptr || get(&state.real) != CKR_OK) return false;
  state.ours = *state.real;
  HOOK(C_Initialize);
  HOOK(C_Finalize);
  HOOK(C_GetSlotList);
  HOOK(C_OpenSession);
  HOOK(C_CloseSession);
  HOOK(C_GetSessionInfo);
  HOOK(C_Login);
  HOOK(C_CreateObject);
  HOOK(C_DestroyObject);
  HOOK(C_GetAttributeValue);
  HOOK(C_SetAttributeValue);
  HOOK(C_FindObjectsInit);
  HOOK(C_FindObjects);
  HOOK(C_FindObjectsFinal);
  HOOK(C_EncryptInit);
  HOOK(C_Encrypt);
  HOOK(C_DecryptInit);
  HOOK(C_Decrypt);
  HOOK(C_SignInit);
  HOOK(C_Sign);
  HOOK(C_GenerateKey);
  HOOK(C_GenerateKeyPair);
  HOOK(C_WrapKey);
  HOOK(C_UnwrapKey);
  state.ours.C_GetTokenInfo = &TokenInfo;
  return true;
}

}  // namespace

extern "C" {

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list) {
  State& state = TheState();
  const std::lock_guard lock(state.mutex);
  if (!Prepare(state)) return CKR_GENERAL_ERROR;
  *list = &state.ours;
  return CKR_OK;
}

void VirpFaultyPlan(const char* function, int mode, unsigned long code, int skip, int times) {
  State& state = TheState();
  const std::lock_guard lock(state.mutex);
  state.plans[function] = {.mode = mode, .code = code, .skip = skip, .times = times};
}

void VirpFaultyTokenFlags(unsigned long flags) {
  State& state = TheState();
  const std::lock_guard lock(state.mutex);
  state.token_flags = flags;
}

int VirpFaultyCalls(const char* function) {
  State& state = TheState();
  const std::lock_guard lock(state.mutex);
  return state.calls[function];
}

void VirpFaultyReset() {
  State& state = TheState();
  const std::lock_guard lock(state.mutex);
  state.plans.clear();
  state.calls.clear();
  state.token_flags = 0;
}
}
