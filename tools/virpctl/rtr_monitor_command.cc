// `rtr monitor`: two caches or exports compared, once or for good.
#include <ctime>
#include <future>
#include <optional>

#include "lib/base/file.h"
#include "lib/base/mutex.h"
#include "lib/base/sleeper.h"
#include "lib/base/status.h"
#include "lib/base/units.h"
#include "lib/service/page_server.h"
#include "tools/virpctl/interrupt.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/rtr_compare.h"
#include "tools/virpctl/rtr_options.h"
#include "tools/virpctl/rtr_payloads.h"

namespace virp::virpctl {
namespace {

constexpr const char* kUsualAddress = "127.0.0.1:9866";

// What the web server shows. Thread-safe.
class Pages {
 public:
  void Set(std::string metrics, std::string difference) {
    const MutexLock lock(mutex_);
    metrics_ = std::move(metrics);
    difference_ = std::move(difference);
  }
  service::Page Get(std::string_view path) const {
    const MutexLock lock(mutex_);
    if (path == "/metrics") return {200, metrics_};
    if (path == "/diff.json")
      return difference_.empty() ? service::Page{503, "nothing is compared yet\n"} : service::Page{200, difference_};
    return {404, "/metrics or /diff.json\n"};
  }

 private:
  mutable Mutex mutex_;
  std::string metrics_ ABSL_GUARDED_BY(mutex_), difference_ ABSL_GUARDED_BY(mutex_);
};

class Monitor {
 public:
  static absl::StatusOr<Monitor> Make(const Options& options, const RtrMonitorOptions& how) {
    Monitor monitor(how);
    const auto duration = [](const std::string& text, std::string_view option) -> absl::StatusOr<Seconds> {
      const auto parsed = ParseDuration(text);
      if (!parsed.ok()) return Annotate(parsed.status(), option);
      return std::chrono::duration_cast<std::chrono::seconds>(*parsed).count();
    };
    ASSIGN_OR_RETURN(monitor.interval_, duration(how.interval, "--interval"));
    ASSIGN_OR_RETURN(monitor.grace_, duration(how.grace, "--grace"));
    if (monitor.interval_ < 1) return InvalidArgument("--interval: is less than a second");
    for (std::size_t i = 0; i < 2; ++i) {
      ASSIGN_OR_RETURN(RtrSource source, RtrSource::Make(options, how.places[i], how.access[i], how.patience));
      monitor.sources_[i].emplace(std::move(source));
      RtrSideState& state = monitor.sides_[i].state;
      state.name = i == 0 ? "primary" : "secondary";
      state.url = how.places[i];
      state.cache = monitor.sources_[i]->state() != nullptr;
    }
    return monitor;
  }

  // Both sides at once, so that what differs does not differ by the time that one takes.
  std::array<absl::Status, 2> Read(const std::stop_token& stop) {
    auto second = std::async(std::launch::async, [&] { return sources_[1]->Read(stop); });
    absl::Status first = sources_[0]->Read(stop);
    std::array<absl::Status, 2> read{std::move(first), second.get()};
    const Seconds now = std::time(nullptr);
    for (std::size_t i = 0; i < 2; ++i) Take(i, read[i].ok(), now);
    return read;
  }

  bool compared() const { return sources_[0]->payloads() != nullptr && sources_[1]->payloads() != nullptr; }
  bool same() const {
    return OnlyIn(sides_[0].seen, sides_[1].seen).empty() && OnlyIn(sides_[1].seen, sides_[0].seen).empty();
  }
  std::string Json() const { return compared() ? DifferenceJson(sides_) : ""; }
  std::string Metrics() const { return DifferenceMetrics(sides_, how_.thresholds, std::time(nullptr)); }
  const RtrSide& side(std::size_t i) const { return sides_[i]; }
  Seconds interval() const { return interval_; }

 private:
  explicit Monitor(const RtrMonitorOptions& how) : how_(how) {}

  void Take(std::size_t i, bool good, Seconds now) {
    RtrSideState& state = sides_[i].state;
    state.up = good;
    if (!good) return;
    state.last_fetch = now;
    sides_[i].seen.Update(*sources_[i]->payloads(), now, grace_);
    const rtr::ClientSessionState* const cache = sources_[i]->state();
    if (cache == nullptr) return;
    state.session = cache->session;
    state.serial = cache->serial;
    state.timers = {cache->timers.refresh, cache->timers.retry, cache->timers.expire};
  }

  RtrMonitorOptions how_;
  Seconds interval_ = 60, grace_ = 3600;
  std::array<std::optional<RtrSource>, 2> sources_;
  std::array<RtrSide, 2> sides_;
};

void Say(std::string_view text) {
  std::fputs(fmt::format("virpctl: {}\n", PrintableLines(text)).c_str(), stderr);
}

std::string Summary(const Monitor& monitor) {
  Table table({"SIDE", "FROM", "VRPS", "ONLY HERE", "KEYS", "ONLY HERE", "ASPAS", "ONLY HERE"});
  for (std::size_t i = 0; i < 2; ++i) {
    const RtrSide& side = monitor.side(i);
    const SetDifference only = OnlyIn(side.seen, monitor.side(1 - i).seen);
    table.Add({side.state.name, side.state.url, fmt::format("{}", side.seen.vrps()), fmt::format("{}", only.vrps()),
               fmt::format("{}", side.seen.router_keys.visible()), fmt::format("{}", only.router_keys.size()),
               fmt::format("{}", side.seen.aspas.visible()), fmt::format("{}", only.aspas.size())});
  }
  return table.ToString();
}

absl::StatusOr<Exit> Once(const Options& options, const RtrMonitorOptions& how, Monitor& monitor,
                          const std::stop_token& stop) {
  for (const absl::Status& read : monitor.Read(stop)) RETURN_IF_ERROR(read);
  const std::string json = monitor.Json();
  if (!how.save.empty()) RETURN_IF_ERROR(ReplaceFile(how.save, json, 0644));
  Print(options.json ? json : Summary(monitor));
  return monitor.same() ? Exit::kYes : Exit::kNo;
}

absl::StatusOr<std::unique_ptr<service::PageServer>> Serve(const RtrMonitorOptions& how, const Pages& pages) {
  service::PageServerOptions options;
  ASSIGN_OR_RETURN(options.listen, ParseHostPort(how.listen.empty() ? kUsualAddress : how.listen));
  ASSIGN_OR_RETURN(auto server,
                   service::PageServer::Start(options, [&pages](std::string_view path) { return pages.Get(path); }));
  Say(fmt::format("http://{}/metrics and /diff.json", FormatHostPort({options.listen.host, server->port()})));
  return server;
}

absl::StatusOr<Exit> Follow(const RtrMonitorOptions& how, Monitor& monitor, const std::stop_token& stop) {
  Pages pages;
  pages.Set(monitor.Metrics(), "");
  ASSIGN_OR_RETURN(const auto server, Serve(how, pages));
  SystemSleeper sleeper;
  std::array<std::string, 2> problems;
  do {
    const auto read = monitor.Read(stop);
    for (std::size_t i = 0; i < 2 && !stop.stop_requested(); ++i) {
      const std::string problem(read[i].ok() ? "" : Message(read[i]));
      if (problem != problems[i]) Say(problem.empty() ? how.places[i] + " is read again" : problem);
      problems[i] = problem;
    }
    std::string json = monitor.Json();
    if (!how.save.empty() && !json.empty()) {
      const absl::Status saved = ReplaceFile(how.save, json, 0644);
      if (!saved.ok()) Say(Message(saved));
    }
    pages.Set(monitor.Metrics(), std::move(json));
  } while (sleeper.SleepFor(std::chrono::seconds(monitor.interval()), stop));
  return Exit::kYes;
}

}  // namespace

absl::StatusOr<Exit> RtrMonitor(const Options& options, const RtrMonitorOptions& how) {
  const Interrupt interrupt;
  ASSIGN_OR_RETURN(Monitor monitor, Monitor::Make(options, how));
  if (how.once) return Once(options, how, monitor, interrupt.token());
  return Follow(how, monitor, interrupt.token());
}

}  // namespace virp::virpctl
