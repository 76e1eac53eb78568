#include "lib/vrp/export.h"

#include "lib/base/bytes.h"
#include "lib/vrp/set.h"
#include "lib/vrp/text.h"

namespace virp::vrp {
namespace {

std::string_view BytesOf(const std::array<std::uint8_t, 20>& ski) {
  return {reinterpret_cast<const char*>(ski.data()), ski.size()};
}

// Elements of an array, each on a line of its own.
class Elements {
 public:
  Elements(std::string& out, std::string_view name) : out_(out) { out_.append("\t\"").append(name).append("\": ["); }
  void Next() {
    out_.append(first_ ? "\n\t\t{ " : ",\n\t\t{ ");
    first_ = false;
  }
  void End(bool last = false) {
    if (!first_) out_.append("\n\t");
    out_.append(last ? "]\n" : "],\n");
  }

 private:
  std::string& out_;
  bool first_ = true;
};

void AppendAddress(std::string& out, const Vrp4& v) {
  AppendV4(out, v.address);
}
void AppendAddress(std::string& out, const Vrp6& v) {
  AppendV6(out, v.high, v.low);
}

template <typename Vrp>
void AppendPrefix(std::string& out, const Vrp& v) {
  AppendAddress(out, v);
  out.push_back('/');
  AppendNumber(out, v.length);
}

void AppendExpires(std::string& out, Expires expires) {
  if (expires == kNeverExpires) return;
  out.append(", \"expires\": ");
  AppendNumber(out, expires);
}

// From low to high addresses, as validators write them.
template <typename Vrp>
void AppendRoas(std::string& out, Elements& elements, const std::vector<Vrp>& vrps) {
  for (auto v = vrps.rbegin(); v != vrps.rend(); ++v) {
    elements.Next();
    out.append("\"asn\": ");
    AppendNumber(out, v->as);
    out.append(", \"prefix\": \"");
    AppendPrefix(out, *v);
    out.append("\", \"maxLength\": ");
    AppendNumber(out, v->max_length);
    AppendExpires(out, v->expires);
    out.append(" }");
  }
}

void AppendMetadata(std::string& out, const Payloads& set, const ExportMetadata& metadata) {
  const auto number = [&out](std::string_view name, std::uint64_t value) {
    out.append(",\n\t\t\"").append(name).append("\": ");
    AppendNumber(out, value);
  };
  out.append("{\n\t\"metadata\": {\n\t\t\"buildtime\": \"").append(TimeText(metadata.generated)).append("\"");
  number("generated", static_cast<std::uint64_t>(metadata.generated));
  if (metadata.serial) number("serial", *metadata.serial);
  if (metadata.session) number("sessionid", *metadata.session);
  if (metadata.rtr_version) number("rtr_version", *metadata.rtr_version);
  number("vrps", set.vrps4.size() + set.vrps6.size());
  number("uniquevrps", set.vrps4.size() + set.vrps6.size());
  number("bgpsec_pubkeys", set.router_keys.size());
  number("vaps", set.aspas.size());
  number("uniquevaps", set.aspas.size());
  out.append(",\n\t\t\"set_sha256\": \"").append(HexEncode(View(HashOf(set)))).append("\"\n\t},\n");
}

// One element of a delta.
class DeltaArray {
 public:
  DeltaArray(std::string& out, std::string_view name) : out_(out) {
    out_.append(",\n  \"").append(name).append("\": [");
  }
  void All(const Payloads& set) {
    for (auto v = set.vrps4.rbegin(); v != set.vrps4.rend(); ++v) Origin(*v);
    for (auto v = set.vrps6.rbegin(); v != set.vrps6.rend(); ++v) Origin(*v);
    for (const RouterKey& key : set.router_keys) Key(key);
    for (const Aspa& aspa : set.aspas) One(aspa);
    out_.append(first_ ? "]" : "\n  ]");
  }

 private:
  void Begin(std::string_view type) {
    out_.append(first_ ? "\n    {\"type\": \"" : ",\n    {\"type\": \"").append(type);
    first_ = false;
  }
  void As(std::uint32_t as) {
    out_.append("\"AS");
    AppendNumber(out_, as);
    out_.push_back('"');
  }
  template <typename Vrp>
  void Origin(const Vrp& v) {
    Begin("routeOrigin");
    out_.append("\", \"asn\": ");
    As(v.as);
    out_.append(", \"prefix\": \"");
    AppendPrefix(out_, v);
    out_.append("\", \"maxLength\": ");
    AppendNumber(out_, v.max_length);
    out_.push_back('}');
  }
  void Key(const RouterKey& key) {
    Begin("routerKey");
    out_.append("\", \"keyIdentifier\": \"").append(HexEncode(BytesOf(key.ski))).append("\", \"asn\": ");
    As(key.as);
    out_.append(", \"keyInfo\": \"").append(Base64Encode(key.spki)).append("\"}");
  }
  void One(const Aspa& aspa) {
    Begin("aspa");
    out_.append("\", \"customerAsn\": ");
    As(aspa.customer);
    out_.append(", \"providerAsns\": [");
    for (std::size_t i = 0; i < aspa.providers.size(); ++i) {
      if (i > 0) out_.append(", ");
      As(aspa.providers[i]);
    }
    out_.append("]}");
  }

  std::string& out_;
  bool first_ = true;
};

std::string DeltaHead(bool reset, std::string_view session, std::uint32_t serial) {
  std::string out = reset ? "{\n  \"reset\": true,\n  \"session\": \"" : "{\n  \"reset\": false,\n  \"session\": \"";
  out.append(session).append("\",\n  \"serial\": ");
  AppendNumber(out, serial);
  return out;
}

// More than a VRP takes, so that a string grows once at most.
std::size_t Room(const Payloads& set) {
  std::size_t room = 1024 + set.vrps4.size() * 100 + set.vrps6.size() * 120 + set.router_keys.size() * 300;
  for (const Aspa& aspa : set.aspas) room += 100 + aspa.providers.size() * 16;
  return room;
}

}  // namespace

std::string WriteJson(const Payloads& set, const ExportMetadata& metadata) {
  std::string out;
  out.reserve(Room(set));
  AppendMetadata(out, set, metadata);
  Elements roas(out, "roas");
  AppendRoas(out, roas, set.vrps4);
  AppendRoas(out, roas, set.vrps6);
  roas.End();
  Elements keys(out, "bgpsec_keys");
  for (const RouterKey& key : set.router_keys) {
    keys.Next();
    out.append("\"asn\": ");
    AppendNumber(out, key.as);
    out.append(", \"ski\": \"").append(HexEncode(BytesOf(key.ski)));
    out.append("\", \"pubkey\": \"").append(Base64Encode(key.spki)).push_back('"');
    AppendExpires(out, key.expires);
    out.append(" }");
  }
  keys.End();
  Elements aspas(out, "aspas");
  for (const Aspa& aspa : set.aspas) {
    aspas.Next();
    out.append("\"customer_asid\": ");
    AppendNumber(out, aspa.customer);
    AppendExpires(out, aspa.expires);
    out.append(", \"providers\": [");
    for (std::size_t i = 0; i < aspa.providers.size(); ++i) {
      if (i > 0) out.append(", ");
      AppendNumber(out, aspa.providers[i]);
    }
    out.append("] }");
  }
  aspas.End(/*last=*/true);
  out.append("}\n");
  return out;
}

std::string WriteJsonDelta(std::string_view session, std::uint32_t from_serial, std::uint32_t serial,
                           const Payloads& announced, const Payloads& withdrawn) {
  std::string out = DeltaHead(/*reset=*/false, session, serial);
  out.reserve(Room(announced) + Room(withdrawn));
  out.append(",\n  \"fromSerial\": ");
  AppendNumber(out, from_serial);
  DeltaArray(out, "announced").All(announced);
  DeltaArray(out, "withdrawn").All(withdrawn);
  out.append("\n}\n");
  return out;
}

std::string WriteJsonReset(std::string_view session, std::uint32_t serial, const Payloads& set) {
  std::string out = DeltaHead(/*reset=*/true, session, serial);
  out.reserve(Room(set));
  DeltaArray(out, "announced").All(set);
  out.append("\n}\n");
  return out;
}

}  // namespace virp::vrp
