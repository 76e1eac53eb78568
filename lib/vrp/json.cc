#include "lib/vrp/json.h"

#include <algorithm>
#include <utility>

#include "lib/base/status.h"
#include "lib/vrp/builder.h"
#include "lib/vrp/json_fields.h"
#include "lib/vrp/json_reader.h"
#include "lib/vrp/roa_shape.h"
#include "lib/vrp/set.h"
#include "lib/vrp/text.h"

namespace virp::vrp {
namespace {

// Names of a record, by all their spellings.
enum class Name : std::uint8_t { kOther, kAsn, kPrefix, kMaxLength, kExpires, kSki, kKey, kCustomer, kProviders };

// Those of VRPs come first, by their size: there are 600,000 of them.
Name NameOf(std::string_view key) {
  switch (key.size()) {
    case 3:
      if (key == "asn") return Name::kAsn;
      if (key == "ski" || key == "SKI") return Name::kSki;
      break;
    case 6:
      if (key == "prefix") return Name::kPrefix;
      if (key == "pubkey") return Name::kKey;
      break;
    case 7:
      if (key == "expires") return Name::kExpires;
      break;
    case 9:
      if (key == "maxLength") return Name::kMaxLength;
      break;
    default:
      break;
  }
  if (key == "routerPublicKey") return Name::kKey;
  if (IsCustomerName(key)) return Name::kCustomer;
  if (IsProvidersName(key)) return Name::kProviders;
  return Name::kOther;
}

class Decoder {
 public:
  Decoder(std::string_view text, const JsonOptions& options) : reader_(text), fields_(reader_), options_(options) {}
  Decoder(TextInput& input, std::size_t window, const JsonOptions& options)
      : reader_(input, window), fields_(reader_), options_(options) {}

  absl::StatusOr<Document> Run(std::size_t size) {
    // No table has more of them; memory that is not written to costs nothing.
    if (size > std::size_t{1} << 20) builder_.Reserve(size / 64, size / 64);
    Top();
    reader_.Whole([this] { reader_.End(); });
    if (!reader_.failed() && (sections_ & ~unsigned{kMetadata}) == 0)
      reader_.Fail("none of roas, bgpsec_keys, routerKeys, aspas");
    if (reader_.failed()) return section_.empty() ? reader_.status() : Annotate(reader_.status(), Place());
    Built built = std::move(builder_).Build();
    out_.payloads = std::move(built.payloads);
    out_.duplicates = built.duplicates;
    for (std::string& refused : built.refused) out_.problems.push_back(std::move(refused));
    return std::move(out_);
  }

 private:
  enum Section : unsigned {
    kNone = 0,
    kRoas = 1,
    kBgpsecKeys = 2,
    kRouterKeys = 4,
    kAspas = 8,
    kAuthorizations = 16,
    kMetadata = 32
  };

  static Section SectionOf(std::string_view key) {
    if (key == "roas") return kRoas;
    if (key == "bgpsec_keys") return kBgpsecKeys;
    if (key == "routerKeys") return kRouterKeys;
    if (key == "aspas") return kAspas;
    if (key == "provider_authorizations") return kAuthorizations;
    return key == "metadata" ? kMetadata : kNone;
  }

  std::string Place() const { return fmt::format("{}[{}]", section_, index_); }

  void Top() {
    reader_.Whole([this] { reader_.BeginObject(); });
    for (bool more = true; more && !reader_.failed();) {
      Section section = kNone;
      const unsigned before = sections_;
      reader_.Whole([&] {
        sections_ = before;
        section = kNone;
        std::string_view key;
        more = reader_.NextKey(key);
        if (more) section = Open(SectionOf(key));
      });
      if (more && !reader_.failed()) Read(section);
    }
  }

  // What is to be read of it behind its bracket. What is nothing of ours, or small, is behind us then.
  Section Open(Section section) {
    const bool once = (sections_ & section) == 0;
    if (!once) reader_.Fail("the document has this section twice");
    sections_ |= section;
    if (!once) return kNone;
    if (section == kNone || reader_.Peek() == 'n') {
      reader_.Skip();
    } else if (section == kMetadata) {
      Metadata();
    } else {
      section == kAuthorizations ? reader_.BeginObject() : reader_.BeginArray();
      return section;
    }
    return kNone;
  }

  void Read(Section section) {
    switch (section) {
      case kRoas:
        return Records("roas", [this] { Roa(); });
      case kBgpsecKeys:
        return Records("bgpsec_keys", [this] { Key(); });
      case kRouterKeys:
        return Records("routerKeys", [this] { Key(); });
      case kAspas:
        return Aspas("aspas");
      case kAuthorizations:
        return Authorizations();
      default:
        return;
    }
  }

  // The array of a section behind its bracket, a call for each record.
  template <typename Record>
  void Records(std::string_view section, Record record) {
    section_ = section;
    index_ = 0;
    for (;; ++index_, ++out_.records) {
      bool more = false;
      reader_.Whole([&] {
        fields_.BeginRecord();
        more = reader_.NextElement();
        if (!more) return;
        if (out_.records >= options_.max_records) {
          reader_.Fail(fmt::format("there are more than {} records", options_.max_records));
        } else if (reader_.Peek() != '{') {
          fields_.Problem("a record is not an object");
          reader_.Skip();
        } else {
          record();
        }
      });
      if (fields_.HasProblem()) Settle();
      if (reader_.failed()) return;  // with its place
      if (!more) break;
    }
    section_ = {};
  }

  void Settle() {
    if (reader_.failed()) return;
    const std::string problem = fields_.TakeProblem();
    if (!options_.skip_bad_records) {
      reader_.Fail(problem);
      return;
    }
    ++out_.bad;
    if (out_.problems.size() < kMaxProblems) out_.problems.push_back(fmt::format("{}: {}", Place(), problem));
  }

  // Whether the record, which is complete, counts.
  bool Counts(Expires expires) {
    if (reader_.failed() || fields_.HasProblem()) return false;
    if (options_.now == 0 || !IsExpired(expires, options_.now)) return true;
    ++out_.expired;
    return false;
  }

  void Check(const absl::Status& added) {
    if (!added.ok()) fields_.Problem(Message(added));
  }

  void Roa() {
    RoaRecord roa;
    const std::string_view text = reader_.rest();
    if (const char* const behind = shape_.Read(text.data(), text.data() + text.size(), roa); behind != nullptr) {
      reader_.Pass(static_cast<std::size_t>(behind - text.data()));
    } else {
      OtherRoa(roa);
    }
    if (!Counts(roa.expires)) return;
    const PrefixText& prefix = roa.prefix;
    const auto max = static_cast<std::uint8_t>(roa.max_length == UINT64_MAX ? prefix.length : roa.max_length);
    if (prefix.v6) {
      Check(builder_.Add(Vrp6{prefix.high, prefix.low, roa.as, roa.expires, prefix.length, max}));
    } else {
      Check(builder_.Add(Vrp4{static_cast<std::uint32_t>(prefix.high), roa.as, roa.expires, prefix.length, max}));
    }
  }

  // One that is written in another way than the one before: in that of the next ones, perhaps.
  void OtherRoa(RoaRecord& roa) {
    roa = {};
    std::string_view key;
    fields_.BeginRecord();
    shape_.Begin(reader_.rest().data());
    for (reader_.BeginObject(); reader_.NextKey(key);) {
      const RoaShape::Value value = RoaValue(key);
      reader_.Peek();  // over white space
      const char* const from = reader_.rest().data();
      switch (value) {
        case RoaShape::Value::kAs:
          fields_.Once(1) && fields_.As(roa.as);
          break;
        case RoaShape::Value::kPrefix:
          fields_.Once(2) && fields_.PrefixOf(roa.prefix);
          break;
        case RoaShape::Value::kMaxLength:
          fields_.Once(4) && fields_.Unsigned("maxLength", 255, roa.max_length);
          break;
        case RoaShape::Value::kExpires:
          fields_.Once(8) && fields_.Expiry(roa.expires);
          break;
        case RoaShape::Value::kOther:
          reader_.Skip();
      }
      shape_.Take(value, {from, reader_.rest().data()});
    }
    fields_.Require(1, "asn");
    fields_.Require(2, "prefix");
    if (!reader_.failed() && !fields_.HasProblem()) shape_.End(reader_.rest().data());
  }

  static RoaShape::Value RoaValue(std::string_view key) {
    switch (NameOf(key)) {
      case Name::kAsn:
        return RoaShape::Value::kAs;
      case Name::kPrefix:
        return RoaShape::Value::kPrefix;
      case Name::kMaxLength:
        return RoaShape::Value::kMaxLength;
      case Name::kExpires:
        return RoaShape::Value::kExpires;
      default:
        return RoaShape::Value::kOther;
    }
  }

  void Key() {
    std::string_view name;
    RouterKey key;
    fields_.BeginRecord();
    for (reader_.BeginObject(); reader_.NextKey(name);) {
      switch (NameOf(name)) {
        case Name::kAsn:
          fields_.Once(1) && fields_.As(key.as);
          break;
        case Name::kSki:
          fields_.Once(2) && fields_.Ski(key.ski);
          break;
        case Name::kKey:
          fields_.Once(4) && fields_.Base64("the key", key.spki);
          break;
        case Name::kExpires:
          fields_.Once(8) && fields_.Expiry(key.expires);
          break;
        default:
          reader_.Skip();
      }
    }
    fields_.Require(1, "asn");
    fields_.Require(2, "ski");
    fields_.Require(4, "pubkey");
    if (Counts(key.expires)) Check(builder_.Add(std::move(key)));
  }

  void Aspas(std::string_view section) {
    Records(section, [this] { OneAspa(); });
  }

  void OneAspa() {
    std::string_view name;
    Aspa aspa;
    fields_.BeginRecord();
    for (reader_.BeginObject(); reader_.NextKey(name);) {
      switch (NameOf(name)) {
        case Name::kCustomer:
          fields_.Once(1) && fields_.As(aspa.customer);
          break;
        case Name::kProviders:
          fields_.Once(2) && fields_.AsList(aspa.providers);
          break;
        case Name::kExpires:
          fields_.Once(8) && fields_.Expiry(aspa.expires);
          break;
        default:
          reader_.Skip();
      }
    }
    fields_.Require(1, "customer_asid");
    fields_.Require(2, "providers");
    if (Counts(aspa.expires)) Check(builder_.Add(std::move(aspa)));
  }

  // rpki-client up to 2023: a customer's providers by address family, which ASPAs do not know any more.
  void Authorizations() {
    unsigned seen = 0;
    for (bool more = true; more && !reader_.failed();) {
      unsigned family = 0;
      bool open = false;
      reader_.Whole([&] {
        std::string_view key;
        open = false;
        more = reader_.NextKey(key);
        if (!more) return;
        family = key == "ipv4" ? 1 : key == "ipv6" ? 2 : 0;
        if ((seen & family) != 0) {
          reader_.Fail("the document has this section twice");
        } else if (family == 0 || reader_.Peek() == 'n') {
          reader_.Skip();
        } else {
          open = reader_.BeginArray();
        }
      });
      if (more) seen |= family;
      if (open && !reader_.failed())
        Aspas(family == 1 ? "provider_authorizations.ipv4" : "provider_authorizations.ipv6");
    }
  }

  void Metadata() {
    std::string_view key;
    std::optional<std::int64_t> built;
    unsigned seen = 0;
    const auto once = [&](unsigned bit) {
      if ((seen & bit) != 0) return reader_.Fail("metadata has this name twice");
      seen |= bit;
      return true;
    };
    for (reader_.BeginObject(); reader_.NextKey(key);) {
      if (key == "generated") {
        once(1) && Seconds(out_.generated);
      } else if (key == "valid") {
        once(2) && Seconds(out_.valid);
      } else if (key == "buildtime") {
        std::string_view text;
        if (once(4) && reader_.String(text) && !(built = ParseTime(text))) {
          reader_.Fail("metadata.buildtime is no time such as 2026-07-01T12:00:00Z");
        }
      } else {
        reader_.Skip();
      }
    }
    if (!out_.generated) out_.generated = built;
  }

  bool Seconds(std::optional<std::int64_t>& out) {
    std::uint64_t value = 0;
    if (!reader_.Unsigned(value)) return reader_.Fail("a time in metadata is no whole number of seconds");
    out = static_cast<std::int64_t>(std::min<std::uint64_t>(value, INT64_MAX));
    return true;
  }

  JsonReader reader_;
  JsonFields fields_;
  const JsonOptions options_;
  RoaShape shape_;
  Builder builder_;
  Document out_;
  unsigned sections_ = 0;
  std::string_view section_;  // empty outside of any
  std::size_t index_ = 0;
};

}  // namespace

absl::StatusOr<Document> DecodeJson(std::string_view text, const JsonOptions& options) {
  if (text.size() > options.max_bytes) {
    return ResourceExhausted("the document has {} bytes, {} are the limit", text.size(), options.max_bytes);
  }
  return Decoder(text, options).Run(text.size());
}

absl::StatusOr<Document> DecodeJson(TextInput& input, std::size_t size, const JsonOptions& options,
                                    std::size_t window) {
  // More than that is refused by whoever reads it, and less is as good for Reserve.
  return Decoder(input, window, options).Run(std::min(size, options.max_bytes));
}

}  // namespace virp::vrp
