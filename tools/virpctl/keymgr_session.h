// What commands about keys of a key manager have in common.
#pragma once

#include <string>

#include "lib/base/bytes.h"
#include "lib/crypto/random.h"
#include "tools/virpctl/session.h"

namespace virp::virpctl {

inline Connection ToKeymgr(const Options& options) {
  Connection to = options.connection;
  to.onode = options.keymgr;
  to.to_keymgr = true;
  return to;
}

// `given`, or random, so that a repeat by hand is a new change unless --request-id says otherwise.
inline std::string RequestId(const std::string& given) {
  return given.empty() ? HexEncode(crypto::RandomBytes(16)) : given;
}

}  // namespace virp::virpctl
