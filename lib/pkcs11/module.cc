#include "lib/pkcs11/module.h"

#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <map>
#include <memory>
#include <utility>

#include "lib/base/file.h"
#include "lib/base/mutex.h"
#include "lib/base/status.h"

namespace virp::pkcs11 {

struct LoadedModule {
  std::string path;
  CK_FUNCTION_LIST* functions = nullptr;
  int uses = 0;       // guarded by the registry's mutex
  bool ours = false;  // we initialised it, so we finalise it
};

namespace {

constexpr CK_ULONG kMaxSlots = 4096;

struct Registry {
  Mutex mutex;
  std::map<std::string, std::unique_ptr<LoadedModule>> modules ABSL_GUARDED_BY(mutex);
};

// Never destroyed: a Module may outlive every other static.
Registry& TheRegistry() {
  static auto* const registry = new Registry;
  return *registry;
}

absl::StatusOr<std::string> CheckedPath(const std::string& path) {
  if (!path.starts_with('/')) return InvalidArgument("PKCS #11 module '{}': give an absolute path", path);
  const std::unique_ptr<char, decltype(&std::free)> resolved(::realpath(path.c_str(), nullptr), &std::free);
  if (resolved == nullptr) return ErrnoStatus(errno, "cannot find PKCS #11 module", path);
  struct stat info{};
  if (::stat(resolved.get(), &info) != 0) return ErrnoStatus(errno, "cannot look at PKCS #11 module", path);
  if (!S_ISREG(info.st_mode)) return FailedPrecondition("PKCS #11 module {}: not a regular file", path);
  if (info.st_uid != 0 && info.st_uid != ::geteuid()) {
    return FailedPrecondition("PKCS #11 module {}: owned by user {}, must be owned by root or this process's user",
                              path, info.st_uid);
  }
  if ((info.st_mode & 0022U) != 0) {
    return FailedPrecondition("PKCS #11 module {}: mode {:04o} lets others change code that runs here; chmod go-w",
                              path, info.st_mode & 07777U);
  }
  return std::string(resolved.get());
}

// What this library calls; a module may leave entries of its list empty.
absl::Status CheckFunctions(const CK_FUNCTION_LIST& list, std::string_view path) {
  if (list.version.major != 2 && list.version.major != 3) {
    return FailedPrecondition("PKCS #11 module {}: speaks version {}.{}; 2 and 3 are understood", path,
                              int{list.version.major}, int{list.version.minor});
  }
  const bool complete = list.C_Initialize != nullptr && list.C_Finalize != nullptr && list.C_GetSlotList != nullptr &&
                        list.C_GetTokenInfo != nullptr && list.C_OpenSession != nullptr &&
                        list.C_CloseSession != nullptr && list.C_GetSessionInfo != nullptr && list.C_Login != nullptr &&
                        list.C_CreateObject != nullptr && list.C_DestroyObject != nullptr &&
                        list.C_GetAttributeValue != nullptr && list.C_SetAttributeValue != nullptr &&
                        list.C_FindObjectsInit != nullptr && list.C_FindObjects != nullptr &&
                        list.C_FindObjectsFinal != nullptr && list.C_EncryptInit != nullptr &&
                        list.C_Encrypt != nullptr && list.C_DecryptInit != nullptr && list.C_Decrypt != nullptr &&
                        list.C_SignInit != nullptr && list.C_Sign != nullptr && list.C_GenerateKey != nullptr &&
                        list.C_GenerateKeyPair != nullptr && list.C_WrapKey != nullptr && list.C_UnwrapKey != nullptr;
  if (!complete) {
    return FailedPrecondition("PKCS #11 module {}: its list of functions has holes where functions are needed", path);
  }
  return absl::OkStatus();
}

absl::StatusOr<CK_FUNCTION_LIST*> OpenLibrary(const std::string& path) {
  // Stays mapped for ever: modules start threads and register exit handlers that a dlclose would leave without code.
  void* const library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) {
    const char* const why = ::dlerror();
    return FailedPrecondition("PKCS #11 module {}: not a shared library that can be loaded: {}", path,
                              why != nullptr ? why : "no reason given");
  }
  // POSIX says that a function's address passes through void*; ISO C++ leaves it to the implementation.
  const auto get_list = reinterpret_cast<CK_C_GetFunctionList>(::dlsym(library, "C_GetFunctionList"));
  if (get_list == nullptr) {
    return FailedPrecondition(
        "PKCS #11 module {}: a shared library, but no PKCS #11 module: it has no C_GetFunctionList", path);
  }
  CK_FUNCTION_LIST* list = nullptr;
  if (const CK_RV code = get_list(&list); code != CKR_OK || list == nullptr) {
    return FailedPrecondition("PKCS #11 module {}: C_GetFunctionList gives no list ({})", path, CodeName(code));
  }
  RETURN_IF_ERROR(CheckFunctions(*list, path));
  return list;
}

// Whether it was this call that initialised it.
absl::StatusOr<bool> Initialise(const CK_FUNCTION_LIST& list, const std::string& path) {
  CK_C_INITIALIZE_ARGS arguments{};
  arguments.flags = CKF_OS_LOCKING_OK;
  const CK_RV code = list.C_Initialize(&arguments);
  if (code == CKR_CRYPTOKI_ALREADY_INITIALIZED) return false;
  RETURN_IF_ERROR(Annotate(CkStatus(code, "C_Initialize"), fmt::format("PKCS #11 module {}", path)));
  return true;
}

void Release(LoadedModule* module) {
  Registry& registry = TheRegistry();
  const MutexLock lock(registry.mutex);
  if (--module->uses != 0) return;
  if (module->ours) module->functions->C_Finalize(nullptr);
  registry.modules.erase(std::string(module->path));
}

std::string Trim(const unsigned char* text, std::size_t size) {
  std::string out(reinterpret_cast<const char*>(text), size);
  out.erase(out.find_last_not_of(std::string_view(" \0", 2)) + 1);
  return out;
}

bool Fits(const TokenSlot& token, const TokenSelector& wanted) {
  const auto fits = [](const std::string& want, const std::string& has) { return want.empty() || want == has; };
  return fits(wanted.label, token.label) && fits(wanted.serial, token.serial) &&
         fits(wanted.manufacturer, token.manufacturer) && fits(wanted.model, token.model) &&
         (!wanted.slot.has_value() || *wanted.slot == token.slot);
}

std::string Names(const std::vector<TokenSlot>& tokens) {
  if (tokens.empty()) return "the module shows no token";
  std::string out = "there are";
  for (std::size_t i = 0; i < tokens.size() && i < 8; ++i) {
    out += fmt::format("{} '{}' (serial {})", i == 0 ? "" : ",", tokens[i].label, tokens[i].serial);
  }
  return tokens.size() > 8 ? out + fmt::format(" and {} more", tokens.size() - 8) : out;
}

}  // namespace

absl::StatusOr<Module> Module::Load(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string resolved, CheckedPath(path));
  Registry& registry = TheRegistry();
  const MutexLock lock(registry.mutex);
  const auto at = registry.modules.find(resolved);
  if (at != registry.modules.end()) {
    ++at->second->uses;
    return Module(at->second.get());
  }
  ASSIGN_OR_RETURN(CK_FUNCTION_LIST* const list, OpenLibrary(resolved));
  ASSIGN_OR_RETURN(const bool ours, Initialise(*list, resolved));
  auto loaded = std::make_unique<LoadedModule>();
  loaded->path = resolved;
  loaded->functions = list;
  loaded->uses = 1;
  loaded->ours = ours;
  LoadedModule* const module = loaded.get();
  registry.modules.emplace(resolved, std::move(loaded));
  return Module(module);
}

Module::Module(Module&& other) noexcept : loaded_(std::exchange(other.loaded_, nullptr)) {}

Module& Module::operator=(Module&& other) noexcept {
  if (this != &other) {
    if (loaded_ != nullptr) Release(loaded_);
    loaded_ = std::exchange(other.loaded_, nullptr);
  }
  return *this;
}

Module::~Module() {
  if (loaded_ != nullptr) Release(loaded_);
}

absl::Status Module::Restart() const {
  const MutexLock lock(TheRegistry().mutex);
  if (loaded_->uses != 1 || !loaded_->ours) {
    return FailedPrecondition("PKCS #11 module {}: in use by others in this process", loaded_->path);
  }
  loaded_->functions->C_Finalize(nullptr);
  return Initialise(*loaded_->functions, loaded_->path).status();
}

const CK_FUNCTION_LIST& Module::functions() const {
  return *loaded_->functions;
}

const std::string& Module::path() const {
  return loaded_->path;
}

absl::StatusOr<std::vector<TokenSlot>> ListTokenSlots(const CK_FUNCTION_LIST& functions) {
  std::vector<CK_SLOT_ID> slots;
  for (int attempt = 0;; ++attempt) {  // a token may be plugged in between the two calls
    CK_ULONG count = 0;
    RETURN_IF_ERROR(CkStatus(functions.C_GetSlotList(CK_TRUE, nullptr, &count), "C_GetSlotList"));
    if (count > kMaxSlots)
      return Unavailable("the PKCS #11 module tells of {} slots, {} are the limit", count, kMaxSlots);
    slots.resize(count);
    const CK_RV code = count == 0 ? CKR_OK : functions.C_GetSlotList(CK_TRUE, slots.data(), &count);
    if (code == CKR_BUFFER_TOO_SMALL && attempt < 8) continue;
    RETURN_IF_ERROR(CkStatus(code, "C_GetSlotList"));
    if (count < slots.size()) slots.resize(count);
    break;
  }
  std::vector<TokenSlot> out;
  for (const CK_SLOT_ID slot : slots) {
    CK_TOKEN_INFO info{};
    // One that is being pulled out, or is none that the module understands, is not there.
    if (functions.C_GetTokenInfo(slot, &info) != CKR_OK || (info.flags & CKF_TOKEN_INITIALIZED) == 0) continue;
    out.push_back({.slot = slot,
                   .flags = info.flags,
                   .label = Trim(info.label, sizeof info.label),
                   .serial = Trim(info.serialNumber, sizeof info.serialNumber),
                   .manufacturer = Trim(info.manufacturerID, sizeof info.manufacturerID),
                   .model = Trim(info.model, sizeof info.model),
                   .firmware = fmt::format("{}.{}", int{info.firmwareVersion.major}, int{info.firmwareVersion.minor})});
  }
  return out;
}

absl::StatusOr<TokenSlot> FindToken(const CK_FUNCTION_LIST& functions, const TokenSelector& selector) {
  ASSIGN_OR_RETURN(const std::vector<TokenSlot> tokens, ListTokenSlots(functions));
  const TokenSlot* found = nullptr;
  for (const TokenSlot& token : tokens) {
    if (!Fits(token, selector)) continue;
    if (found != nullptr) {
      return FailedPrecondition("{}: more than one token is so named; select it by its serial too ({})",
                                selector.Describe(), Names(tokens));
    }
    found = &token;
  }
  if (found == nullptr) return Unavailable("{} is not there; {}", selector.Describe(), Names(tokens));
  return *found;
}

}  // namespace virp::pkcs11
