// The judge judged: an innocent history, and each way to make it guilty.
#include "tests/fault/judge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "lib/chain/entry.h"
#include "lib/crypto/sha256.h"
#include "tests/testutil/chain_builder.h"

namespace virp::fault {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testutil::ServiceLab;

struct Case {
  std::vector<std::string> entries;
  Ledger ledger;
};

// What a fault test leaves behind when all is well: answers of two programs and of a deliverer, a daemon that lost a
// number, a router with a table.
class World {
 public:
  World() {
    for (const char* source : {ServiceLab::kDaemon, ServiceLab::kNative, ServiceLab::kSubmitted, ServiceLab::kDirect})
      chain_.AddDaemon(source);
    chain_.AddBmp(ServiceLab::kBmp);
    for (int round = 0; round < 4; ++round) {
      Say(ServiceLab::kDaemon);
      Say(ServiceLab::kNative);
      for (std::size_t program = 0; program < 2; ++program) Submit(program);
      Deliver();
      if (round == 1) chain_.Lose(ServiceLab::kDaemon, 2);  // a gap entry follows
    }
    for (const char* source : {ServiceLab::kDaemon, ServiceLab::kNative, ServiceLab::kDirect}) {
      innocent_.ledger.sent[source] = {source == ServiceLab::kDaemon ? 0 : chain_.epoch(source),
                                       chain_.last_number(source)};
    }
    Router();
    innocent_.entries = chain_.entries;
  }

  const Case& innocent() const { return innocent_; }
  testutil::ChainBuilder& chain() { return chain_; }
  // Of the nth entry of a source, as it is in the innocent chain.
  std::size_t Entry(const char* source, std::size_t n) const {
    for (std::size_t i = 0; i < innocent_.entries.size(); ++i) {
      if (chain::DecodeEntry(innocent_.entries[i])->header.source == frame::ShortIdOf(source) && n-- == 0) return i;
    }
    ADD_FAILURE() << "no such entry of " << source;
    return 0;
  }
  std::uint64_t Say(const char* source) {
    return chain_.Say(source, frame::Type::kBgpProcess, PathPayload(source, ++said_));
  }

 private:
  void Submit(std::size_t program) {
    const std::string& entry = chain_.entries[Say(ServiceLab::kSubmitted)];
    innocent_.ledger.submitted.resize(2);
    innocent_.ledger.submitted[program].push_back(
        {chain_.epoch(ServiceLab::kSubmitted), chain_.last_number(ServiceLab::kSubmitted),
         crypto::Sha256(std::string_view(entry).substr(chain::kEntryHeaderSize))});
  }
  void Deliver() {
    const std::uint64_t at = Say(ServiceLab::kDirect);
    innocent_.ledger.delivered.push_back({at, chain_.leaves[at], chain_.entries[at].substr(chain::kEntryHeaderSize)});
  }
  void Router() {
    testutil::BgpPeer up, down;
    down.address = "192.0.2.3";
    chain_.PeerUp(ServiceLab::kBmp, up);
    chain_.PeerUp(ServiceLab::kBmp, down);
    testutil::BgpPath path;
    for (const auto& peer : {up, down}) chain_.Announce(ServiceLab::kBmp, path, peer);
    chain_.PeerLost(ServiceLab::kBmp, down);
    path.prefix = "198.51.100.0/24";
    chain_.Announce(ServiceLab::kBmp, path, up);
    chain_.Withdraw(ServiceLab::kBmp, path, up);
    innocent_.ledger.peers_up = {up.address};
    innocent_.ledger.routes = {{{up.address, "203.0.113.0/24"}, 64510}};
  }

  testutil::ChainBuilder chain_{ServiceLab::kOrigin};
  std::uint64_t said_ = 0;
  Case innocent_;
};

// Sequences and links as if the entries had come in this order.
void Relink(std::vector<std::string>& entries) {
  Hash previous = chain::GenesisOf(ServiceLab::kOrigin);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    StoreBe<std::uint64_t>(entries[i].data() + 24, i);
    entries[i].replace(32, 32, View(previous));
    previous = chain::LeafHash(entries[i]);
  }
}

struct Crime {
  const char* name;
  std::function<void(World&, Case&)> commit;
  const char* finding;
};

std::string& Of(World& world, Case& history, const char* source, std::size_t n) {
  return history.entries[world.Entry(source, n)];
}

void Lose(Case& history, std::size_t entry) {
  history.entries.erase(history.entries.begin() + static_cast<std::ptrdiff_t>(entry));
  Relink(history.entries);
}

void Swap(std::string& a, std::string& b, Case& history) {
  std::swap(a, b);
  Relink(history.entries);
}

const std::vector<Crime>& Crimes() {
  static const std::vector<Crime> crimes = {
      {"lost_of_submit", [](World& w, Case& c) { Lose(c, w.Entry(ServiceLab::kSubmitted, 7)); },
       "Submit answered number 8"},
      {"lost_of_deliver", [](World& w, Case& c) { Lose(c, w.Entry(ServiceLab::kDirect, 3)); },
       "is not the one that Deliver answered"},
      {"lost_at_the_end", [](World& w, Case& c) { c.entries.resize(w.Entry(ServiceLab::kDirect, 3)); },
       "the chain ends at"},
      {"lost_number_without_a_gap_entry", [](World&, Case& c) { ++c.ledger.sent[ServiceLab::kNative].last; },
       "number 5 of source edge-a.native is neither"},
      {"lost_first_number", [](World& w, Case& c) { Lose(c, w.Entry(ServiceLab::kNative, 0)); }, "number 2 of source"},
      {"lost_gap_entry", [](World& w, Case& c) { Lose(c, w.Entry(ServiceLab::kDaemon, 2) - 1); }, "comes after 2"},
      {"lost_source", [](World&, Case& c) { c.ledger.sent["edge-a.silent"] = {1, 1}; },
       "source edge-a.silent has 0 epochs"},
      {"doubled",
       [](World& w, Case& c) {
         const std::size_t at = w.Entry(ServiceLab::kSubmitted, 7);
         c.entries.push_back(c.entries[at]);
         Relink(c.entries);
       },
       "number 8 of source"},
      {"doubled_under_a_new_number",
       [](World& w, Case& c) {
         w.chain().Say(ServiceLab::kSubmitted, frame::Type::kBgpProcess, PathPayload(ServiceLab::kSubmitted, 3));
         c.entries = w.chain().entries;
       },
       "was said before: edge-a.agent/3"},
      {"doubled_by_a_new_epoch",
       [](World& w, Case& c) {
         w.chain().Advance(testutil::ChainBuilder::kSecond);
         w.chain().Restart(ServiceLab::kDaemon);
         w.Say(ServiceLab::kDaemon);
         c.entries = w.chain().entries;
       },
       "source edge-a.bgpd has 2 epochs"},
      {"never_sent", [](World&, Case& c) { --c.ledger.sent[ServiceLab::kDirect].last; },
       "sent 3 numbers, the chain holds 4"},
      {"swapped_entries",
       [](World& w, Case& c) { Swap(Of(w, c, ServiceLab::kSubmitted, 2), Of(w, c, ServiceLab::kSubmitted, 3), c); },
       "comes after"},
      {"swapped_answers_of_submit",
       [](World&, Case& c) { std::swap(c.ledger.submitted[1][1], c.ledger.submitted[1][2]); },
       "Submit answered number 4 after 6"},
      {"swapped_answers_of_deliver", [](World&, Case& c) { std::swap(c.ledger.delivered[1], c.ledger.delivered[2]); },
       "Deliver answered entry"},
      {"swapped_sources",
       [](World& w, Case& c) { Swap(Of(w, c, ServiceLab::kNative, 0), Of(w, c, ServiceLab::kDirect, 0), c); },
       "is not the one that Deliver answered"},
      {"another_frame_than_submitted", [](World&, Case& c) { c.ledger.submitted[0][1].digest[5] ^= 1; },
       "is another frame than Submit answered"},
      {"another_frame_than_delivered", [](World&, Case& c) { c.ledger.delivered[1].frame.back() ^= 1; },
       "is not the one that Deliver answered"},
      {"another_leaf_than_delivered", [](World&, Case& c) { c.ledger.delivered[1].leaf[0] ^= 1; },
       "is not the one that Deliver answered"},
      {"unlinked", [](World& w, Case& c) { Of(w, c, ServiceLab::kNative, 1).back() ^= 1; }, "does not link"},
      {"out_of_place", [](World& w, Case& c) { Of(w, c, ServiceLab::kNative, 1)[31] ^= 1; }, "says that it is"},
      {"flagged",
       [](World& w, Case& c) {
         Of(w, c, ServiceLab::kNative, 1)[122] = chain::kScopeViolation;
         Relink(c.entries);
       },
       "has flags 2"},
      {"no_entry", [](World&, Case& c) { c.entries.back().resize(50); }, "is none"},
      {"peer_down", [](World&, Case& c) { c.ledger.peers_up.emplace_back("192.0.2.3"); }, "peer 192.0.2.3 is up"},
      {"path_missing", [](World&, Case& c) { c.ledger.routes[{"192.0.2.2", "198.51.100.0/24"}] = 64510; },
       "in the router's table and not in the chain's"},
      {"path_too_many", [](World&, Case& c) { c.ledger.routes.clear(); },
       "in the chain's table and not in the router's"},
      {"path_of_another", [](World&, Case& c) { c.ledger.routes.begin()->second = 64511; },
       "is by AS 64511, not 64510"},
  };
  return crimes;
}

TEST(Judge, AcquitsTheInnocent) {
  EXPECT_THAT(Judge(World().innocent().entries, World().innocent().ledger), IsEmpty());
}

class JudgeConvicts : public ::testing::TestWithParam<Crime> {};

TEST_P(JudgeConvicts, OfEachCrime) {
  World world;
  Case history = world.innocent();
  GetParam().commit(world, history);
  EXPECT_THAT(Judge(history.entries, history.ledger), Contains(HasSubstr(GetParam().finding)));
}

INSTANTIATE_TEST_SUITE_P(Crimes, JudgeConvicts, ::testing::ValuesIn(Crimes()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace virp::fault
