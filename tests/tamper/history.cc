#include "tests/tamper/history.h"

#include <algorithm>

#include "lib/base/status.h"
#include "lib/chain/subject.h"
#include "lib/chain/tiles.h"
#include "lib/chain/walk.h"

namespace virp::onode {
namespace {

using testutil::BgpPath;
using testutil::BgpPeer;

constexpr UnixNanos kSecond = testutil::ChainBuilder::kSecond;
constexpr std::uint64_t kSomeBatch = 64;

BgpPeer At(const char* address) {
  BgpPeer peer;
  peer.address = address;
  return peer;
}

}  // namespace

History::History() {
  testutil::ChainBuilder& b = builder;
  b.AddDaemon("edge-a.bgpd");
  registration = b.entries.size() - 1;
  b.AddBmp("edge-a.bmp");
  for (const char* name : {"edge-a.black", "edge-a.stolen", "edge-a.suspended", "edge-a.lossy", "edge-a.other"})
    b.AddDaemon(name);
  b.AddCollector("collector-1");
  const auto beat = [&b] {
    b.Advance(kSecond);
    b.Beat("collector-1", {{.source = "edge-a.bgpd"},
                           {.source = "edge-a.bmp"},
                           {.source = "edge-a.black"},
                           {.source = "edge-a.stolen"},
                           {.source = "edge-a.suspended"},
                           {.source = "edge-a.lossy"},
                           {.source = "edge-a.other"}});
  };

  up = b.PeerUp("edge-a.bgpd", At(kPeerUp));
  b.PeerUp("edge-a.bgpd", At(kPeerLost));
  signed_up = b.PeerUp("edge-a.bmp", At(kPeerSigned));
  b.PeerUp("edge-a.black", At(kPeerOfBlack));
  b.PeerUp("edge-a.stolen", At(kPeerOfStolenKey));
  b.PeerUp("edge-a.suspended", At(kPeerOfSuspended));
  b.PeerUp("edge-a.lossy", At(kPeerWithGap));
  BgpPeer elsewhere = At(kPeerForeign);
  elsewhere.router_id = "192.0.2.99";
  foreign = b.PeerUp("edge-a.other", elsewhere);
  beat();
  early = b.entries.size();
  early_time = b.now;
  BgpPath path;
  for (int i = 0; i < 260;
       ++i) {  // more than one full tile; most of it HMAC, since an Ed25519 check costs a hundred times as much
    const bool filler = i >= 10 && i < 250;
    path.prefix = fmt::format("203.0.{}.0/24", i % 250);
    path.path_id = static_cast<std::uint32_t>(i);
    b.Announce(filler ? "edge-a.bgpd" : "edge-a.bmp", path, At(filler ? kPeerUp : kPeerSigned));
  }
  beat();
  middle = b.entries.size();
  middle_time = b.now;
  b.Advance(kSecond);

  lost = b.PeerLost("edge-a.bgpd", At(kPeerLost));
  b.Withdraw("edge-a.bmp", path, At(kPeerSigned));
  b.RaiseAlarm("edge-a.black", chain::kCauseEquivocation, chain::ChannelState::kBlack);
  black_alarm = b.entries.size() - 1;
  b.Compromise("edge-a.stolen", 1, testutil::ChainBuilder::kStart);
  compromise = b.entries.size() - 1;
  b.Suspend("edge-a.suspended");
  suspension = b.entries.size() - 1;
  b.Lose("edge-a.lossy");
  b.Announce("edge-a.lossy", {}, At(kPeerWithGap));
  beat();
  checkpoints = {100, middle, b.entries.size()};
}

std::vector<EntryRow> RowsOf(const std::vector<std::string>& entries, std::string_view origin) {
  std::vector<EntryRow> rows;
  chain::WalkOptions options;
  options.check_tags = false;
  chain::ChainWalk walk(std::string(origin), options);
  walk.SetObserver([&rows](const chain::Entry& entry, const frame::Frame&, const chain::Statement& statement,
                           const std::optional<frame::Value>&) {
    const chain::EntryHeader& h = entry.header;
    const chain::IndexColumns index{h.source,          h.source_epoch,
                                    h.source_sequence, chain::SubjectUnder(statement, h.result),
                                    h.received_us,     static_cast<std::uint8_t>(h.kind),
                                    h.result};
    rows.push_back({h.sequence, chain::LeafHash(entry.bytes), std::string(entry.bytes), index});
  });
  for (const std::string& entry : entries) walk.Add(entry, nullptr, nullptr);
  EXPECT_FALSE(walk.first_break().has_value()) << walk.first_break()->detail;
  return rows;
}

absl::StatusOr<ChainId> Fill(ChainStore& store, CheckpointVault& vault, const History& history) {
  ASSIGN_OR_RETURN(const ChainId id, store.CreateChain(kTamperOrigin, ""));
  ASSIGN_OR_RETURN(const ChainHead head, store.TakeLease(id, "filler", "", std::chrono::seconds(60)));
  const std::vector<EntryRow> rows = RowsOf(history.builder.entries, kTamperOrigin);
  chain::TileBuilder tree;
  Hash last = chain::GenesisOf(kTamperOrigin);
  std::vector<std::uint64_t> stops = history.checkpoints;
  for (std::uint64_t size = kSomeBatch; size < rows.size(); size += kSomeBatch) stops.push_back(size);
  std::sort(stops.begin(), stops.end());
  stops.erase(std::unique(stops.begin(), stops.end()), stops.end());
  for (const std::uint64_t stop : stops) {
    AppendBatch batch;
    batch.term = head.term;
    batch.old_size = tree.size();
    batch.old_head = last;
    for (std::uint64_t at = tree.size(); at < stop; ++at) {
      batch.rows.push_back(rows[at]);
      for (chain::Tile& tile : tree.Append(rows[at].leaf))
        batch.tiles.push_back({tile.level, tile.index, std::move(tile.hashes)});
    }
    last = batch.rows.back().leaf;
    batch.new_head = last;
    batch.new_frontier = tree.frontier().ToBytes();
    RETURN_IF_ERROR(store.Append(id, batch));
    if (std::find(history.checkpoints.begin(), history.checkpoints.end(), stop) == history.checkpoints.end()) continue;
    RETURN_IF_ERROR(store.PutCheckpointIntent(id, head.term, stop, tree.Root()));
    ASSIGN_OR_RETURN(const std::string note, vault.Sign({kTamperOrigin, stop, tree.Root()}));
    RETURN_IF_ERROR(vault.Keep(note));
    RETURN_IF_ERROR(store.PutCheckpointNote(id, stop, note));
  }
  RETURN_IF_ERROR(store
                      .PutQuarantine(id, {0, history.end(), "spiffe://example.net/collector/collector-1", "edge-a.bgpd",
                                          "BAD_TAG", "xyz"})
                      .status());
  RETURN_IF_ERROR(store.ReleaseLease(id, head.term));
  return id;
}

}  // namespace virp::onode
