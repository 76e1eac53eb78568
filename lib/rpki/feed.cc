#include "lib/rpki/feed.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/status.h"
#include "lib/crypto/p256.h"

namespace virp::rpki {
namespace {

std::string Upper(std::string text) {
  for (char& c : text) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return text;
}

absl::StatusOr<std::string> KeyIdentifierHex(std::string_view spki) {
  ASSIGN_OR_RETURN(const std::string identifier, KeyIdentifier(spki));
  return Upper(HexEncode(identifier));
}

// RFC 4648 section 5, without padding.
std::string Base64Url(std::string_view bytes) {
  std::string text = Base64Encode(bytes);
  while (text.ends_with('=')) text.pop_back();
  std::replace(text.begin(), text.end(), '+', '-');
  std::replace(text.begin(), text.end(), '/', '_');
  return text;
}

}  // namespace

absl::StatusOr<std::vector<RouterKey>> Distinct(std::vector<RouterKey> keys) {
  for (const RouterKey& key : keys) {
    if (!crypto::P256PublicKey::IsSpki(key.spki))
      return InvalidArgument("router key of AS {}: not a P-256 key", key.asn);
  }
  const auto place = [](const RouterKey& key) { return std::tie(key.asn, key.spki); };
  std::sort(keys.begin(), keys.end(), [&](const RouterKey& a, const RouterKey& b) {
    return place(a) != place(b) ? place(a) < place(b) : a.expires > b.expires;
  });
  const auto same = [&](const RouterKey& a, const RouterKey& b) { return place(a) == place(b); };
  keys.erase(std::unique(keys.begin(), keys.end(), same), keys.end());
  return keys;
}

absl::StatusOr<std::string> RpkiClientJson(const std::vector<RouterKey>& keys, std::string_view anchor, Time built) {
  const auto plain = [](char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; };
  if (!std::all_of(anchor.begin(), anchor.end(), plain)) return InvalidArgument("trust anchor: not a plain name");
  ASSIGN_OR_RETURN(const std::vector<RouterKey> distinct, Distinct(keys));
  std::string out = fmt::format(
      "{{\n\t\"metadata\": {{\n\t\t\"buildtime\": \"{}\",\n\t\t\"generated\": {},\n\t\t\"bgpsec_pubkeys\": {}\n\t}},\n"
      "\t\"roas\": [],\n\t\"bgpsec_keys\": [",
      der::TimeText(built), built.time_since_epoch().count(), distinct.size());
  std::string_view before = "\n";
  for (const RouterKey& key : distinct) {
    ASSIGN_OR_RETURN(const std::string ski, KeyIdentifierHex(key.spki));
    out += fmt::format("{}\t\t{{ \"asn\": {}, \"ski\": \"{}\", \"pubkey\": \"{}\", \"ta\": \"{}\", \"expires\": {} }}",
                       before, key.asn, ski, Base64Encode(key.spki), anchor, key.expires.time_since_epoch().count());
    before = ",\n";
  }
  return out + "\n\t]\n}\n";
}

absl::StatusOr<std::string> Slurm(const std::vector<RouterKey>& keys) {
  ASSIGN_OR_RETURN(const std::vector<RouterKey> distinct, Distinct(keys));
  std::string out =
      "{\n  \"slurmVersion\": 1,\n  \"validationOutputFilters\": { \"prefixFilters\": [], \"bgpsecFilters\": [] },\n"
      "  \"locallyAddedAssertions\": {\n    \"prefixAssertions\": [],\n    \"bgpsecAssertions\": [";
  std::string_view before = "\n";
  for (const RouterKey& key : distinct) {
    ASSIGN_OR_RETURN(const std::string identifier, KeyIdentifier(key.spki));
    out += fmt::format("{}      {{ \"asn\": {}, \"SKI\": \"{}\", \"routerPublicKey\": \"{}\" }}", before, key.asn,
                       Base64Url(identifier), Base64Url(key.spki));
    before = ",\n";
  }
  return out + "\n    ]\n  }\n}\n";
}

absl::StatusOr<std::map<std::string, std::string>> BgpSrxTree(const std::vector<std::string>& certificates) {
  std::set<std::pair<std::uint32_t, std::string>> listed;
  std::map<std::string, std::pair<Time, std::string>> newest;  // by key identifier
  for (const std::string& certificate : certificates) {
    ASSIGN_OR_RETURN(const RouterFacts facts, RouterFactsOf(certificate));
    const std::string ski = Upper(HexEncode(facts.key_identifier));
    listed.emplace(facts.asn, ski);
    auto& [until, der] = newest[ski];
    if (!der.empty() && until >= facts.validity.not_after) continue;
    until = facts.validity.not_after;
    der = certificate;
  }
  std::map<std::string, std::string> out;
  std::string& list = out["ski-list.txt"];
  for (const auto& [asn, ski] : listed) list += fmt::format("{}-SKI: {}\n", asn, ski);
  for (auto& [ski, one] : newest)
    out[fmt::format("{}/{}/{}.cert", ski.substr(0, 2), ski.substr(2, 4), ski.substr(6))] = std::move(one.second);
  return out;
}

}  // namespace virp::rpki
