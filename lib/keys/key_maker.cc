#include "lib/keys/key_maker.h"

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/frame/key_statements.h"

namespace virp::keys {

absl::StatusOr<std::unique_ptr<KeyMaker>> KeyMaker::Open(const std::string& directory, const Clock& clock) {
  RETURN_IF_ERROR(MakeDirectory(directory));
  ASSIGN_OR_RETURN(auto made, frame::KeyDirectory::Open(directory));
  return std::unique_ptr<KeyMaker>(new KeyMaker(directory, clock, std::move(made)));
}

absl::StatusOr<std::vector<Registration>> KeyMaker::Due(const ManagedKeys& managed, const frame::KeyProvider& signing) {
  std::vector<Registration> due;
  for (const auto& [source, version] : managed.Wanted()) {
    if (made_->Find(source, version) == nullptr) {
      const absl::Status made = frame::CreateKeyFile(directory_, source, version, frame::Suite::kEd25519, 0);
      if (!made.ok() && !absl::IsAlreadyExists(made)) return made;
      RETURN_IF_ERROR(made_->Refresh());
    }
    const auto key = made_->Find(source, version);
    if (key == nullptr || !key->can_sign())
      return FailedPrecondition("{}: no private half of version {} of {}; remove what is left of it", directory_,
                                version, source);
    Registration& next = due.emplace_back();
    next.source = source;
    next.version = version;
    next.public_key = key->public_key();
    ASSIGN_OR_RETURN(next.possession, key->Sign(frame::PossessionStatement(source, version, next.public_key)));
    const std::uint32_t first = managed.FirstVersion(source);
    for (const frame::KeyVersion& now : signing.Versions(source)) {
      // A version from a key file may sign frames, but the manager knows nothing that it could be checked with.
      if (first == 0 || now.version < first || !now.SignsAt(clock_.NowNanos())) continue;
      ASSIGN_OR_RETURN(next.succession, now.key->Sign(frame::SuccessionStatement(
                                            source, version, frame::Suite::kEd25519, next.public_key)));
    }
  }
  return due;
}

}  // namespace virp::keys
