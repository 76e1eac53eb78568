#include "lib/service/admin.h"

#include <string_view>

#include "lib/base/status.h"

namespace virp::service {

void Readiness::Add(std::string name, std::function<absl::Status()> check) {
  const MutexLock lock(mutex_);
  checks_.emplace_back(std::move(name), std::move(check));
}

void Readiness::SetDraining() {
  const MutexLock lock(mutex_);
  draining_ = true;
}

std::vector<std::pair<std::string, absl::Status>> Readiness::Failing() const {
  std::vector<std::pair<std::string, std::function<absl::Status()>>> checks;
  std::vector<std::pair<std::string, absl::Status>> out;
  {
    const MutexLock lock(mutex_);
    if (draining_) out.emplace_back("drain", Unavailable("the service is stopping"));
    checks = checks_;
  }
  for (const auto& [name, check] : checks) {
    if (absl::Status status = check(); !status.ok()) out.emplace_back(name, std::move(status));
  }
  return out;
}

namespace {

Page ReadyPage(const Readiness& readiness) {
  const auto failing = readiness.Failing();
  if (failing.empty()) return {200, "ok\n"};
  Page out{503, {}};
  for (const auto& [name, status] : failing) out.body += fmt::format("{}: {}\n", name, Message(status));
  return out;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PageServer>> StartAdminServer(const PageServerOptions& options, const Metrics& metrics,
                                                             const Readiness& readiness) {
  return PageServer::Start(options, [&metrics, &readiness](std::string_view path) -> Page {
    if (path == "/metrics") return {200, metrics.Serialize()};
    if (path == "/livez") return {200, "ok\n"};
    if (path == "/readyz") return ReadyPage(readiness);
    return {404, "there are /metrics, /livez and /readyz\n"};
  });
}

}  // namespace virp::service
