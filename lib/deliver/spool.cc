#include "lib/deliver/spool.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/file.h"
#include "lib/base/mutex.h"
#include "lib/base/pulse.h"
#include "lib/base/status.h"
#include "lib/deliver/spool_format.h"

namespace virp::deliver {
namespace {

constexpr std::size_t kReadChunk = 1 << 20;

std::string SegmentName(std::uint64_t first) {
  return fmt::format("segment-{:020}.log", first);
}
std::string SnapshotName(std::uint64_t number) {
  return fmt::format("snapshot-{:020}.bin", number);
}

std::optional<std::uint64_t> NumberIn(std::string_view name, std::string_view prefix, std::string_view suffix) {
  if (name.size() != prefix.size() + 20 + suffix.size() || !name.starts_with(prefix) || !name.ends_with(suffix))
    return std::nullopt;
  std::uint64_t number = 0;
  for (const char c : name.substr(prefix.size(), 20)) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return number;
}

struct Segment {
  std::uint64_t first = 0;  // number of its first record
  std::uint64_t last = 0;   // of its last; first - 1 while it has none
  std::uint64_t bytes = 0;
  std::shared_ptr<FileDescriptor> file;  // readers keep it open while a segment goes away
};

// Where a reader stopped, so that the next read goes on there.
struct Cursor {
  std::uint64_t after = 0;    // the record at `offset` has this number + 1 or more
  std::uint64_t segment = 0;  // first number of its segment
  std::uint64_t offset = 0;
};

absl::StatusOr<std::string> ReadAt(int fd, std::uint64_t offset, std::size_t length, std::string_view path) {
  std::string bytes(length, '\0');
  std::size_t have = 0;
  while (have < length) {
    const ssize_t got = ::pread(fd, bytes.data() + have, length - have, static_cast<off_t>(offset + have));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "cannot read", path);
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  bytes.resize(have);
  return bytes;
}

// Makes the bytes of a file from `begin` to `end` dirty, which are what they were.
absl::Status WriteAgain(const std::string& path, std::string_view content, std::size_t begin, std::size_t end) {
  ASSIGN_OR_RETURN(const FileDescriptor fd, OpenFile(path, O_WRONLY));
  while (begin < end) {
    const ssize_t put = ::pwrite(fd.get(), content.data() + begin, end - begin, static_cast<off_t>(begin));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return ErrnoStatus(put < 0 ? errno : EIO, "cannot write again", path);
    begin += static_cast<std::size_t>(put);
  }
  return absl::OkStatus();
}

// Whether a whole record behind damage at `at` says that `number` was already fsynced: then the damage is no torn tail.
bool DurableBehind(std::string_view bytes, std::size_t at, std::uint64_t number) {
  for (std::size_t i = at + 1; i + kRecordHeaderSize <= bytes.size(); ++i) {
    const auto parsed = ParseRecord(bytes.substr(i));
    if (!parsed) continue;
    if (parsed->durable >= number) return true;
    i += parsed->size - 1;
  }
  return false;
}

const Clock& SystemTime() {
  static const SystemClock clock;
  return clock;
}

}  // namespace

struct Spool::Impl {
  explicit Impl(SpoolOptions o) : options(std::move(o)) {}

  const SpoolOptions options;
  const Clock& clock = options.clock == nullptr ? SystemTime() : *options.clock;
  Pulse appending{"an append to the spool", clock};  // by whoever holds the mutex
  Pulse fsyncing{"an fsync of the spool", clock};    // by whoever set `syncing`
  mutable Mutex mutex;
  mutable std::condition_variable_any changed;
  std::deque<Segment> segments ABSL_GUARDED_BY(mutex);
  std::uint64_t last ABSL_GUARDED_BY(mutex) = 0;
  std::uint64_t durable ABSL_GUARDED_BY(mutex) = 0;
  std::uint64_t last_frame ABSL_GUARDED_BY(mutex) = 0;  // `last` and `durable` of frames
  std::uint64_t durable_frame ABSL_GUARDED_BY(mutex) = 0;
  std::uint64_t freed ABSL_GUARDED_BY(mutex) = 0;
  std::uint64_t snapshot ABSL_GUARDED_BY(mutex) = 0;
  std::uint64_t bytes ABSL_GUARDED_BY(mutex) = 0;
  bool syncing ABSL_GUARDED_BY(mutex) = false;
  bool full ABSL_GUARDED_BY(mutex) = false;
  absl::Status failed ABSL_GUARDED_BY(mutex);
  mutable Cursor cursor ABSL_GUARDED_BY(mutex);
  std::string buffer ABSL_GUARDED_BY(mutex);

  std::string Path(const std::string& name) const { return options.directory + "/" + name; }

  absl::Status LoadSnapshot(const std::vector<std::string>& names, const Replay& replay)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  absl::Status LoadSegment(std::uint64_t first, bool is_last, const Replay& replay)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  absl::StatusOr<std::uint64_t> Append(const std::vector<Record>& records) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  absl::Status NewSegment() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  absl::Status RememberFreed() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void DropFreed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  absl::StatusOr<bool> ReadSegment(const Segment& segment, std::uint64_t offset, std::uint64_t after,
                                   std::uint64_t durable_to, std::size_t frames, std::size_t limit,
                                   std::vector<SpooledFrame>& out, std::size_t& taken, Cursor& stopped) const;
};

Spool::Spool(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Spool::~Spool() = default;

absl::Status Spool::Impl::LoadSnapshot(const std::vector<std::string>& names, const Replay& replay) {
  std::uint64_t newest = 0;
  bool found = false;
  for (const std::string& name : names) {
    if (const auto number = NumberIn(name, "snapshot-", ".bin")) {
      newest = std::max(newest, *number);
      found = true;
    }
  }
  if (!found) return replay.snapshot("");
  const std::string path = Path(SnapshotName(newest));
  ASSIGN_OR_RETURN(const std::string content, ReadFile(path, std::size_t{4} << 30));
  const bool whole =
      content.size() >= kSnapshotHeaderSize && content.starts_with(kSnapshotMagic) &&
      LoadBe<std::uint64_t>(content.data() + 16) == content.size() - kSnapshotHeaderSize &&
      Checksum(std::string_view(content).substr(kSnapshotHeaderSize),
               Checksum(std::string_view(content).substr(0, 24))) == LoadBe<std::uint32_t>(content.data() + 24);
  if (!whole)
    return DataLoss(
        "spool snapshot {} is damaged; the source must restate from a new boot epoch: remove the spool directory",
        path);
  snapshot = newest;
  last = std::max(last, newest);
  return replay.snapshot(std::string_view(content).substr(kSnapshotHeaderSize));
}

absl::Status Spool::Impl::LoadSegment(std::uint64_t first, bool is_last, const Replay& replay) {
  const std::string path = Path(SegmentName(first));
  ASSIGN_OR_RETURN(const std::string content, ReadFile(path, std::size_t{4} << 30));
  if (ParseSegmentHeader(content) != first) {
    if (!is_last || content.size() > kSegmentHeaderSize) return DataLoss("spool segment {} has a damaged header", path);
    ::unlink(path.c_str());  // torn at its creation, nothing was in it
    return absl::OkStatus();
  }
  Segment segment{first, first - 1, kSegmentHeaderSize, nullptr};
  std::size_t at = kSegmentHeaderSize;  // behind the last whole append
  std::vector<Record> append;           // records of an append that is not whole yet
  std::deque<std::pair<std::uint64_t, std::size_t>>
      unsure;  // appends that no later one calls durable: last number, where it begins
  for (std::size_t next = at; next < content.size();) {
    const auto parsed = ParseRecord(std::string_view(content).substr(next));
    const std::uint64_t number = segment.last + append.size() + 1;
    if (!parsed || parsed->record.number != number) {
      if (is_last && !DurableBehind(content, next, number)) break;
      return DataLoss("spool segment {} is damaged at byte {}: record {} was acknowledged and cannot be read", path,
                      next, number);
    }
    append.push_back(parsed->record);
    next += parsed->size;
    if (parsed->more) continue;
    for (const Record& record : append) {
      if (record.kind == Record::Kind::kFrame) last_frame = record.number;
      if (record.number <= snapshot) continue;
      RETURN_IF_ERROR(Annotate(replay.record(record), fmt::format("replaying spool record {}", record.number)));
    }
    segment.last += append.size();
    append.clear();
    unsure.emplace_back(segment.last, at);
    while (!unsure.empty() && unsure.front().first <= parsed->durable) unsure.pop_front();
    at = next;
  }
  // When an fsync fails, the kernel may take the pages for clean and keep what the disk does not have: what was read
  // here would then be gone with the power, after an fsync that had nothing to do.
  if (is_last && !unsure.empty()) RETURN_IF_ERROR(WriteAgain(path, content, unsure.front().second, at));
  ASSIGN_OR_RETURN(FileDescriptor fd, OpenFile(path, O_RDWR | O_APPEND));
  if (at < content.size()) {
    if (::ftruncate(fd.get(), static_cast<off_t>(at)) != 0)
      return ErrnoStatus(errno, "cannot cut the torn tail of", path);
  }
  RETURN_IF_ERROR(SyncFile(fd.get(), path));
  segment.bytes = at;
  segment.file = std::make_shared<FileDescriptor>(std::move(fd));
  bytes += at;
  last = std::max(last, segment.last);
  segments.push_back(std::move(segment));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Spool>> Spool::Open(SpoolOptions options, const Replay& replay) {
  options.segment_bytes = std::min(options.segment_bytes, std::max<std::uint64_t>(options.max_bytes / 8, 4'096));
  auto impl = std::make_unique<Impl>(std::move(options));
  RETURN_IF_ERROR(MakeDirectory(impl->options.directory));
  // Also when it was there: whoever made it may have been killed before it was durable.
  RETURN_IF_ERROR(SyncDirectory(ParentDirectory(impl->options.directory)));
  ASSIGN_OR_RETURN(const auto names, ListDirectory(impl->options.directory));
  {
    const MutexLock lock(impl->mutex);
    RETURN_IF_ERROR(impl->LoadSnapshot(names, replay));
    std::vector<std::uint64_t> firsts;
    for (const std::string& name : names) {
      if (const auto number = NumberIn(name, "segment-", ".log")) firsts.push_back(*number);
    }
    for (std::size_t i = 0; i < firsts.size(); ++i) {
      if (!impl->segments.empty() && firsts[i] != impl->segments.back().last + 1) {
        return DataLoss("spool {}: records {} to {} are missing", impl->options.directory,
                        impl->segments.back().last + 1, firsts[i] - 1);
      }
      RETURN_IF_ERROR(impl->LoadSegment(firsts[i], i + 1 == firsts.size(), replay));
    }
    if (!impl->segments.empty() && impl->segments.front().first > impl->snapshot + 1) {
      return DataLoss("spool {}: records {} to {}, behind its snapshot, are missing", impl->options.directory,
                      impl->snapshot + 1, impl->segments.front().first - 1);
    }
    impl->durable = impl->last;
    // A hint only: when it is lost, frames are delivered again and answered as duplicates.
    if (const auto freed = ReadFile(impl->Path("freed"), 64); freed.ok() && freed->size() == 8) {
      impl->freed = std::min(LoadBe<std::uint64_t>(freed->data()), impl->last);
    }
    impl->durable_frame = impl->last_frame;
    if (impl->segments.empty() || impl->segments.back().last != impl->last) RETURN_IF_ERROR(impl->NewSegment());
  }
  return std::unique_ptr<Spool>(new Spool(std::move(impl)));
}

absl::Status Spool::Impl::NewSegment() {
  const std::string path = Path(SegmentName(last + 1));
  ASSIGN_OR_RETURN(FileDescriptor fd, OpenFile(path, O_RDWR | O_CREAT | O_EXCL | O_APPEND));
  const std::string header = SegmentHeader(last + 1);
  absl::Status written = WriteAll(fd.get(), header, path);
  if (written.ok()) written = SyncFile(fd.get(), path);
  if (written.ok()) written = SyncDirectory(options.directory);
  if (!written.ok()) {
    ::unlink(path.c_str());
    return written;
  }
  segments.push_back({last + 1, last, header.size(), std::make_shared<FileDescriptor>(std::move(fd))});
  bytes += header.size();
  return absl::OkStatus();
}

absl::StatusOr<std::uint64_t> Spool::Append(const std::vector<Record>& records) {
  const MutexLock lock(impl_->mutex);
  const AtWork work(impl_->appending);
  auto first = impl_->Append(records);
  impl_->full = absl::IsResourceExhausted(first.status());
  return impl_->full ? WithReason(first.status(), "SPOOL_FULL") : std::move(first);
}

absl::StatusOr<std::uint64_t> Spool::Impl::Append(const std::vector<Record>& records) {
  RETURN_IF_ERROR(failed);
  buffer.clear();
  std::uint64_t number = last;
  for (const Record& record : records) {
    if (record.source.size() > kMaxSourceName || record.bytes.size() > kMaxRecordBytes) {
      return InvalidArgument("a spool record of {} bytes for '{}' is too large", record.bytes.size(),
                             record.source.substr(0, 64));
    }
    AppendRecord(buffer, record, ++number, durable, &record != &records.back());
  }
  if (bytes + buffer.size() > options.max_bytes) {
    return ResourceExhausted("the spool is full ({} of {} bytes): the O-Node does not take frames as fast as they come",
                             bytes, options.max_bytes);
  }
  if (segments.back().bytes >= options.segment_bytes) {
    // What is in the old segment must be durable before a newer one exists: only the last may have a torn tail.
    const absl::Status synced = SyncFile(segments.back().file->get(), options.directory);
    if (!synced.ok()) return failed = synced;
    durable = last;
    durable_frame = last_frame;
    RETURN_IF_ERROR(NewSegment());
  }
  Segment& segment = segments.back();
  absl::Status written = WriteAll(segment.file->get(), buffer, options.directory);
  if (!written.ok()) {
    if (::ftruncate(segment.file->get(), static_cast<off_t>(segment.bytes)) != 0) {
      failed = ErrnoStatus(errno, "cannot take back a partial write in", options.directory);
    }
    return written;
  }
  segment.bytes += buffer.size();
  bytes += buffer.size();
  const std::uint64_t first = last + 1;
  last = number;
  segment.last = number;
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (records[i].kind == Record::Kind::kFrame) last_frame = first + i;
  }
  return first;
}

absl::Status Spool::Sync(std::uint64_t number) {
  Impl& spool = *impl_;
  const MutexLock lock(spool.mutex);
  while (spool.durable < number) {
    RETURN_IF_ERROR(spool.failed);
    if (number > spool.last) return OutOfRange("spool record {} does not exist", number);
    if (spool.syncing) {
      spool.changed.wait(spool.mutex);
      continue;
    }
    spool.syncing = true;
    const std::uint64_t target = spool.last, target_frame = spool.last_frame;
    const auto file = spool.segments.back().file;
    spool.mutex.unlock();
    const absl::Status synced = [&] {
      const AtWork work(spool.fsyncing);
      return SyncFile(file->get(), spool.options.directory);
    }();
    spool.mutex.lock();
    spool.syncing = false;
    if (synced.ok()) {
      spool.durable = std::max(spool.durable, target);
      spool.durable_frame = std::max(spool.durable_frame, target_frame);
    } else {
      spool.failed = synced;
    }
    spool.changed.notify_all();
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> Spool::Impl::ReadSegment(const Segment& segment, std::uint64_t offset, std::uint64_t after,
                                              std::uint64_t durable_to, std::size_t frames, std::size_t limit,
                                              std::vector<SpooledFrame>& out, std::size_t& taken,
                                              Cursor& stopped) const {
  std::string chunk;
  std::size_t at = 0;
  while (true) {
    auto parsed = ParseRecord(std::string_view(chunk).substr(at));
    if (!parsed) {
      ASSIGN_OR_RETURN(std::string more,
                       ReadAt(segment.file->get(), offset, kReadChunk + kMaxRecordBytes, options.directory));
      chunk = std::move(more);
      at = 0;
      parsed = ParseRecord(chunk);
      if (!parsed) {
        if (chunk.empty()) return true;
        return DataLoss("spool segment {} cannot be read at byte {}", SegmentName(segment.first), offset);
      }
    }
    const Record& record = parsed->record;
    if (record.number > durable_to) return false;
    if (record.number > after && record.kind == Record::Kind::kFrame) {
      if (out.size() == frames || (taken + record.bytes.size() > limit && !out.empty())) return false;
      taken += record.bytes.size();
      out.push_back(
          {record.number, std::string(record.source), record.epoch, record.spelling, std::string(record.bytes)});
    }
    at += parsed->size;
    offset += parsed->size;
    stopped = {record.number, segment.first, offset};
    if (record.number == segment.last) return true;
  }
}

absl::StatusOr<std::vector<Spool::SpooledFrame>> Spool::Read(std::uint64_t after, std::size_t frames,
                                                             std::size_t limit) const {
  std::vector<Segment> segments;
  std::uint64_t durable = 0;
  Cursor cursor;
  {
    const MutexLock lock(impl_->mutex);
    durable = impl_->durable;
    if (after >= durable) return std::vector<SpooledFrame>{};
    for (const Segment& segment : impl_->segments) {
      if (segment.last > after) segments.push_back(segment);
    }
    cursor = impl_->cursor;
  }
  std::vector<SpooledFrame> out;
  std::size_t taken = 0;
  Cursor stopped = cursor;
  for (const Segment& segment : segments) {
    const bool resumes = cursor.segment == segment.first && cursor.after <= after && cursor.offset > 0;
    const std::uint64_t offset = resumes ? cursor.offset : kSegmentHeaderSize;
    if (resumes && cursor.after == segment.last) continue;
    ASSIGN_OR_RETURN(const bool whole,
                     impl_->ReadSegment(segment, offset, after, durable, frames, limit, out, taken, stopped));
    if (!whole) break;
  }
  const MutexLock lock(impl_->mutex);
  impl_->cursor = stopped;
  return out;
}

bool Spool::WaitFor(std::uint64_t after, std::chrono::steady_clock::time_point deadline) const {
  const MutexLock lock(impl_->mutex);
  while (impl_->durable_frame <= after) {
    if (impl_->changed.wait_until(impl_->mutex, deadline) == std::cv_status::timeout)
      return impl_->durable_frame > after;
  }
  return true;
}

void Spool::Impl::DropFreed() {
  const std::uint64_t floor = std::min(freed, snapshot);
  while (segments.size() > 1 && segments.front().last <= floor) {
    ::unlink(Path(SegmentName(segments.front().first)).c_str());
    bytes -= segments.front().bytes;
    segments.pop_front();
  }
}

// No fsync: see Open. The rename keeps it whole.
absl::Status Spool::Impl::RememberFreed() const {
  std::string content;
  AppendBe(content, freed);
  const std::string path = Path("freed");
  ASSIGN_OR_RETURN(const FileDescriptor fd, OpenFile(path + ".tmp", O_WRONLY | O_CREAT | O_TRUNC));
  RETURN_IF_ERROR(WriteAll(fd.get(), content, path));
  return ::rename((path + ".tmp").c_str(), path.c_str()) == 0 ? absl::OkStatus()
                                                              : ErrnoStatus(errno, "cannot rename to", path);
}

absl::Status Spool::Free(std::uint64_t number) {
  Impl& spool = *impl_;
  const MutexLock lock(spool.mutex);
  if (number <= spool.freed) return absl::OkStatus();
  spool.freed = std::min(number, spool.last);
  spool.DropFreed();  // first: on a full disk it is what makes room
  const absl::Status remembered = spool.RememberFreed();
  return absl::IsResourceExhausted(remembered) ? absl::OkStatus() : remembered;
}

absl::Status Spool::WriteSnapshot(std::uint64_t number, std::string_view content) {
  RETURN_IF_ERROR(Sync(number));
  std::string bytes(kSnapshotMagic);
  AppendBe<std::uint64_t>(bytes, number);
  AppendBe<std::uint64_t>(bytes, content.size());
  AppendBe(bytes, Checksum(content, Checksum(bytes)));
  bytes.append(content);
  RETURN_IF_ERROR(ReplaceFile(impl_->Path(SnapshotName(number)), bytes));
  const MutexLock lock(impl_->mutex);
  const std::uint64_t before = std::exchange(impl_->snapshot, number);
  if (before != number) ::unlink(impl_->Path(SnapshotName(before)).c_str());
  impl_->DropFreed();
  return absl::OkStatus();
}

absl::Status Spool::problem() const {
  const MutexLock lock(impl_->mutex);
  return impl_->failed;
}

absl::Status Spool::CheckAlive() const {
  return CheckPulses({&impl_->appending, &impl_->fsyncing});
}

SpoolStats Spool::stats() const {
  const MutexLock lock(impl_->mutex);
  SpoolStats out;
  out.first = impl_->freed + 1;
  out.last = impl_->last;
  out.durable = impl_->durable;
  out.last_frame = std::max(impl_->last_frame, impl_->freed);
  out.durable_frame = std::max(impl_->durable_frame, impl_->freed);
  out.bytes = impl_->bytes;
  out.limit = impl_->options.max_bytes;
  out.full = impl_->full;
  return out;
}

}  // namespace virp::deliver
