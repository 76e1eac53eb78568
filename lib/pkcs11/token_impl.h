// Private to lib/pkcs11: what the parts of Token share.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "lib/base/hash_map.h"
#include "lib/base/mutex.h"
#include "lib/pkcs11/objects.h"
#include "lib/pkcs11/session_pool.h"
#include "lib/pkcs11/token.h"

namespace virp::pkcs11 {

inline constexpr std::size_t kMaxWrapped = 8192;  // a private key under KWP

// InvalidArgument unless it has 1 to kMaxKeyId bytes.
absl::Status CheckId(std::string_view id);

inline CK_MECHANISM Mechanism(CK_MECHANISM_TYPE type) {
  return {type, nullptr, 0};
}

// CkStatus of a call that was given bytes from outside: SoftHSM and others say of bytes that are not theirs no more
// than that something failed, which is DataLoss here.
absl::Status RefusedBytes(CK_RV code, std::string_view call);

// An AES key of the session with these bytes, which may wrap or be wrapped.
absl::StatusOr<CK_OBJECT_HANDLE> MakeSessionAes(const Link& link, const crypto::Secret& value, SessionUse use);

struct Token::Impl {
  struct Key {
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    KeyKind kind = KeyKind::kEcP256;
    std::uint64_t generation = 0;
  };
  using UseKey = std::function<absl::Status(const Link&, const Key&)>;

  Impl(Module module, const TokenOptions& options)
      : module_path(module.path()),
        name(options.selector.Describe()),
        pool(std::move(module), {.selector = options.selector,
                                 .pin_file = options.pin_file,
                                 .max_sessions = options.max_sessions,
                                 .patience = options.patience,
                                 .restart_interval = options.restart_interval}) {}

  // Finds the key, by its remembered handle when there is one, and calls `use`. A handle may have gone with its key
  // (CKR_*_HANDLE_INVALID): then it is looked for once more.
  absl::Status WithKey(std::string_view id, Repeat repeat, const UseKey& use);
  absl::StatusOr<Key> Locate(const Link& link, std::string_view id);
  void Forget(std::string_view id);
  // A key of this kind, or InvalidArgument.
  absl::Status WithKind(std::string_view id, KeyKind kind, const UseKey& use);
  absl::StatusOr<std::string> SignWith(std::string_view id, const std::optional<Hash>& digest,
                                       std::string_view message);
  // What a new key became; when it is not what was asked for, it is destroyed.
  absl::StatusOr<KeyInfo> CheckNew(const KeySpec& spec, Origin origin);
  absl::Status Destroy(std::string_view id);

  const std::string module_path;
  const std::string name;
  SessionPool pool;
  Mutex making;  // held while a key is made, so that two calls cannot find the same id free
  Mutex mutex;
  StringMap<Key> remembered ABSL_GUARDED_BY(mutex);
};

}  // namespace virp::pkcs11
