// For tests only: the known-answer chains of tests/data/vectors/chain.json, written by code that is not ours.
#pragma once

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/bytes.h"

namespace virp::chain {

inline const nlohmann::json& ChainVectors() {
  static const nlohmann::json vectors =
      nlohmann::json::parse(std::ifstream(VIRP_SOURCE_DIR "/tests/data/vectors/chain.json"));
  return vectors;
}

inline const std::string& Text(const nlohmann::json& value) {
  return value.get_ref<const std::string&>();
}
inline std::string Unhex(std::string_view hex) {
  return HexDecode(hex).value();
}
inline std::string Unhex(const nlohmann::json& hex) {
  return Unhex(std::string_view(Text(hex)));
}
inline Hash UnhexHash(const nlohmann::json& hex) {
  return HashFromBytes(Unhex(hex)).value();
}
inline std::vector<Hash> UnhexHashes(const nlohmann::json& list) {
  std::vector<Hash> out;
  for (const auto& hex : list) out.push_back(UnhexHash(hex));
  return out;
}

// The two chains, by name.
inline constexpr std::string_view kVectorChains[] = {"bytes", "valid"};
inline const nlohmann::json& VectorChain(std::string_view name) {
  return ChainVectors().at(std::string(name));
}
inline std::vector<Hash> VectorLeaves(std::string_view name) {
  std::vector<Hash> out;
  for (const auto& entry : VectorChain(name)["entries"]) out.push_back(UnhexHash(entry["leaf_hash_hex"]));
  return out;
}
inline std::vector<std::string> VectorEntries(std::string_view name) {
  std::vector<std::string> out;
  for (const auto& entry : VectorChain(name)["entries"]) out.push_back(Unhex(entry["entry_hex"]));
  return out;
}

}  // namespace virp::chain
