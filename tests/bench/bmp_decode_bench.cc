// What decoding costs: Route Monitoring messages through SessionDecoder, fed in pieces of 64 KiB as a socket gives
// them.
#include <benchmark/benchmark.h>

#include "lib/bmp/bmp_testing.h"

namespace virp::bmp {
namespace {

using testing::AttributeBytes;
using testing::BasicAttributes;
using testing::Cat;
using testing::MpReachBytes;
using testing::PeerBytes;
using testing::U32;
using testing::UpdateBody;

constexpr std::size_t kPiece = std::size_t{64} * 1024;
constexpr std::uint32_t kMessages = 100'000;

// Takes what a collector takes and drops it.
class Sink : public SessionVisitor {
 public:
  std::size_t routes = 0;
  bool with_text = false;
  std::string text;

  void OnInitiation(const Initiation&) override {}
  void OnTermination(const Termination&) override {}
  void OnPeerUp(const PeerUp&) override {}
  void OnPeerDown(const PeerDown&) override {}
  void OnRoutes(const PeerHeader&, Rib, const Update& update) override {
    routes += update.withdrawn.size() + update.announced.size();
    if (!with_text) return;
    for (const auto& a : update.announced) {
      text.clear();
      a.route.prefix.AppendTo(text);
      a.next_hop.AppendTo(text);
      update.attributes.as_path.AppendTo(text);
      update.attributes.VisitCommunities([&](std::string_view community) { text += community; });
      benchmark::DoNotOptimize(text.data());
    }
  }
  void OnEndOfRib(const PeerHeader&, Rib, AfiSafi) override {}
  void OnStatistics(const StatisticsReport&) override {}
  void OnMirroring(const RouteMirroring&) override {}
  void OnSkipped(const Skipped&) override { ++skipped; }
  std::size_t skipped = 0;
};

void Run(benchmark::State& state, const std::string& stream, std::size_t messages, bool with_text = false) {
  Sink sink;
  sink.with_text = with_text;
  SessionDecoder decoder(sink);
  for (auto _ : state) {
    for (std::size_t at = 0; at < stream.size(); at += kPiece) {
      if (!decoder.Feed(std::string_view(stream).substr(at, kPiece)).ok()) state.SkipWithError("the stream is broken");
    }
  }
  if (sink.skipped != 0) state.SkipWithError("messages were skipped");
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(messages));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(stream.size()));
  state.counters["routes/s"] = benchmark::Counter(static_cast<double>(sink.routes), benchmark::Counter::kIsRate);
}

// Attributes as a transit route has them: five ASes, MED, six communities, two large ones.
std::string TypicalAttributes(std::uint32_t i) {
  std::string communities;
  for (std::uint32_t c = 0; c < 6; ++c) communities += U32(0xfbf50000 + (i % 50) * 10 + c);
  std::string large;
  for (std::uint32_t c = 0; c < 2; ++c) large += Cat(U32(64501), U32(i % 7), U32(c));
  return Cat(BasicAttributes("192.0.2.2", {64501, 64502 + i % 5, 65550, 4200000000u, 64510 + i % 100}),
             AttributeBytes(0x80, 4, U32(i % 100)), AttributeBytes(0xc0, 8, communities),
             AttributeBytes(0xc0, 32, large));
}

// A prefix of /24 as NLRI, a different one for each i.
std::string V4(std::uint32_t i) {
  return Cat(testing::U8(24), U32((1u << 30) + (i << 8)).substr(0, 3));
}
std::string V6(std::uint32_t i) {
  return Cat(testing::U8(48), HexDecode("20010db8").value(), testing::U16(i & 0xffff));
}

void OneIpv4RouteEach(benchmark::State& state) {
  std::string stream;
  for (std::uint32_t i = 0; i < kMessages; ++i) {
    stream += testing::RouteMonitoringBytes({}, UpdateBody("", TypicalAttributes(i), V4(i)));
  }
  Run(state, stream, kMessages, state.range(0) != 0);
}
BENCHMARK(OneIpv4RouteEach)->Arg(0)->Arg(1)->ArgName("text")->Unit(benchmark::kMillisecond);

void OneIpv6RouteEach(benchmark::State& state) {
  std::string stream;
  const std::string next_hop(IpAddress::Parse("2001:db8::2")->bytes());
  for (std::uint32_t i = 0; i < kMessages; ++i) {
    stream += testing::RouteMonitoringBytes(
        {.address = "2001:db8::2"}, UpdateBody("", Cat(MpReachBytes(2, 1, next_hop, V6(i)), TypicalAttributes(i)), ""));
  }
  Run(state, stream, kMessages);
}
BENCHMARK(OneIpv6RouteEach)->Unit(benchmark::kMillisecond);

void OneWithdrawalEach(benchmark::State& state) {
  std::string stream;
  for (std::uint32_t i = 0; i < kMessages; ++i) stream += testing::RouteMonitoringBytes({}, UpdateBody(V4(i), "", ""));
  Run(state, stream, kMessages);
}
BENCHMARK(OneWithdrawalEach)->Unit(benchmark::kMillisecond);

void HundredRoutesEach(benchmark::State& state) {
  std::string stream;
  for (std::uint32_t i = 0; i < kMessages / 100; ++i) {
    std::string nlri;
    for (std::uint32_t k = 0; k < 100; ++k) nlri += V4(i * 100 + k);
    stream += testing::RouteMonitoringBytes({}, UpdateBody("", TypicalAttributes(i), nlri));
  }
  Run(state, stream, kMessages / 100);
}
BENCHMARK(HundredRoutesEach)->Unit(benchmark::kMillisecond);

void RecordedFrr(benchmark::State& state) {
  const std::string recording = testing::ReadTestFile("frr-10.3-adjribin-locrib.bin");
  const std::size_t messages = testing::SplitWhole(recording).size();
  std::string stream;
  for (int i = 0; i < 100; ++i) stream += recording;
  Run(state, stream, messages * 100);
}
BENCHMARK(RecordedFrr)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace virp::bmp
