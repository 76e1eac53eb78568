#include "services/onode/domain/node.h"

#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/names.h"
#include "lib/base/status.h"

namespace virp::onode {

Node::~Node() {
  Stop();
}

void Node::Stop() {
  for (Chain* chain : chains()) chain->Stop();
}

absl::Status Node::OpenOne(const ChainInfo& info) {
  Held held;
  ASSIGN_OR_RETURN(held.custody, custody_(info.origin));
  held.keys = std::make_unique<KeyCache>(keys_);
  ASSIGN_OR_RETURN(held.chain,
                   Chain::Open(info, store_, *held.keys, *held.custody.vault, held.custody.own_keys, clock_, options_));
  held.chain->Start();
  const MutexLock lock(mutex_);
  chains_.emplace(info.origin, std::move(held));
  return absl::OkStatus();
}

absl::Status Node::Open() {
  return OpenNew();
}

absl::Status Node::OpenNew() {
  ASSIGN_OR_RETURN(const auto infos, store_.ListChains());
  for (const ChainInfo& info : infos) {
    {
      const MutexLock lock(mutex_);
      if (chains_.contains(info.origin)) continue;
    }
    RETURN_IF_ERROR(Annotate(OpenOne(info), fmt::format("chain {}", info.origin)));
  }
  return absl::OkStatus();
}

absl::StatusOr<Chain*> Node::Find(std::string_view origin) const {
  const MutexLock lock(mutex_);
  if (origin.empty()) {
    if (chains_.size() == 1) return chains_.begin()->second.chain.get();
    return InvalidArgument("origin is empty and this O-Node has {} chains; name one", chains_.size());
  }
  const auto at = chains_.find(origin);
  if (at == chains_.end()) return WithReason(NotFound("this O-Node has no chain {}", origin), "NO_CHAIN");
  return at->second.chain.get();
}

std::vector<Chain*> Node::chains() const {
  const MutexLock lock(mutex_);
  std::vector<Chain*> all;
  for (const auto& [origin, held] : chains_) all.push_back(held.chain.get());
  return all;
}

absl::Status Node::CheckAlive() const {
  for (const Chain* chain : chains()) RETURN_IF_ERROR(chain->CheckAlive());
  return absl::OkStatus();
}

absl::StatusOr<Chain*> Node::Create(std::string_view origin, std::string_view predecessor_note,
                                    std::chrono::steady_clock::time_point deadline) {
  RETURN_IF_ERROR(CheckOrigin(origin));
  // Before anything is written: a chain that nobody can sign for would be of no use.
  RETURN_IF_ERROR(custody_(std::string(origin)).status());
  ASSIGN_OR_RETURN(const ChainId id, store_.CreateChain(origin, predecessor_note));
  RETURN_IF_ERROR(OpenOne({id, std::string(origin), std::string(predecessor_note)}));
  ASSIGN_OR_RETURN(Chain* const chain, Find(origin));
  RETURN_IF_ERROR(chain->WaitForSize(predecessor_note.empty() ? 1 : 2, deadline));
  return chain;
}

}  // namespace virp::onode
