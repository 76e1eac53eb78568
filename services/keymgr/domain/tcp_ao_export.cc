#include "services/keymgr/domain/tcp_ao_export.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <iterator>
#include <string>
#include <utility>

#include "lib/base/status.h"
#include "lib/frame/payload.h"

namespace virp::keymgr {
namespace {

constexpr unsigned kJunosKeys = 64;  // of a chain, numbered from 0
constexpr std::string_view kNotShown = "(not shown)";

// Text with places where master keys come in: no copy of a key is made but the one in the result.
class Text {
 public:
  template <typename... Args>
  void Add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Args>(args)...);
  }
  void AddSecret(const crypto::Secret* octets) {
    if (octets == nullptr) {
      text_ += kNotShown;
      return;
    }
    holes_.emplace_back(text_.size(), octets);
  }

  crypto::Secret Build() const {
    std::size_t size = text_.size();
    for (const auto& [at, octets] : holes_) size += 2 * octets->size();
    crypto::Secret out(size);
    char* to = out.data();
    std::size_t done = 0;
    const auto copy = [&](std::string_view part) { to += part.copy(to, part.size()); };
    for (const auto& [at, octets] : holes_) {
      copy(std::string_view(text_).substr(done, at - done));
      copy(MasterKeyText(*octets).view());
      done = at;
    }
    copy(std::string_view(text_).substr(done));
    return out;
  }

 private:
  std::string text_;
  std::vector<std::pair<std::size_t, const crypto::Secret*>> holes_;
};

// UTC; `format` is one of fmt's for std::tm.
std::string TimeText(std::string_view format, UnixNanos time) {
  return fmt::format(fmt::runtime(format), fmt::gmtime(static_cast<std::time_t>(time / kSecond)));
}

bool IsSha1(const TcpAoExport& what) {
  return what.pair.algorithm == TcpAoAlgorithm::kHmacSha1_96;
}

std::string PeerOf(const TcpAoExport& what) {
  return what.pair.side(Other(what.end)).address.ToString();
}

void AddBird(const TcpAoExport& what, Text& text) {
  text.Add("# {} at {}: within the protocol bgp whose neighbor is {}\n", what.pair.id, what.pair.side(what.end).device,
           PeerOf(what));
  text.Add("authentication ao;\nkeys {{\n");
  for (const TcpAoExportKey& key : what.keys) {
    text.Add("  key {{\n    send id {};\n    recv id {};\n    secret \"", key.tuple.ids.SendId(what.end),
             key.tuple.ids.RecvId(what.end));
    text.AddSecret(key.octets);
    text.Add("\";\n    algorithm {};\n", IsSha1(what) ? "hmac sha1" : "cmac aes128");
    if (key.tuple.version == what.preferred) text.Add("    preferred;\n");
    text.Add("  }};\n");
  }
  text.Add("}};\n");
}

void AddJunos(const TcpAoExport& what, Text& text) {
  const std::string chain = "security authentication-key-chains key-chain " + ChainName(what.pair);
  text.Add("# {} at {}: of one commit; then, of the neighbor {}:\n", what.pair.id, what.pair.side(what.end).device,
           PeerOf(what));
  text.Add("#   authentication-algorithm ao; authentication-key-chain {};\n", ChainName(what.pair));
  text.Add("delete {}\n", chain);
  for (const TcpAoExportKey& key : what.keys) {
    const std::string set = fmt::format("set {} key {}", chain, key.tuple.version % kJunosKeys);
    text.Add("{} secret \"", set);
    text.AddSecret(key.octets);
    text.Add("\"\n{} start-time \"{}\"\n", set, TimeText("{:%Y-%m-%d.%H:%M:%S} +0000", key.send_from));
    text.Add("{} algorithm ao\n", set);
    text.Add("{} ao-attribute send-id {}\n", set, key.tuple.ids.SendId(what.end));
    text.Add("{} ao-attribute recv-id {}\n", set, key.tuple.ids.RecvId(what.end));
    text.Add("{} ao-attribute tcp-ao-option {}\n", set, what.pair.covers_options ? "enabled" : "disabled");
    text.Add("{} ao-attribute cryptographic-algorithm {}\n", set, IsSha1(what) ? "hmac-sha-1-96" : "aes-128-cmac-96");
  }
}

void AddIosXe(const TcpAoExport& what, Text& text) {
  const auto time = [](UnixNanos at) { return TimeText("{:%H:%M:%S %b %d %Y}", at); };
  const std::string_view covers = what.pair.covers_options ? " include-tcp-options" : "";
  text.Add("! {} at {}: times are UTC; then, in router bgp:\n", what.pair.id, what.pair.side(what.end).device);
  text.Add("!   neighbor {} ao {}{}\n", PeerOf(what), ChainName(what.pair), covers);
  text.Add("key chain {} tcp\n", ChainName(what.pair));
  for (const TcpAoTuple& key : what.removed) text.Add(" no key {}\n", key.version);
  for (const TcpAoExportKey& key : what.keys) {
    text.Add(" key {}\n  send-id {}\n  recv-id {}\n", key.tuple.version, key.tuple.ids.SendId(what.end),
             key.tuple.ids.RecvId(what.end));
    if (what.pair.covers_options) text.Add("  include-tcp-options\n");
    text.Add("  cryptographic-algorithm {}\n  key-string 0 ", IsSha1(what) ? "hmac-sha-1" : "aes-128-cmac");
    text.AddSecret(key.octets);
    text.Add("\n  accept-lifetime {} infinite\n", time(key.accept_from));
    text.Add("  send-lifetime {} {}\n", time(key.send_from), key.send_until ? time(*key.send_until) : "infinite");
  }
}

void AddLifetime(Text& text, std::string_view name, UnixNanos from, std::optional<UnixNanos> until) {
  const auto time = [](UnixNanos at) { return TimeText("{:%Y-%m-%dT%H:%M:%S}Z", at); };
  text.Add("\"{}\":{{\"start-date-time\":\"{}\",", name, time(from));
  if (until.has_value()) {
    text.Add("\"end-date-time\":\"{}\"}}", time(*until));
  } else {
    text.Add("\"no-end-time\":[null]}}");
  }
}

std::string Quoted(std::string_view text) {
  frame::JsonWriter json;
  return json.String(text).Take();
}

// The model has no place for the identifiers of TCP-AO; the description has them.
void AddRfc8177(const TcpAoExport& what, Text& text) {
  std::string description =
      fmt::format("TCP-AO {} at {}, neighbor {}, TCP options {}covered", what.pair.id, what.pair.side(what.end).device,
                  PeerOf(what), what.pair.covers_options ? "" : "not ");
  for (const TcpAoExportKey& key : what.keys) {
    description += fmt::format("; key {}: SendID {}, RecvID {}", key.tuple.version, key.tuple.ids.SendId(what.end),
                               key.tuple.ids.RecvId(what.end));
  }
  text.Add("{{\"ietf-key-chain:key-chains\":{{\"key-chain\":[{{\"name\":{},\"description\":{},\"key\":[",
           Quoted(ChainName(what.pair)), Quoted(description));
  for (std::size_t i = 0; i < what.keys.size(); ++i) {
    const TcpAoExportKey& key = what.keys[i];
    text.Add("{}{{\"key-id\":\"{}\",\"lifetime\":{{", i == 0 ? "" : ",", key.tuple.version);
    AddLifetime(text, "send-lifetime", key.send_from, key.send_until);
    text.Add(",");
    AddLifetime(text, "accept-lifetime", key.accept_from, std::nullopt);
    text.Add("}},\"crypto-algorithm\":\"ietf-key-chain:{}\"", IsSha1(what) ? "hmac-sha-1-12" : "aes-cmac-prf-128");
    if (key.octets != nullptr) {
      text.Add(",\"key-string\":{{\"keystring\":\"");
      text.AddSecret(key.octets);
      text.Add("\"}}");
    }
    text.Add("}}");
  }
  text.Add("]}}]}}}}\n");
}

}  // namespace

crypto::Secret MasterKeyText(const crypto::Secret& octets) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  crypto::Secret text(2 * octets.size());
  char* to = text.data();
  for (const char octet : octets.view()) {
    const auto value = static_cast<unsigned char>(octet);
    *to++ = kDigits[value >> 4];
    *to++ = kDigits[value & 15];
  }
  return text;
}

std::string ChainName(const TcpAoPair& pair) {
  std::string name = pair.id;
  std::ranges::replace(name, '/', '_');
  return name;
}

absl::StatusOr<crypto::Secret> Export(TcpAoFormat format, const TcpAoExport& what) {
  Text text;
  switch (format) {
    case TcpAoFormat::kBird:
      if (!what.pair.covers_options)
        return InvalidArgument("pair {}: BIRD always covers TCP options, and the pair does not", what.pair.id);
      AddBird(what, text);
      break;
    case TcpAoFormat::kJunos:
      AddJunos(what, text);
      break;
    case TcpAoFormat::kIosXe:
      AddIosXe(what, text);
      break;
    case TcpAoFormat::kRfc8177:
      AddRfc8177(what, text);
      break;
  }
  return text.Build();
}

}  // namespace virp::keymgr
