// Random refreshes, queries, connections and restarts, with routers of each version that lag behind as they like: after
// each answer a router's table is what the cache's was at that serial, and the answer was the smallest that does it.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <tuple>

#include "lib/crypto/sha256.h"
#include "lib/rtr/client_session.h"
#include "lib/rtr/image.h"
#include "lib/rtr/rtr_testing.h"
#include "lib/rtr/server_session.h"

namespace virp::rtr {
namespace {

using std::chrono::seconds;
using testing::AspaOf;
using testing::Key;
using testing::SameIn;
using testing::Shared;
using testing::V4;
using testing::V6;

constexpr int kSequences = 10'000;
constexpr int kLargeEvery = 500;  // sequences with the largest records that there are
constexpr std::uint32_t kUniverse = 8;

struct Coverage {
  int full = 0;
  int incremental = 0;
  int empty_answers = 0;
  int resets = 0;
  int resumed = 0;
  int not_resumed = 0;
  int wraps = 0;
  int refilled = 0;
  std::uint32_t furthest = 0;
};

class Model {
 public:
  Model(std::uint32_t seed, Coverage& coverage) : random_(seed), coverage_(coverage), large_(seed % kLargeEvery == 0) {
    options_.max_deltas = 1 + Below(20);
    options_.owner = "model";
    options_.first_serial = Below(4) == 0 ? static_cast<std::uint32_t>(0U - Below(12)) : Below(3);
    server_options_.notify = Below(3) != 0;
    // Patience: who is left alone for a while here is neither stalled nor silent.
    server_options_.first_query_timeout = std::chrono::hours(24);
    server_options_.answer_timeout = std::chrono::hours(48);
    server_options_.timers = {.refresh = 7200, .retry = 7200, .expire = 172'800};
    server_options_.output_limit = Below(2) == 0 ? 1 : 64 << 10;
    Start();
    for (std::uint8_t i = 0; i < 3; ++i) routers_.emplace_back(std::make_unique<Router>(i));
    if (Below(8) != 0) Refresh();
  }

  void Run() {
    const int steps = large_ ? 8 : 24;
    for (int step = 0; step < steps && !::testing::Test::HasFailure(); ++step) {
      now_ += seconds(Below(3) == 0 ? Below(200) : 0);
      switch (Below(8)) {
        case 0:
        case 1:
        case 2:
          for (std::uint32_t times = Below(8) == 0 ? Below(21) : 1; times > 0; --times) Refresh();
          break;
        case 3:
          if (Below(6) == 0) Restart();
          break;
        default:
          Act(*routers_[Below(3)]);
      }
      for (auto& router : routers_) {
        if (router->server) router->server->Tick(now_);
      }
    }
    for (auto& router : routers_) {
      if (::testing::Test::HasFailure() || history_->snapshot() == nullptr) break;
      Ask(*router);
      EXPECT_EQ(router->client.state().serial, history_->snapshot()->serial(router->version));
      EXPECT_EQ(router->client.state().session, history_->snapshot()->session(router->version));
      coverage_.resets += static_cast<int>(router->client.state().cache_resets);
    }
  }

 private:
  struct Router {
    explicit Router(std::uint8_t v) : version(v), client({.version = v, .min_version = v, .check_order = true}) {}
    const std::uint8_t version;
    ClientSession client;
    std::optional<ServerSession> server;
    ClientSessionState seen;  // as of the last check
    bool asked_for_all = false;
  };
  struct Truth {
    std::shared_ptr<const vrp::Payloads> payloads;
    std::size_t window = 0;
  };

  std::uint32_t Below(std::uint32_t bound) { return random_() % bound; }

  void Start() {
    history_.emplace(options_, [this] { return static_cast<std::uint16_t>(random_()); });
  }

  vrp::Payloads RandomPayloads() {
    vrp::Payloads out;
    // Nothing at all, what was there before, or records at random.
    const std::uint32_t kind = Below(8);
    if (kind == 0) return out;
    if (kind == 1 && !past_.empty()) return *past_[Below(static_cast<std::uint32_t>(past_.size()))];
    for (std::uint32_t i = 0; i < kUniverse; ++i) {
      if (Below(2) == 0)
        out.vrps4.push_back(i == 0 ? V4("0.0.0.0/0", 0, 0) : V4("10.0.0.0/8", 8 + static_cast<int>(i % 3), i % 4));
      if (Below(2) == 0)
        out.vrps6.push_back(i == 0 ? V6("::/0", 0, 0) : V6("2001:db8::/32", 32 + static_cast<int>(i), 1));
      if (Below(4) == 0) out.router_keys.push_back(Key(static_cast<std::uint8_t>(i / 2), i, "key"));
      if (Below(2) == 0)
        out.aspas.push_back(
            AspaOf(i, Below(2) == 0 ? std::vector<std::uint32_t>{0} : std::vector<std::uint32_t>{1, 2 + Below(2)}));
    }
    if (kind == 2 && !past_.empty()) {  // only ASPAs change
      out.vrps4 = past_.back()->vrps4;
      out.vrps6 = past_.back()->vrps6;
      out.router_keys = past_.back()->router_keys;
    }
    if (large_ && Below(2) == 0) AddLarge(out);
    return out;
  }

  void AddLarge(vrp::Payloads& out) {
    std::vector<std::uint32_t> providers(vrp::kMaxProviders);
    const std::uint32_t first = 1 + Below(2);
    for (std::uint32_t i = 0; i < providers.size(); ++i) providers[i] = first + i;
    out.aspas.push_back(AspaOf(100, std::move(providers)));
    out.router_keys.push_back(Key(9, 1, std::string(kMaxSpki, static_cast<char>('a' + Below(2)))));
  }

  void Refresh() {
    auto payloads = Shared(Unique(RandomPayloads()));
    if (!past_.empty() && past_.back()->size() == 0 && payloads->size() > 0) ++coverage_.refilled;
    past_.push_back(payloads);
    const auto before = history_->snapshot();
    history_->Update(payloads, HashOf(*payloads));
    Record(*payloads, before.get());
    for (auto& router : routers_) {
      if (router->server) router->server->OnNewSnapshot(history_->snapshot(), now_);
    }
  }

  // The small universe makes the same record twice.
  static vrp::Payloads Unique(vrp::Payloads payloads) {
    payloads = testing::Sorted(std::move(payloads));
    const auto unique = [](auto& set) {
      set.erase(std::unique(set.begin(), set.end(), [](const auto& a, const auto& b) { return vrp::Order(a, b) == 0; }),
                set.end());
    };
    unique(payloads.vrps4);
    unique(payloads.vrps6);
    return payloads;
  }
  static Hash HashOf(const vrp::Payloads& payloads) { return crypto::Sha256(EncodeImage(payloads, 2).view()); }

  void Record(const vrp::Payloads& payloads, const Snapshot* before) {
    const Snapshot& snapshot = *history_->snapshot();
    for (std::uint8_t version = 0; version < kVersions; ++version) {
      const auto key = std::tuple(version, snapshot.session(version), snapshot.serial(version));
      const auto [at, fresh] =
          truth_.try_emplace(key, Truth{std::make_shared<vrp::Payloads>(payloads), snapshot.window(version)});
      // A serial stands for one set.
      EXPECT_TRUE(SameIn(version, *at->second.payloads, payloads));
      if (before == nullptr) continue;
      const std::uint32_t step = snapshot.serial(version) - before->serial(version);
      EXPECT_EQ(step, SameIn(version, before->payloads(), payloads) ? 0U : 1U);
      if (step == 1 && snapshot.serial(version) == 0) ++coverage_.wraps;
    }
  }

  void Restart() {
    const std::string state = history_->Save();
    const bool same = Below(3) != 0;
    for (auto& router : routers_) Drop(*router);
    Start();
    if (state.empty()) return;
    EXPECT_TRUE(history_->Restore(state).ok());
    const auto payloads = same ? past_.back() : Shared(Unique(RandomPayloads()));
    const bool resumed = history_->Update(payloads, HashOf(*payloads)).resumed;
    if (same) EXPECT_TRUE(resumed);
    ++(resumed ? coverage_.resumed : coverage_.not_resumed);
    past_.push_back(payloads);
    Record(*payloads, nullptr);
  }

  void Drop(Router& router) {
    if (router.server) router.client.Disconnected(now_);
    router.server.reset();
    router.asked_for_all = false;
  }

  void Connect(Router& router) {
    if (router.server) return;
    router.server.emplace(server_options_, history_->snapshot(), now_);
    router.client.Connected(now_);
  }

  void Act(Router& router) {
    switch (Below(6)) {
      case 0:
        Drop(router);
        break;
      case 1:
        Connect(router);
        break;
      case 2:
        Connect(router);
        if (router.client.idle()) {
          router.asked_for_all = Below(4) == 0;
          router.client.Query(router.asked_for_all, now_);
        }
        Pump(router, 1 + Below(60));  // and leave it in the middle
        break;
      default:
        Ask(router);
    }
  }

  // Until the router has the newest and there is nothing to say.
  void Ask(Router& router) {
    Connect(router);
    Pump(router, SIZE_MAX);
    router.client.Query(false, now_);
    Pump(router, SIZE_MAX);
  }

  // Carries at most about `octets`, in pieces of any size.
  void Pump(Router& router, std::size_t octets) {
    bool moved = true;
    while (moved && octets > 0 && !::testing::Test::HasFailure()) {
      moved = false;
      const std::size_t piece =
          std::min<std::size_t>(octets, Below(3) == 0 ? 1 + Below(9) : 1 + Below(large_ ? 90'000 : 600));
      if (router.server->WantsRead()) {
        const std::string up = testing::Drain(router.client, [&](std::size_t n) { router.client.Consume(n); }, piece);
        if (!up.empty()) router.server->Feed(up, now_);
        moved = !up.empty();
      }
      const std::string down =
          testing::Drain(*router.server, [&](std::size_t n) { router.server->Consume(n, now_); }, piece);
      for (std::size_t at = 0; at < down.size(); ++at) {
        // To the last octet, so that no answer goes unchecked.
        const std::size_t part = std::min<std::size_t>(down.size() - at, 1 + Below(40));
        router.client.Feed(std::string_view(down).substr(at, part), now_);
        at += part - 1;
        Check(router);
      }
      moved = moved || !down.empty();
      octets -= std::min(octets, down.size() + 1);
      EXPECT_FALSE(router.client.closing()) << router.client.close_reason();
      EXPECT_FALSE(router.server->closing()) << router.server->close_reason();
    }
  }

  void Check(Router& router) {
    const ClientSessionState& state = router.client.state();
    if (state.updates == router.seen.updates) return;
    ASSERT_EQ(state.updates, router.seen.updates + 1) << "an answer went unchecked";
    const auto now = truth_.find({router.version, state.session, state.serial});
    ASSERT_NE(now, truth_.end());
    EXPECT_TRUE(SameIn(router.version, router.client.table(), *now->second.payloads));
    const std::uint32_t behind = state.serial - router.seen.serial;
    const bool in_window = router.seen.has_data && router.seen.session == state.session && behind <= now->second.window;
    if (!router.asked_for_all) EXPECT_EQ(state.last_update.full, !in_window);
    router.asked_for_all = router.asked_for_all && !state.last_update.full;
    const std::uint64_t records = state.last_update.announced + state.last_update.withdrawn;
    if (!state.last_update.full) {
      const auto before = truth_.find({router.version, router.seen.session, router.seen.serial});
      ASSERT_NE(before, truth_.end());
      EXPECT_EQ(records, Diff(*before->second.payloads, *now->second.payloads).SizeIn(router.version));
      coverage_.furthest = std::max(coverage_.furthest, behind);
    }
    ++(state.last_update.full ? coverage_.full : coverage_.incremental);
    if (records == 0) ++coverage_.empty_answers;
    router.seen = state;
  }

  std::mt19937 random_;
  Coverage& coverage_;
  const bool large_;
  HistoryOptions options_;
  ServerSessionOptions server_options_;
  ServerSession::Time now_{seconds(1000)};
  std::optional<History> history_;
  std::vector<std::unique_ptr<Router>> routers_;
  std::vector<std::shared_ptr<const vrp::Payloads>> past_;
  std::map<std::tuple<std::uint8_t, std::uint16_t, std::uint32_t>, Truth> truth_;
};

TEST(Model, TenThousandSequences) {
  Coverage coverage;
  for (std::uint32_t seed = 0; seed < kSequences; ++seed) {
    SCOPED_TRACE(seed);
    Model(seed, coverage).Run();
    if (HasFailure()) return;
  }
  std::printf(
      "full %d, incremental %d (furthest %u), empty %d, resets %d, resumed %d, new sessions %d, wraps %d, refilled "
      "%d\n",
      coverage.full, coverage.incremental, coverage.furthest, coverage.empty_answers, coverage.resets, coverage.resumed,
      coverage.not_resumed, coverage.wraps, coverage.refilled);
  // What the sequences are there for did happen.
  EXPECT_GT(coverage.full, 10'000);
  EXPECT_GT(coverage.incremental, 10'000);
  EXPECT_EQ(coverage.furthest, 20U);
  EXPECT_GT(coverage.empty_answers, 1000);
  EXPECT_GT(coverage.resets, 1000);
  EXPECT_GT(coverage.resumed, 1000);
  EXPECT_GT(coverage.not_resumed, 100);
  EXPECT_GT(coverage.wraps, 100);
  EXPECT_GT(coverage.refilled, 1000);
}

}  // namespace
}  // namespace virp::rtr
