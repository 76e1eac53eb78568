#include "services/rtr-bridge/transport/router_loop.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <optional>
#include <utility>

#include "lib/base/status.h"
#include "lib/service/logging.h"
#include "services/rtr-bridge/transport/stall_watch.h"

namespace virp::rtr_bridge {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int kEvents = 64;
constexpr milliseconds kTick{100};
constexpr std::size_t kReadSize = 64 << 10;
constexpr std::size_t kPieces = 16;
// Of one connection before the next one has its turn: a table of 15 MB does not keep a notify waiting.
constexpr std::size_t kTurn = 2 << 20;
// Handshakes of TLS that are taken further before those who are inside have their turn: two thousand at once are some
// seconds of work.
constexpr int kOpensATurn = 4;
constexpr milliseconds kLinger{1'000};  // for the peer's end after ours: a reset would overtake the last PDU
// Of what routers can cause at will: so many lines at once, then one in a while.
constexpr int kLinesAtOnce = 20;
constexpr std::chrono::seconds kLineEvery{1};

std::size_t CounterOf(std::uint16_t code) {
  return std::min<std::size_t>(code, 15);
}

}  // namespace

struct RouterLoop::Connection {
  NewRouter router;
  std::optional<rtr::ServerSession> session;  // behind the handshake
  SessionLog::Told told;
  Clocked handshake_until;
  std::optional<Clocked> put_off;  // since then the peer has done its part, and it is our turn
  StallWatch stall;
  std::optional<Clocked> linger_until;
  UnixNanos connected = 0, last_heard = 0;
  std::uint32_t interest = 0;
  bool more_to_read = false;  // stopped reading though the stream may hold bytes
  bool said_goodbye = false;  // nothing more is written
  bool dead = false;
  std::string why;
  rtr::ServerSessionState counted;  // what is in the counters already

  int socket() const { return router.stream->socket(); }
};

absl::StatusOr<std::unique_ptr<RouterLoop>> RouterLoop::Start(SessionLog& log, RouterCounters& counters,
                                                              std::size_t most_pinned, const Clock& clock) {
  std::unique_ptr<RouterLoop> loop(new RouterLoop(log, counters, most_pinned, clock));
  loop->epoll_.Reset(::epoll_create1(EPOLL_CLOEXEC));
  loop->wake_.Reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  epoll_event wake{};
  wake.events = EPOLLIN;
  wake.data.fd = loop->wake_.get();
  if (!loop->epoll_ || !loop->wake_ || ::epoll_ctl(loop->epoll_.get(), EPOLL_CTL_ADD, loop->wake_.get(), &wake) != 0)
    return ErrnoStatus(errno, "no event loop for", "routers");
  loop->thread_ = std::jthread([at = loop.get()](const std::stop_token& stop) { at->Run(stop); });
  return loop;
}

RouterLoop::RouterLoop(SessionLog& log, RouterCounters& counters, std::size_t most_pinned, const Clock& clock)
    : log_(log),
      counters_(counters),
      most_pinned_(most_pinned),
      clock_(clock),
      handshakes_(kLineEvery, kLinesAtOnce, clock),
      errors_(kLineEvery, kLinesAtOnce, clock),
      pulse_("a router loop", clock),
      buffer_(kReadSize) {}

RouterLoop::~RouterLoop() {
  Stop();
}

void RouterLoop::Stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  Wake();
  thread_.join();
}

void RouterLoop::Wake() const {
  static_cast<void>(::eventfd_write(wake_.get(), 1));  // a full counter wakes as well
}

void RouterLoop::Add(NewRouter router) {
  ++routers_;
  {
    const MutexLock lock(mutex_);
    mail_.routers.push_back(std::move(router));
  }
  Wake();
}

void RouterLoop::Publish(std::shared_ptr<const rtr::Snapshot> snapshot) {
  {
    const MutexLock lock(mutex_);
    mail_.snapshot = std::move(snapshot);
    mail_.published = true;
  }
  Wake();
}

void RouterLoop::Shutdown(rtr::ErrorCode report) {
  {
    const MutexLock lock(mutex_);
    mail_.shutdown = report;
  }
  Wake();
}

std::uint64_t RouterLoop::AskForViews() const {
  std::uint64_t question = 0;
  {
    const MutexLock lock(mutex_);
    mail_.views_asked = question = ++asked_;
  }
  Wake();
  return question;
}

std::vector<RouterView> RouterLoop::Views(std::uint64_t question, Clocked until) const {
  const MutexLock lock(mutex_);
  answer_.wait_until(mutex_, until, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return answered_ >= question; });
  return views_;
}

void RouterLoop::AnswerViews(std::uint64_t question) {
  std::vector<RouterView> views;
  for (const auto& [socket, connection] : connections_) {
    if (connection->session && !connection->dead) views.push_back(ViewOf(*connection));
  }
  {
    const MutexLock lock(mutex_);
    views_.swap(views);
    answered_ = question;
  }
  answer_.notify_all();
}

void RouterLoop::Run(const std::stop_token& stop) {
  const AtWork work(pulse_);
  std::array<epoll_event, kEvents> events;
  Clocked next_tick = steady_clock::now();
  while (!stop.stop_requested()) {
    const int ready = ::epoll_wait(epoll_.get(), events.data(), kEvents, static_cast<int>(kTick.count()));
    pulse_.Beat();
    opens_left_ = kOpensATurn;
    TakeMail();
    for (int i = 0; i < ready; ++i) {
      const auto& event = events[static_cast<std::size_t>(i)];
      const auto found = connections_.find(event.data.fd);
      if (found != connections_.end()) OnReady(*found->second, event.events);
    }
    if (const Clocked now = steady_clock::now(); now >= next_tick) {
      TickAll(now);
      next_tick = now + kTick;
    }
    Bury();
  }
  for (auto& [socket, connection] : connections_) Close(*connection, "the bridge stops");
  Bury();
}

// News first: whoever waits for a notify does not wait for a table.
void RouterLoop::TakeMail() {
  eventfd_t count = 0;
  static_cast<void>(::eventfd_read(wake_.get(), &count));
  Mail mail;
  {
    const MutexLock lock(mutex_);
    mail = std::exchange(mail_, {});
  }
  if (mail.published) TakeSnapshot(std::move(mail.snapshot));
  for (NewRouter& router : mail.routers) Admit(std::move(router));
  if (mail.shutdown) {
    shutting_down_ = true;
    report_ = *mail.shutdown;
    for (auto& [socket, connection] : connections_) {
      if (connection->dead) continue;
      if (!connection->session) {
        Close(*connection, "the bridge stops");
        continue;
      }
      connection->session->Shutdown(report_, steady_clock::now());
      Pump(*connection);
    }
  }
  if (mail.views_asked != 0) AnswerViews(mail.views_asked);
}

void RouterLoop::TakeSnapshot(std::shared_ptr<const rtr::Snapshot> snapshot) {
  snapshot_ = std::move(snapshot);
  const Clocked now = steady_clock::now();
  for (auto& [socket, connection] : connections_) {
    if (!connection->session || connection->dead) continue;
    connection->session->OnNewSnapshot(snapshot_, now);
    Pump(*connection);
  }
  GiveUpSlowest(now);
}

// An answer under way ends with the set that it began with, so a slow router keeps that in memory. With each new set
// there may be another such: of all that is kept only so much is.
void RouterLoop::GiveUpSlowest(Clocked now) {
  struct Pinned {
    std::size_t octets = 0;
    Clocked since = Clocked::max();
    std::vector<Connection*> by;
  };
  std::map<const rtr::Bytes*, Pinned> pinned;
  std::size_t octets = 0;
  for (auto& [socket, connection] : connections_) {
    if (!connection->session || connection->dead) continue;
    for (const auto& [bytes, size] : connection->session->pinned()) {
      Pinned& one = pinned[bytes];
      if (one.by.empty()) octets += size;
      one.octets = size;
      one.since = std::min(one.since, connection->session->busy_since());
      one.by.push_back(connection.get());
    }
  }
  while (octets > most_pinned_ && !pinned.empty()) {
    const auto oldest = std::min_element(pinned.begin(), pinned.end(),
                                         [](const auto& a, const auto& b) { return a.second.since < b.second.since; });
    for (Connection* const connection : oldest->second.by) {
      if (connection->session->closing()) continue;
      ++counters_.given_up;
      connection->session->GiveUp("the router takes too long to read", now);
      Pump(*connection);
    }
    octets -= oldest->second.octets;
    pinned.erase(oldest);
  }
}

void RouterLoop::Admit(NewRouter router) {
  auto made = std::make_unique<Connection>();
  Connection& connection = *made;
  connection.router = std::move(router);
  connection.connected = connection.last_heard = clock_.NowNanos();
  connection.handshake_until = steady_clock::now() + connection.router.handshake_timeout;
  ++counters_.opened;
  epoll_event event{};
  event.data.fd = connection.socket();
  connections_[connection.socket()] = std::move(made);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connection.socket(), &event) != 0)
    return Close(connection, "no room in the event loop");
  if (shutting_down_) return Close(connection, "the bridge stops");
  if (FinishOpening(connection)) Pump(connection);
}

// Whether bytes of RTR can flow.
bool RouterLoop::FinishOpening(Connection& connection) {
  if (connection.session) return true;
  if (connection.router.stream->opens_slowly() && opens_left_-- <= 0) {
    SetInterest(connection);  // its socket stays ready
    return false;
  }
  if (connection.put_off)  // not its own time
    connection.handshake_until += steady_clock::now() - *std::exchange(connection.put_off, {});
  const auto open = connection.router.stream->Open();
  if (!open.ok()) {
    ++counters_.handshakes_failed;
    if (const auto left_out = handshakes_.Admit()) {
      service::LogStatus(
          service::LogLevel::kInfo, "a router's handshake failed", open.status(),
          {{"peer", connection.router.name.peer}, {"listener", connection.router.listener}, {"left_out", *left_out}});
    }
    Close(connection, "handshake failed");
    return false;
  }
  if (*open) {
    std::string identity = connection.router.stream->identity();
    if (!identity.empty()) connection.router.name.identity = std::move(identity);
    connection.session.emplace(connection.router.options, snapshot_, steady_clock::now());
    return true;
  }
  SetInterest(connection);
  return false;
}

void RouterLoop::OnReady(Connection& connection, std::uint32_t events) {
  if (connection.dead) return;
  if (!connection.session) {
    if (!connection.put_off) connection.put_off = steady_clock::now();
    if (FinishOpening(connection)) Pump(connection);
    return;
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP)) != 0) connection.more_to_read = true;
  Pump(connection);
}

// As far as it goes without waiting: out, in, and out again what the queries caused.
void RouterLoop::Pump(Connection& connection) {
  Flush(connection);
  ReadAll(connection);
  Flush(connection);
  if (connection.dead) return;
  Tell(connection);
  if (connection.session->ShouldClose()) EndWell(connection);
  SetInterest(connection);
}

// Last words have time to leave; then the peer has a moment for its own end.
void RouterLoop::EndWell(Connection& connection) {
  if (connection.said_goodbye) return;
  const Clocked now = steady_clock::now();
  connection.why = connection.session->close_reason();
  if (connection.router.stream->holds()) {
    if (!connection.linger_until) connection.linger_until = now + connection.router.options.flush_timeout;
    return;
  }
  connection.said_goodbye = true;
  connection.linger_until = now + kLinger;
  connection.router.stream->CloseWrite();
}

void RouterLoop::ReadAll(Connection& connection) {
  rtr::ServerSession& session = *connection.session;
  std::size_t read = 0;
  while (!connection.dead && connection.more_to_read && (session.WantsRead() || connection.linger_until)) {
    // Whoever sends without end keeps nobody waiting either; the socket stays readable.
    if (read >= kTurn) return;
    const auto got = connection.router.stream->Read(buffer_);
    if (!got.ok()) return Close(connection, std::string(got.status().message()));
    if (!*got) {
      connection.more_to_read = false;
      return;
    }
    if (**got == 0) return Close(connection, connection.why.empty() ? "the router closed" : connection.why);
    read += **got;
    connection.last_heard = clock_.NowNanos();
    if (!connection.linger_until) session.Feed({buffer_.data(), **got}, steady_clock::now());
  }
}

void RouterLoop::Flush(Connection& connection) {
  if (connection.dead) return;
  rtr::ServerSession& session = *connection.session;
  std::array<std::string_view, kPieces> pieces;
  std::size_t sent = 0;
  while ((session.queued() > 0 || connection.router.stream->holds()) && sent < kTurn) {
    const std::size_t count = session.Peek(pieces);
    std::size_t room = kTurn - sent;
    std::size_t used = 0;
    while (used < count && room > 0) {
      pieces[used] = pieces[used].substr(0, room);
      room -= pieces[used].size();
      ++used;
    }
    const auto taken = connection.router.stream->Write({pieces.data(), used});
    if (!taken.ok()) return Close(connection, std::string(taken.status().message()));
    if (*taken == 0) break;
    session.Consume(*taken, steady_clock::now());
    sent += *taken;
  }
}

void RouterLoop::Tell(Connection& connection) {
  rtr::ServerSession& session = *connection.session;
  const std::vector<rtr::SessionEvent> events = session.TakeEvents();
  const rtr::ServerSessionState& now = session.state();
  rtr::ServerSessionState& before = connection.counted;
  counters_.bytes_in += now.bytes_in - before.bytes_in;
  counters_.bytes_out += now.bytes_out - before.bytes_out;
  if (events.empty() && now.pdus_in == before.pdus_in && now.pdus_out == before.pdus_out) {
    before.bytes_in = now.bytes_in;
    before.bytes_out = now.bytes_out;
    return;
  }
  for (std::size_t type = 0; type < rtr::kPduTypes; ++type) {
    counters_.pdus_in[type] += now.pdus_in[type] - before.pdus_in[type];
    counters_.pdus_out[type] += now.pdus_out[type] - before.pdus_out[type];
  }
  counters_.full_answers += now.full_answers - before.full_answers;
  counters_.incremental_answers += now.incremental_answers - before.incremental_answers;
  counters_.cache_resets += now.cache_resets - before.cache_resets;
  counters_.unknown_session_resets += now.unknown_session_resets - before.unknown_session_resets;
  before = now;
  for (const rtr::SessionEvent& event : events) {
    const bool sent = event.kind == rtr::SessionEvent::Kind::kErrorSent;
    if (!sent && event.kind != rtr::SessionEvent::Kind::kErrorReceived) continue;
    ++(sent ? counters_.errors_sent : counters_.errors_received)[CounterOf(event.error.code)];
    const auto left_out = errors_.Admit();
    if (!left_out) continue;
    service::LogInfo(sent ? "an error was reported to a router" : "a router reported an error",
                     {{"peer", connection.router.name.peer},
                      {"code", event.error.code},
                      {"text", event.error.text},
                      {"left_out", *left_out}});
  }
  log_.Take(connection.router.name, now, events, connection.told);
}

void RouterLoop::SetInterest(Connection& connection) {
  std::uint32_t wanted = 0;
  const short also = connection.router.stream->also_wants();
  if (!connection.session) {
    wanted = (also & POLLOUT) != 0 ? EPOLLOUT : EPOLLIN;
  } else {
    if (connection.session->WantsRead() || connection.linger_until) wanted |= EPOLLIN;
    if (connection.session->queued() > 0) wanted |= (also & POLLIN) != 0 && (also & POLLOUT) == 0 ? EPOLLIN : EPOLLOUT;
    if ((also & POLLOUT) != 0) wanted |= EPOLLOUT;
  }
  if (wanted == connection.interest) return;
  epoll_event event{};
  event.events = wanted;
  event.data.fd = connection.socket();
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, connection.socket(), &event) == 0) connection.interest = wanted;
}

void RouterLoop::TickAll(Clocked now) {
  for (auto& [socket, connection] : connections_) {
    if (connection->dead) continue;
    if (!connection->session) {
      if (connection->put_off || now < connection->handshake_until) continue;
      ++counters_.handshakes_failed;
      Close(*connection, "no handshake in time");
    } else if (!connection->linger_until) {
      TickSession(*connection, now);
    } else if (now >= *connection->linger_until) {
      Close(*connection, connection->why);
    }
  }
}

// The session knows what the stream has not taken; what it has taken may stand still as well.
void RouterLoop::TickSession(Connection& connection, Clocked now) {
  rtr::ServerSession& session = *connection.session;
  const std::uint64_t given = session.state().bytes_out;
  const std::chrono::seconds limit(3 * connection.router.options.timers.retry);
  if (!session.closing() && !connection.stall.Idle(given) &&
      connection.stall.Stalled(given, connection.router.stream->waiting(), now, limit)) {
    ++counters_.given_up;
    session.GiveUp("the router does not read", now);
    Pump(connection);
  } else if (const auto next = session.NextTick(); next && *next <= now) {
    session.Tick(now);
    Pump(connection);
  }
}

void RouterLoop::Close(Connection& connection, std::string why) {
  if (std::exchange(connection.dead, true)) return;
  connection.why = std::move(why);
  dead_.push_back(connection.socket());
}

// Apart from Close, which may be called while somebody walks over the connections.
void RouterLoop::Bury() {
  for (const int socket : std::exchange(dead_, {})) {
    const auto found = connections_.find(socket);
    if (found == connections_.end()) continue;
    Connection& connection = *found->second;
    if (connection.session) {
      Tell(connection);
      RouterView view = ViewOf(connection);
      view.closed = clock_.NowNanos();
      view.close_reason = connection.why;
      log_.TakeClosed(view, connection.told);
    }
    connections_.erase(found);
    ++counters_.closed;
    --routers_;
  }
}

RouterView RouterLoop::ViewOf(const Connection& connection) const {
  RouterView view;
  view.name = connection.router.name;
  view.listener = connection.router.listener;
  view.connected = connection.connected;
  view.last_heard = connection.last_heard;
  view.state = connection.session->state();
  view.queued = connection.session->queued();
  const auto& state = view.state;
  if (snapshot_ != nullptr && state.version && state.sent && state.sent->session == snapshot_->session(*state.version))
    view.lag = rtr::SerialDistance(state.sent->serial, snapshot_->serial(*state.version));
  return view;
}

}  // namespace virp::rtr_bridge
