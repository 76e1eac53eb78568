#include "services/rtr-bridge/transport/export_signer.h"

#include <memory>
#include <utility>
#include <vector>

#include "lib/base/mutex.h"
#include "lib/base/secret_file.h"
#include "lib/base/status.h"
#include "lib/crypto/secret.h"
#include "lib/service/logging.h"
#include "lib/vrp/signing_key.h"

namespace virp::rtr_bridge {
namespace {

constexpr std::size_t kMaxKeyFile = 16 << 10;

// What the readers of our exports must have in their signature_key.
void TellKey(std::string_view where, const std::string& public_pem) {
  service::LogInfo("exports are signed", {{"key", where}, {"public_key", public_pem}});
}

class SourceSigner {
 public:
  SourceSigner(std::string source, const frame::KeyProvider& keys, const Clock& clock)
      : source_(std::move(source)), keys_(keys), clock_(clock) {}

  absl::StatusOr<std::string> Sign(std::string_view document) {
    const std::vector<frame::KeyVersion> versions = keys_.Versions(source_);
    for (auto at = versions.rbegin(); at != versions.rend(); ++at) {
      if (!at->SignsAt(clock_.NowNanos()) || at->key->suite() != frame::Suite::kEd25519) continue;
      Tell(*at);
      return at->key->Sign(document);
    }
    return FailedPrecondition("{} has no version of Ed25519 that signs now", source_);
  }

 private:
  void Tell(const frame::KeyVersion& version) {
    const MutexLock lock(mutex_);
    if (std::exchange(told_, version.version) == version.version) return;
    TellKey(fmt::format("{}/{}", source_, version.version), vrp::Ed25519PublicPem(version.key->public_key()));
  }

  const std::string source_;
  const frame::KeyProvider& keys_;
  const Clock& clock_;
  Mutex mutex_;
  std::uint32_t told_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace

absl::StatusOr<SignDocument> SignWithFile(const std::string& path) {
  ASSIGN_OR_RETURN(const FileDescriptor file, OpenSecretFile(path, "signing key"));
  crypto::Secret text(kMaxKeyFile);
  ASSIGN_OR_RETURN(const std::size_t size, ReadUpTo(file.get(), text.data(), text.size(), path));
  auto read = vrp::SigningKey::FromPem(text.view().substr(0, size));
  if (!read.ok()) return Annotate(read.status(), path);
  const auto key = std::make_shared<const vrp::SigningKey>(*std::move(read));
  TellKey(path, key->PublicPem());
  return [key](std::string_view document) -> absl::StatusOr<std::string> { return key->Sign(document); };
}

SignDocument SignAs(std::string source, const frame::KeyProvider& keys, const Clock& clock) {
  const auto signer = std::make_shared<SourceSigner>(std::move(source), keys, clock);
  return [signer](std::string_view document) { return signer->Sign(document); };
}

}  // namespace virp::rtr_bridge
