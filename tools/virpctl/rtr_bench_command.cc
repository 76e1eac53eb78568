// `rtr bench`: many routers at one cache, from one thread.
#include <poll.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <vector>

#include "lib/base/status.h"
#include "tools/virpctl/interrupt.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/rtr_counter.h"
#include "tools/virpctl/rtr_options.h"
#include "tools/virpctl/rtr_payloads.h"

namespace virp::virpctl {
namespace {

using std::chrono::duration;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using Time = steady_clock::time_point;

constexpr std::size_t kBuffer = 1 << 20;  // of all routers together; a cache does not do more for small readings

double SecondsBetween(Time from, Time to) {
  return duration<double>(to - from).count();
}

double OwnCpu() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

// One of them.
struct SimulatedRouter {
  SimulatedRouter(std::unique_ptr<RtrLink> to, std::uint8_t version) : link(std::move(to)), counter(version) {}

  std::unique_ptr<RtrLink> link;  // null: it is gone
  RtrCounter counter;
  std::vector<Time> updated, notified;  // each answer that was complete, each Serial Notify
  std::uint64_t full_records = 0, full_bytes = 0;
  std::string problem;
};

absl::Status SendTo(SimulatedRouter& router) {
  std::string& output = router.counter.output();
  while (!output.empty()) {
    ASSIGN_OR_RETURN(const auto sent, router.link->Write(output));
    if (!sent) break;
    output.erase(0, *sent);
  }
  return absl::OkStatus();
}

// What there is to read, at most one buffer: the others wait, too.
absl::Status Serve(SimulatedRouter& router, std::span<char> buffer) {
  RETURN_IF_ERROR(SendTo(router));
  ASSIGN_OR_RETURN(const auto got, router.link->Read(buffer));
  if (!got) return absl::OkStatus();
  if (*got == 0) return Unavailable("the cache closed the connection");
  RtrCounter& counter = router.counter;
  const std::uint64_t updates = counter.updates(), notifies = counter.notifies();
  const Time now = steady_clock::now();
  RETURN_IF_ERROR(counter.Feed({buffer.data(), *got}));
  if (updates == 0 && counter.updates() > 0) {
    router.full_records = counter.records();
    router.full_bytes = counter.bytes();
  }
  for (std::uint64_t i = updates; i < counter.updates(); ++i) router.updated.push_back(now);
  for (std::uint64_t i = notifies; i < counter.notifies(); ++i) router.notified.push_back(now);
  return SendTo(router);
}

class Bench {
 public:
  Bench(const RtrPlace& place, const RtrAccess& access) : place_(place), access_(access), buffer_(kBuffer) {}

  absl::Status Connect(std::uint32_t routers, std::chrono::seconds timeout, const std::stop_token& stop) {
    for (std::uint32_t i = 0; i < routers; ++i) {
      if (stop.stop_requested()) return absl::CancelledError("stopped");
      auto link = OpenRtrLink(place_, access_, steady_clock::now() + timeout);
      if (!link.ok()) return Annotate(link.status(), fmt::format("router {} of {}", i + 1, routers));
      routers_.emplace_back(*std::move(link), access_.max_version);
    }
    return absl::OkStatus();
  }
  // Until each router that is there has so many answers.
  // Queries go out with the first call.
  absl::Status Await(std::size_t updates, Deadline deadline, const std::stop_token& stop) {
    std::vector<pollfd> sockets;
    while (true) {
      if (stop.stop_requested()) return absl::CancelledError("stopped");
      const bool done = std::all_of(routers_.begin(), routers_.end(), [&](const SimulatedRouter& router) {
        return router.link == nullptr || router.updated.size() >= updates;
      });
      if (done) return absl::OkStatus();
      RETURN_IF_ERROR(CheckTime(deadline));
      sockets.clear();
      for (SimulatedRouter& router : routers_)
        sockets.push_back({router.link == nullptr ? -1 : router.link->socket(),
                           static_cast<short>(router.link == nullptr ? 0 : Wanted(router)), 0});
      if (::poll(sockets.data(), sockets.size(), 100) < 0 && errno != EINTR)
        return ErrnoStatus(errno, "cannot wait for", "the routers' sockets");
      for (std::size_t i = 0; i < routers_.size(); ++i) {
        // What TLS and SSH hold already shows on no socket: each is asked.
        const bool hidden = place_.kind != RtrPlace::Kind::kTcp;
        if (routers_[i].link != nullptr && (sockets[i].revents != 0 || hidden)) ServeOne(routers_[i]);
      }
    }
  }

  std::vector<SimulatedRouter>& routers() { return routers_; }

 private:
  static short Wanted(SimulatedRouter& router) {
    return static_cast<short>(router.link->events() | (router.counter.output().empty() ? 0 : POLLOUT));
  }
  void ServeOne(SimulatedRouter& router) {
    const absl::Status served = Serve(router, buffer_);
    if (served.ok()) return;
    router.problem = Message(served);
    router.link.reset();
  }

  const RtrPlace place_;
  const RtrAccess access_;
  std::vector<SimulatedRouter> routers_;
  std::vector<char> buffer_;
};

// Seconds, sorted.
struct Spread {
  explicit Spread(std::vector<double> all) : times(std::move(all)) { std::sort(times.begin(), times.end()); }
  double At(double part) const {
    return times.empty() ? 0 : times[static_cast<std::size_t>(part * static_cast<double>(times.size() - 1))];
  }
  std::vector<double> times;
};

struct Result {
  std::uint32_t version = 0;
  std::uint64_t records = 0, bytes = 0;
  double connect = 0, cpu = 0;
  std::vector<double> full;  // seconds to the full table, of each router
  struct Round {
    double notify = 0, update = 0;  // behind the first Notify: the last one, the last answer
    std::uint64_t changes = 0;
  };
  std::vector<Round> rounds;
  std::size_t failed = 0;
  std::string problem;  // the first
};

Result::Round RoundOf(std::vector<SimulatedRouter>& routers, std::size_t round) {
  Result::Round out;
  Time first = Time::max(), last_notify = Time::min(), last_update = Time::min();
  for (const SimulatedRouter& router : routers) {
    if (router.updated.size() <= round || router.notified.size() < round) continue;
    first = std::min(first, router.notified[round - 1]);
    last_notify = std::max(last_notify, router.notified[round - 1]);
    last_update = std::max(last_update, router.updated[round]);
    out.changes = router.counter.records();
  }
  if (first == Time::max()) return out;
  out.notify = SecondsBetween(first, last_notify);
  out.update = SecondsBetween(first, last_update);
  return out;
}

void Show(const Options& options, const Result& result, std::uint32_t routers) {
  const Spread full(result.full);
  if (options.json) {
    frame::JsonWriter json;
    const auto seconds = [&](std::string_view key, double value) { json.Key(key).Raw(fmt::format("{:.6f}", value)); };
    json.BeginObject().Field("routers", routers).Field("failed", result.failed).Field("version", result.version);
    json.Field("records", std::to_string(result.records)).Field("bytes", std::to_string(result.bytes));
    seconds("connectSeconds", result.connect);
    seconds("fullMinSeconds", full.At(0));
    seconds("fullMedianSeconds", full.At(0.5));
    seconds("fullP95Seconds", full.At(0.95));
    seconds("fullMaxSeconds", full.At(1));
    seconds("clientCpuSeconds", result.cpu);
    json.Key("refreshes").BeginArray();
    for (const Result::Round& round : result.rounds) {
      json.BeginObject().Field("changes", std::to_string(round.changes));
      seconds("lastNotifySeconds", round.notify);
      seconds("lastAnswerSeconds", round.update);
      json.EndObject();
    }
    json.EndArray().Field("problem", result.problem);
    PrintJson(json.EndObject());
    return;
  }
  Table table({"ITEM", "VALUE"});
  table.Add({"routers", fmt::format("{}, of them {} failed{}", routers, result.failed,
                                    result.problem.empty() ? "" : ": " + Printable(result.problem))});
  table.Add({"version", fmt::format("{}", result.version)});
  table.Add({"full table", fmt::format("{} records, {} bytes for each router", result.records, result.bytes)});
  table.Add({"connected after", fmt::format("{:.3f} s, one after the other", result.connect)});
  table.Add({"full table after", fmt::format("{:.3f} s the first, {:.3f} s half, {:.3f} s 95 %, {:.3f} s all",
                                             full.At(0), full.At(0.5), full.At(0.95), full.At(1))});
  for (const Result::Round& round : result.rounds)
    table.Add({"refresh", fmt::format("{} changes; behind the first Notify {:.3f} s to the last, {:.3f} s to the last "
                                      "answer",
                                      round.changes, round.notify, round.update)});
  table.Add({"own CPU", fmt::format("{:.3f} s", result.cpu)});
  Print(table.ToString());
}

// In which version the cache answers, so that no router has to come down by itself. That takes a whole table of it.
absl::Status Probe(const Options& options, const RtrPlace& place, RtrAccess& access, const RtrBenchOptions& how,
                   const std::stop_token& stop) {
  if (access.min_version == access.max_version) return absl::OkStatus();
  RtrClientOptions ask = RtrAsk(options, place, access, how.patience);
  ask.session.keep = false;
  RtrClient client(std::move(ask));
  const absl::Status asked = client.Refresh(stop);
  if (!asked.ok()) return Annotate(asked, how.place);
  access.max_version = client.session().state().version.value_or(access.max_version);
  access.min_version = access.max_version;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Exit> RtrBench(const Options& options, const RtrBenchOptions& how) {
  const Interrupt interrupt;
  const std::stop_token stop = interrupt.token();
  ASSIGN_OR_RETURN(const RtrPlace place, ParseRtrPlace(how.place));
  if (!place.is_cache()) return InvalidArgument("'{}' is no RTR cache", how.place);
  RtrAccess access = how.access;
  RETURN_IF_ERROR(Probe(options, place, access, how, stop));
  Bench bench(place, access);
  Result result;
  result.version = access.max_version;
  const Time start = steady_clock::now();
  RETURN_IF_ERROR(bench.Connect(how.routers, options.connection.timeout, stop));
  result.connect = SecondsBetween(start, steady_clock::now());
  const double cpu = OwnCpu();
  const Time asked = steady_clock::now();
  RETURN_IF_ERROR(bench.Await(1, asked + std::chrono::seconds(how.patience), stop));
  for (const SimulatedRouter& router : bench.routers()) {
    if (router.updated.empty()) continue;
    result.full.push_back(SecondsBetween(asked, router.updated[0]));
    result.records = router.full_records;
    result.bytes = router.full_bytes;
  }
  for (std::uint32_t round = 1; round <= how.refreshes; ++round) {
    RETURN_IF_ERROR(bench.Await(round + 1, steady_clock::now() + std::chrono::seconds(how.patience), stop));
    result.rounds.push_back(RoundOf(bench.routers(), round));
  }
  result.cpu = OwnCpu() - cpu;
  for (const SimulatedRouter& router : bench.routers()) {
    if (router.link != nullptr) continue;
    ++result.failed;
    if (result.problem.empty()) result.problem = router.problem;
  }
  Show(options, result, how.routers);
  return result.failed == 0 ? Exit::kYes : Exit::kNo;
}

}  // namespace virp::virpctl
