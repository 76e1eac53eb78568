// Key chains as routers' configuration, from names and numbers that operators and peers chose: whatever these are, the
// text has the lines it should have, the JSON is JSON, and no secret stands in it that was left out. Input: numbers,
// then the id, a device, another device, an agent and an address each up to a NUL.
#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "services/keymgr/domain/key.h"
#include "services/keymgr/domain/tcp_ao_export.h"
#include "tests/fuzz/require.h"

using namespace virp;          // NOLINT(google-build-using-namespace): a fuzz target is one function
using namespace virp::keymgr;  // NOLINT(google-build-using-namespace)

namespace {

class Input {
 public:
  explicit Input(std::string_view bytes) : rest_(bytes) {}
  std::uint8_t Byte() {
    if (rest_.empty()) return 0;
    const auto value = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }
  std::string Text() {
    const std::size_t end = std::min(rest_.find('\0'), rest_.size());
    std::string out(rest_.substr(0, end));
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
    return out;
  }

 private:
  std::string_view rest_;
};

void Check(TcpAoFormat format, const TcpAoExport& what, bool with_secrets, std::string_view secret) {
  const auto made = Export(format, what);
  if (!made.ok()) {
    REQUIRE(format == TcpAoFormat::kBird && !what.pair.covers_options);
    return;
  }
  const std::string text(made->view());
  REQUIRE(with_secrets == (text.find(secret) != std::string::npos) || what.keys.empty());
  for (const char c : text) REQUIRE(c == '\n' || (c >= ' ' && c < 0x7f));
  if (format != TcpAoFormat::kRfc8177) return;
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  REQUIRE(json.is_object());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input({reinterpret_cast<const char*>(data), size});
  TcpAoExport what;
  const std::uint8_t flags = input.Byte();
  what.end = (flags & 1) != 0 ? TcpAoEnd::kB : TcpAoEnd::kA;
  what.pair.algorithm = (flags & 2) != 0 ? TcpAoAlgorithm::kAes128Cmac96 : TcpAoAlgorithm::kHmacSha1_96;
  what.pair.covers_options = (flags & 4) == 0;
  const bool with_secrets = (flags & 8) != 0;
  const crypto::Secret secret(std::string_view("0123456789abcdef0123456789ABCDEF"));
  const crypto::Secret text = MasterKeyText(secret);
  for (std::uint8_t left = input.Byte() % 4; left > 0; --left) {
    TcpAoExportKey& key = what.keys.emplace_back();
    key.tuple = {static_cast<std::uint32_t>(1 + input.Byte()), {input.Byte(), input.Byte()}};
    key.accept_from = UnixNanos{input.Byte()} * 8'640'000 * kSecond;
    key.send_from = UnixNanos{input.Byte()} * 8'640'000 * kSecond;
    if (const std::uint8_t until = input.Byte(); until != 0) key.send_until = UnixNanos{until} * 8'640'000 * kSecond;
    if (with_secrets) key.octets = &secret;
  }
  what.preferred = what.keys.empty() ? 0 : what.keys.front().tuple.version;
  for (std::uint8_t left = input.Byte() % 3; left > 0; --left)
    what.removed.push_back({static_cast<std::uint32_t>(1 + input.Byte()), {input.Byte(), input.Byte()}});
  what.pair.id = input.Text();
  for (TcpAoSide& side : what.pair.sides) {
    side.device = input.Text();
    side.agent = input.Text();
    const auto address = IpAddress::Parse(input.Text());
    if (!address.ok()) return 0;
    side.address = *address;
  }
  // libFuzzer learns the secret from comparisons and writes it into names, which exports do show.
  for (const std::string* const name : {&what.pair.id, &what.pair.sides[0].device, &what.pair.sides[0].agent,
                                        &what.pair.sides[1].device, &what.pair.sides[1].agent}) {
    if (name->find(text.view()) != std::string::npos) return 0;
  }
  // What the manager takes in, it can export.
  if (!CheckKeyId(what.pair.id).ok() || !CheckPair(what.pair).ok()) return 0;
  for (const TcpAoFormat format : {TcpAoFormat::kBird, TcpAoFormat::kJunos, TcpAoFormat::kIosXe, TcpAoFormat::kRfc8177})
    Check(format, what, with_secrets, text.view());
  return 0;
}
