// The rollover against two simulated ends with the rules of RFC 5925 section 7.5, over a network that loses, delays and
// reorders segments, with agents that report late, twice, or not at all. At no time may an established connection send
// by a key that the other end does not have. The same simulation with one safeguard taken out must find that moment, or
// it would prove nothing.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <vector>

#include "services/keymgr/domain/tcp_ao_roll.h"

namespace virp::keymgr {
namespace {

constexpr UnixNanos kTick = kSecond;
constexpr UnixNanos kLifetime = 30;  // of a segment, in ticks
constexpr std::array kEnds{TcpAoEnd::kA, TcpAoEnd::kB};

// What the manager leaves out, to see the model notice.
enum class Fault { kNone, kNoHold, kStaleReports, kNotCurrent };

struct Socket {
  bool established = false;
  std::uint32_t connection = 0;
  std::uint32_t current = 0, rnext = 0;  // versions
};

struct End {
  std::vector<TcpAoTuple> keys;  // installed
  std::uint32_t preferred = 0;
  Socket socket;
  TcpAoPlan plan;  // the newest that was carried out
  UnixNanos asks_since = 0;
  std::map<std::uint32_t, std::uint64_t> good;
  bool ignores_rnext = false;
};

struct Segment {
  TcpAoEnd from;
  UnixNanos arrives;
  std::uint32_t connection;
  std::uint8_t key_id, rnext_id;
  std::uint32_t version;  // whose secret made the MAC
  bool syn = false;
};

struct Message {  // a plan on its way to an agent, or a report on its way to the manager
  TcpAoEnd end;
  UnixNanos arrives;
  bool is_report = false;
  TcpAoPlan plan{};
  TcpAoReport report{};
};

class Model {
 public:
  Model(std::uint64_t seed, Fault fault) : random_(seed), fault_(fault) {
    const TcpAoTuple first{1, {1, 2}};
    roll_ = StartRoll(std::nullopt, first, 0, Now(), 0, Now() + 1, Hold());
    roll_.phase = TcpAoPhase::kOldRemoved;
    for (const TcpAoEnd end : kEnds) {
      at(end).keys = {first};
      at(end).preferred = 1;
      at(end).plan = PlanFor(roll_);
    }
    agents_ = Chance(2) ? 1 : 10;
    if (Chance(4)) at(Chance(2) ? TcpAoEnd::kA : TcpAoEnd::kB).ignores_rnext = true;
  }

  // Rolls `count` times. False when the invariant broke; fails the test when a rollover does not come to its end.
  bool Run(std::uint32_t count) {
    for (std::uint32_t version = 2; version < 2 + count; ++version) {
      const TcpAoTuple next{version,
                            {static_cast<std::uint8_t>(2 * version - 1), static_cast<std::uint8_t>(2 * version)}};
      roll_ = StartRoll(roll_.new_key, next, roll_.serial, Now(), Now() + (Chance(2) ? 0 : 50 * kTick),
                        Now() + 600 * kTick, Hold());
      for (int tick = 0; !IsOver(roll_); ++tick) {
        if (tick > 6'000) {
          ADD_FAILURE() << "stuck in " << TcpAoPhaseName(roll_.phase) << ": "
                        << testing::PrintToString(Missing(roll_, Now()));
          return true;
        }
        if (!Tick()) return false;
      }
    }
    return true;
  }

  bool forced() const { return forced_; }

 private:
  End& at(TcpAoEnd end) { return ends_[At(end)]; }
  UnixNanos Now() const { return now_ * kTick; }
  UnixNanos Hold() const { return fault_ == Fault::kNoHold ? 0 : kLifetime * kTick; }
  bool Chance(unsigned of) { return std::uniform_int_distribution<unsigned>(1, of)(random_) == 1; }
  UnixNanos Delay(UnixNanos most) { return std::uniform_int_distribution<UnixNanos>(1, most)(random_); }

  static const TcpAoTuple* Find(const End& end, std::uint32_t version) {
    const auto found = std::ranges::find(end.keys, version, &TcpAoTuple::version);
    return found == end.keys.end() ? nullptr : &*found;
  }

  bool Tick() {
    ++now_;
    Advance(roll_, Now());
    if (IsOverdue(roll_, Now()) && !roll_.force_current && ForceCurrent(roll_, Now()).ok()) forced_ = true;
    for (const TcpAoEnd end : kEnds) {
      if (Chance(2)) Send(end);
      if (Chance(agents_)) Fetch(end);
      if (Chance(agents_)) Look(end);
    }
    if (Chance(150)) Restart();
    Deliver();
    return Holds();
  }

  // Each connection sends by a key under which the other end verifies.
  bool Holds() {
    const Socket &a = ends_[0].socket, &b = ends_[1].socket;
    if (!a.established || !b.established || a.connection != b.connection) return true;
    return Find(ends_[1], a.current) != nullptr && Find(ends_[0], b.current) != nullptr;
  }

  void Send(TcpAoEnd end) {
    const Socket& socket = at(end).socket;
    if (!socket.established) return;
    const TcpAoTuple* const by = Find(at(end), socket.current);
    const TcpAoTuple* const next = Find(at(end), socket.rnext);
    if (by == nullptr || next == nullptr || Chance(5)) return;  // a fifth is lost
    network_.push_back({end, now_ + Delay(Chance(4) ? kLifetime : 2), socket.connection, by->ids.SendId(end),
                        next->ids.RecvId(end), by->version});
  }

  // The connection breaks, and one of the two opens it again with what it prefers.
  void Restart() {
    for (const TcpAoEnd end : kEnds) at(end).socket = {};
    const TcpAoEnd opener = Chance(2) ? TcpAoEnd::kA : TcpAoEnd::kB;
    const TcpAoTuple* const by = Find(at(opener), at(opener).preferred);
    if (by == nullptr) return;
    at(opener).socket = {false, ++connections_, by->version, by->version};
    network_.push_back({opener, now_ + Delay(kLifetime), connections_, by->ids.SendId(opener), by->ids.RecvId(opener),
                        by->version, true});
  }

  void Deliver() {
    std::ranges::shuffle(network_, random_);
    const auto due = std::ranges::partition(network_, [&](const Segment& s) { return s.arrives > now_; });
    const std::vector<Segment> arrived(due.begin(), due.end());
    network_.erase(due.begin(), due.end());
    for (const Segment& segment : arrived) Receive(segment);
    std::ranges::shuffle(messages_, random_);
    const auto ready = std::ranges::partition(messages_, [&](const Message& m) { return m.arrives > now_; });
    const std::vector<Message> told(ready.begin(), ready.end());
    messages_.erase(ready.begin(), ready.end());
    for (const Message& message : told) message.is_report ? Take(message) : CarryOut(message.end, message.plan);
  }

  // RFC 5925 section 7.5, with the order of Linux: the MAC, then RNextKeyID, and no look at sequence numbers before.
  void Receive(const Segment& segment) {
    const TcpAoEnd end = Other(segment.from);
    End& own = at(end);
    const auto tuple = std::ranges::find(own.keys, segment.key_id, [&](const auto& k) { return k.ids.RecvId(end); });
    if (tuple == own.keys.end() || tuple->version != segment.version) return;
    if (segment.syn) {
      if (at(segment.from).socket.connection != segment.connection) return;
      own.socket = {true, segment.connection, tuple->version, Chance(2) ? tuple->version : own.preferred};
      at(segment.from).socket.established = true;
      Watch(own);
      return;
    }
    if (!own.socket.established || own.socket.connection != segment.connection) return;
    ++own.good[tuple->version];
    if (own.ignores_rnext) return;
    const auto next = std::ranges::find(own.keys, segment.rnext_id, [&](const auto& k) { return k.ids.SendId(end); });
    if (next != own.keys.end()) own.socket.current = next->version;
  }

  // Starts the time anew for which nothing but the preferred key was asked for, when that is not so.
  void Watch(End& own) {
    if (own.socket.connection != 0 && own.socket.rnext != own.preferred) own.asks_since = now_;
  }

  void Fetch(TcpAoEnd end) {
    messages_.push_back({.end = end, .arrives = now_ + Delay(2 * agents_), .plan = PlanFor(roll_)});
  }

  void CarryOut(TcpAoEnd end, const TcpAoPlan& plan) {
    End& own = at(end);
    if (plan.serial < own.plan.serial) return;
    for (const TcpAoTuple& key : plan.keys) {
      if (Find(own, key.version) == nullptr) own.keys.push_back(key);
    }
    if (own.preferred != plan.preferred || own.socket.rnext != plan.preferred) own.asks_since = now_;
    own.preferred = plan.preferred;
    if (own.socket.connection != 0) own.socket.rnext = plan.preferred;
    if (own.socket.connection != 0 && plan.set_current) own.socket.current = plan.preferred;
    std::erase_if(own.keys,
                  [&](const TcpAoTuple& key) { return std::ranges::find(plan.keys, key) == plan.keys.end(); });
    own.plan = plan;
  }

  // Sees how things are, and reports it; the report may be lost, late, or come twice.
  void Look(TcpAoEnd end) {
    End& own = at(end);
    Watch(own);
    Message message{.end = end, .arrives = now_ + Delay(6 * agents_), .is_report = true};
    message.report.serial = own.plan.serial;
    for (const TcpAoTuple& key : own.keys)
      message.report.keys.push_back({key.ids.SendId(end), key.ids.RecvId(end), own.good[key.version], 0});
    if (own.socket.established) {
      const TcpAoTuple *const current = Find(own, own.socket.current), *const next = Find(own, own.socket.rnext);
      message.report.sessions.push_back({current == nullptr ? std::uint8_t{0} : current->ids.SendId(end),
                                         next == nullptr ? std::uint8_t{0} : next->ids.RecvId(end)});
    }
    message.report.asked_for = (now_ - own.asks_since) * kTick;
    if (Chance(6)) messages_.push_back(message);
    message.arrives = now_ + Delay(6 * agents_);
    if (!Chance(6)) messages_.push_back(message);
  }

  void Take(const Message& message) {
    TcpAoReport report = message.report;
    if (fault_ == Fault::kStaleReports) report.serial = roll_.serial;
    if (fault_ == Fault::kNotCurrent) {
      for (auto& session : report.sessions) session.current = roll_.new_key.ids.SendId(message.end);
      for (auto& key : report.keys) key.good = 1;
    }
    ASSERT_TRUE(Report(roll_, message.end, report, Now()).ok());
  }

  std::mt19937_64 random_;
  Fault fault_;
  UnixNanos now_ = 1'000;
  unsigned agents_ = 1;  // mean ticks between what they do: quick ones are ahead of late segments
  TcpAoRoll roll_;
  std::array<End, 2> ends_;
  std::vector<Segment> network_;
  std::vector<Message> messages_;
  std::uint32_t connections_ = 0;
  bool forced_ = false;
};

TEST(TcpAoModel, NoConnectionEverSendsByAKeyThatItsPeerDoesNotHave) {
  int forced = 0;
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    Model model(seed, Fault::kNone);
    ASSERT_TRUE(model.Run(4)) << "seed " << seed;
    forced += model.forced() ? 1 : 0;
  }
  EXPECT_GT(forced, 20) << "peers that ignore RNextKeyID must have been among them";
}

int Broken(Fault fault) {
  int broken = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) broken += Model(seed, fault).Run(4) ? 0 : 1;
  return broken;
}

TEST(TcpAoModel, WithoutTheHoldALateSegmentBringsTheOldKeyBack) {
  EXPECT_GT(Broken(Fault::kNoHold), 0);
}

TEST(TcpAoModel, WithoutSerialsAnOldReportIsTakenForANewOne) {
  EXPECT_GT(Broken(Fault::kStaleReports), 0);
}

TEST(TcpAoModel, WithoutCountersAndCurrentKeysTheOldOneGoesTooSoon) {
  EXPECT_GT(Broken(Fault::kNotCurrent), 0);
}

}  // namespace
}  // namespace virp::keymgr
