#include "services/rtr-bridge/storage/state_file.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "lib/base/status.h"
#include "lib/base/text.h"

namespace virp::rtr_bridge {
namespace {

constexpr std::size_t kMaxState = std::size_t{1} << 30;
constexpr std::size_t kMaxMachineId = 4096;

}  // namespace

absl::StatusOr<std::unique_ptr<StateDirectory>> StateDirectory::Open(const std::string& directory) {
  RETURN_IF_ERROR(MakeDirectory(directory));
  ASSIGN_OR_RETURN(FileDescriptor lock, OpenFile(directory + "/lock", O_RDWR | O_CREAT | O_CLOEXEC));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return FailedPrecondition("{}: another bridge is running on this state", directory);
    return ErrnoStatus(errno, "cannot lock", directory);
  }
  return std::unique_ptr<StateDirectory>(new StateDirectory(directory, std::move(lock)));
}

std::string StateDirectory::Place() const {
  std::error_code failed;
  const std::filesystem::path whole = std::filesystem::canonical(directory_, failed);
  const auto machine = ReadFile("/etc/machine-id", kMaxMachineId);
  return fmt::format("{}:{}", machine.ok() ? Trim(*machine) : "", failed ? directory_ : whole.string());
}

absl::StatusOr<std::string> StateDirectory::Read() const {
  auto state = ReadFile(path_, kMaxState);
  if (absl::IsNotFound(state.status())) return std::string();
  return state;
}

absl::Status StateDirectory::Write(std::string_view state) {
  const absl::Status written = ReplaceFile(path_, state);
  if (written.ok()) return written;
  // It may have failed behind the renaming.
  const auto there = ReadFile(path_, kMaxState);
  const bool replaced = !there.ok() ? !absl::IsNotFound(there.status()) : *there == state;
  return replaced ? DataLoss("{}; the file has it, and may not have it after a power cut", Message(written)) : written;
}

}  // namespace virp::rtr_bridge
