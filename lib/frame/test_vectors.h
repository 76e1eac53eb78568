// For the tests of frames: tests/data/vectors/frames.json, made by make_frames.py beside it.
#pragma once

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/frame/frame.h"
#include "lib/frame/key.h"

namespace virp::frame {

struct FrameVector {
  std::string name;
  std::string bytes;
  std::shared_ptr<const OKey> key;
  Spelling spelling = Spelling::kV1Le;
  nlohmann::json json;
};

inline nlohmann::json ReadFrameVectors() {
  std::ifstream file(VIRP_SOURCE_DIR "/tests/data/vectors/frames.json");
  if (!file) throw std::runtime_error("tests/data/vectors/frames.json is missing");
  return nlohmann::json::parse(file);
}

inline std::shared_ptr<const OKey> VectorKey(const nlohmann::json& vector) {
  const std::string key = HexDecode(vector.at("key_hex").get<std::string>()).value();
  return vector.value("suite", 1) == 2 ? OKey::Ed25519FromSeed(key).value() : OKey::Hmac(key).value();
}

// `group` is "valid" or "invalid". The invalid ones name no spelling: it is version 2's where the name says so.
inline std::vector<FrameVector> FrameVectors(const std::string& group) {
  std::vector<FrameVector> out;
  const nlohmann::json file = ReadFrameVectors();
  for (const auto& vector : file.at(group)) {
    const auto name = vector.at("name").get<std::string>();
    const std::string spelling = vector.value("spelling", name.starts_with("v2") ? "v2" : "v1-le");
    out.push_back({name, HexDecode(vector.at("frame_hex").get<std::string>()).value(), VectorKey(vector),
                   SpellingFromName(spelling).value(), vector});
  }
  if (out.empty()) throw std::runtime_error("no vectors in group " + group);
  return out;
}

}  // namespace virp::frame
