// For the tests of this folder: tests/data/vectors/primitives.json, taken from the RFCs that the names state.
#pragma once

#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "lib/base/bytes.h"

namespace virp::crypto {

inline nlohmann::json ReadPrimitives(const std::string& group) {
  std::ifstream file(VIRP_SOURCE_DIR "/tests/data/vectors/primitives.json");
  if (!file) throw std::runtime_error("tests/data/vectors/primitives.json is missing");
  nlohmann::json cases = nlohmann::json::parse(file).at(group);
  if (cases.empty()) throw std::runtime_error("no vectors in " + group);
  return cases;
}

inline std::string Unhex(const nlohmann::json& hex) {
  return HexDecode(hex.get<std::string>()).value();
}

}  // namespace virp::crypto
