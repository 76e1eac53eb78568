#include "lib/crypto/sha256.h"

#include "lib/crypto/sha256_state.h"  // before any header of OpenSSL

namespace virp::crypto {

Hash Sha256(std::string_view bytes) {
  Sha256State state;
  state.Add(bytes);
  return state.End();
}

Hash Sha256(std::initializer_list<std::string_view> parts) {
  Sha256State state;
  for (const std::string_view part : parts) state.Add(part);
  return state.End();
}

Sha256Stream::Sha256Stream() : state_(std::make_unique<Sha256State>()) {}
Sha256Stream::~Sha256Stream() = default;
void Sha256Stream::Add(std::string_view bytes) {
  state_->Add(bytes);
}
Hash Sha256Stream::End() {
  return state_->End();
}

}  // namespace virp::crypto
