// For tests: what virpctl finds in its environment when somebody with a certificate of a TestPki runs it.
#pragma once

#include <string>
#include <vector>

#include "tests/testutil/test_pki.h"

namespace virp::virpctl {

// To a key manager on that port of this machine.
inline std::vector<std::string> CtlEnvironment(testutil::TestPki& pki, const std::string& home, int keymgr,
                                               service::Role role, const std::string& name) {
  const service::TlsFiles files = pki.Files(role, name);
  return {"HOME=" + home,
          "VIRPCTL_KEYMGR=localhost:" + std::to_string(keymgr),
          "VIRPCTL_TLS_CERTIFICATE=" + files.certificate,
          "VIRPCTL_TLS_KEY=" + files.private_key,
          "VIRPCTL_TLS_ROOTS=" + files.roots,
          "VIRPCTL_TRUST_DOMAIN=test.virp.example"};
}

}  // namespace virp::virpctl
