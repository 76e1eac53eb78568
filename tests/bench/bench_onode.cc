#include "tests/bench/bench_onode.h"

#include <fmt/format.h>

#include "lib/base/status.h"

namespace virp::bench {

BenchONode::BenchONode(const std::string& url, int sources) {
  for (int i = 0; i < sources; ++i) {
    site_.AddKey(SourceName(i), frame::Suite::kHmacSha256);
    source_keys_.push_back(site_.keys().Find(SourceName(i), 1));
  }
  testutil::OnodeLabOptions options{.store_url = url};
  options.chain.instance = "bench";
  onode_ = std::make_unique<testutil::OnodeLab>(site_, std::move(options));
  if (!onode_->AwaitLeading()) Must(Internal("the O-Node does not lead"));
  for (int i = 0; i < sources; ++i) {
    onode_->Register({.name = SourceName(i),
                      .types = {1, 2, 3, 4, 22, 24},
                      .router = SourceName(i),
                      .bgp_id = fmt::format("192.0.2.{}", i + 1)});
  }
}

}  // namespace virp::bench
