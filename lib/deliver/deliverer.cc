#include "lib/deliver/deliverer.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <random>
#include <thread>

#include "lib/base/error_info.h"
#include "lib/base/mutex.h"
#include "lib/base/pulse.h"
#include "lib/base/status.h"
#include "lib/deliver/audit.h"
#include "lib/deliver/ledger.h"

namespace virp::deliver {
namespace {

constexpr std::chrono::milliseconds kPoll{200};
constexpr std::chrono::milliseconds kEndWait{2'000};
constexpr std::size_t kMostSentBytes = 32 << 20;  // sent and not answered

}  // namespace

// Kept until its ack, to see that the entry that it names holds it.
struct SentFrame {
  std::uint64_t number = 0;
  std::string bytes;
};

struct Deliverer::Impl {
  Impl(DelivererOptions o, FrameLog& s, Connector& c, DeliveryObserver& w, const Clock& k, Audit a)
      : options(std::move(o)),
        spool(s),
        connector(c),
        observer(w),
        clock(k),
        audit(std::move(a)),
        random(std::random_device{}()) {}

  const DelivererOptions options;
  FrameLog& spool;
  Connector& connector;
  DeliveryObserver& observer;
  const Clock& clock;

  mutable Mutex mutex;
  std::condition_variable_any changed;
  Audit audit ABSL_GUARDED_BY(mutex);
  Ledger ledger ABSL_GUARDED_BY(mutex);
  DelivererStatus status ABSL_GUARDED_BY(mutex);
  std::uint64_t read ABSL_GUARDED_BY(mutex) = 0;          // highest number that this connection read from the spool
  std::uint64_t highest_read ABSL_GUARDED_BY(mutex) = 0;  // by any connection
  std::deque<SentFrame> sent ABSL_GUARDED_BY(mutex);      // on this connection and not answered, ascending
  std::size_t sent_bytes ABSL_GUARDED_BY(mutex) = 0;
  bool failed_after_begin ABSL_GUARDED_BY(mutex) = false;  // the audit; then only a checkpoint that passes ends it
  absl::Status ended ABSL_GUARDED_BY(mutex);               // why the connection ended
  bool over ABSL_GUARDED_BY(mutex) = false;
  bool stopping ABSL_GUARDED_BY(mutex) = false;
  Connection* open_connection ABSL_GUARDED_BY(mutex) = nullptr;
  std::string leader ABSL_GUARDED_BY(mutex);  // told by an O-Node that does not lead

  Pulse sending{"delivery", clock};
  Pulse receiving{"the receiver of answers", clock};
  std::minstd_rand random;
  std::size_t next_address = 0;
  std::jthread thread;

  void Run();
  absl::Status Session(const std::string& address);
  absl::Status SendAll(Connection& connection, const Welcome& welcome);
  absl::StatusOr<std::vector<SpooledFrame>> Choose(const Welcome& welcome);
  absl::Status ReasonOfEnd();
  void Receive(Connection& connection);
  absl::Status Take(const Ack& ack) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  bool TakeRefused(const FrameResult& result) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  std::string TakeSent(std::uint64_t number) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  absl::Status Take(const CheckpointNotice& notice) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  absl::Status Audited(absl::Status fits) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void AuditFailed(const absl::Status& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  std::string NextAddress();
};

Deliverer::Deliverer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Deliverer::~Deliverer() {
  Stop();
}

absl::StatusOr<std::unique_ptr<Deliverer>> Deliverer::Make(DelivererOptions options, FrameLog& spool,
                                                           Connector& connector, DeliveryObserver& observer,
                                                           const Clock& clock) {
  if (options.addresses.empty()) return InvalidArgument("no O-Node address to deliver to");
  if (options.verifiers.empty())
    return InvalidArgument("no pinned checkpoint key of chain {}: the O-Node could not be audited", options.origin);
  ASSIGN_OR_RETURN(Audit audit, Audit::Open(options.state_directory, options.origin, options.verifiers));
  return std::unique_ptr<Deliverer>(
      new Deliverer(std::make_unique<Impl>(std::move(options), spool, connector, observer, clock, std::move(audit))));
}

void Deliverer::Start() {
  impl_->thread = std::jthread([this] { impl_->Run(); });
}

void Deliverer::Stop() {
  {
    const MutexLock lock(impl_->mutex);
    impl_->stopping = true;
    if (impl_->open_connection != nullptr) impl_->open_connection->Cancel();
  }
  impl_->changed.notify_all();
  if (impl_->thread.joinable()) impl_->thread.join();
}

bool Deliverer::Flush(std::chrono::steady_clock::time_point deadline) {
  Impl& d = *impl_;
  const std::uint64_t target = d.spool.ends().durable;
  const MutexLock lock(d.mutex);
  while (!(d.highest_read >= target && d.ledger.AllAnswered())) {
    if (d.stopping || std::chrono::steady_clock::now() >= deadline) return false;
    d.changed.wait_for(d.mutex, kPoll);
  }
  return true;
}

DelivererStatus Deliverer::status() const {
  const MutexLock lock(impl_->mutex);
  DelivererStatus status = impl_->status;
  status.audited_size = impl_->audit.size();
  status.held.assign(impl_->ledger.held().begin(), impl_->ledger.held().end());
  return status;
}

absl::Status Deliverer::CheckAlive() const {
  return CheckPulses({&impl_->receiving, &impl_->sending});
}

void Deliverer::Impl::Run() {
  const AtWork work(sending);
  std::chrono::milliseconds backoff = options.backoff_min;
  while (true) {
    sending.Beat();
    {
      const MutexLock lock(mutex);
      if (stopping) return;
    }
    const std::string address = NextAddress();
    const std::uint64_t answered_before = [this] {
      const MutexLock lock(mutex);
      return status.answered;
    }();
    const absl::Status session = Session(address);
    const MutexLock lock(mutex);
    status.connected_to.clear();
    status.problem = fmt::format("{}: {}", address, Message(session));
    // An O-Node that froze its chain has named itself, often by the note that our hello showed it.
    if (GetReason(session) == "CHAIN_FROZEN") AuditFailed(DataLoss("{}: {}", address, Message(session)));
    leader = GetReason(session) == "NOT_LEADER" ? GetMetadata(session)["leader"] : "";
    const bool got_on = status.answered != answered_before || !leader.empty();
    if (got_on && !absl::IsDataLoss(session)) backoff = options.backoff_min;
    if (stopping) return;
    // Full jitter, so that many deliverers do not come back at once.
    const auto rest =
        std::chrono::milliseconds(std::uniform_int_distribution<std::int64_t>(1, backoff.count())(random));
    backoff = std::min(backoff * 2, options.backoff_max);
    changed.wait_for(mutex, rest);
  }
}

std::string Deliverer::Impl::NextAddress() {
  const MutexLock lock(mutex);
  if (!leader.empty()) return std::exchange(leader, "");
  return options.addresses[next_address++ % options.addresses.size()];
}

absl::Status Deliverer::Impl::Session(const std::string& address) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Connection> connection, connector.Connect(address));
  Hello hello{options.identity, options.origin, ""};
  {
    const MutexLock lock(mutex);
    if (stopping) return Unavailable("stopping");
    open_connection = connection.get();
    hello.checkpoint = audit.note();
    ended = absl::OkStatus();
    over = false;
  }
  absl::StatusOr<Welcome> welcome = [&] {
    const AtRest rest(sending);
    return connection->Open(hello, options.open_timeout);
  }();
  absl::Status session = welcome.status();
  if (session.ok()) {
    const MutexLock lock(mutex);
    session = audit.Begin(*welcome);
    if (session.ok()) {
      ledger.StartOver();
      sent.clear();
      sent_bytes = 0;
      read = spool.ends().first - 1;
      status.connected_to = address;
      status.problem.clear();
      if (!failed_after_begin) status.audit_problem.clear();
    } else {
      AuditFailed(session);
    }
  }
  if (session.ok()) {
    std::jthread receiver([this, &connection] { Receive(*connection); });
    session = SendAll(*connection, *welcome);
    connection->Cancel();
  }
  const MutexLock lock(mutex);
  open_connection = nullptr;
  return session;
}

// Frames to send next; empty when there is nothing to do for a moment.
absl::StatusOr<std::vector<SpooledFrame>> Deliverer::Impl::Choose(const Welcome& welcome) {
  std::uint64_t from = 0;
  std::size_t room = 0;
  {
    const MutexLock lock(mutex);
    const std::size_t open = ledger.unanswered();
    room = open < welcome.max_unanswered_frames ? welcome.max_unanswered_frames - open : 0;
    if (sent_bytes >= kMostSentBytes) room = 0;
    if (ledger.held_frames() >= options.held_frames) {
      room = 0;
      status.problem =
          fmt::format("{} frames are held back, waiting for registration, a key or resumption of their sources",
                      ledger.held_frames());
    }
    from = read;
  }
  if (room == 0) return std::vector<SpooledFrame>{};
  ASSIGN_OR_RETURN(auto frames, spool.Read(from, std::min(room, welcome.max_batch_frames), welcome.max_batch_bytes));
  const MutexLock lock(mutex);
  if (frames.empty()) return frames;
  read = frames.back().number;
  highest_read = std::max(highest_read, read);
  std::erase_if(frames, [this](const SpooledFrame& frame) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (!ledger.Note(frame.number, frame.source)) return true;  // settled on an earlier connection
    if (ledger.IsHeld(frame.source)) {
      ledger.Hold(frame.number);
      return true;
    }
    ledger.MarkSent(frame.number);
    sent.push_back({frame.number, frame.bytes});
    sent_bytes += frame.bytes.size();
    return false;
  });
  return frames;
}

absl::Status Deliverer::Impl::SendAll(Connection& connection, const Welcome& welcome) {
  const auto held_until = std::chrono::steady_clock::now() + options.retry_held;
  while (true) {
    sending.Beat();
    std::uint64_t before = 0;
    {
      const MutexLock lock(mutex);
      if (over) return ended;
      if (stopping) return Unavailable("stopping");
      if (!ledger.held().empty() && std::chrono::steady_clock::now() >= held_until && ledger.unanswered() == 0) {
        return Unavailable("offering the frames of {} held sources again", ledger.held().size());
      }
      before = read;
    }
    ASSIGN_OR_RETURN(const auto batch, Choose(welcome));
    if (!batch.empty()) {
      const absl::Status went = [&] {
        const AtRest rest(sending);
        return connection.Send(batch);
      }();
      if (went.ok()) continue;
      return ReasonOfEnd();
    }
    const MutexLock lock(mutex);
    if (read != before || over || stopping) continue;
    const bool may_read = ledger.unanswered() < welcome.max_unanswered_frames && sent_bytes < kMostSentBytes;
    const std::uint64_t after = read;
    if (!may_read) {
      changed.wait_for(mutex, kPoll);
      continue;
    }
    mutex.unlock();
    spool.WaitFor(after, std::chrono::steady_clock::now() + kPoll);
    mutex.lock();
  }
}

// The receiver learns why a stream broke; give it a moment.
absl::Status Deliverer::Impl::ReasonOfEnd() {
  const auto deadline = std::chrono::steady_clock::now() + kEndWait;
  const MutexLock lock(mutex);
  while (!over && !stopping) {
    if (changed.wait_until(mutex, deadline) == std::cv_status::timeout) break;
  }
  return over ? ended : Unavailable("the stream ended");
}

void Deliverer::Impl::Receive(Connection& connection) {
  const AtWork work(receiving);
  while (true) {
    auto message = [&] {
      const AtRest rest(receiving);
      return connection.Receive();
    }();
    const MutexLock lock(mutex);
    absl::Status taken = message.status();
    if (taken.ok()) {
      taken = std::holds_alternative<Ack>(*message) ? Take(std::get<Ack>(*message))
                                                    : Take(std::get<CheckpointNotice>(*message));
    }
    if (!taken.ok()) {
      ended = taken;
      over = true;
    }
    changed.notify_all();
    if (!taken.ok()) return;
  }
}

absl::Status Deliverer::Impl::Take(const Ack& ack) {
  for (const FrameResult& result : ack) {
    const std::string frame = TakeSent(result.number);
    const bool refused = result.outcome == FrameResult::Outcome::kRefused;
    const bool asked = refused ? TakeRefused(result) : ledger.Appended(result.number, result.chain_sequence);
    if (!asked) return DataLoss("the O-Node answered frame {}, which was not sent", result.number);
    if (!refused) {
      ++(result.outcome == FrameResult::Outcome::kAppended ? status.appended : status.duplicates);
      RETURN_IF_ERROR(Audited(audit.Expect(result.chain_sequence, result.leaf, result.entry_header, frame)));
    }
    status.answered = std::max(status.answered, result.number);
  }
  return absl::OkStatus();
}

// False when no such frame was asked about.
bool Deliverer::Impl::TakeRefused(const FrameResult& result) {
  const std::string source(ledger.SourceOf(result.number));
  if (!ledger.Refused(result.number, result.reason)) return false;
  const bool passing = frame::IsPassing(result.reason);
  ++(passing ? status.refused_passing : status.refused_lasting);
  if (!passing) observer.OnRefused(source, result.reason);
  if (result.reason == frame::Reason::kOverLimit) observer.OnOverLimit(source);
  return true;
}

// What was sent under this number; empty when nothing was.
std::string Deliverer::Impl::TakeSent(std::uint64_t number) {
  std::string bytes;
  while (!sent.empty() && sent.front().number <= number) {
    sent_bytes -= sent.front().bytes.size();
    if (sent.front().number == number) bytes = std::move(sent.front().bytes);
    sent.pop_front();
  }
  return bytes;
}

absl::Status Deliverer::Impl::Take(const CheckpointNotice& notice) {
  RETURN_IF_ERROR(Audited(audit.Check(notice)));
  status.audit_problem.clear();
  failed_after_begin = false;
  const std::uint64_t settled = ledger.Settle(audit, read);
  return spool.Free(settled);
}

// What the audit says of an ack or a checkpoint, noted before it ends the connection.
absl::Status Deliverer::Impl::Audited(absl::Status fits) {
  if (fits.ok()) return fits;
  failed_after_begin = true;
  AuditFailed(fits);
  return fits;
}

void Deliverer::Impl::AuditFailed(const absl::Status& why) {
  if (!absl::IsDataLoss(why)) return;
  const bool is_new = status.audit_problem.empty();
  status.audit_problem = Message(why);
  if (is_new) observer.OnAuditFailure(Message(why));
}

}  // namespace virp::deliver
