// Makes the Ed25519 versions that the key manager asks for of whoever signs for a source. The private half is made
// here, is kept in a key directory of this machine's and never leaves it; the manager gets the public half, proof that
// the private one is held, and the word of the version that signs now.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/frame/key_directory.h"
#include "lib/keys/managed_keys.h"

namespace virp::keys {

// What RegisterPublicKey takes.
struct Registration {
  std::string source;
  std::uint32_t version = 0;
  std::string public_key, possession;
  std::string succession;  // empty while no version of the manager's signs: a person approves
};

// Used by one thread at a time; keys() is thread-safe.
class KeyMaker {
 public:
  // `directory` is made, with mode 0700, when it is not there. Errors as KeyDirectory::Open.
  static absl::StatusOr<std::unique_ptr<KeyMaker>> Open(const std::string& directory, const Clock& clock);

  // What was made so far. A version counts as a key only once the manager says that its public half is one: give it to
  // JoinedKeys as `made`.
  const frame::KeyProvider& keys() const { return *made_; }

  // A registration for each version that the manager waits for. The key is made once and on disk before it is told of;
  // the same is registered until the manager has it. `signing` finds the version that vouches. FailedPrecondition when
  // the file system refuses.
  absl::StatusOr<std::vector<Registration>> Due(const ManagedKeys& managed, const frame::KeyProvider& signing);

 private:
  KeyMaker(std::string directory, const Clock& clock, std::unique_ptr<frame::KeyDirectory> made)
      : directory_(std::move(directory)), clock_(clock), made_(std::move(made)) {}

  const std::string directory_;
  const Clock& clock_;
  const std::unique_ptr<frame::KeyDirectory> made_;
};

}  // namespace virp::keys
