// For the tests of this folder: tests/data/vectors/rfc8608.json, the examples of RFC 8608 appendix A.
#pragma once

#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/bgpsec/path.h"
#include "lib/crypto/p256.h"

namespace virp::bgpsec {

inline std::string Unhex(const nlohmann::json& hex) {
  return HexDecode(hex.get<std::string>()).value();
}

inline Ski ToSki(std::string_view bytes) {
  Ski ski{};
  bytes.copy(ski.data(), ski.size());
  return ski;
}

inline const nlohmann::json& Rfc8608() {
  static const nlohmann::json* const file = [] {
    std::ifstream in(VIRP_SOURCE_DIR "/tests/data/vectors/rfc8608.json");
    if (!in) throw std::runtime_error("tests/data/vectors/rfc8608.json is missing");
    return new nlohmann::json(nlohmann::json::parse(in));
  }();
  return *file;
}

struct Example {
  explicit Example(const nlohmann::json& update) : json(&update) {
    nlri.afi = LoadBe<std::uint16_t>(Unhex(update.at("afi")).data());
    nlri.safi = LoadBe<std::uint8_t>(Unhex(update.at("safi")).data());
    nlri.prefix = Unhex(update.at("nlri"));
    std::string segments;
    for (const auto& segment : update.at("secure_path")) segments += Unhex(segment);
    AppendBe(attribute, static_cast<std::uint16_t>(segments.size() + 2));
    attribute += segments + Unhex(update.at("signature_block"));
  }
  const nlohmann::json* json;
  Nlri nlri;
  std::string attribute;
};

inline std::vector<Example> Examples() {
  std::vector<Example> examples;
  for (const auto& update : Rfc8608().at("updates")) examples.emplace_back(update);
  return examples;
}

inline std::vector<crypto::P256PublicKey> ExampleKeys(std::uint32_t asn, const Ski& ski) {
  std::vector<crypto::P256PublicKey> found;
  for (const auto& key : Rfc8608().at("keys")) {
    if (key.at("asn") == asn && ToSki(Unhex(key.at("ski"))) == ski)
      found.push_back(*crypto::P256PublicKey::FromSpki(Unhex(key.at("spki_der"))));
  }
  return found;
}

}  // namespace virp::bgpsec
