#include "lib/bgpsec/update.h"

#include <algorithm>
#include <array>
#include <optional>

#include "lib/base/bytes.h"
#include "lib/base/status.h"

namespace virp::bgpsec {
namespace {

constexpr std::size_t kMarkerSize = 16;  // then length and type (RFC 4271 section 4.1)
constexpr std::uint8_t kUpdate = 2;
constexpr std::uint8_t kExtendedLength = 0x10;  // RFC 4271 section 4.3
constexpr std::uint8_t kAsPath = 2, kMpReach = 14;

// Takes fields from the front of a message, and says where one is missing.
class Fields {
 public:
  Fields(std::string_view bytes, std::size_t at) : bytes_(bytes), at_(at) {}
  bool empty() const { return bytes_.empty(); }
  std::size_t at() const { return at_; }

  absl::StatusOr<std::string_view> Take(std::size_t size, std::string_view what) {
    if (size > bytes_.size())
      return InvalidArgument("UPDATE: {} at byte {} has {} bytes, and {} are left", what, at_, size, bytes_.size());
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    at_ += size;
    return taken;
  }
  template <std::unsigned_integral T>
  absl::StatusOr<T> Number(std::string_view what) {
    ASSIGN_OR_RETURN(const std::string_view bytes, Take(sizeof(T), what));
    return LoadBe<T>(bytes.data());
  }
  std::string_view Rest() { return *Take(bytes_.size(), ""); }

 private:
  std::string_view bytes_;
  std::size_t at_;  // in the message
};

struct Attribute {
  std::uint8_t type = 0;
  std::size_t at = 0;  // of the value
  std::string_view value;
};

absl::StatusOr<Attribute> TakeAttribute(Fields& fields) {
  ASSIGN_OR_RETURN(const auto flags, fields.Number<std::uint8_t>("an attribute's flags"));
  ASSIGN_OR_RETURN(const auto type, fields.Number<std::uint8_t>("an attribute's type"));
  std::size_t size = 0;
  if ((flags & kExtendedLength) != 0) {
    ASSIGN_OR_RETURN(size, fields.Number<std::uint16_t>("an attribute's length"));
  } else {
    ASSIGN_OR_RETURN(size, fields.Number<std::uint8_t>("an attribute's length"));
  }
  const std::size_t at = fields.at();
  ASSIGN_OR_RETURN(const std::string_view value, fields.Take(size, "an attribute"));
  return Attribute{type, at, value};
}

// RFC 4760 section 3.
absl::StatusOr<Nlri> ReadReach(const Attribute& attribute) {
  Fields fields(attribute.value, attribute.at);
  Nlri nlri;
  ASSIGN_OR_RETURN(nlri.afi, fields.Number<std::uint16_t>("AFI"));
  ASSIGN_OR_RETURN(nlri.safi, fields.Number<std::uint8_t>("SAFI"));
  ASSIGN_OR_RETURN(const auto next_hop, fields.Number<std::uint8_t>("the next hop's length"));
  RETURN_IF_ERROR(fields.Take(next_hop, "the next hop").status());
  RETURN_IF_ERROR(fields.Take(1, "the reserved byte").status());
  nlri.prefix = fields.Rest();
  RETURN_IF_ERROR(Annotate(Check(nlri), "UPDATE: not one prefix"));
  return nlri;
}

absl::StatusOr<Fields> TakeHeader(std::string_view message) {
  Fields fields(message, 0);
  ASSIGN_OR_RETURN(const std::string_view marker, fields.Take(kMarkerSize, "the marker"));
  if (!std::ranges::all_of(marker, [](char c) { return c == '\xff'; }))
    return InvalidArgument("UPDATE: a BGP message begins with {} bytes of ff", kMarkerSize);
  ASSIGN_OR_RETURN(const auto length, fields.Number<std::uint16_t>("the length"));
  ASSIGN_OR_RETURN(const auto type, fields.Number<std::uint8_t>("the type"));
  if (length != message.size())
    return InvalidArgument("UPDATE: the message says it has {} bytes, not {}", length, message.size());
  if (type != kUpdate) return InvalidArgument("UPDATE: a BGP message of type {}", type);
  return fields;
}

}  // namespace

absl::StatusOr<SignedRoute> ReadUpdate(std::string_view message) {
  ASSIGN_OR_RETURN(Fields fields, TakeHeader(message));
  ASSIGN_OR_RETURN(const auto withdrawn, fields.Number<std::uint16_t>("the length of withdrawn routes"));
  RETURN_IF_ERROR(fields.Take(withdrawn, "withdrawn routes").status());
  ASSIGN_OR_RETURN(const auto size, fields.Number<std::uint16_t>("the length of attributes"));
  const std::size_t begin = fields.at();
  ASSIGN_OR_RETURN(const std::string_view attributes, fields.Take(size, "attributes"));
  if (!fields.empty()) return InvalidArgument("UPDATE: routes behind the attributes, which BGPsec does not sign");
  std::optional<std::string_view> path;
  std::optional<Nlri> nlri;
  for (Fields rest(attributes, begin); !rest.empty();) {
    ASSIGN_OR_RETURN(const Attribute attribute, TakeAttribute(rest));
    if (attribute.type == kAsPath)
      return InvalidArgument("UPDATE: AS_PATH beside BGPsec_Path, which RFC 8205 section 4.1 forbids");
    if (attribute.type == kAttributeType || attribute.type == kAttributeTypeOfExamples) {
      if (path.has_value()) return InvalidArgument("UPDATE: two BGPsec_Path attributes");
      path = attribute.value;
    } else if (attribute.type == kMpReach) {
      if (nlri.has_value()) return InvalidArgument("UPDATE: two MP_REACH_NLRI attributes");
      ASSIGN_OR_RETURN(nlri, ReadReach(attribute));
    }
  }
  if (!path.has_value()) return InvalidArgument("UPDATE: no BGPsec_Path (attribute {})", kAttributeType);
  if (!nlri.has_value()) return InvalidArgument("UPDATE: no MP_REACH_NLRI");
  return SignedRoute{*path, *std::move(nlri)};
}

Nlri NlriOf(const Prefix& prefix) {
  const auto bits = static_cast<std::uint8_t>(prefix.length());
  Nlri nlri{static_cast<std::uint16_t>(prefix.address().is_v4() ? 1 : 2), 1, std::string(1, static_cast<char>(bits))};
  nlri.prefix.append(prefix.address().bytes().substr(0, (bits + 7U) / 8));
  return nlri;
}

Prefix PrefixOf(const Nlri& nlri) {
  std::array<char, 16> address{};
  nlri.prefix.copy(address.data(), address.size(), 1);
  return Prefix::MakeMasked(nlri.afi == 1 ? IpAddress::V4(address.data()) : IpAddress::V6(address.data()),
                            LoadBe<std::uint8_t>(nlri.prefix.data()));
}

}  // namespace virp::bgpsec
