#include "services/rtr-bridge/transport/source_runner.h"

#include <algorithm>
#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/file.h"
#include "lib/base/file_watch.h"
#include "lib/base/status.h"
#include "lib/service/logging.h"
#include "lib/vrp/slurm.h"
#include "services/rtr-bridge/transport/feed.h"

namespace virp::rtr_bridge {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr milliseconds kTick{250};
constexpr seconds kRetry{30};  // after a failure, if the source is not due before

std::string_view FailureOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      return "UNREACHABLE";
    case absl::StatusCode::kDeadlineExceeded:
      return "TOO_SLOW";
    case absl::StatusCode::kUnauthenticated:
      return "TLS";
    case absl::StatusCode::kResourceExhausted:
      return "TOO_LARGE";
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kDataLoss:
      return "BAD_DATA";
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kPermissionDenied:
      return "FILE";
    default:
      return kFailures.back();
  }
}

}  // namespace

std::size_t FailureIndexOf(const absl::Status& status) {
  const auto index = [](std::string_view name) {
    return static_cast<std::size_t>(std::ranges::find(kFailures, name) - kFailures.begin());
  };
  const std::size_t given = index(GetReason(status));
  return given < kFailures.size() ? given : index(FailureOf(status));
}

struct SourceRunner::Source {
  std::size_t index = 0;
  SourceOptions options;
  std::unique_ptr<SourceReader> reader;  // of files and URLs
  std::unique_ptr<Feed> feed;            // of services
  bool failed = false;
};

void SourceRunner::Freed::operator()(Source* source) const {
  delete source;
}

absl::StatusOr<std::unique_ptr<SourceRunner>> SourceRunner::Make(std::vector<SourceOptions> sources, SlurmFiles slurm,
                                                                 FeedChannels channels, Cache& cache,
                                                                 const Clock& clock) {
  std::unique_ptr<SourceRunner> runner(new SourceRunner(cache, clock));
  runner->slurm_ = std::move(slurm);
  runner->channels_ = std::move(channels);
  for (SourceOptions& options : sources) {
    std::unique_ptr<Source, Freed> source(new Source);
    source->index = runner->sources_.size();
    source->options = std::move(options);
    const SourceOptions& of = source->options;
    if (of.kind == SourceKind::kFile || of.kind == SourceKind::kHttp) {
      auto reader = MakeReader(of, clock);
      if (!reader.ok()) return Annotate(reader.status(), "source " + of.name);
      source->reader = *std::move(reader);
    } else {
      const bool keys = of.kind == SourceKind::kKeyManager;
      const auto& to = keys ? runner->channels_.key_manager : runner->channels_.bridge;
      ASSIGN_OR_RETURN(source->feed, keys ? MakeKeyFeed(of.location, to) : MakeBridgeFeed(of.location, to));
    }
    runner->sources_.push_back(std::move(source));
    runner->counters_.push_back(std::make_unique<SourceCounters>());
  }
  const MutexLock lock(runner->mutex_);
  runner->done_.resize(runner->sources_.size() + 1);
  return runner;
}

SourceRunner::~SourceRunner() {
  Stop();
}

void SourceRunner::Start() {
  if (!slurm_.paths.empty()) {
    // Before the reading: what changes behind it is seen. And that before any data: they are not served unfiltered.
    auto watch = std::make_unique<FileWatch>(slurm_.paths, kTick, clock_);
    const bool good = ReadSlurm();
    threads_.emplace_back([this, watch = std::move(watch), good] { KeepSlurm(*watch, good); });
  }
  for (const auto& source : sources_) {
    threads_.emplace_back([this, &at = *source] { at.feed != nullptr ? KeepFeed(at) : Keep(at); });
  }
}

void SourceRunner::Stop() {
  {
    const MutexLock lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  for (const auto& source : sources_) {
    if (source->feed != nullptr) source->feed->Stop();
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

bool SourceRunner::RefreshAll(milliseconds patience) {
  const auto until = steady_clock::now() + patience;
  const MutexLock lock(mutex_);
  const std::uint64_t wish = ++wish_;
  changed_.notify_all();
  return changed_.wait_until(mutex_, until, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const bool slurm = slurm_.paths.empty() || done_.back() >= wish;
    const bool sources =
        std::all_of(sources_.begin(), sources_.end(), [&](const auto& source) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
          return source->feed != nullptr || done_[source->index] >= wish;  // a feed tells by itself
        });
    return stop_ || (slurm && sources);
  });
}

std::uint64_t SourceRunner::Wait(steady_clock::time_point until, std::uint64_t done) {
  const MutexLock lock(mutex_);
  changed_.wait_until(mutex_, until, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stop_ || wish_ > done; });
  return wish_;
}

void SourceRunner::Done(std::size_t task, std::uint64_t wish) {
  {
    const MutexLock lock(mutex_);
    done_[task] = wish;
  }
  changed_.notify_all();
}

void SourceRunner::Keep(Source& source) {
  std::uint64_t done = 0;
  auto due = steady_clock::now();
  while (!stop_) {
    ReadOnce(source);
    Done(source.index, done);
    const seconds pause = source.failed ? std::min(kRetry, source.options.refresh) : source.options.refresh;
    due = steady_clock::now() + pause;
    while (!stop_) {
      const std::uint64_t wish = Wait(std::min(due, steady_clock::now() + kTick), done);
      const bool wished = wish > done;
      done = wish;
      if (wished || steady_clock::now() >= due || source.reader->Changed()) break;
    }
  }
}

void SourceRunner::ReadOnce(Source& source) {
  auto read = source.reader->Read(stop_);
  if (stop_) return;
  source.failed = !read.ok();
  if (!read.ok()) {
    Fail(source, read.status(), "a source could not be read; its last good data stay in use");
  } else if (!*read) {
    ++counters_[source.index]->unchanged;
    cache_.TakeUnchanged(source.index);
  } else {
    TakeGood(source, **std::move(read));
  }
}

void SourceRunner::Fail(Source& source, const absl::Status& why, std::string_view what) {
  SourceCounters& counters = *counters_[source.index];
  const std::size_t reason = FailureIndexOf(why);
  ++counters.failed;
  ++counters.failures.at(reason);
  service::LogStatus(service::LogLevel::kWarning, what,
                     GetReason(why).empty() ? WithReason(why, kFailures.at(reason)) : why,
                     {{"source", source.options.name}});
  cache_.TakeFailure(source.index, why);
}

void SourceRunner::TakeGood(Source& source, Reading reading) {
  SourceCounters& counters = *counters_[source.index];
  ++counters.good;
  counters.changed = clock_.NowNanos();
  cache_.TakeGood(source.index, std::move(reading));
}

// A feed says what changed as it changes; while it is cut off its last data stay.
void SourceRunner::KeepFeed(Source& source) {
  source.feed->Run(
      [&](Reading reading) -> absl::Status {
        // One that does not say is as good as its connection.
        if (reading.built) RETURN_IF_ERROR(CheckAge(source.options, *reading.built, clock_.NowNanos()));
        TakeGood(source, std::move(reading));
        return absl::OkStatus();
      },
      [&](const absl::Status& why) {
        Fail(source, why, "a feed is cut off, or its data are too old; its last good data stay in use");
      });
}

void SourceRunner::KeepSlurm(FileWatch& watch, bool good) {
  std::uint64_t done = 0;
  auto again = steady_clock::now() + slurm_.retry;
  while (!stop_) {
    const std::uint64_t wish = Wait(steady_clock::now() + kTick, done);
    if (stop_) return;
    if (wish > done || watch.Changed() || (!good && steady_clock::now() >= again)) {
      good = ReadSlurm();
      again = steady_clock::now() + slurm_.retry;
    }
    done = wish;
    Done(sources_.size(), done);
  }
}

bool SourceRunner::ReadSlurm() {
  const auto read = [&]() -> absl::StatusOr<std::shared_ptr<const vrp::Slurm>> {
    std::vector<std::string> texts;
    for (const std::string& path : slurm_.paths) {
      ASSIGN_OR_RETURN(std::string text, ReadFile(path, vrp::kMaxSlurmBytes));
      texts.push_back(std::move(text));
    }
    std::vector<vrp::SlurmText> files;
    for (std::size_t i = 0; i < texts.size(); ++i) files.push_back({slurm_.paths[i], texts[i]});
    ASSIGN_OR_RETURN(vrp::Slurm slurm, vrp::ParseSlurm(files));
    return std::make_shared<const vrp::Slurm>(std::move(slurm));
  }();
  if (!read.ok()) {
    service::LogStatus(service::LogLevel::kError, "the SLURM files could not be read; the last good ones stay applied",
                       read.status());
  }
  cache_.TakeSlurm(read);
  return read.ok();
}

}  // namespace virp::rtr_bridge
