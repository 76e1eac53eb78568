// virp-keymgr as it is run, a process with a folder, a KEK and a port of its own. For tests that kill it, search it and
// ask it over mutual TLS.
//
//   KeymgrLab keymgr({.binaries = VIRP_BINARIES}, pki);
//   ASSERT_OK(keymgr.Start());
//   auto stub = keymgr::v1::ObservationKeyService::NewStub(keymgr.Channel(Role::kOperator));
#pragma once

#include <grpcpp/channel.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/testutil/process.h"
#include "tests/testutil/reserved_port.h"
#include "tests/testutil/temp_dir.h"
#include "tests/testutil/test_pki.h"
#include "virp/keymgr/v1/key_admin.grpc.pb.h"

namespace virp::testutil {

struct KeymgrLabOptions {
  std::string binaries;                // build folder
  std::string store{};                 // URL; else SQLite in the folder
  bool with_kek = true;                // else it starts sealed
  std::string kek{};                   // folder of another's key-encryption keys; else its own
  std::string name = "keymgr-1";       // its source
  std::string own_key{};               // key directory with its O-Key; else one is made
  std::vector<std::string> options{};  // more of the command line
  std::map<std::string, std::string> environment{};
};

// Used by one thread.
class KeymgrLab {
 public:
  KeymgrLab(KeymgrLabOptions options, TestPki& pki);

  // Starts it (again) and waits until it serves: active, and open if it has a KEK.
  absl::Status Start();
  absl::Status StartSealed();  // and waits until it is active and says why it is sealed
  // Writes the KEK of this version, which the folder of KEKs has from then on.
  void PutKek(int version);
  absl::StatusOr<keymgr::v1::GetStatusResponse> Status();

  Process& process() { return process_; }
  TestPki& pki() { return pki_; }
  const std::string& folder() const { return dir_.path(); }        // database, KEKs and its own key
  std::string database() const { return dir_.File("keymgr.db"); }  // SQLite's
  std::string kek_folder() const { return options_.kek.empty() ? dir_.File("kek") : options_.kek; }
  std::string address() const { return port_.address(); }
  // The public half of the key that signs its audit records, 32 bytes.
  std::string PublicKey() const;
  std::shared_ptr<grpc::Channel> Channel(service::Role role, std::string_view name = "test");

 private:
  std::vector<std::string> Command();
  std::string own_key() const { return options_.own_key.empty() ? dir_.File("own-key") : options_.own_key; }
  absl::Status StartUntil(bool sealed);

  const KeymgrLabOptions options_;
  TestPki& pki_;
  TempDir dir_;
  ReservedPort port_, admin_;
  Process process_;
};

}  // namespace virp::testutil
