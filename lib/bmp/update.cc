#include "lib/bmp/update.h"

#include <algorithm>
#include <bitset>
#include <iterator>

#include "lib/base/status.h"
#include "lib/bmp/nlri.h"
#include "lib/bmp/reader.h"

namespace virp::bmp {
namespace {

enum Code : std::uint8_t {
  kOrigin = 1,
  kAsPath = 2,
  kNextHop = 3,
  kMed = 4,
  kLocalPref = 5,
  kAtomicAggregate = 6,
  kAggregator = 7,
  kCommunities = 8,
  kOriginatorId = 9,
  kClusterList = 10,
  kMpReach = 14,
  kMpUnreach = 15,
  kExtendedCommunities = 16,
  kAs4Path = 17,
  kAs4Aggregator = 18,
  kLargeCommunities = 32,
};

constexpr std::uint8_t kExtendedLength = 0x10;
constexpr std::uint8_t kKindMask = 0xc0;  // Optional and Transitive
constexpr std::uint8_t kWellKnown = 0x40;
constexpr std::uint8_t kOptional = 0x80;
constexpr std::uint8_t kOptionalTransitive = 0xc0;
constexpr std::uint32_t kAsTrans = 23456;  // RFC 6793 section 9

// The Optional and Transitive flags that an attribute must have; 0 for one that is not read here.
std::uint8_t ExpectedKind(std::uint8_t code) {
  switch (code) {
    case kOrigin:
    case kAsPath:
    case kNextHop:
    case kLocalPref:
    case kAtomicAggregate:
      return kWellKnown;
    case kMed:
    case kOriginatorId:
    case kClusterList:
    case kMpReach:
    case kMpUnreach:
      return kOptional;
    case kAggregator:
    case kCommunities:
    case kExtendedCommunities:
    case kAs4Path:
    case kAs4Aggregator:
    case kLargeCommunities:
      return kOptionalTransitive;
    default:
      return 0;
  }
}

template <typename T>
void SortUnique(std::vector<T>& values) {
  if (!std::is_sorted(values.begin(), values.end())) std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

// Replaces `out` by the integers of `value`; false when its length is zero or no multiple of theirs.
template <typename T>
bool ReadIntegers(std::string_view value, std::vector<T>& out) {
  if (value.empty() || value.size() % sizeof(T) != 0) return false;
  out.resize(value.size() / sizeof(T));
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = LoadBe<T>(value.data() + i * sizeof(T));
  return true;
}

bool ReadLargeCommunities(std::string_view value, std::vector<LargeCommunity>& out) {
  if (value.empty() || value.size() % 12 != 0) return false;
  out.resize(value.size() / 12);
  for (std::size_t i = 0; i < out.size(); ++i) {
    for (std::size_t part = 0; part < 3; ++part) out[i][part] = LoadBe<std::uint32_t>(value.data() + i * 12 + part * 4);
  }
  return true;
}

std::optional<IpFamily> UnicastFamily(AfiSafi family) {
  if (family == kIpv4Unicast) return IpFamily::kV4;
  if (family == kIpv6Unicast) return IpFamily::kV6;
  return std::nullopt;
}

// The next hop of MP_REACH_NLRI: RFC 2545 section 3 for IPv6, RFC 4760 and 8950 for IPv4. nullopt when the length is
// none of theirs.
std::optional<IpAddress> ReadMpNextHop(std::string_view bytes, IpFamily family) {
  if (bytes.size() == 4 && family == IpFamily::kV4) return IpAddress::V4(bytes.data());
  if (bytes.size() != 16 && bytes.size() != 32) return std::nullopt;
  const auto first = IpAddress::V6(bytes.data());
  // Of a global and a link-local address the global stands first; some senders leave it zero.
  return bytes.size() == 32 && first.is_unspecified() ? IpAddress::V6(bytes.data() + 16) : first;
}

class Parser {
 public:
  Parser(UpdateContext& context, Update& out) : context_(context), out_(out) {}

  absl::Status Parse(std::string_view body);

 private:
  absl::Status ReadAttributes(std::string_view bytes);
  void ReadAttribute(std::uint8_t flags, std::uint8_t code, std::string_view value);
  bool ReadValue(std::uint8_t code, std::string_view value);
  bool ReadAggregator(std::string_view value, std::size_t as_size, std::optional<Aggregator>& out);
  void ApplyAs4();

  absl::Status ReadWithdrawn(std::string_view field, IpFamily family);
  absl::Status ReadAnnounced(std::string_view field, IpFamily family, const IpAddress& next_hop);
  absl::Status ReadMpUnreach();
  absl::Status ReadMpReach();
  absl::Status ReadRoutes(std::string_view withdrawn, std::string_view nlri);

  void CheckMandatory(bool plain_nlri);
  void Fault(UpdateError error, std::uint8_t code, std::string_view why);
  NlriForm& Form(IpFamily family) { return family == IpFamily::kV4 ? context_.ipv4 : context_.ipv6; }

  UpdateContext& context_;
  Update& out_;
  std::bitset<256> seen_;
  std::optional<std::string_view> mp_reach_;
  std::optional<std::string_view> mp_unreach_;
  AsPath as4_path_;
  std::optional<Aggregator> as4_aggregator_;
};

void Parser::Fault(UpdateError error, std::uint8_t code, std::string_view why) {
  if (out_.error_text.empty()) out_.error_text = fmt::format("attribute {}: {}", code, why);
  out_.error = std::max(out_.error, error);
}

bool Parser::ReadAggregator(std::string_view value, std::size_t as_size, std::optional<Aggregator>& out) {
  if (value.size() != as_size + 4) return false;
  const auto as = as_size == 2 ? LoadBe<std::uint16_t>(value.data()) : LoadBe<std::uint32_t>(value.data());
  out = Aggregator{as, IpAddress::V4(value.data() + as_size)};
  return true;
}

// Reads the value of an attribute into out_.attributes; false when it is malformed.
bool Parser::ReadValue(std::uint8_t code, std::string_view value) {
  PathAttributes& to = out_.attributes;
  const std::size_t as_size = context_.two_octet_as ? 2 : 4;
  switch (code) {
    case kOrigin:
      if (value.size() != 1 || value[0] < 0 || value[0] > 2) return false;
      to.origin = Origin{static_cast<std::uint8_t>(value[0])};
      return true;
    case kAsPath:
      return to.as_path.Decode(value, as_size);
    case kNextHop:
      if (value.size() != 4) return false;
      to.next_hop = IpAddress::V4(value.data());
      return true;
    case kMed:
      if (value.size() != 4) return false;
      to.med = LoadBe<std::uint32_t>(value.data());
      return true;
    case kLocalPref:
      if (value.size() != 4) return false;
      to.local_pref = LoadBe<std::uint32_t>(value.data());
      return true;
    case kAtomicAggregate:
      to.atomic_aggregate = value.empty();
      return value.empty();
    case kAggregator:
      return ReadAggregator(value, as_size, to.aggregator);
    case kCommunities:
      return ReadIntegers(value, to.communities);
    case kOriginatorId:
      if (value.size() != 4) return false;
      to.originator_id = IpAddress::V4(value.data());
      return true;
    case kClusterList:
      return ReadIntegers(value, to.cluster_list);
    case kExtendedCommunities:
      return ReadIntegers(value, to.extended_communities);
    case kLargeCommunities:
      return ReadLargeCommunities(value, to.large_communities);
    case kAs4Path:
      return as4_path_.Decode(value, 4) && !as4_path_.empty();
    case kAs4Aggregator:
      return ReadAggregator(value, 4, as4_aggregator_);
    default:
      return true;
  }
}

// RFC 7606 section 7 says which malformed attributes are left out rather than taking the routes with them.
UpdateError WhenMalformed(std::uint8_t code) {
  switch (code) {
    case kAtomicAggregate:
    case kAggregator:
    case kAs4Path:
    case kAs4Aggregator:
      return UpdateError::kAttributeDiscard;
    default:
      return UpdateError::kTreatAsWithdraw;
  }
}

void Parser::ReadAttribute(std::uint8_t flags, std::uint8_t code, std::string_view value) {
  const std::uint8_t expected = ExpectedKind(code);
  if (expected == 0) {
    ++out_.attributes.unknown;
    return;
  }
  // RFC 6793 section 4.1: between speakers of 4-octet numbers these two mean nothing.
  if (!context_.two_octet_as && (code == kAs4Path || code == kAs4Aggregator)) return;
  if ((flags & kKindMask) != expected) {
    Fault(UpdateError::kTreatAsWithdraw, code, "its flags are not those of its kind");
  }
  if (code == kMpReach) {
    mp_reach_ = value;
  } else if (code == kMpUnreach) {
    mp_unreach_ = value;
  } else if (!ReadValue(code, value)) {
    Fault(WhenMalformed(code), code, "its value is malformed");
  }
}

absl::Status Parser::ReadAttributes(std::string_view bytes) {
  Reader reader(bytes);
  while (!reader.empty()) {
    std::uint8_t flags = 0;
    std::uint8_t code = 0;
    std::uint8_t short_length = 0;
    std::uint16_t length = 0;
    std::string_view value;
    bool there = reader.Read(flags, code);
    if (there && (flags & kExtendedLength) != 0) {
      there = reader.Read(length);
    } else if (there) {
      there = reader.Read(short_length);
      length = short_length;
    }
    if (!there || !reader.Take(length, value)) {
      Fault(UpdateError::kTreatAsWithdraw, code, "it runs over the end of the attributes");  // RFC 7606 section 4
      return absl::OkStatus();
    }
    if (!seen_.test(code)) {
      seen_.set(code);
      ReadAttribute(flags, code, value);
    } else if (code == kMpReach || code == kMpUnreach) {
      return InvalidArgument("attribute {} occurs more than once", static_cast<int>(code));
    } else {
      Fault(UpdateError::kAttributeDiscard, code, "it occurs more than once; the first counts");
    }
  }
  return absl::OkStatus();
}

// RFC 6793 section 4.2.3.
void Parser::ApplyAs4() {
  auto& aggregator = out_.attributes.aggregator;
  if (aggregator && as4_aggregator_) {
    if (aggregator->as != kAsTrans) return;
    aggregator = as4_aggregator_;
  }
  if (!as4_path_.empty()) out_.attributes.as_path.MergeAs4(as4_path_);
}

absl::Status Parser::ReadWithdrawn(std::string_view field, IpFamily family) {
  NlriForm& form = Form(family);
  RETURN_IF_ERROR(CheckNlri(field, family, form, out_.path_ids_changed));
  ForEachRoute(field, family, form, [&](const Route& route) { out_.withdrawn.push_back(route); });
  return absl::OkStatus();
}

absl::Status Parser::ReadAnnounced(std::string_view field, IpFamily family, const IpAddress& next_hop) {
  NlriForm& form = Form(family);
  RETURN_IF_ERROR(CheckNlri(field, family, form, out_.path_ids_changed));
  ForEachRoute(field, family, form, [&](const Route& route) { out_.announced.push_back({route, next_hop}); });
  return absl::OkStatus();
}

absl::Status Parser::ReadMpUnreach() {
  Reader reader(*mp_unreach_);
  AfiSafi family;
  if (!reader.Read(family.afi, family.safi)) {
    return InvalidArgument("MP_UNREACH_NLRI of {} bytes names no family", mp_unreach_->size());
  }
  if (reader.empty() && seen_.count() == 1) out_.end_of_rib = family;
  if (const auto known = UnicastFamily(family)) return ReadWithdrawn(reader.rest(), *known);
  if (!out_.end_of_rib) out_.skipped.push_back(family);
  return absl::OkStatus();
}

absl::Status Parser::ReadMpReach() {
  Reader reader(*mp_reach_);
  AfiSafi family;
  std::uint8_t next_hop_size = 0;
  std::string_view next_hop_bytes;
  std::uint8_t reserved = 0;
  if (!reader.Read(family.afi, family.safi, next_hop_size) || !reader.Take(next_hop_size, next_hop_bytes) ||
      !reader.Read(reserved)) {
    return InvalidArgument("MP_REACH_NLRI of {} bytes is cut short in front of its NLRI", mp_reach_->size());
  }
  const auto known = UnicastFamily(family);
  if (!known) {
    out_.skipped.push_back(family);
    return absl::OkStatus();
  }
  const auto next_hop = ReadMpNextHop(next_hop_bytes, *known);
  if (!next_hop) {
    return InvalidArgument("MP_REACH_NLRI: a next hop for {} cannot have {} bytes", FamilyName(family), next_hop_size);
  }
  return ReadAnnounced(reader.rest(), *known, *next_hop);
}

absl::Status Parser::ReadRoutes(std::string_view withdrawn, std::string_view nlri) {
  RETURN_IF_ERROR(ReadWithdrawn(withdrawn, IpFamily::kV4));
  if (mp_unreach_) RETURN_IF_ERROR(ReadMpUnreach());
  if (mp_reach_) RETURN_IF_ERROR(ReadMpReach());
  return ReadAnnounced(nlri, IpFamily::kV4, out_.attributes.next_hop.value_or(IpAddress()));
}

// RFC 7606 section 3(d).
void Parser::CheckMandatory(bool plain_nlri) {
  if (out_.announced.empty()) return;
  for (const Code code : {kOrigin, kAsPath}) {
    if (!seen_.test(code)) Fault(UpdateError::kTreatAsWithdraw, code, "it is missing");
  }
  if (plain_nlri && !seen_.test(kNextHop)) Fault(UpdateError::kTreatAsWithdraw, kNextHop, "it is missing");
}

absl::Status Parser::Parse(std::string_view body) {
  Reader reader(body);
  std::uint16_t withdrawn_length = 0;
  std::uint16_t attributes_length = 0;
  std::string_view withdrawn;
  std::string_view attributes;
  if (!reader.Read(withdrawn_length) || !reader.Take(withdrawn_length, withdrawn)) {
    return InvalidArgument("the withdrawn routes run over the end of the message");
  }
  if (!reader.Read(attributes_length) || !reader.Take(attributes_length, attributes)) {
    return InvalidArgument("the path attributes run over the end of the message");
  }
  const auto nlri = reader.rest();
  RETURN_IF_ERROR(ReadAttributes(attributes));
  if (context_.two_octet_as) ApplyAs4();
  RETURN_IF_ERROR(ReadRoutes(withdrawn, nlri));
  CheckMandatory(!nlri.empty());
  if (out_.error == UpdateError::kTreatAsWithdraw) {
    // RFC 7606 section 5.2: the routes meant may be hidden in what could not be read.
    if (nlri.empty() && !mp_reach_) return InvalidArgument("{}, and no routes are announced", out_.error_text);
    for (const Announcement& announcement : out_.announced) out_.withdrawn.push_back(announcement.route);
    out_.announced.clear();
    out_.attributes.Clear();
    out_.end_of_rib.reset();
    return absl::OkStatus();
  }
  if (withdrawn.empty() && attributes.empty() && nlri.empty()) out_.end_of_rib = kIpv4Unicast;
  if (!withdrawn.empty() || !nlri.empty()) out_.end_of_rib.reset();
  SortUnique(out_.attributes.communities);
  SortUnique(out_.attributes.large_communities);
  SortUnique(out_.attributes.extended_communities);
  return absl::OkStatus();
}

template <typename T>
void ClearAndBound(std::vector<T>& values) {
  values.clear();
  if (values.capacity() > Update::kKeptRoutes) values.shrink_to_fit();
}

}  // namespace

void Update::Clear() {
  ClearAndBound(withdrawn);
  ClearAndBound(announced);
  attributes.Clear();
  end_of_rib.reset();
  skipped.clear();
  error = UpdateError::kNone;
  error_text.clear();
  path_ids_changed = false;
}

absl::Status DecodeUpdate(std::string_view body, UpdateContext& context, Update& out) {
  out.Clear();
  const UpdateContext before = context;
  const absl::Status status = Parser(context, out).Parse(body);
  if (!status.ok()) {
    out.Clear();
    context = before;
  }
  return status;
}

}  // namespace virp::bmp
