#include "lib/vrp/json.h"

#include <algorithm>
#include <utility>

#include "lib/base/status.h"
#include "lib/vrp/builder.h"
#include "lib/vrp/json_fields.h"
#include "lib/vrp/json_reader.h"
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

  absl::StatusOr<Document> Run(std::size_t size) {
    // About what a validator's table needs; memory that is not written to costs nothing.
    if (size > std::size_t{1} << 20) builder_.Reserve(size / 170, size / 250);
    if (Top() && reader_.End() && sections_ == 0) reader_.Fail("none of roas, bgpsec_keys, routerKeys, aspas");
    if (reader_.failed()) return section_.empty() ? reader_.status() : Annotate(reader_.status(), Place());
    Built built = std::move(builder_).Build();
    out_.payloads = std::move(built.payloads);
    out_.duplicates = built.duplicates;
    for (std::string& refused : built.refused) out_.problems.push_back(std::move(refused));
    return std::move(out_);
  }

 private:
  enum Section : unsigned {
    kRoas = 1,
    kBgpsecKeys = 2,
    kRouterKeys = 4,
    kAspas = 8,
    kAuthorizations = 16,
    kMetadata = 32
  };

  std::string Place() const { return fmt::format("{}[{}]", section_, index_); }

  bool Top() {
    std::string_view key;
    for (reader_.BeginObject(); reader_.NextKey(key);) {
      if (key == "roas") {
        Once(kRoas) && Records("roas", [this] { return Roa(); });
      } else if (key == "bgpsec_keys") {
        Once(kBgpsecKeys) && Records("bgpsec_keys", [this] { return Key(); });
      } else if (key == "routerKeys") {
        Once(kRouterKeys) && Records("routerKeys", [this] { return Key(); });
      } else if (key == "aspas") {
        Once(kAspas) && Aspas("aspas");
      } else if (key == "provider_authorizations") {
        Once(kAuthorizations) && Authorizations();
      } else if (key == "metadata") {
        Once(kMetadata) && Metadata();
      } else {
        reader_.Skip();
      }
    }
    sections_ &= ~unsigned{kMetadata};
    return !reader_.failed();
  }

  bool Once(Section section) {
    if ((sections_ & section) != 0) return reader_.Fail("the document has this section twice");
    sections_ |= section;
    return true;
  }

  // The array of a section, a call for each record.
  template <typename Record>
  bool Records(std::string_view section, Record record) {
    if (reader_.Peek() == 'n') return reader_.Skip();
    section_ = section;
    index_ = 0;
    for (reader_.BeginArray(); reader_.NextElement(); ++index_) {
      if (++out_.records > options_.max_records) {
        reader_.Fail(fmt::format("there are more than {} records", options_.max_records));
        return false;
      }
      if (reader_.Peek() != '{') {
        fields_.Problem("a record is not an object");
        reader_.Skip();
      } else {
        record();
      }
      if (fields_.HasProblem()) Settle();
      if (reader_.failed()) return false;  // with its place
    }
    if (reader_.failed()) return false;
    section_ = {};
    return true;
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

  bool Roa() {
    std::string_view key;
    PrefixText prefix;
    std::uint32_t as = 0;
    std::uint64_t max_length = UINT64_MAX;
    Expires expires = kNeverExpires;
    fields_.BeginRecord();
    for (reader_.BeginObject(); reader_.NextKey(key);) {
      const Name name = NameOf(key);
      switch (name) {
        case Name::kAsn:
          fields_.Once(1) && fields_.As(as);
          break;
        case Name::kPrefix:
          fields_.Once(2) && fields_.PrefixOf(prefix);
          break;
        case Name::kMaxLength:
          fields_.Once(4) && fields_.Unsigned("maxLength", 255, max_length);
          break;
        case Name::kExpires:
          fields_.Once(8) && fields_.Expiry(expires);
          break;
        default:
          reader_.Skip();
      }
    }
    fields_.Require(1, "asn");
    fields_.Require(2, "prefix");
    if (!Counts(expires)) return false;
    const auto max = static_cast<std::uint8_t>(max_length == UINT64_MAX ? prefix.length : max_length);
    if (prefix.v6) {
      Check(builder_.Add(Vrp6{prefix.high, prefix.low, as, expires, prefix.length, max}));
    } else {
      Check(builder_.Add(Vrp4{static_cast<std::uint32_t>(prefix.high), as, expires, prefix.length, max}));
    }
    return true;
  }

  bool Key() {
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
    return true;
  }

  bool Aspas(std::string_view section) {
    return Records(section, [this] { return OneAspa(); });
  }

  bool OneAspa() {
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
    return true;
  }

  // rpki-client up to 2023: a customer's providers by address family, which ASPAs do not know any more.
  bool Authorizations() {
    if (reader_.Peek() == 'n') return reader_.Skip();
    std::string_view key;
    fields_.BeginRecord();
    unsigned seen = 0;
    for (reader_.BeginObject(); reader_.NextKey(key);) {
      const unsigned family = key == "ipv4" ? 1 : key == "ipv6" ? 2 : 0;
      if (family == 0) {
        reader_.Skip();
        continue;
      }
      if ((seen & family) != 0) return reader_.Fail("the document has this section twice");
      seen |= family;
      Aspas(family == 1 ? "provider_authorizations.ipv4" : "provider_authorizations.ipv6");
    }
    return !reader_.failed();
  }

  bool Metadata() {
    if (reader_.Peek() == 'n') return reader_.Skip();
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
    return !reader_.failed();
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

}  // namespace virp::vrp
