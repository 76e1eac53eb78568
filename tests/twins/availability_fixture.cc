#include "tests/twins/availability_fixture.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "lib/base/status.h"
#include "lib/chain/entry.h"
#include "lib/store/postgres.h"
#include "tests/testutil/key_desk.h"
#include "tests/testutil/tls_client.h"

namespace virp::twins {
namespace {

// A bound of a busy machine: an idle one needs a second or two where a minute is allowed. What was measured is printed.
constexpr auto kNothingTaken = 30s;
constexpr std::size_t kVrps = 400;

// Observations a second, divided among the producers as fault::Rates has them.
fault::Rates RatesOf(unsigned all) {
  const fault::Rates usual;
  const auto part = [&](unsigned of) { return of * all / usual.all(); };
  return {part(usual.daemon), part(usual.native), part(usual.submit), part(usual.direct), part(usual.bmp)};
}

unsigned WantedRate() {
  const char* const given = std::getenv("VIRP_HA_RATE");
  return given != nullptr && std::atoi(given) > 0 ? static_cast<unsigned>(std::atoi(given)) : fault::Rates{}.all();
}

void PrintAcks(std::string_view when, std::vector<fault::Ledger::Ack> acks) {
  std::sort(acks.begin(), acks.end(), [](const auto& a, const auto& b) { return a.took < b.took; });
  const auto at = [&](double part) {
    return 1'000 * acks[static_cast<std::size_t>(part * static_cast<double>(acks.size() - 1))].took.count();
  };
  std::cout << fmt::format("acks {}: p50 {:.1f} ms, p99 {:.1f} ms, longest {:.1f} ms, {} of them\n", when, at(0.5),
                           at(0.99), at(1), acks.size());
}

// The longest time between two acks, or since `from`, that began before `until`, whenever it ended.
Clock::duration LongestSilence(const std::vector<fault::Ledger::Ack>& acks, Clock::time_point from,
                               Clock::time_point until) {
  Clock::duration longest{0};
  Clock::time_point last = from;
  for (const auto& ack : acks) {
    if (ack.at < from) continue;
    longest = std::max(longest, ack.at - last);
    last = ack.at;
    if (last > until) break;
  }
  return longest;
}

testutil::KeyDesk DeskOf(testutil::KeymgrLab& manager) {
  return {manager.Channel(Role::kOperator, "noc-1"), manager.Channel(Role::kOperator, "noc-2")};
}

}  // namespace

absl::Status WatchedRouter::Start(const testutil::RtrLab& bridge, const testutil::RtrTable& table) {
  table_ = table;
  RETURN_IF_ERROR(bird_.Start(bridge));
  if (!WaitUntil(kPatience, [&] { return bird_.Table() == table_; })) return Unavailable("the router has no table");
  looking_ = std::jthread([this](const std::stop_token& stop) {
    for (; !stop.stop_requested(); std::this_thread::sleep_for(100ms)) {
      ++looks_;
      if (bird_.Table() != table_) ++fewer_;
    }
  });
  return absl::OkStatus();
}

void WatchedRouter::Stop() {
  looking_.request_stop();
  if (looking_.joinable()) looking_.join();
}

void Availability::SetUp() {
  auto cluster = testutil::PostgresCluster::Start();
  ASSERT_OK(cluster);
  cluster_ = *std::move(cluster);
  url_ = *cluster_->CreateDatabase();
  testutil::LabOptions options;
  options.binaries = fault::BuildFolder();
  options.onodes = kReplicas;
  options.lease = kLease;
  for (auto& proxy : proxies_) {
    proxy = std::make_unique<PostgresProxy>(cluster_->socket_dir());
    options.stores.push_back(url_.substr(0, url_.find("?host=")) + "?host=" + proxy->folder());
  }
  options.keymgr = options.standby = true;
  options.keymgr_store = *cluster_->CreateDatabase();
  lab_ = std::make_unique<ServiceLab>(options);
  bridge_ = std::make_unique<testutil::EvidenceBridge>(*lab_);
  for (std::size_t i = 0; i < kReplicas; ++i) {
    std::ofstream(DenyFile(i)) << "# nobody\n";
    for (const std::string& word : {std::string("--deny-file"), DenyFile(i)})
      lab_->onode(i).options().command.push_back(word);
  }
  ASSERT_OK(lab_->Start());
  ASSERT_OK(lab_->standby().process().Start());
  ASSERT_OK(DeskOf(lab_->keymgr())
                .Create(ServiceLab::kSubmitted, {lab_->pki().Id(Role::kCollector, ServiceLab::kCollector)}));
  const testutil::RtrTable table = testutil::MakeRtrTable(kVrps);
  bridge_->rtr().Write(table);
  ASSERT_OK(bridge_->Register());
  ASSERT_OK(bridge_->Start());
  ASSERT_OK(router_.Start(bridge_->rtr(), table));
  load_ = std::make_unique<Load>(*lab_, RatesOf(WantedRate()));
  load_->Start();
  ASSERT_TRUE(Grows());
}

void Availability::Deny(const std::string& line) {
  for (std::size_t i = 0; i < kReplicas; ++i) std::ofstream(DenyFile(i)) << line << "\n";
}

std::size_t Availability::Leader() {
  const int leader = lab_->AwaitLeader(kPatience);
  EXPECT_GE(leader, 0);
  return static_cast<std::size_t>(std::max(leader, 0));
}

bool Availability::AnotherLeads(std::size_t than) {
  return WaitUntil(kPatience, [&] {
    for (std::size_t i = 0; i < kReplicas; ++i) {
      if (i == than) continue;
      const auto chain = lab_->GetChain(i);
      if (chain.ok() && chain->leading()) return true;
    }
    return false;
  });
}

::testing::AssertionResult Availability::Grows() {
  std::uint64_t before = 0;
  const bool grows = WaitUntil(kPatience, [&] {
    for (std::size_t i = 0; i < kReplicas; ++i) {
      const auto chain = lab_->GetChain(i);
      if (!chain.ok() || !chain->leading()) continue;
      if (before == 0) before = chain->size();
      return chain->size() > before + 500;
    }
    return false;
  });
  return grows ? ::testing::AssertionSuccess() : ::testing::AssertionFailure() << "nothing comes in\n" << Logs();
}

std::string Availability::Logs() {
  std::string out = lab_->collector().log();
  for (std::size_t i = 0; i < kReplicas; ++i) out += lab_->onode(i).log();
  return out;
}

testutil::KeymgrLab* Availability::AwaitManager() {
  testutil::KeymgrLab* found = nullptr;
  WaitUntil(kPatience, [&] {
    for (testutil::KeymgrLab* manager : {&lab_->keymgr(), &lab_->standby()}) {
      const auto status = manager->Status();
      if (status.ok() && status->active() && status->sealed_size() == 0) found = manager;
    }
    return found != nullptr;
  });
  return found;
}

void Availability::RollAKey() {
  testutil::KeymgrLab* const manager = AwaitManager();
  ASSERT_NE(manager, nullptr);
  testutil::KeyDesk desk = DeskOf(*manager);
  const auto version = desk.Roll(ServiceLab::kSubmitted, keymgr::v1::KEY_SUITE_ED25519, 2);
  ASSERT_OK(version);
  std::uint64_t seen = lab_->GetChain(Leader())->size();
  EXPECT_TRUE(WaitUntil(kPatience, [&] {
    const auto entries = lab_->Entries(Leader(), seen);
    if (!entries.ok()) return false;
    seen += entries->size();
    return std::any_of(entries->begin(), entries->end(), [&](const std::string& bytes) {
      const auto entry = chain::DecodeEntry(bytes);
      return entry.ok() && entry->header.source == frame::ShortIdOf(ServiceLab::kSubmitted) &&
             entry->header.key_version == *version;
    });
  })) << lab_->collector().log();
}

void Availability::Strike(const std::string& what, const std::function<void()>& strike) {
  strikes_.push_back({what, Clock::now()});
  ASSERT_NO_FATAL_FAILURE(strike());
  ASSERT_TRUE(Grows()) << what;
}

void Availability::Judge() {
  const auto end = Clock::now();
  load_->Stop();
  JudgeRouter();
  ASSERT_TRUE(fault::Drained(*lab_));
  auto acks = load_->ledger().acks;
  ASSERT_FALSE(acks.empty());
  std::cout << static_cast<int>(load_->per_second()) << " observations/s offered\n";
  PrintAcks("all along", acks);
  for (std::size_t i = 0; i < strikes_.size(); ++i) {
    const auto until = i + 1 < strikes_.size() ? strikes_[i + 1].at : end;
    const auto silence = LongestSilence(acks, strikes_[i].at, until);
    std::cout << strikes_[i].what << ": nothing acknowledged for "
              << std::chrono::duration_cast<std::chrono::milliseconds>(silence).count() << " ms\n";
    EXPECT_LE(silence, kNothingTaken) << strikes_[i].what;
  }
  ASSERT_NO_FATAL_FAILURE(PrintSizes());
  std::cout << std::flush;
  for (std::size_t i = 0; i < kReplicas; ++i) {
    const std::uint64_t size = lab_->GetChain(Leader())->size();
    ASSERT_TRUE(WaitUntil(kPatience, [&] {
      const auto chain = lab_->GetChain(i);
      return chain.ok() && chain->size() >= size && chain->frozen().empty();
    })) << Logs();
  }
  fault::ExpectNothingLost(*lab_, *load_, Leader());
  const auto one = lab_->Entries(0), two = lab_->Entries(1), three = lab_->Entries(2);
  ASSERT_TRUE(one.ok() && two.ok() && three.ok());
  const std::size_t common = std::min({one->size(), two->size(), three->size()});
  for (std::size_t i = 0; i < common; ++i) ASSERT_TRUE((*one)[i] == (*two)[i] && (*two)[i] == (*three)[i]) << i;
}

void Availability::JudgeRouter() {
  router_.Stop();
  std::cout << router_.looks() << " looks at the router's table, " << router_.fewer() << " found less than all\n";
  EXPECT_GT(router_.looks(), 10);
  EXPECT_EQ(router_.fewer(), 0);
  EXPECT_EQ(router_.log().find("Corrupt"), std::string::npos) << "the router was told that what came was corrupt";
}

void Availability::PrintSizes() {
  const auto owner = store::PostgresConnection::Open({.url = url_});
  ASSERT_OK(owner);
  const auto sizes = (*owner)->Query(
      "SELECT (SELECT size FROM onode.chain_head), sum(pg_table_size(inhrelid)), sum(pg_indexes_size(inhrelid)),"
      " (SELECT avg(octet_length(bytes))::int FROM onode.entry) FROM pg_inherits"
      " WHERE inhparent = 'onode.entry'::regclass");
  ASSERT_OK(sizes);
  const auto each = [&](int column) { return sizes->Int(0, column) / std::max<std::int64_t>(1, sizes->Int(0, 0)); };
  std::cout << fmt::format("{} bytes of table and {} of indexes an entry of {} bytes\n", each(1), each(2),
                           sizes->Int(0, 3));
}

std::string Availability::SerialAt(const std::string& address) {
  const service::TlsFiles files = lab_->pki().Files(Role::kReader);
  const testutil::TlsClient client(
      testutil::ConnectTo(std::stoi(address.substr(address.rfind(':') + 1))),
      {.roots = files.roots, .certificate = files.certificate, .private_key = files.private_key, .alpn = "h2"});
  return client.ok() ? client.ServerSerial() : "";
}

}  // namespace virp::twins
