#include "lib/rtr/image.h"

#include <vector>

#include "lib/rtr/wire.h"

namespace virp::rtr {
namespace {

template <typename T>
std::size_t SizeOfAll(const std::vector<T>& records) {
  std::size_t size = 0;
  for (const T& record : records) size += wire::SizeOf(record, true);
  return size;
}

template <typename T>
char* PutAll(char* at, std::uint8_t version, const std::vector<T>& records) {
  for (const T& record : records) at = wire::Put(at, version, true, record);
  return at;
}

}  // namespace

Encoded EncodeImage(const vrp::Payloads& payloads, std::uint8_t version) {
  const VersionRules& rules = RulesOf(version);
  const bool keys = rules.Carries(PduType::kRouterKey);
  const bool aspas = rules.Carries(PduType::kAspa);
  std::size_t size = payloads.vrps4.size() * kIpv4PrefixSize + payloads.vrps6.size() * kIpv6PrefixSize;
  if (keys) size += SizeOfAll(payloads.router_keys);
  if (aspas) size += SizeOfAll(payloads.aspas);
  Encoded out;
  if (size == 0) return out;

  const auto bytes = std::make_shared<Bytes>(size);
  char* at = PutAll(bytes->data(), version, payloads.vrps4);
  at = PutAll(at, version, payloads.vrps6);
  if (keys) at = PutAll(at, version, payloads.router_keys);
  if (aspas) PutAll(at, version, payloads.aspas);
  out.bytes = bytes;
  out.pdus[static_cast<std::size_t>(PduType::kIpv4Prefix)] = payloads.vrps4.size();
  out.pdus[static_cast<std::size_t>(PduType::kIpv6Prefix)] = payloads.vrps6.size();
  out.pdus[static_cast<std::size_t>(PduType::kRouterKey)] = keys ? payloads.router_keys.size() : 0;
  out.pdus[static_cast<std::size_t>(PduType::kAspa)] = aspas ? payloads.aspas.size() : 0;
  return out;
}

}  // namespace virp::rtr
