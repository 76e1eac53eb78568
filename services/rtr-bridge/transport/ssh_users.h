// Who may fetch the tables over SSH, and how they show who they are. Immutable and thread-safe.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace virp::rtr_bridge {

struct SshUserFiles {
  // Lines "USER TYPE BASE64 [comment]", as in authorized_keys behind a user's name; '*' stands for any name. '#' and
  // empty lines are skipped. Empty path: no public keys.
  std::string keys;
  // Lines "USER:HASH" with a hash of crypt(5) (yescrypt, SHA-512 ...). Readable by its owner only. Empty path: no
  // passwords.
  std::string passwords;
};

class SshUsers {
 public:
  // InvalidArgument names file and line: an unknown key type, a key that does not parse, a hash that this system does
  // not know, a user named twice in the password file.
  static absl::StatusOr<std::shared_ptr<const SshUsers>> Read(const SshUserFiles& files);

  bool any_keys() const { return !keys_.empty(); }
  bool any_passwords() const { return !passwords_.empty(); }
  // `blob`: the public key as SSH sends it (RFC 4253 section 6.6).
  bool KeyFits(std::string_view user, std::string_view blob) const;
  // One at a time in the whole process, as each takes a processor for some time: about as long for a user that does not
  // exist.
  bool PasswordFits(std::string_view user, const std::string& password) const;
  // What a user's password is held against: of one who does not exist always the same other's. Empty: nobody has one.
  std::string HashFor(std::string_view user) const;

 private:
  std::map<std::string, std::vector<std::string>, std::less<>> keys_;  // blobs by user
  std::map<std::string, std::string, std::less<>> passwords_;          // hashes by user
};

}  // namespace virp::rtr_bridge
