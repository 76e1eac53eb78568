#include "services/rtr-bridge/transport/ssh_users.h"

#include <crypt.h>

#include <algorithm>
#include <set>

#include "lib/base/bytes.h"
#include "lib/base/file.h"
#include "lib/base/mutex.h"
#include "lib/base/secret_file.h"
#include "lib/base/status.h"
#include "lib/base/text.h"
#include "lib/crypto/secret.h"
#include "lib/crypto/sha256.h"

namespace virp::rtr_bridge {
namespace {

constexpr std::size_t kMaxFile = 1 << 20;
constexpr std::string_view kAnyUser = "*";

const std::set<std::string_view>& KeyTypes() {
  static const std::set<std::string_view> types{"ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384",
                                                "ecdsa-sha2-nistp521", "ssh-rsa"};
  return types;
}

// The blob begins with its own type's name; a line whose two names differ is damaged.
absl::StatusOr<std::string> ParseBlob(std::string_view type, std::string_view base64) {
  if (!KeyTypes().contains(type)) return InvalidArgument("'{}' is no type of key that is taken", type);
  ASSIGN_OR_RETURN(std::string blob, Base64Decode(base64));
  const bool named = blob.size() > 4 + type.size() && LoadBe<std::uint32_t>(blob.data()) == type.size() &&
                     std::string_view(blob).substr(4, type.size()) == type;
  if (!named) return InvalidArgument("the key is not the {} that its line says", type);
  return blob;
}

bool IsKnownHash(const std::string& hash) {
  return ::crypt_checksalt(hash.c_str()) == CRYPT_SALT_OK;
}

absl::StatusOr<std::string> ReadPasswords(const std::string& path) {
  ASSIGN_OR_RETURN(const FileDescriptor file, OpenSecretFile(path, "SSH password file"));
  std::string text(kMaxFile + 1, '\0');
  ASSIGN_OR_RETURN(const std::size_t size, ReadUpTo(file.get(), text.data(), text.size(), path));
  if (size > kMaxFile) return ResourceExhausted("{}: more than {} bytes", path, kMaxFile);
  text.resize(size);
  return text;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const SshUsers>> SshUsers::Read(const SshUserFiles& files) {
  auto users = std::make_shared<SshUsers>();
  if (!files.keys.empty()) {
    ASSIGN_OR_RETURN(const std::string text, ReadFile(files.keys, kMaxFile));
    RETURN_IF_ERROR(ForEachLine(files.keys, text, [&](std::string_view line) -> absl::Status {
      const std::vector<std::string_view> words = SplitWords(line);
      if (words.size() < 3) return InvalidArgument("a line is USER TYPE BASE64");
      ASSIGN_OR_RETURN(std::string blob, ParseBlob(words[1], words[2]));
      users->keys_[std::string(words[0])].push_back(std::move(blob));
      return absl::OkStatus();
    }));
  }
  if (!files.passwords.empty()) {
    ASSIGN_OR_RETURN(const std::string text, ReadPasswords(files.passwords));
    RETURN_IF_ERROR(ForEachLine(files.passwords, text, [&](std::string_view line) -> absl::Status {
      const std::size_t colon = line.find(':');
      if (colon == std::string_view::npos || colon == 0) return InvalidArgument("a line is USER:HASH");
      std::string hash(line.substr(colon + 1));
      if (!IsKnownHash(hash))
        return InvalidArgument("the hash is none of crypt(5) that is safe to use; mkpasswd(1) makes one");
      if (!users->passwords_.emplace(line.substr(0, colon), std::move(hash)).second)
        return InvalidArgument("the user is named twice");
      return absl::OkStatus();
    }));
  }
  return users;
}

bool SshUsers::KeyFits(std::string_view user, std::string_view blob) const {
  for (const std::string_view name : {user, kAnyUser}) {
    const auto found = keys_.find(name);
    if (found != keys_.end() && std::find(found->second.begin(), found->second.end(), blob) != found->second.end())
      return true;
  }
  return false;
}

// The time that a hash takes depends on how it was made, and must not tell which names there are.
std::string SshUsers::HashFor(std::string_view user) const {
  if (passwords_.empty()) return {};
  const auto found = passwords_.find(user);
  if (found != passwords_.end()) return found->second;
  const Hash digest = crypto::Sha256(user);
  const std::size_t any = LoadBe<std::uint32_t>(View(digest).data()) % passwords_.size();
  return std::next(passwords_.begin(), static_cast<std::ptrdiff_t>(any))->second;
}

bool SshUsers::PasswordFits(std::string_view user, const std::string& password) const {
  static Mutex one_at_a_time;
  const bool known = passwords_.contains(user);
  const std::string setting = HashFor(user);
  if (setting.empty()) return false;
  const MutexLock lock(one_at_a_time);
  crypt_data work{};
  const char* const made = ::crypt_r(password.c_str(), setting.c_str(), &work);
  const bool fits = made != nullptr && made[0] != '*' && crypto::EqualConstantTime(made, setting);
  crypto::Wipe(&work, sizeof(work));
  return known && fits;
}

}  // namespace virp::rtr_bridge
