// For tests: a ledger that is active and not sealed, over a store in memory that can be told to fail.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/base/status.h"
#include "lib/crypto/sha256.h"
#include "services/keymgr/domain/ledger_engine.h"
#include "services/keymgr/domain/ledger_store.h"

namespace virp::keymgr {

// Thread-safe. The lease never lapses by itself.
class MemoryLedgerStore final : public LedgerStore {
 public:
  absl::StatusOr<LedgerHead> ReadHead() override {
    const MutexLock lock(mutex_);
    RETURN_IF_ERROR(down_);
    return head_;
  }
  absl::StatusOr<LedgerHead> TakeLease(std::string_view instance, std::string_view address,
                                       std::chrono::milliseconds) override {
    const MutexLock lock(mutex_);
    RETURN_IF_ERROR(down_);
    if (head_.lease_valid && head_.holder != instance) return Aborted("{} holds the lease", head_.holder);
    ++head_.term;
    head_.holder = instance;
    head_.holder_address = address;
    head_.lease_valid = true;
    return head_;
  }
  absl::Status RenewLease(std::uint64_t term, std::chrono::milliseconds) override {
    const MutexLock lock(mutex_);
    RETURN_IF_ERROR(down_);
    ++renewals_;
    return CheckTerm(term);
  }
  absl::Status ReleaseLease(std::uint64_t term) override {
    const MutexLock lock(mutex_);
    RETURN_IF_ERROR(CheckTerm(term));
    head_.lease_valid = false;
    head_.holder.clear();
    return absl::OkStatus();
  }
  absl::StatusOr<LedgerHead> Load(const Loader& loader) override {
    const auto [head, rows, keys, audit] = [&] {
      const MutexLock lock(mutex_);
      return std::tuple(down_.ok() ? absl::StatusOr<LedgerHead>(head_) : down_, rows_, keys_, audit_);
    }();
    RETURN_IF_ERROR(head.status());
    for (const auto& [at, row] : rows) {
      if (on_row) on_row();
      RETURN_IF_ERROR(loader.row(row));
    }
    for (const auto& [at, key] : keys) RETURN_IF_ERROR(loader.key(key));
    for (const AuditRow& row : audit) {
      if (!row.request_id.empty() && row.time >= loader.requests_since) RETURN_IF_ERROR(loader.request(row));
    }
    return head;
  }
  absl::Status Commit(const LedgerBatch& batch) override {
    const MutexLock lock(mutex_);
    RETURN_IF_ERROR(down_);
    RETURN_IF_ERROR(CheckTerm(batch.term));
    if (batch.old_record != head_.record || batch.old_frame_hash != head_.frame_hash)
      return Aborted("the head is another");
    for (const Row& row : batch.puts) {
      if (row.id == refused_) return refusal_;
    }
    const absl::Status fails = std::exchange(next_commit_, absl::OkStatus());
    if (!fails.ok() && !commits_all_the_same_) return fails;
    for (const Row& row : batch.puts) rows_[{row.kind, row.id}] = row;
    for (const auto& at : batch.erases) rows_.erase(at);
    for (const SealedKey& key : batch.put_keys) keys_[key.identity] = key;
    for (const KeyIdentity& identity : batch.drop_keys) keys_.erase(identity);
    for (const AuditRow& row : batch.records) audit_.push_back(row);
    head_.record = audit_.back().record;
    head_.epoch = audit_.back().epoch;
    head_.sequence = audit_.back().sequence;
    head_.frame_hash = batch.new_frame_hash;
    ++commits_;
    return fails;
  }
  absl::StatusOr<std::vector<AuditRow>> ReadAudit(const AuditFilter& filter, std::size_t limit) override {
    const MutexLock lock(mutex_);
    RETURN_IF_ERROR(down_);
    std::vector<AuditRow> out;
    const auto fits = [&](const AuditRow& row) {
      const auto is = [](const std::string& wanted, const std::string& it) { return wanted.empty() || wanted == it; };
      const auto about = [&](const KeyIdentity& key) { return key.kind == filter.kind && is(filter.key_id, key.id); };
      return (filter.descending ? filter.after == 0 || row.record < filter.after : row.record > filter.after) &&
             row.time >= filter.from.value_or(0) && row.time < filter.to.value_or(~UnixNanos{0}) &&
             is(filter.event, row.event) && is(filter.actor, row.actor) && is(filter.source, row.source) &&
             is(filter.request_id, row.request_id) &&
             (!filter.kind || std::any_of(row.keys.begin(), row.keys.end(), about));
    };
    std::copy_if(audit_.begin(), audit_.end(), std::back_inserter(out), fits);
    if (filter.descending) std::reverse(out.begin(), out.end());
    if (out.size() > limit) out.resize(limit);
    return out;
  }
  absl::Status SetDelivered(std::uint64_t record) override {
    const MutexLock lock(mutex_);
    head_.delivered = std::max(head_.delivered, record);
    return absl::OkStatus();
  }

  // What the test does to it.
  std::function<void()> on_row;  // before each row of a Load; set before the ledger starts
  std::size_t renewals() const {
    const MutexLock lock(mutex_);
    return renewals_;
  }
  void FailNextCommit(absl::Status status, bool commits_all_the_same = false) {
    const MutexLock lock(mutex_);
    next_commit_ = std::move(status);
    commits_all_the_same_ = commits_all_the_same;
  }
  void RefuseRow(std::string id, absl::Status status) {  // every commit that puts it
    const MutexLock lock(mutex_);
    refused_ = std::move(id);
    refusal_ = std::move(status);
  }
  void SetDown(absl::Status status) {  // every call fails with it; OK: up again
    const MutexLock lock(mutex_);
    down_ = std::move(status);
  }
  void TakeOver(std::string_view address) {  // by another manager
    const MutexLock lock(mutex_);
    ++head_.term;
    head_.holder = "another";
    head_.holder_address = address;
    head_.lease_valid = true;
  }
  void GiveUp() {
    const MutexLock lock(mutex_);
    head_.lease_valid = false;
    head_.holder.clear();
  }
  std::vector<AuditRow> audit() const {
    const MutexLock lock(mutex_);
    return audit_;
  }
  std::vector<Row> rows() const {
    const MutexLock lock(mutex_);
    std::vector<Row> out;
    for (const auto& [at, row] : rows_) out.push_back(row);
    return out;
  }
  std::size_t commits() const {
    const MutexLock lock(mutex_);
    return commits_;
  }

 private:
  absl::Status CheckTerm(std::uint64_t term) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return term == head_.term ? absl::OkStatus() : Aborted("term {} is over", term);
  }

  mutable Mutex mutex_;
  LedgerHead head_ ABSL_GUARDED_BY(mutex_);
  std::map<std::pair<std::string, std::string>, Row> rows_ ABSL_GUARDED_BY(mutex_);
  std::map<KeyIdentity, SealedKey> keys_ ABSL_GUARDED_BY(mutex_);
  std::vector<AuditRow> audit_ ABSL_GUARDED_BY(mutex_);
  absl::Status next_commit_ ABSL_GUARDED_BY(mutex_), down_ ABSL_GUARDED_BY(mutex_);
  bool commits_all_the_same_ ABSL_GUARDED_BY(mutex_) = false;
  std::string refused_ ABSL_GUARDED_BY(mutex_);
  absl::Status refusal_ ABSL_GUARDED_BY(mutex_);
  std::size_t commits_ ABSL_GUARDED_BY(mutex_) = 0, renewals_ ABSL_GUARDED_BY(mutex_) = 0;
};

inline LedgerOptions TestLedgerOptions() {
  LedgerOptions options;
  options.source = "keymgr-1";
  options.instance = "this";
  options.address = "keymgr-1.example.net:8443";
  options.lease = std::chrono::milliseconds(600);
  options.clock_limits.most_off = std::chrono::nanoseconds(0);  // tests make years pass
  options.signer = []() -> absl::StatusOr<AuditSigner> {
    static const auto key = *frame::OKey::Ed25519FromSeed(std::string(32, '\x11'));
    return AuditSigner{1, key};
  };
  return options;
}

// An active, unsealed ledger with these types. `store` and `clock` may be used by the test.
class TestLedger {
 public:
  explicit TestLedger(std::vector<RecordType> types, LedgerOptions options = TestLedgerOptions())
      : ledger_(*LedgerEngine::Make(store, std::move(types), std::move(options), clock)) {}

  // Subscribe before.
  LedgerEngine& Start() {
    ledger_->Start();
    ledger_->Unseal(SealReason::kStarting);
    if (!ledger_->WaitActive(true, std::chrono::steady_clock::now() + std::chrono::seconds(30))) std::abort();
    return *ledger_;
  }
  LedgerEngine& operator*() { return *ledger_; }
  LedgerEngine* operator->() { return ledger_.get(); }

  FakeClock clock;
  MemoryLedgerStore store;

 private:
  std::unique_ptr<LedgerEngine> ledger_;
};

inline Call TestCall(std::string request_id = {}, std::string actor = "spiffe://example.net/operator/noc-1") {
  Call call;
  call.actor = std::move(actor);
  call.method = "virp.keymgr.v1.TestService/Change";
  call.reason = "a test";
  call.digest = crypto::Sha256(request_id);
  call.request_id = std::move(request_id);
  return call;
}

}  // namespace virp::keymgr
