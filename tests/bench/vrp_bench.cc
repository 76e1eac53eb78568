// Sets of 600,000 VRPs (60 % IPv4): read from JSON, built, hashed, merged, filtered, compared, asked. CPU time of one
// core.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "lib/vrp/export.h"
#include "lib/vrp/json.h"
#include "lib/vrp/set.h"
#include "lib/vrp/slurm.h"
#include "lib/vrp/validate.h"

namespace virp::vrp {
namespace {

constexpr std::size_t kVrps4 = 360'000;
constexpr std::size_t kVrps6 = 240'000;

// Lengths and addresses as in the public table: mostly /24 and /48 in crowded blocks.
Vrp4 Random4(std::mt19937_64& random) {
  static constexpr std::uint8_t kLengths[] = {16, 19, 20, 21, 22, 22, 23, 24, 24, 24, 24, 24};
  Vrp4 v;
  v.length = kLengths[random() % std::size(kLengths)];
  v.max_length = static_cast<std::uint8_t>(random() % 3 == 0 ? 24 : v.length);
  v.address = static_cast<std::uint32_t>(random() % 223) << 24 | (static_cast<std::uint32_t>(random()) & 0xffffff);
  v.as = static_cast<std::uint32_t>(random() % 70'000) + 1;
  v.expires = 1'900'000'000;
  if (v.max_length < v.length) v.max_length = v.length;
  return v;
}
Vrp6 Random6(std::mt19937_64& random) {
  static constexpr std::uint8_t kLengths[] = {32, 32, 36, 40, 44, 48, 48, 48, 48};
  Vrp6 v;
  v.length = kLengths[random() % std::size(kLengths)];
  v.max_length = random() % 3 == 0 ? 48 : v.length;
  static constexpr std::uint64_t kBlocks[] = {0x2001, 0x2400, 0x2404, 0x2405, 0x2600, 0x2602,
                                              0x2604, 0x2800, 0x2a00, 0x2a02, 0x2a06, 0x2a0e};
  v.high = kBlocks[random() % std::size(kBlocks)] << 48 | (random() & 0xffffffffffff);
  v.as = static_cast<std::uint32_t>(random() % 70'000) + 1;
  v.expires = 1'900'000'000;
  return v;
}

Payloads MakeSet(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Builder builder;
  for (std::size_t i = 0; i < kVrps4; ++i) (void)builder.Add(Random4(random));
  for (std::size_t i = 0; i < kVrps6; ++i) (void)builder.Add(Random6(random));
  for (std::uint32_t i = 1; i <= 1'000; ++i) (void)builder.Add(Aspa{i, 0, {i + 1, i + 2}});
  return std::move(builder).Build().payloads;
}

const Payloads& Set() {
  static const Payloads set = MakeSet(1);
  return set;
}

// The same with 1 % of the VRPs changed.
const Payloads& Churned() {
  static const Payloads set = [] {
    std::mt19937_64 random(2);
    Builder builder;
    for (const Vrp4& v : Set().vrps4) (void)builder.Add(random() % 200 == 0 ? Random4(random) : v);
    for (const Vrp6& v : Set().vrps6) (void)builder.Add(random() % 200 == 0 ? Random6(random) : v);
    return std::move(builder).Build().payloads;
  }();
  return set;
}

// As rpki-client writes it.
const std::string& Json() {
  static const std::string text = [] {
    std::string out = "{\n\t\"metadata\": {\n\t\t\"buildtime\": \"2026-07-01T12:00:00Z\"\n\t},\n\n\t\"roas\": [\n";
    const auto add = [&out](const auto& vrps) {
      for (auto v = vrps.rbegin(); v != vrps.rend(); ++v) {
        out += fmt::format(
            "\t\t{{ \"asn\": {}, \"prefix\": \"{}\", \"maxLength\": {}, \"ta\": \"apnic\", \"expires\": {} }},\n",
            v->as, PrefixOf(*v).ToString(), v->max_length, v->expires);
      }
    };
    add(Set().vrps4);
    add(Set().vrps6);
    out.resize(out.size() - 2);
    return out + "\n\t]\n}\n";
  }();
  return text;
}

void Size(benchmark::State& state, const Payloads& set) {
  state.counters["vrps"] = static_cast<double>(set.vrps4.size() + set.vrps6.size());
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  state.counters["peak_MB"] = static_cast<double>(usage.ru_maxrss) / 1024;
}

void DecodeExport(benchmark::State& state) {
  const std::string& text = Json();
  for (auto _ : state) benchmark::DoNotOptimize(DecodeJson(text, {.now = 1'800'000'000}));
  state.counters["MB"] = static_cast<double>(text.size()) / 1e6;
  Size(state, Set());
}
BENCHMARK(DecodeExport)->Unit(benchmark::kMillisecond);

enum Arrangement { kRising, kFalling, kShuffled };

void Build(benchmark::State& state) {
  std::vector<Vrp4> v4 = Set().vrps4;
  std::vector<Vrp6> v6 = Set().vrps6;
  if (state.range(0) == kRising) {
    std::reverse(v4.begin(), v4.end());
    std::reverse(v6.begin(), v6.end());
  } else if (state.range(0) == kShuffled) {
    std::shuffle(v4.begin(), v4.end(), std::mt19937_64(3));
    std::shuffle(v6.begin(), v6.end(), std::mt19937_64(3));
  }
  for (auto _ : state) {
    Builder builder;
    for (const Vrp4& v : v4) (void)builder.Add(v);
    for (const Vrp6& v : v6) (void)builder.Add(v);
    benchmark::DoNotOptimize(std::move(builder).Build());
  }
}
BENCHMARK(Build)->Arg(kRising)->Arg(kFalling)->Arg(kShuffled)->Unit(benchmark::kMillisecond);

void HashSet(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(HashOf(Set()));
}
BENCHMARK(HashSet)->Unit(benchmark::kMillisecond);

void UniteTwo(benchmark::State& state) {
  const std::vector<const Payloads*> sets = {&Set(), &Churned()};
  for (auto _ : state) benchmark::DoNotOptimize(Union(sets));
}
BENCHMARK(UniteTwo)->Unit(benchmark::kMillisecond);

void QuorumTwoOfThree(benchmark::State& state) {
  const std::vector<const Payloads*> sets = {&Set(), &Churned(), &Set()};
  for (auto _ : state) benchmark::DoNotOptimize(AtLeast(2, sets));
}
BENCHMARK(QuorumTwoOfThree)->Unit(benchmark::kMillisecond);

void DropExpired(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(WithoutExpired(Set(), 1'800'000'000));
}
BENCHMARK(DropExpired)->Unit(benchmark::kMillisecond);

void ApplySlurm(benchmark::State& state) {
  std::mt19937_64 random(4);
  Slurm slurm;
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    PrefixFilter filter;
    filter.prefix = i % 2 == 0 ? PrefixOf(Random4(random)) : PrefixOf(Random6(random));
    if (i % 3 == 0) filter.as = static_cast<std::uint32_t>(random() % 70'000);
    slurm.prefix_filters.push_back(filter);
  }
  Builder builder;
  for (int i = 0; i < 1'000; ++i) (void)builder.Add(Random4(random));
  slurm.assertions = std::move(builder).Build().payloads;
  for (auto _ : state) benchmark::DoNotOptimize(Apply(slurm, Set()));
}
BENCHMARK(ApplySlurm)->Arg(10)->Arg(10'000)->Unit(benchmark::kMillisecond);

void Export(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(WriteJson(Set(), {}));
}
BENCHMARK(Export)->Unit(benchmark::kMillisecond);

void IndexRoutes(benchmark::State& state) {
  const auto set = std::make_shared<const Payloads>(Set());
  for (auto _ : state) benchmark::DoNotOptimize(RouteValidator(set));
}
BENCHMARK(IndexRoutes)->Unit(benchmark::kMillisecond);

// Half of the routes are those of VRPs, half are anywhere.
void ValidateRoute(benchmark::State& state) {
  const auto set = std::make_shared<const Payloads>(Set());
  const RouteValidator validator(set);
  std::mt19937_64 random(5);
  std::vector<std::pair<Prefix, std::uint32_t>> routes;
  for (int i = 0; i < 1 << 16; ++i) {
    const auto& v4 = i % 4 < 2 ? set->vrps4[random() % set->vrps4.size()] : Random4(random);
    const auto& v6 = i % 4 < 2 ? set->vrps6[random() % set->vrps6.size()] : Random6(random);
    routes.push_back(random() % 5 < 3 ? std::pair(PrefixOf(v4), v4.as) : std::pair(PrefixOf(v6), v6.as));
  }
  std::size_t next = 0;
  std::size_t valid = 0;
  for (auto _ : state) {
    const auto& [route, origin] = routes[next++ & 0xffff];
    valid += validator.Check(route, origin).state == RouteState::kValid ? 1U : 0U;
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(next));
  state.counters["valid_%"] = 100.0 * static_cast<double>(valid) / static_cast<double>(next);
}
BENCHMARK(ValidateRoute);

}  // namespace
}  // namespace virp::vrp
