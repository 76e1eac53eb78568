#include "lib/rpki/point.h"

#include <utility>

#include "lib/base/status.h"

namespace virp::rpki {

crypto::RsaPrivateKey OneTimeKeys::Take() {
  {
    const MutexLock lock(mutex_);
    if (!keys_.empty()) {
      crypto::RsaPrivateKey key = std::move(keys_.back());
      keys_.pop_back();
      return key;
    }
  }
  return maker_();
}

bool OneTimeKeys::MakeOne() {
  if (size() >= stock_) return false;
  crypto::RsaPrivateKey key = maker_();
  const MutexLock lock(mutex_);
  keys_.push_back(std::move(key));
  return true;
}

std::size_t OneTimeKeys::size() const {
  const MutexLock lock(mutex_);
  return keys_.size();
}

std::string FileNameIn(std::string_view repository, std::string_view uri) {
  if (!uri.starts_with(repository)) return {};
  const std::string_view name = uri.substr(repository.size());
  return name.find('/') == std::string_view::npos ? std::string(name) : std::string();
}

absl::StatusOr<Files> BuildPoint(const PointSpec& spec, const Issuer& issuer,
                                 const crypto::RsaPrivateKey& one_time_key) {
  const std::string crl_name = FileNameIn(spec.repository_uri, issuer.crl_uri);
  const std::string manifest_name = FileNameIn(spec.repository_uri, spec.manifest_uri);
  if (!crl_name.ends_with(".crl") || !manifest_name.ends_with(".mft")) {
    return InvalidArgument("publication point: '{}' and '{}' must be NAME.crl and NAME.mft in {}", issuer.crl_uri,
                           spec.manifest_uri, spec.repository_uri);
  }
  Files out;
  for (const auto& [name, content] : spec.certificates) {
    if (!name.ends_with(".cer")) return InvalidArgument("publication point: certificate '{}' is not NAME.cer", name);
    out.emplace_hint(out.end(), name, content);
  }
  ASSIGN_OR_RETURN(out[crl_name], IssueCrl({.number = spec.number,
                                            .this_update = spec.this_update,
                                            .next_update = spec.next_update,
                                            .revoked = spec.revoked},
                                           issuer));
  ASSIGN_OR_RETURN(std::string manifest, IssueManifest({.number = spec.number,
                                                        .this_update = spec.this_update,
                                                        .next_update = spec.next_update,
                                                        .uri = spec.manifest_uri,
                                                        .ee_serial = RandomSerial()},
                                                       out, one_time_key, issuer));
  out[manifest_name] = std::move(manifest);
  return out;
}

}  // namespace virp::rpki
