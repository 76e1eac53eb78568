#include "lib/pkcs11/pin_file.h"

#include <sys/stat.h>

#include <cerrno>

#include "lib/base/secret_file.h"
#include "lib/base/status.h"

namespace virp::pkcs11 {

absl::StatusOr<Pin> ReadPinFile(const std::string& path) {
  ASSIGN_OR_RETURN(const FileDescriptor fd, OpenSecretFile(path, "PIN file"));
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, "cannot look at PIN file", path);

  Pin pin{.text = crypto::Secret(kMaxPin + 3), .file = {}};
  ASSIGN_OR_RETURN(const std::size_t size, ReadUpTo(fd.get(), pin.text.data(), pin.text.size(), path));
  std::string_view text = pin.text.view().substr(0, size);
  if (text.ends_with('\n')) text.remove_suffix(1);
  if (text.ends_with('\r')) text.remove_suffix(1);
  if (text.empty()) return InvalidArgument("PIN file {}: empty", path);
  if (text.size() > kMaxPin) return InvalidArgument("PIN file {}: more than {} bytes", path, kMaxPin);
  if (text.find_first_of(std::string_view("\0\r\n", 3)) != std::string_view::npos) {
    return InvalidArgument("PIN file {}: must hold the PIN on one line and nothing else", path);
  }
  pin.text.Truncate(text.size());
  pin.file = {.device = info.st_dev,
              .inode = info.st_ino,
              .size = info.st_size,
              .changed_nanos = std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec};
  return pin;
}

}  // namespace virp::pkcs11
