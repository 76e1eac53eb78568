#include "lib/keys/key_supply.h"

#include <utility>

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/service/logging.h"

namespace virp::keys {

void AddKeySupplyOptions(service::Options& options, KeySupplyOptions* to) {
  options.Add(&to->managers, "key-manager",
              "host:port of a key manager that O-Keys come from, beside those of the key directory; several in any "
              "order.",
              "ADDRESS");
  options.Add(&to->state, "key-state",
              "Directory for what the key manager last told, with its secrets, and for private keys made here. Nobody "
              "else may read it.",
              "DIR");
}

absl::Status CheckKeySupply(const KeySupplyOptions& options) {
  if (options.managers.empty() || !options.state.empty()) return absl::OkStatus();
  return InvalidArgument("key-state is needed beside key-manager: a start without the manager goes on from there");
}

KeySupply::KeySupply(KeySupplyOptions options, std::unique_ptr<frame::KeyDirectory> files,
                     std::unique_ptr<ManagedKeys> managed, std::unique_ptr<KeyMaker> maker)
    : options_(std::move(options)),
      files_(std::move(files)),
      managed_(std::move(managed)),
      maker_(std::move(maker)),
      joined_(std::make_unique<JoinedKeys>(*files_, *managed_, maker_ == nullptr ? nullptr : &maker_->keys())) {}

absl::StatusOr<std::unique_ptr<KeySupply>> KeySupply::Open(const std::string& directory,
                                                           const KeySupplyOptions& options, const Clock& clock) {
  ASSIGN_OR_RETURN(auto files, frame::KeyDirectory::Open(directory));
  std::string kept;
  std::unique_ptr<KeyMaker> maker;
  if (!options.state.empty()) {
    RETURN_IF_ERROR(MakeDirectory(options.state));
    kept = options.state + "/last-keys";
    ASSIGN_OR_RETURN(maker, KeyMaker::Open(options.state + "/made", clock));
  }
  ASSIGN_OR_RETURN(auto managed, ManagedKeys::Open(std::move(kept)));
  return std::unique_ptr<KeySupply>(new KeySupply(options, std::move(files), std::move(managed), std::move(maker)));
}

KeySupply::~KeySupply() {
  Stop();
}

void KeySupply::Start(ChannelFactory channels, std::function<std::vector<KnownVersion>()> known) {
  if (options_.managers.empty()) return;
  KeyClientOptions options;
  options.addresses = options_.managers;
  if (known == nullptr && maker_ != nullptr) options.made = [this] { return maker_->Due(*managed_, *joined_); };
  options.known = std::move(known);
  options.on_change = [](const KeyClientStatus& now) {
    if (now.connected_to.empty()) {
      service::LogWarning("no key manager answers; the last keys stay in use", {{"problem", now.problem}});
    } else if (!now.problem.empty()) {
      service::LogWarning("not all of what the key manager told can be used", {{"problem", now.problem}});
    } else {
      service::LogInfo("keys come from the key manager", {{"address", now.connected_to}});
    }
  };
  const MutexLock lock(mutex_);
  if (client_ != nullptr) return;
  client_ = std::make_unique<KeyClient>(std::move(options), std::move(channels), *managed_);
  client_->Start();
}

KeyClient* KeySupply::client() const {
  const MutexLock lock(mutex_);
  return client_.get();
}

void KeySupply::Stop() {
  if (KeyClient* const running = client(); running != nullptr) running->Stop();
}

KeyClientStatus KeySupply::status() const {
  const KeyClient* const running = client();
  return running == nullptr ? KeyClientStatus{} : running->status();
}

void KeySupply::AddMetrics(service::Metrics& metrics) const {
  const auto sources = metrics.AddGauge("managed_sources", "Sources whose keys come from the key manager.");
  const auto connected = metrics.AddGauge("key_manager_connected", "1 while the list of a key manager is up to date.");
  const auto trouble =
      metrics.AddGauge("key_manager_trouble", "1 while there is none, or something it told cannot be used or kept.");
  const auto lists = metrics.AddCounter("key_lists_total", "Lists and changes taken from a key manager.");
  const auto reported = metrics.AddCounter("key_reports_total", "Versions told to the key manager.");
  metrics.OnCollect([=, this] {
    const KeyClientStatus now = status();
    sources.Set(managed_->Sources().size());
    connected.Set(now.connected_to.empty() ? 0 : 1);
    trouble.Set(options_.managers.empty() || (!now.connected_to.empty() && now.problem.empty()) ? 0 : 1);
    lists.Set(now.lists);
    reported.Set(now.reported);
  });
}

}  // namespace virp::keys
