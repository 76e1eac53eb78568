// The real virp-rtr-bridge on the loopback, with a file of VRPs that a test writes, and what its routers should have.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/testutil/process.h"
#include "tests/testutil/reserved_port.h"
#include "tests/testutil/temp_dir.h"

namespace virp::testutil {

// "PREFIX MAXLENGTH AS", one for each VRP: how tables are compared, whoever they are of.
using RtrTable = std::set<std::string>;

// Half IPv4, half IPv6, some of them with the same prefix, some longer than their own length; another `seed` has other
// AS numbers for every seventh.
RtrTable MakeRtrTable(std::size_t vrps, unsigned seed = 0);

// As one writes it by hand, without metadata.
std::string RtrTableJson(const RtrTable& table);

// Used by the test's main thread (see Process).
class RtrLab {
 public:
  RtrLab();

  // `more` options beside the listeners, the source and the state folder; they go before the lab's own. Ready to serve
  // on return.
  absl::Status Start(const std::vector<std::string>& more = {});
  void Kill() { process_.Kill(); }
  absl::Status Stop();
  // Writes the source; the bridge reads it by itself within a second, or at once by SIGHUP.
  void Write(const RtrTable& table);
  void WriteText(std::string_view json);
  void Hangup() const;

  std::string tcp() const { return tcp_.address(); }
  std::string tls() const { return tls_.address(); }
  std::string ssh() const { return ssh_.address(); }
  int tcp_port() const { return tcp_.port(); }
  int ssh_port() const { return ssh_.port(); }
  std::string File(const std::string& name) const { return dir_.File(name); }
  // Clients' keys that the bridge knows (Ed25519; RSA in PEM), and a known_hosts file with the bridge's. Password of
  // user "rpki": "secret".
  std::string client_key() const { return File("client_key"); }
  std::string rsa_key() const { return File("rsa_key"); }
  std::string known_hosts() const { return File("known_hosts"); }

  // A metric's value, 0 when it is not there: `virp_rtr_bridge_generation`.
  double Metric(const std::string& name_and_labels) const;
  std::string log() const { return process_.log(); }
  Process& process() { return process_; }

 private:
  absl::Status MakeKeys();

  TempDir dir_;
  ReservedPort tcp_, tls_, ssh_, admin_;
  Process process_;
};

}  // namespace virp::testutil
