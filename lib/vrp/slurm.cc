#include "lib/vrp/slurm.h"

#include <algorithm>
#include <map>
#include <utility>

#include "lib/base/status.h"
#include "lib/crypto/sha256.h"
#include "lib/vrp/builder.h"
#include "lib/vrp/json_fields.h"
#include "lib/vrp/json_reader.h"

namespace virp::vrp {
namespace {

// What a file speaks of, so that no other one does.
struct Claims {
  std::vector<Prefix> prefixes;
  std::vector<std::uint32_t> key_ases;
  std::vector<std::uint32_t> customers;
  std::size_t assertions = 0;
};

virp::Prefix ToPrefix(const PrefixText& text) {
  return text.v6 ? PrefixOf(Vrp6{text.high, text.low, 0, 0, text.length, 128})
                 : PrefixOf(Vrp4{static_cast<std::uint32_t>(text.high), 0, 0, text.length, 32});
}

// One file into the filters of `out` and into `builder`.
class SlurmReader {
 public:
  SlurmReader(std::string_view text, Slurm& out, Builder& builder)
      : reader_(text), fields_(reader_), out_(out), builder_(builder) {}

  absl::StatusOr<Claims> Run() {
    if (Top() && reader_.End()) CheckMembers();
    if (!reader_.failed()) return std::move(claims_);
    return place_.empty() ? reader_.status() : Annotate(reader_.status(), place_);
  }

 private:
  enum Member : unsigned {
    kVersion = 1,
    kFilters = 2,
    kAssertions = 4,
    kPrefixFilters = 8,
    kBgpsecFilters = 16,
    kAspaFilters = 32,
    kPrefixAssertions = 64,
    kBgpsecAssertions = 128,
    kAspaAssertions = 256,
  };

  bool Once(Member member, std::string_view name) {
    if ((members_ & member) != 0) return reader_.Fail(fmt::format("{} is there twice", name));
    members_ |= member;
    return true;
  }

  bool Unknown(std::string_view name) {
    return reader_.Fail(fmt::format("\"{}\" is no member that RFC 8416 knows here", Shown(name, 40)));
  }

  bool Top() {
    std::string_view key;
    for (reader_.BeginObject(); reader_.NextKey(key);) {
      if (key == "slurmVersion") {
        if (!Once(kVersion, key)) return false;
        if (!reader_.Unsigned(version_) || version_ < 1 || version_ > 2)
          return reader_.Fail("slurmVersion is neither 1 nor 2");
      } else if (key == "validationOutputFilters") {
        if (!Once(kFilters, key) || !Filters()) return false;
      } else if (key == "locallyAddedAssertions") {
        if (!Once(kAssertions, key) || !Assertions()) return false;
      } else {
        return Unknown(key);
      }
    }
    return !reader_.failed();
  }

  bool CheckMembers() {
    static constexpr std::pair<Member, std::string_view> kRequired[] = {{kVersion, "slurmVersion"},
                                                                        {kFilters, "validationOutputFilters"},
                                                                        {kPrefixFilters, "prefixFilters"},
                                                                        {kBgpsecFilters, "bgpsecFilters"},
                                                                        {kAssertions, "locallyAddedAssertions"},
                                                                        {kPrefixAssertions, "prefixAssertions"},
                                                                        {kBgpsecAssertions, "bgpsecAssertions"}};
    for (const auto& [member, name] : kRequired) {
      if ((members_ & member) == 0) return reader_.Fail(fmt::format("{} is missing; an array may be empty", name));
    }
    if (version_ == 1 && (members_ & (kAspaFilters | kAspaAssertions)) != 0) {
      return reader_.Fail("ASPA members need slurmVersion 2");
    }
    return true;
  }

  bool Filters() {
    std::string_view key;
    for (reader_.BeginObject(); reader_.NextKey(key);) {
      if (key == "prefixFilters") {
        Once(kPrefixFilters, key) && Entries("prefixFilters", [this] { OnePrefixFilter(); });
      } else if (key == "bgpsecFilters") {
        Once(kBgpsecFilters, key) && Entries("bgpsecFilters", [this] { OneBgpsecFilter(); });
      } else if (key == "aspaFilters") {
        Once(kAspaFilters, key) && Entries("aspaFilters", [this] { OneAspa(/*assertion=*/false); });
      } else {
        return Unknown(key);
      }
    }
    return !reader_.failed();
  }

  bool Assertions() {
    std::string_view key;
    for (reader_.BeginObject(); reader_.NextKey(key);) {
      if (key == "prefixAssertions") {
        Once(kPrefixAssertions, key) && Entries("prefixAssertions", [this] { OnePrefixAssertion(); });
      } else if (key == "bgpsecAssertions") {
        Once(kBgpsecAssertions, key) && Entries("bgpsecAssertions", [this] { OneBgpsecAssertion(); });
      } else if (key == "aspaAssertions") {
        Once(kAspaAssertions, key) && Entries("aspaAssertions", [this] { OneAspa(/*assertion=*/true); });
      } else {
        return Unknown(key);
      }
    }
    return !reader_.failed();
  }

  template <typename Entry>
  bool Entries(std::string_view name, Entry entry) {
    std::size_t index = 0;
    for (reader_.BeginArray(); reader_.NextElement(); ++index) {
      fields_.BeginRecord();
      entry();
      if (!reader_.failed() && fields_.HasProblem()) reader_.Fail(fields_.TakeProblem());
      if (reader_.failed()) place_ = fmt::format("{}[{}]", name, index);
    }
    return !reader_.failed();
  }

  // The members of an entry: `take(name)` is false for one that it does not know.
  template <typename Take>
  void Members(Take take) {
    std::string_view key;
    for (reader_.BeginObject(); reader_.NextKey(key);) {
      if (key == "comment") {
        std::string_view ignored;
        if (fields_.Once(1024)) reader_.String(ignored);
      } else if (!take(key)) {
        Unknown(key);
      }
    }
  }

  bool Asn(std::string_view key, std::uint32_t& out) {
    if (key != "asn") return false;
    if (fields_.Once(kAsn)) fields_.AsNumber(out);
    return true;
  }
  bool PrefixMember(std::string_view key, PrefixText& out) {
    if (key != "prefix") return false;
    if (fields_.Once(kPrefix)) fields_.PrefixOf(out);
    return true;
  }
  bool Ski(std::string_view key, std::array<std::uint8_t, 20>& out) {
    if (key != "SKI") return false;
    if (fields_.Once(kSki)) fields_.Ski(out);
    return true;
  }
  bool Fine() const { return !reader_.failed() && !fields_.HasProblem(); }

  void OnePrefixFilter() {
    std::uint32_t as = 0;
    PrefixText prefix;
    Members([&](std::string_view key) { return Asn(key, as) || PrefixMember(key, prefix); });
    if (!fields_.Seen(kAsn) && !fields_.Seen(kPrefix)) fields_.Problem("neither prefix nor asn is there");
    if (!Fine()) return;
    PrefixFilter filter;
    if (fields_.Seen(kAsn)) filter.as = as;
    if (fields_.Seen(kPrefix)) {
      filter.prefix = ToPrefix(prefix);
      claims_.prefixes.push_back(*filter.prefix);
    }
    out_.prefix_filters.push_back(filter);
  }

  void OneBgpsecFilter() {
    std::uint32_t as = 0;
    std::array<std::uint8_t, 20> ski = {};
    Members([&](std::string_view key) { return Asn(key, as) || Ski(key, ski); });
    if (!fields_.Seen(kAsn) && !fields_.Seen(kSki)) fields_.Problem("neither asn nor SKI is there");
    if (!Fine()) return;
    BgpsecFilter filter;
    if (fields_.Seen(kAsn)) {
      filter.as = as;
      claims_.key_ases.push_back(as);
    }
    if (fields_.Seen(kSki)) filter.ski = ski;
    out_.bgpsec_filters.push_back(filter);
  }

  void OnePrefixAssertion() {
    std::uint32_t as = 0;
    PrefixText prefix;
    std::uint64_t max_length = 0;
    Members([&](std::string_view key) {
      if (key != "maxPrefixLength") return Asn(key, as) || PrefixMember(key, prefix);
      if (fields_.Once(kMaxLength)) fields_.Unsigned(key, 255, max_length);
      return true;
    });
    fields_.Require(kAsn, "asn");
    fields_.Require(kPrefix, "prefix");
    if (!Fine()) return;
    if (!fields_.Seen(kMaxLength)) max_length = prefix.length;
    claims_.prefixes.push_back(ToPrefix(prefix));
    Check(builder_.Add(claims_.prefixes.back(), max_length, as));
  }

  void OneBgpsecAssertion() {
    RouterKey key;
    Members([&](std::string_view name) {
      if (name != "routerPublicKey") return Asn(name, key.as) || Ski(name, key.ski);
      if (fields_.Once(kKey)) fields_.Base64(name, key.spki);
      return true;
    });
    fields_.Require(kAsn, "asn");
    fields_.Require(kSki, "SKI");
    fields_.Require(kKey, "routerPublicKey");
    if (!Fine()) return;
    claims_.key_ases.push_back(key.as);
    Check(builder_.Add(std::move(key)));
  }

  void OneAspa(bool assertion) {
    Aspa aspa;
    Members([&](std::string_view key) {
      if (IsCustomerName(key)) {
        if (fields_.Once(kCustomer)) fields_.AsNumber(aspa.customer);
        return true;
      }
      if (!assertion || !IsProvidersName(key)) return false;
      if (fields_.Once(kProviders)) fields_.AsList(aspa.providers, /*only_numbers=*/true);
      return true;
    });
    fields_.Require(kCustomer, "the customer");
    if (assertion) fields_.Require(kProviders, "the list of providers");
    if (!Fine()) return;
    claims_.customers.push_back(aspa.customer);
    if (assertion) {
      Check(builder_.Add(std::move(aspa)));
    } else {
      out_.aspa_filters.push_back(aspa.customer);
    }
  }

  void Check(const absl::Status& added) {
    ++claims_.assertions;
    if (!added.ok()) fields_.Problem(Message(added));
  }

  enum Field : unsigned { kAsn = 1, kPrefix = 2, kSki = 4, kKey = 8, kMaxLength = 16, kCustomer = 32, kProviders = 64 };

  JsonReader reader_;
  JsonFields fields_;
  Slurm& out_;
  Builder& builder_;
  Claims claims_;
  unsigned members_ = 0;
  std::uint64_t version_ = 0;
  std::string place_;
};

absl::Status Overlap(const SlurmText& a, const SlurmText& b, std::string_view what) {
  return InvalidArgument("{} and {} both speak of {}; files may not (RFC 8416 section 4.2), so none is used", a.name,
                         b.name, what);
}

absl::Status CheckPrefixes(std::span<const SlurmText> files, const std::vector<Claims>& claims) {
  std::vector<std::pair<Prefix, std::size_t>> all;
  for (std::size_t file = 0; file < claims.size(); ++file) {
    for (const Prefix& prefix : claims[file].prefixes) all.emplace_back(prefix, file);
  }
  std::sort(all.begin(), all.end());
  // What contains the prefix at hand: all of one file, or we would not be here any more.
  std::vector<std::pair<Prefix, std::size_t>> around;
  for (const auto& one : all) {
    while (!around.empty() && !around.back().first.Contains(one.first)) around.pop_back();
    if (!around.empty() && around.back().second != one.second) {
      return Overlap(files[around.back().second], files[one.second], one.first.ToString());
    }
    around.push_back(one);
  }
  return absl::OkStatus();
}

absl::Status CheckNumbers(std::span<const SlurmText> files, const std::vector<Claims>& claims,
                          std::vector<std::uint32_t> Claims::* member, std::string_view what) {
  std::map<std::uint32_t, std::size_t> owners;
  for (std::size_t file = 0; file < claims.size(); ++file) {
    for (const std::uint32_t as : claims[file].*member) {
      const std::size_t owner = owners.emplace(as, file).first->second;
      if (owner != file) return Overlap(files[owner], files[file], fmt::format("{} of AS {}", what, as));
    }
  }
  return absl::OkStatus();
}

std::size_t FiltersIn(const Slurm& slurm) {
  return slurm.prefix_filters.size() + slurm.bgpsec_filters.size() + slurm.aspa_filters.size();
}

}  // namespace

absl::StatusOr<Slurm> ParseSlurm(std::span<const SlurmText> files) {
  Slurm out;
  Builder builder;
  std::vector<Claims> claims;
  for (const SlurmText& file : files) {
    if (file.text.size() > kMaxSlurmBytes) {
      return ResourceExhausted("{} has {} bytes, {} are the limit", file.name, file.text.size(), kMaxSlurmBytes);
    }
    const std::size_t before = FiltersIn(out);
    auto one = SlurmReader(file.text, out, builder).Run();
    if (!one.ok()) return Annotate(one.status(), file.name);
    out.files.push_back({file.name, crypto::Sha256(file.text), FiltersIn(out) - before, one->assertions});
    claims.push_back(*std::move(one));
  }
  RETURN_IF_ERROR(CheckPrefixes(files, claims));
  RETURN_IF_ERROR(CheckNumbers(files, claims, &Claims::key_ases, "router keys"));
  RETURN_IF_ERROR(CheckNumbers(files, claims, &Claims::customers, "ASPAs"));
  Built built = std::move(builder).Build();
  if (!built.refused.empty()) return InvalidArgument("aspaAssertions: {}", built.refused[0]);
  out.assertions = std::move(built.payloads);
  return out;
}

}  // namespace virp::vrp
