// What an authority publishes: certificates, CRL and manifest that belong together (RFC 6481, 9286).
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/mutex.h"
#include "lib/rpki/issue.h"

namespace virp::rpki {

// Keys for manifests, each used once, made ahead of time: making one takes 140 ms of CPU, much longer than all else in
// a publication. Thread-safe.
class OneTimeKeys {
 public:
  using Maker = std::function<crypto::RsaPrivateKey()>;
  explicit OneTimeKeys(std::size_t stock, Maker maker = &crypto::RsaPrivateKey::Generate)
      : stock_(stock), maker_(std::move(maker)) {}
  crypto::RsaPrivateKey Take();  // from the stock; makes one when there is none
  // Makes one key when the stock is not full; false when it is. For a thread that has nothing better to do.
  bool MakeOne();
  std::size_t size() const;

 private:
  const std::size_t stock_;
  const Maker maker_;
  mutable Mutex mutex_;
  std::vector<crypto::RsaPrivateKey> keys_ ABSL_GUARDED_BY(mutex_);
};

struct PointSpec {
  std::string repository_uri;  // rsync directory, ends with '/'; the issuer's crl_uri and manifest_uri lie in it
  std::string manifest_uri;
  std::uint64_t number = 0;  // of CRL and manifest: higher than any before
  Time this_update;
  Time next_update;  // behind it relying parties drop everything here: publish again well ahead
  std::vector<x509::Revoked> revoked;
  Files certificates;  // what relying parties should see; nothing else will be listed
};

// The whole point: the certificates, the CRL and the manifest over both, by file name. InvalidArgument when a
// certificate has the CRL's or the manifest's name, or a URI is not in the repository.
absl::StatusOr<Files> BuildPoint(const PointSpec& spec, const Issuer& issuer,
                                 const crypto::RsaPrivateKey& one_time_key);

// The part of `uri` behind `repository`; empty unless it is one file name.
std::string FileNameIn(std::string_view repository, std::string_view uri);

}  // namespace virp::rpki
