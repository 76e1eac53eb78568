// A payload, read by us and by an independent parser that is asked the questions of RFC 7493 in its own way: both must
// agree on what is one I-JSON object, and on every value in it. Input: the payload.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/utf8.h"
#include "lib/frame/frame.h"
#include "lib/frame/payload.h"
#include "tests/fuzz/require.h"

using namespace virp::frame;  // NOLINT(google-build-using-namespace): a fuzz target is one function
using nlohmann::json;

namespace {

// True when a well-formed text (the parser sees to that) has a code point that I-JSON forbids.
bool HasNoncharacter(const std::string& text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = [&](std::size_t at) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[at])); };
    const std::uint32_t lead = byte(i);
    const std::size_t more = lead < 0x80 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    std::uint32_t point = more == 0 ? lead : lead & (0x3fU >> more);
    for (std::size_t k = 1; k <= more; ++k) point = point << 6 | (byte(i + k) & 0x3f);
    if ((point & 0xfffe) == 0xfffe || (point >= 0xfdd0 && point <= 0xfdef)) return true;
    i += more + 1;
  }
  return false;
}

// Stops at the first thing that RFC 8259 allows and our rules do not.
class IJsonRules : public nlohmann::json_sax<json> {
 public:
  bool null() override { return Scalar(); }
  bool boolean(bool) override { return Scalar(); }
  bool number_integer(number_integer_t) override { return Scalar(); }
  bool number_unsigned(number_unsigned_t) override { return Scalar(); }
  bool number_float(number_float_t, const string_t& text) override {
    const bool is_integer = text.find_first_of(".eE") == std::string::npos;  // too large to be handed over as one
    return Scalar() && !is_integer;
  }
  bool string(string_t& value) override { return Scalar() && !HasNoncharacter(value); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override {
    names_.emplace_back();
    return names_.size() <= kMaxPayloadDepth;
  }
  bool key(string_t& name) override { return !HasNoncharacter(name) && names_.back().insert(name).second; }
  bool end_object() override {
    names_.pop_back();
    return true;
  }
  bool start_array(std::size_t size) override { return !names_.empty() && start_object(size); }
  bool end_array() override { return end_object(); }
  bool parse_error(std::size_t, const std::string&, const json::exception&) override { return false; }

 private:
  bool Scalar() const { return !names_.empty(); }  // one alone is no object
  std::vector<std::set<std::string>> names_;
};

bool IsIJsonObject(std::string_view text) {
  // The other parser skips a byte order mark, and takes a NUL byte for the end of the text.
  if (text.size() > kMaxPayload || text.starts_with("\xef\xbb\xbf") || text.find('\0') != std::string_view::npos) {
    return false;
  }
  IJsonRules rules;
  return json::sax_parse(text.begin(), text.end(), &rules);
}

void RequireSame(const Value& value, const json& expected) {
  switch (expected.type()) {
    case json::value_t::null:
      REQUIRE(value.kind() == Value::Kind::kNull);
      break;
    case json::value_t::boolean:
      REQUIRE(value.AsBool() == expected.get<bool>());
      break;
    case json::value_t::number_integer:
      REQUIRE(value.AsInteger() == expected.get<std::int64_t>());
      break;
    case json::value_t::number_unsigned:
      REQUIRE(value.AsUnsigned() == expected.get<std::uint64_t>());
      break;
    case json::value_t::number_float:
      REQUIRE(value.AsDouble() == expected.get<double>());
      break;
    case json::value_t::string:
      REQUIRE(value.AsString() == expected.get_ref<const std::string&>());
      break;
    case json::value_t::array: {
      REQUIRE(value.kind() == Value::Kind::kArray && value.size() == expected.size());
      std::size_t i = 0;
      for (const auto& [key, element] : value.members()) RequireSame(element, expected[i++]);
      REQUIRE(i == expected.size() && !value.at(i).present());
      // Not what is below it a second time: at each depth of a deep payload that doubles the work.
      if (i != 0 && !expected.back().is_structured()) RequireSame(value.at(i - 1), expected.back());
      break;
    }
    case json::value_t::object: {
      REQUIRE(value.kind() == Value::Kind::kObject && value.size() == expected.size());
      std::size_t members = 0;
      for (const auto& [key, member] : value.members()) {
        const auto found = expected.find(std::string(key));
        REQUIRE(found != expected.end() && value[key].kind() == member.kind());
        RequireSame(member, *found);
        ++members;
      }
      REQUIRE(members == expected.size());
      break;
    }
    default:
      REQUIRE(false);
  }
}

void Write(const Value& value, JsonWriter& out) {
  switch (value.kind()) {
    case Value::Kind::kObject:
      out.BeginObject();
      for (const auto& [key, member] : value.members()) {
        out.Key(key);
        Write(member, out);
      }
      out.EndObject();
      break;
    case Value::Kind::kArray:
      out.BeginArray();
      for (const auto& [key, element] : value.members()) Write(element, out);
      out.EndArray();
      break;
    case Value::Kind::kString:
      out.String(*value.AsString());
      break;
    case Value::Kind::kInteger:
      out.Integer(*value.AsInteger());
      break;
    case Value::Kind::kUnsigned:
      out.Unsigned(*value.AsUnsigned());
      break;
    case Value::Kind::kDouble:
      out.Raw(json(*value.AsDouble()).dump());
      break;
    case Value::Kind::kBool:
      out.Bool(*value.AsBool());
      break;
    default:
      out.Null();
      break;
  }
}

// Whatever text a device sends becomes a payload that is read back, repaired where it had to be.
void WriteAnything(PayloadReader& reader, std::string_view text) {
  text = text.substr(0, kMaxPayload / 14);  // twice, each byte six characters at most
  JsonWriter writer;
  const std::string written = writer.BeginObject().Key(text).BeginArray().String(text).EndArray().EndObject().Take();
  const auto root = reader.Read(written);
  REQUIRE(root.ok());
  const std::string repaired = virp::ToUtf8(text);
  REQUIRE((*root)[repaired].at(0).AsString() == repaired);
  if (repaired.find('.') == std::string::npos) REQUIRE(root->Path(repaired + ".0").AsString() == repaired);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static PayloadReader reader;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  WriteAnything(reader, text);
  const auto root = reader.Read(text);
  REQUIRE(root.ok() == IsIJsonObject(text));
  if (!root.ok()) return 0;
  const json expected = json::parse(text);
  RequireSame(*root, expected);
  root->Path(text.substr(0, 40));

  // What we write of it says the same; escapes make it up to six times as long, and then it may not fit.
  JsonWriter writer;
  Write(*root, writer);
  const std::string written = writer.Take();
  REQUIRE(json::parse(written) == expected);
  if (written.size() <= kMaxPayload) REQUIRE(reader.Read(written).ok());
  return 0;
}
