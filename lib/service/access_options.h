// The options of every service that speaks mutual TLS: its certificate, and who may come in.
#pragma once

#include <string>

#include "lib/service/access.h"
#include "lib/service/config.h"
#include "lib/service/credentials.h"

namespace virp::service {

inline void AddAccessOptions(Options& options, TlsFiles* tls, AccessOptions* access, std::string* break_glass_socket) {
  options.Add(&tls->certificate, "tls-certificate", "PEM file: this service's certificate with its chain.", "FILE");
  options.AddSecretFile(&tls->private_key, "tls-key", "PEM file: its private key.");
  options.Add(&tls->roots, "tls-roots", "PEM file: authorities that peers are verified against.", "FILE");
  options.Add(&access->trust_domain, "trust-domain", "Trust domain of the SPIFFE ids that are let in.", "NAME");
  options.Add(&access->identity_map_file, "identity-map",
              "JSON file: which ids have which role; the default is spiffe://DOMAIN/ROLE/NAME.", "FILE");
  options.Add(&access->deny_file, "deny-file", "File of denied ids and serials; read again when it changes.", "FILE");
  options.Add(break_glass_socket, "break-glass-socket", "Unix socket for the way in when certificates have lapsed.",
              "PATH");
}

}  // namespace virp::service
