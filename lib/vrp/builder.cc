#include "lib/vrp/builder.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/status.h"
#include "lib/crypto/p256.h"
#include "lib/crypto/sha1.h"
#include "lib/vrp/merge.h"
#include "lib/vrp/sort.h"

namespace virp::vrp {
namespace {

template <typename T>
void Sort(std::vector<T>& all) {
  std::sort(all.begin(), all.end(), [](const T& a, const T& b) { return Order(a, b) < 0; });
}

// Makes one of each run of equals; returns how many went.
template <typename T>
std::size_t Unite(std::vector<T>& sorted) {
  if (sorted.empty()) return 0;
  auto kept = sorted.begin();
  for (auto next = std::next(kept); next != sorted.end(); ++next) {
    if (Order(*kept, *next) == 0) {
      kept->expires = LaterExpiry(kept->expires, next->expires);
    } else if (++kept != next) {
      *kept = std::move(*next);
    }
  }
  const auto gone = static_cast<std::size_t>(sorted.end() - kept) - 1;
  sorted.resize(sorted.size() - gone);
  return gone;
}

std::size_t UniteAspas(std::vector<Aspa>& aspas, std::vector<std::string>& refused) {
  Sort(aspas);
  std::vector<Aspa> out;
  std::size_t merged = 0;
  for (auto first = aspas.begin(); first != aspas.end();) {
    Aspa one = std::move(*first);
    for (++first; first != aspas.end() && first->customer == one.customer; ++first, ++merged) {
      one.providers.insert(one.providers.end(), first->providers.begin(), first->providers.end());
      one.expires = LaterExpiry(one.expires, first->expires);
    }
    if (FinishAspa(one, refused)) out.push_back(std::move(one));
  }
  aspas = std::move(out);
  return merged;
}

// Vectors grow by doubling; what a set keeps for hours should not.
template <typename T>
void Shrink(std::vector<T>& all) {
  if (all.capacity() - all.size() > all.size() / 8) all.shrink_to_fit();
}

}  // namespace

bool FinishAspa(Aspa& aspa, std::vector<std::string>& refused) {
  auto& providers = aspa.providers;
  std::sort(providers.begin(), providers.end());
  providers.erase(std::unique(providers.begin(), providers.end()), providers.end());
  if (providers.size() > 1 && providers.front() == 0) providers.erase(providers.begin());
  if (providers.size() <= kMaxProviders) return true;
  refused.push_back(
      fmt::format("AS {} has {} providers, {} fit a PDU", aspa.customer, providers.size(), kMaxProviders));
  return false;
}

void Builder::Reserve(std::size_t vrps4, std::size_t vrps6) {
  vrps4_.reserve(vrps4);
  vrps6_.reserve(vrps6);
}

absl::Status Builder::BadLengths(unsigned length, unsigned max_length, unsigned bits) {
  if (length > bits) return InvalidArgument("prefix length {} is beyond {}", length, bits);
  if (max_length > bits) return InvalidArgument("maxLength {} is beyond {}", max_length, bits);
  return InvalidArgument("maxLength {} is below the prefix length {}", max_length, length);
}

absl::Status Builder::Add(const Prefix& prefix, std::uint64_t max_length, std::uint64_t as, Expires expires) {
  if (as > UINT32_MAX) return InvalidArgument("AS {} is beyond 32 bits", as);
  if (max_length > 255) return InvalidArgument("maxLength {} is beyond {}", max_length, prefix.address().bits());
  const auto length = static_cast<std::uint8_t>(prefix.length());
  const auto max = static_cast<std::uint8_t>(max_length);
  const char* bytes = prefix.address().bytes().data();
  const auto number = static_cast<std::uint32_t>(as);
  if (prefix.address().is_v4()) return Add(Vrp4{LoadBe<std::uint32_t>(bytes), number, expires, length, max});
  return Add(Vrp6{LoadBe<std::uint64_t>(bytes), LoadBe<std::uint64_t>(bytes + 8), number, expires, length, max});
}

absl::Status Builder::Add(RouterKey key) {
  RETURN_IF_ERROR(CheckRouterKey(key));
  router_keys_.push_back(std::move(key));
  return absl::OkStatus();
}

absl::Status Builder::Add(Aspa aspa) {
  if (aspa.providers.empty()) return InvalidArgument("the ASPA of AS {} has no provider", aspa.customer);
  aspas_.push_back(std::move(aspa));
  return absl::OkStatus();
}

Built Builder::Build() && {
  Built out;
  SortVrps(vrps4_);
  SortVrps(vrps6_);
  Sort(router_keys_);
  out.duplicates = Unite(vrps4_) + Unite(vrps6_) + Unite(router_keys_) + UniteAspas(aspas_, out.refused);
  Shrink(vrps4_);
  Shrink(vrps6_);
  out.payloads = {std::move(vrps4_), std::move(vrps6_), std::move(router_keys_), std::move(aspas_)};
  return out;
}

std::array<std::uint8_t, 20> SkiOf(std::string_view spki) {
  const auto hash = crypto::Sha1(spki.substr(crypto::kP256SpkiSize - crypto::kP256PointSize));
  std::array<std::uint8_t, 20> out;
  std::memcpy(out.data(), hash.data(), out.size());
  return out;
}

absl::Status CheckRouterKey(const RouterKey& key) {
  if (!crypto::P256PublicKey::IsSpki(key.spki)) {
    return InvalidArgument("the router key of AS {} is no P-256 SubjectPublicKeyInfo of {} octets", key.as,
                           crypto::kP256SpkiSize);
  }
  const auto ski = SkiOf(key.spki);
  if (ski == key.ski) return absl::OkStatus();
  const auto view = [](const auto& bytes) {
    return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  return InvalidArgument("the router key of AS {} is named by SKI {}, its own is {}", key.as, HexEncode(view(key.ski)),
                         HexEncode(view(ski)));
}

Prefix PrefixOf(const Vrp4& vrp) {
  return Prefix::MakeMasked(IpAddress::V4(vrp.address), vrp.length);
}

Prefix PrefixOf(const Vrp6& vrp) {
  char bytes[16];
  StoreBe(bytes, vrp.high);
  StoreBe(bytes + 8, vrp.low);
  return Prefix::MakeMasked(IpAddress::V6(bytes), vrp.length);
}

}  // namespace virp::vrp
