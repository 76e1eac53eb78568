// A whole BMP connection. First byte: how NLRI is read (two bits) and how large the pieces are in which the rest, the
// stream, is fed a second time. Both feeds must say the same.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "lib/base/utf8.h"
#include "lib/bmp/bmp_testing.h"
#include "tests/fuzz/require.h"

namespace virp::bmp {
namespace {

class CheckingLog : public testing::EventLog {
 public:
  void OnInitiation(const Initiation& m) override {
    REQUIRE(IsUtf8(m.sys_name) && IsUtf8(m.sys_descr));
    EventLog::OnInitiation(m);
  }
  void OnPeerUp(const PeerUp& m) override {
    REQUIRE(IsUtf8(m.table_name) && m.sent.capabilities.size() <= 65535);
    EventLog::OnPeerUp(m);
  }
  void OnPeerDown(const PeerDown& m) override {
    if (m.notification) REQUIRE(IsUtf8(m.notification->shutdown_message));
    EventLog::OnPeerDown(m);
  }
  void OnRoutes(const PeerHeader& peer, Rib rib, const Update& update) override {
    REQUIRE(!update.withdrawn.empty() || !update.announced.empty());
    REQUIRE(peer.rib() == rib);
    EventLog::OnRoutes(peer, rib, update);
  }
};

}  // namespace
}  // namespace virp::bmp

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace virp::bmp;
  if (size == 0) return 0;
  SessionOptions options;
  options.max_peers = 4;
  options.path_ids = static_cast<PathIdPolicy>((data[0] & 3) % 3);
  const std::size_t step = 1 + (data[0] >> 2);
  const std::string_view stream(reinterpret_cast<const char*>(data + 1), size - 1);

  CheckingLog whole;
  SessionDecoder at_once(whole, options);
  const auto status = at_once.Feed(stream);

  CheckingLog pieces;
  SessionDecoder piecewise(pieces, options);
  absl::Status last;
  for (std::size_t at = 0; at < stream.size() && last.ok(); at += step) {
    const std::string piece(stream.substr(at, step));  // freed before the next one
    last = piecewise.Feed(piece);
  }
  REQUIRE(last == status);
  REQUIRE(pieces.lines == whole.lines);
  REQUIRE(at_once.peers() <= options.max_peers);
  return 0;
}
