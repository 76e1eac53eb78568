// What the RTR library costs at the size of today's RPKI: 600,000 VRPs, 60 % of them IPv4, and 1 % of churn (half of it
// withdrawn, half announced). The limits of the bridge, of which these are parts: refresh to Notify 250 ms of CPU, from
// a delta 20 ms, a full table 6 ms (docs/performance.md).
#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>

#include "lib/rtr/client_session.h"
#include "lib/rtr/delta.h"
#include "lib/rtr/history.h"
#include "lib/rtr/image.h"
#include "lib/rtr/server_session.h"

namespace virp::rtr {
namespace {

constexpr std::size_t kRecords = 600'000;

template <typename T>
void SortUnique(std::vector<T>& set) {
  std::sort(set.begin(), set.end(), [](const T& a, const T& b) { return vrp::Order(a, b) < 0; });
  set.erase(std::unique(set.begin(), set.end(), [](const T& a, const T& b) { return vrp::Order(a, b) == 0; }),
            set.end());
}

vrp::Vrp4 RandomVrp4(std::mt19937& random) {
  const auto length = static_cast<std::uint8_t>(16 + random() % 9);
  return {.address = static_cast<std::uint32_t>(random()) >> (32 - length) << (32 - length),
          .as = static_cast<std::uint32_t>(random() % 80'000),
          .expires = 0,
          .length = length,
          .max_length = length};
}
vrp::Vrp6 RandomVrp6(std::mt19937& random) {
  const auto length = static_cast<std::uint8_t>(32 + random() % 17);
  const std::uint64_t high = (std::uint64_t{0x2000} << 48) | (std::uint64_t{random()} << 29);
  return {.high = high >> (64 - length) << (64 - length),
          .low = 0,
          .as = static_cast<std::uint32_t>(random() % 80'000),
          .expires = 0,
          .length = length,
          .max_length = length};
}

struct World {
  std::vector<std::shared_ptr<const vrp::Payloads>> generations;
  std::vector<Delta> deltas;  // between them
};

// Six generations.
const World& TheWorld() {
  static const World world = [] {
    std::mt19937 random(1);
    World out;
    vrp::Payloads now;
    for (std::size_t i = 0; i < kRecords * 6 / 10; ++i) now.vrps4.push_back(RandomVrp4(random));
    for (std::size_t i = 0; i < kRecords * 4 / 10; ++i) now.vrps6.push_back(RandomVrp6(random));
    for (int generation = 0; generation < 6; ++generation) {
      SortUnique(now.vrps4);
      SortUnique(now.vrps6);
      out.generations.push_back(std::make_shared<const vrp::Payloads>(now));
      std::erase_if(now.vrps4, [&](const auto&) { return random() % 200 == 0; });
      std::erase_if(now.vrps6, [&](const auto&) { return random() % 200 == 0; });
      for (std::size_t i = 0; i < kRecords * 6 / 2000; ++i) now.vrps4.push_back(RandomVrp4(random));
      for (std::size_t i = 0; i < kRecords * 4 / 2000; ++i) now.vrps6.push_back(RandomVrp6(random));
    }
    for (std::size_t i = 1; i < out.generations.size(); ++i) {
      out.deltas.push_back(Diff(*out.generations[i - 1], *out.generations[i]));
    }
    return out;
  }();
  return world;
}

void EncodeFullImage(benchmark::State& state) {
  const vrp::Payloads& payloads = *TheWorld().generations[0];
  for (auto _ : state) benchmark::DoNotOptimize(EncodeImage(payloads, 1));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(EncodeImage(payloads, 1).view().size()));
}
BENCHMARK(EncodeFullImage)->Unit(benchmark::kMillisecond);

void DiffOfOnePercent(benchmark::State& state) {
  const World& world = TheWorld();
  for (auto _ : state) benchmark::DoNotOptimize(Diff(*world.generations[0], *world.generations[1]));
  state.counters["records"] = static_cast<double>(world.deltas[0].size());
}
BENCHMARK(DiffOfOnePercent)->Unit(benchmark::kMillisecond);

void ComposeFiveSteps(benchmark::State& state) {
  const World& world = TheWorld();
  for (auto _ : state) {
    Delta whole = world.deltas.back();
    for (std::size_t i = world.deltas.size() - 1; i > 0; --i) whole = Compose(world.deltas[i - 1], whole);
    benchmark::DoNotOptimize(whole);
  }
}
BENCHMARK(ComposeFiveSteps)->Unit(benchmark::kMillisecond);

void EncodeOnePercent(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(EncodeDelta(TheWorld().deltas[0], 1));
}
BENCHMARK(EncodeOnePercent)->Unit(benchmark::kMillisecond);

void ApplyOnePercent(benchmark::State& state) {
  const World& world = TheWorld();
  for (auto _ : state) benchmark::DoNotOptimize(Apply(world.deltas[0], *world.generations[0]));
}
BENCHMARK(ApplyOnePercent)->Unit(benchmark::kMillisecond);

// Diff, a new snapshot, its image and the answer to who is one behind: what stands between new payloads and routers.
void Refresh(benchmark::State& state) {
  const World& world = TheWorld();
  std::uint16_t id = 0;
  for (auto _ : state) {
    state.PauseTiming();
    History history({}, [&] { return id++; });
    history.Update(world.generations[0], {});
    state.ResumeTiming();
    history.Update(world.generations[1], {});
    benchmark::DoNotOptimize(history.snapshot()->Image(1).view().size());
    benchmark::DoNotOptimize(history.snapshot()->Answer(1, 1)->view().size());
  }
}
BENCHMARK(Refresh)->Unit(benchmark::kMillisecond);

// What one router's full table costs both machines without a transport: the cache hands out references.
void ServeAndReceive(benchmark::State& state, bool receive) {
  History history({}, [id = std::uint16_t{0}]() mutable { return id++; });
  history.Update(TheWorld().generations[0], {});
  history.snapshot()->Image(1);
  const ServerSession::Time now{std::chrono::seconds(1000)};
  std::string query;
  AppendResetQuery(query, 1);
  for (auto _ : state) {
    ServerSession server({}, history.snapshot(), now);
    ClientSession client({.version = 1});
    client.Connected(now);
    server.Feed(query, now);
    std::string_view piece;
    while (server.Peek({&piece, 1}) > 0) {
      piece = piece.substr(0, 256 << 10);
      if (receive) client.Feed(piece, now);
      server.Consume(piece.size(), now);
    }
    if (receive && client.table().size() != TheWorld().generations[0]->size()) state.SkipWithError("not all arrived");
  }
}
void Serve(benchmark::State& state) {
  ServeAndReceive(state, false);
}
BENCHMARK(Serve)->Unit(benchmark::kMicrosecond);
void Receive(benchmark::State& state) {
  ServeAndReceive(state, true);
}
BENCHMARK(Receive)->Unit(benchmark::kMillisecond);

void SaveAndRestore(benchmark::State& state) {
  const World& world = TheWorld();
  const auto ids = [id = std::uint16_t{0}]() mutable { return id++; };
  History history({}, ids);
  for (const auto& payloads : world.generations) history.Update(payloads, {});
  for (auto _ : state) {
    History restored({}, ids);
    if (!restored.Restore(history.Save()).ok()) state.SkipWithError("not restored");
  }
}
BENCHMARK(SaveAndRestore)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace virp::rtr
