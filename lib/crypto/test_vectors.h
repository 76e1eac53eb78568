// For the tests of this folder: tests/data/vectors/primitives.json, taken from the RFCs that the names state, and
// negatives.json, which make_negatives.py writes.
#pragma once

#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "lib/base/bytes.h"

namespace virp::crypto {

inline nlohmann::json ReadVectors(const std::string& name, const std::string& group) {
  const std::string path = VIRP_SOURCE_DIR "/tests/data/vectors/" + name;
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path + " is missing");
  return nlohmann::json::parse(file).at(group);
}

inline nlohmann::json ReadPrimitives(const std::string& group) {
  nlohmann::json cases = ReadVectors("primitives.json", group);
  if (cases.empty()) throw std::runtime_error("no vectors in " + group);
  return cases;
}

inline nlohmann::json ReadNegativesGroup(const std::string& group) {
  return ReadVectors("negatives.json", group);
}

// At least `least` cases, each whole: what one does not say, `usual` says for all.
inline std::vector<nlohmann::json> CasesOf(const nlohmann::json& group, std::size_t least) {
  std::vector<nlohmann::json> cases;
  for (const nlohmann::json& own : group.at("cases")) {
    cases.push_back(group.at("usual"));
    cases.back().update(own);
  }
  if (cases.size() < least) throw std::runtime_error("too few cases");
  return cases;
}
inline std::vector<nlohmann::json> ReadNegatives(const std::string& group, std::size_t least) {
  return CasesOf(ReadNegativesGroup(group), least);
}

inline std::string Unhex(const nlohmann::json& hex) {
  return HexDecode(hex.get<std::string>()).value();
}

}  // namespace virp::crypto
