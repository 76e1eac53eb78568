// The file that names a collector's sources. Input: its text.
#include <cstdint>
#include <string>
#include <string_view>

#include "lib/base/names.h"
#include "lib/base/status.h"
#include "lib/service/config.h"
#include "services/collector/config.h"
#include "tests/fuzz/require.h"

// In place of lib/service's: a fuzzer is not to open what it likes.
absl::Status virp::service::CheckSecretFile(const std::string& path) {
  return path == "/dev/null" ? absl::OkStatus() : virp::InvalidArgument("{} is not looked at", path);
}

using namespace virp::collector;  // NOLINT(google-build-using-namespace): a fuzz target is one function

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Config config;
  config.name = "collector-1";
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::Status status = ParseSources(text, config);
  if (!status.ok()) {
    REQUIRE(!status.message().empty());
    return 0;
  }
  for (const FrameListenerOptions& listener : config.frames) {
    REQUIRE(virp::CheckSourceName(listener.source).ok() && (listener.clients.empty() || listener.tls));
  }
  for (const ProducerBinding& producer : config.producers) {
    for (const auto type : producer.types) REQUIRE(type >= 1 && type <= 255);
  }
  REQUIRE(config.bmp.bmp.routers.empty() || CheckBmpOptions(config.bmp.bmp).ok());
  return 0;
}
