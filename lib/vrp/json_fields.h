// The values of records in documents about payloads, shared by the JSON of validators and SLURM files. Private to this
// folder. Not thread-safe.
//
// A value that a record may not have is a problem of the record: it is noted, the value is passed over, and reading
// goes on. Functions return false then, and when the reader failed.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/vrp/json_reader.h"
#include "lib/vrp/payload.h"
#include "lib/vrp/text.h"

namespace virp::vrp {

// The spellings of the drafts and of validators.
inline bool IsCustomerName(std::string_view name) {
  return name == "customer_asid" || name == "customer" || name == "customerAsid" || name == "customerAsn" ||
         name == "customerASID";
}
inline bool IsProvidersName(std::string_view name) {
  return name == "providers" || name == "provider_set" || name == "providerSet" || name == "providerAsns" ||
         name == "providerAsids";
}

class JsonFields {
 public:
  explicit JsonFields(JsonReader& reader) : reader_(reader) {}

  void BeginRecord() {
    seen_ = 0;
    has_problem_ = false;
  }
  // Notes that a name of the record is here; a problem when it was before.
  bool Once(unsigned bit) {
    if ((seen_ & bit) != 0) {
      Problem("a name is there twice");
      reader_.Skip();
      return false;
    }
    seen_ |= bit;
    return true;
  }
  bool Seen(unsigned bit) const { return (seen_ & bit) != 0; }
  void Require(unsigned bit, std::string_view name) {
    if (!Seen(bit) && !reader_.failed()) Missing(name);
  }

  bool As(std::uint32_t& out);
  bool AsNumber(std::uint32_t& out);  // text is a problem
  bool AsList(std::vector<std::uint32_t>& out, bool only_numbers = false);
  bool PrefixOf(PrefixText& out);
  bool Unsigned(std::string_view name, std::uint64_t max, std::uint64_t& out);
  bool Expiry(Expires& out);
  bool Ski(std::array<std::uint8_t, 20>& out);
  bool Base64(std::string_view name, std::string& out);

  // The first of a record counts.
  bool Problem(std::string_view reason);
  bool HasProblem() const { return has_problem_; }
  std::string TakeProblem() {
    has_problem_ = false;
    return std::move(problem_);
  }

 private:
  bool IsText(std::string_view what) { return reader_.Peek() == '"' || NotText(what); }
  bool IsNumber(std::string_view what) {
    const char next = reader_.Peek();
    return (next >= '0' && next <= '9') || next == '-' || NotNumber(what);
  }
  bool NotText(std::string_view what);
  bool NotNumber(std::string_view what);
  void Missing(std::string_view name);

  JsonReader& reader_;
  unsigned seen_ = 0;
  bool has_problem_ = false;
  std::string problem_;
};

}  // namespace virp::vrp
