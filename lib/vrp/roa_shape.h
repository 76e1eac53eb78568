// Documents have hundreds of thousands of VRPs that are written alike: {"asn": 64500, "prefix": "192.0.2.0/24", ...},
// each with other values between the same characters. What stands between the values of one that was read with
// JsonReader is kept, and where the next has the same at the same places, only its values are left to be read. Private
// to this folder. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/vrp/payload.h"
#include "lib/vrp/text.h"

namespace virp::vrp {

// What a VRP's record says.
struct RoaRecord {
  PrefixText prefix;
  std::uint32_t as = 0;
  std::uint64_t max_length = UINT64_MAX;  // the greatest number: that of the prefix
  Expires expires = kNeverExpires;
};

class RoaShape {
 public:
  enum class Value : std::uint8_t { kAs, kPrefix, kMaxLength, kExpires, kOther };

  // From a record that is good, in the order of its text: where it begins, each value as it is written, where it ends.
  // They point into one text. A value of a form that Read does not know makes a shape that nothing has.
  void Begin(const char* at);
  void Take(Value value, std::string_view written);
  void End(const char* at);

  // Reads a record at the start of [at, end) that has the shape, and says what is behind it. Null for any other one,
  // also when a value is not what its place may have: JsonReader then knows what it is, or what is wrong with it.
  const char* Read(const char* at, const char* end, RoaRecord& out) const;

 private:
  enum class Form : std::uint8_t { kNumber, kText };
  struct Part {
    std::size_t from = 0, size = 0;  // in between_: what stands before the value
    Value value = Value::kOther;
    Form form = Form::kNumber;
  };
  static const char* ReadValue(const Part& part, const char* at, const char* end, RoaRecord& out);

  std::string between_;
  std::vector<Part> parts_;
  std::size_t last_ = 0;  // in between_: what stands behind the last value
  const char* at_ = nullptr;
  bool known_ = false;  // there is a shape
  bool fits_ = false;   // of the record that is being taken: so far there can be one
};

}  // namespace virp::vrp
