#include "tests/fault/disk.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "lib/base/status.h"

namespace virp::fault {
namespace {

template <typename Value>
Value Must(absl::StatusOr<Value> value) {
  if (value.ok()) return *std::move(value);
  std::fprintf(stderr, "disk: %s\n", value.status().ToString().c_str());
  std::abort();
}

}  // namespace

Disk::Disk(const std::string& root, bool journal) : root_(std::filesystem::canonical(root)), keeps_journal_(journal) {
  if (keeps_journal_) durable_ = Must(ReadImage(root_));
  // Programs of another user (PostgreSQL) share it, and need not be able to read the build folder.
  std::filesystem::permissions(dir_.path(), std::filesystem::perms(0755));
  std::filesystem::copy_file(VIRP_DISK_SHIM, dir_.File("shim.so"));
  control_file_ = Must(OpenFile(dir_.File("control"), O_RDWR | O_CREAT, 0666));
  if (::fchmod(control_file_.get(), 0666) != 0 || ::ftruncate(control_file_.get(), sizeof(DiskControl)) != 0)
    std::abort();
  void* const page = ::mmap(nullptr, sizeof(DiskControl), PROT_READ | PROT_WRITE, MAP_SHARED, control_file_.get(), 0);
  if (page == MAP_FAILED) std::abort();
  control_ = static_cast<DiskControl*>(page);
  control_->free_bytes = kDiskUnlimited;
}

Disk::~Disk() {
  ::munmap(control_, sizeof(DiskControl));
}

std::map<std::string, std::string> Disk::Environment() const {
  std::map<std::string, std::string> out{
      {"LD_PRELOAD", dir_.File("shim.so")}, {kDiskRoot, root_}, {kDiskControl, dir_.File("control")}};
  if (keeps_journal_) out[kDiskJournal] = dir_.File("journal");
  return out;
}

absl::StatusOr<DiskModel> Disk::Replayed() const {
  DiskModel model(root_, durable_);
  const auto journal = ReadFile(dir_.File("journal"), std::size_t{1} << 30);
  if (absl::IsNotFound(journal.status())) return model;  // no program ran since the last cut
  RETURN_IF_ERROR(journal.status());
  RETURN_IF_ERROR(model.Replay(*journal));
  return model;
}

absl::StatusOr<DiskImage> Disk::AfterCut(Survives survives, std::mt19937& random) const {
  ASSIGN_OR_RETURN(const DiskModel model, Replayed());
  return model.AfterCut(survives, random);
}

absl::Status Disk::CutPower(Survives survives, std::mt19937& random) {
  ASSIGN_OR_RETURN(durable_, AfterCut(survives, random));
  RETURN_IF_ERROR(WriteImage(root_, durable_));
  std::filesystem::remove(dir_.File("journal"));
  return absl::OkStatus();
}

absl::Status Disk::CheckJournal() const {
  ASSIGN_OR_RETURN(const DiskModel model, Replayed());
  ASSIGN_OR_RETURN(const DiskImage there, ReadImage(root_));
  const DiskImage told = model.Now();
  for (const auto& [name, content] : there) {
    if (name.ends_with("-shm")) continue;  // a memory map
    const auto found = told.find(name);
    if (found == told.end()) return DataLoss("the journal does not know {}", name);
    if (found->second != content) return DataLoss("the journal has other bytes of {} than there are", name);
  }
  for (const auto& [name, content] : told) {
    if (there.count(name) == 0) return DataLoss("{} is in the journal and not there", name);
  }
  return absl::OkStatus();
}

}  // namespace virp::fault
