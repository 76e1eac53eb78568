#include "lib/frame/payload.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <limits>
#include <vector>

#include "lib/base/status.h"
#include "lib/base/utf8.h"
#include "lib/frame/frame.h"

namespace virp::frame {
namespace {

// simdjson's parse result, read where it lies. Its tape is an array of words, each a type in the top byte and 56 bits:
// containers hold the index behind their end and their count, strings an offset into the string buffer (32-bit length,
// then the unescaped bytes), numbers nothing, their value is the next word. Word 0 is the root, 1 its value.
struct Tape {
  const std::uint64_t* words = nullptr;
  const std::uint8_t* strings = nullptr;

  char type(std::uint64_t at) const { return static_cast<char>(words[at] >> 56); }
  std::uint64_t content(std::uint64_t at) const { return words[at] & 0x00ff'ffff'ffff'ffff; }
  std::uint64_t behind(std::uint64_t at) const { return words[at] & 0xffff'ffff; }  // of a container
  std::size_t count(std::uint64_t at) const { return (words[at] >> 32) & 0xff'ffff; }

  std::uint64_t next(std::uint64_t at) const {
    switch (type(at)) {
      case '{':
      case '[':
        return behind(at);
      case 'l':
      case 'u':
      case 'd':
        return at + 2;
      default:
        return at + 1;
    }
  }
  std::string_view text(std::uint64_t at) const {
    const std::uint8_t* start = strings + content(at);
    std::uint32_t size = 0;
    std::memcpy(&size, start, sizeof(size));
    return {reinterpret_cast<const char*>(start + sizeof(size)), size};
  }
};

const Tape& TapeOf(const void* document) {
  return *static_cast<const Tape*>(document);
}

// Whether all strings of a JSON text are ASCII: no byte above 0x7f and no escape that could stand for one.
bool IsPlainAscii(std::string_view json) {
  std::uint64_t all = 0;
  std::size_t at = 0;
  for (; at + sizeof(all) <= json.size(); at += sizeof(all)) {
    std::uint64_t word = 0;
    std::memcpy(&word, json.data() + at, sizeof(word));
    all |= word;
  }
  for (; at < json.size(); ++at) all |= static_cast<std::uint8_t>(json[at]);
  return (all & 0x8080'8080'8080'8080) == 0 && json.find('\\') == std::string_view::npos;
}

// What RFC 7493 asks for beyond RFC 8259, over the tape of a well-formed text.
class StrictCheck {
 public:
  StrictCheck(const Tape& tape, bool plain_ascii, std::vector<std::string_view>& scratch)
      : tape_(tape), plain_ascii_(plain_ascii), names_(scratch) {}

  absl::Status Run() {
    const std::uint64_t end = tape_.behind(1);
    std::size_t depth = 0;
    for (std::uint64_t at = 1; at < end;) {
      switch (tape_.type(at)) {
        case '{':
          RETURN_IF_ERROR(CheckNames(at));
          [[fallthrough]];
        case '[':
          if (++depth > kMaxPayloadDepth) return InvalidArgument("payload is nested deeper than {}", kMaxPayloadDepth);
          ++at;
          continue;
        case '}':
        case ']':
          --depth;
          break;
        case '"':
          RETURN_IF_ERROR(CheckText(tape_.text(at)));
          break;
        default:
          break;
      }
      at = tape_.next(at);
    }
    return absl::OkStatus();
  }

 private:
  absl::Status CheckText(std::string_view text) const {
    if (plain_ascii_ || IsUtf8(text)) return absl::OkStatus();
    return InvalidArgument("payload has a string with a lone surrogate or a noncharacter (RFC 7493 section 2.1)");
  }

  absl::Status CheckNames(std::uint64_t object) {
    names_.clear();
    const std::uint64_t end = tape_.behind(object) - 1;
    for (std::uint64_t at = object + 1; at < end; at = tape_.next(at + 1)) names_.push_back(tape_.text(at));
    const std::string_view* twice = names_.size() <= kFew ? FindTwiceAmongFew() : FindTwice();
    if (twice == nullptr) return absl::OkStatus();
    return InvalidArgument("payload has the name '{}' twice in one object (RFC 7493 section 2.3)",
                           ToUtf8(twice->substr(0, 64)));
  }

  // Most objects: comparing each with each costs less than any order.
  static constexpr std::size_t kFew = 24;
  const std::string_view* FindTwiceAmongFew() const {
    for (std::size_t i = 1; i < names_.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        if (names_[i] == names_[j]) return &names_[i];
      }
    }
    return nullptr;
  }
  const std::string_view* FindTwice() {
    std::sort(names_.begin(), names_.end());
    const auto found = std::adjacent_find(names_.begin(), names_.end());
    return found == names_.end() ? nullptr : &*found;
  }

  const Tape& tape_;
  const bool plain_ascii_;
  std::vector<std::string_view>& names_;
};

}  // namespace

Value::Kind Value::kind() const {
  if (document_ == nullptr) return Kind::kAbsent;
  switch (TapeOf(document_).type(at_)) {
    case '{':
      return Kind::kObject;
    case '[':
      return Kind::kArray;
    case '"':
      return Kind::kString;
    case 'l':
      return Kind::kInteger;
    case 'u':
      return Kind::kUnsigned;
    case 'd':
      return Kind::kDouble;
    case 't':
    case 'f':
      return Kind::kBool;
    default:
      return Kind::kNull;
  }
}

std::optional<bool> Value::AsBool() const {
  if (kind() != Kind::kBool) return std::nullopt;
  return TapeOf(document_).type(at_) == 't';
}

std::optional<std::uint64_t> Value::AsUnsigned() const {
  const Kind k = kind();
  if (k != Kind::kInteger && k != Kind::kUnsigned) return std::nullopt;
  const std::uint64_t word = TapeOf(document_).words[at_ + 1];
  if (k == Kind::kInteger && std::bit_cast<std::int64_t>(word) < 0) return std::nullopt;
  return word;
}

std::optional<std::int64_t> Value::AsInteger() const {
  if (kind() != Kind::kInteger) return std::nullopt;
  return std::bit_cast<std::int64_t>(TapeOf(document_).words[at_ + 1]);
}

std::optional<double> Value::AsDouble() const {
  const Kind k = kind();
  if (k != Kind::kInteger && k != Kind::kUnsigned && k != Kind::kDouble) return std::nullopt;
  const std::uint64_t word = TapeOf(document_).words[at_ + 1];
  if (k == Kind::kInteger) return static_cast<double>(std::bit_cast<std::int64_t>(word));
  if (k == Kind::kUnsigned) return static_cast<double>(word);
  return std::bit_cast<double>(word);
}

std::optional<std::string_view> Value::AsString() const {
  if (kind() != Kind::kString) return std::nullopt;
  return TapeOf(document_).text(at_);
}

Value Value::operator[](std::string_view key) const {
  if (kind() != Kind::kObject) return {};
  const Tape& tape = TapeOf(document_);
  const std::uint64_t end = tape.behind(at_) - 1;
  for (std::uint64_t at = at_ + 1; at < end; at = tape.next(at + 1)) {
    if (tape.text(at) == key) return {document_, at + 1};
  }
  return {};
}

std::size_t Value::size() const {
  const Kind k = kind();
  return k == Kind::kArray || k == Kind::kObject ? TapeOf(document_).count(at_) : 0;
}

Value Value::at(std::size_t index) const {
  if (kind() != Kind::kArray || index >= size()) return {};
  const Tape& tape = TapeOf(document_);
  std::uint64_t at = at_ + 1;
  for (; index != 0; --index) at = tape.next(at);
  return {document_, at};
}

Value Value::Path(std::string_view path) const {
  Value here = *this;
  while (here.present()) {
    const std::size_t dot = path.find('.');
    const std::string_view step = path.substr(0, dot);
    if (here.kind() == Kind::kArray) {
      std::size_t index = 0;
      const auto [end, error] = std::from_chars(step.data(), step.data() + step.size(), index);
      if (error != std::errc() || end != step.data() + step.size()) return {};
      here = here.at(index);
    } else {
      here = here[step];
    }
    if (dot == std::string_view::npos) return here;
    path.remove_prefix(dot + 1);
  }
  return here;
}

Value::Members Value::members() const {
  const Kind k = kind();
  if (k != Kind::kArray && k != Kind::kObject) return {};
  const std::uint64_t end = TapeOf(document_).behind(at_) - 1;
  const bool object = k == Kind::kObject;
  return {Iterator(document_, at_ + 1, object), Iterator(document_, end, object)};
}

Value::Member Value::Iterator::operator*() const {
  if (!object_) return {{}, Value(document_, at_)};
  return {TapeOf(document_).text(at_), Value(document_, at_ + 1)};
}

Value::Iterator& Value::Iterator::operator++() {
  at_ = TapeOf(document_).next(object_ ? at_ + 1 : at_);
  return *this;
}

struct PayloadReader::Impl {
  // Larger than any payload that is read, so that depth is refused by our check, with our message.
  static constexpr std::size_t kParserDepth = kMaxPayloadDepth + 2;
  static constexpr std::size_t kSmallest = 2048;

  explicit Impl(std::size_t most) : limit(most), parser(most) {}

  absl::Status Reserve(std::size_t size) {
    if (size <= capacity) return absl::OkStatus();
    const std::size_t wanted = std::min(std::max(std::bit_ceil(size), kSmallest), limit);
    simdjson::error_code error = parser.allocate(wanted, kParserDepth);
    if (error == simdjson::SUCCESS) error = parser.doc.allocate(wanted);
    if (error != simdjson::SUCCESS) {
      capacity = 0;
      return ResourceExhausted("no memory to parse a payload of {} bytes", size);
    }
    buffer.resize(wanted + simdjson::SIMDJSON_PADDING);
    capacity = wanted;
    return absl::OkStatus();
  }

  const std::size_t limit;
  simdjson::dom::parser parser;
  std::string buffer;  // the payload and the padding that simdjson may read beyond its end
  std::size_t capacity = 0;
  std::vector<std::string_view> scratch;
  Tape tape;
};

PayloadReader::PayloadReader() : PayloadReader(kMaxPayload) {}
PayloadReader::PayloadReader(std::size_t limit) : impl_(std::make_unique<Impl>(limit)) {}
PayloadReader::~PayloadReader() = default;
PayloadReader::PayloadReader(PayloadReader&&) noexcept = default;
PayloadReader& PayloadReader::operator=(PayloadReader&&) noexcept = default;

absl::StatusOr<Value> PayloadReader::Read(std::string_view payload) {
  Impl& impl = *impl_;
  if (payload.size() > impl.limit) {
    return InvalidArgument("payload has {} bytes, {} are the limit", payload.size(), impl.limit);
  }
  if (payload.empty()) return InvalidArgument("payload is empty, one JSON object was expected");
  RETURN_IF_ERROR(impl.Reserve(payload.size()));
  std::memcpy(impl.buffer.data(), payload.data(), payload.size());
  const auto parsed = impl.parser.parse(impl.buffer.data(), payload.size(), /*realloc_if_needed=*/false);
  if (parsed.error() == simdjson::DEPTH_ERROR)
    return InvalidArgument("payload is nested deeper than {}", kMaxPayloadDepth);
  if (parsed.error() != simdjson::SUCCESS) {
    return InvalidArgument("payload is not JSON: {}", simdjson::error_message(parsed.error()));
  }
  impl.tape = Tape{impl.parser.doc.tape.get(), impl.parser.doc.string_buf.get()};
  if (impl.tape.type(1) != '{') return InvalidArgument("payload is JSON, but not an object");
  RETURN_IF_ERROR(StrictCheck(impl.tape, IsPlainAscii(payload), impl.scratch).Run());
  return Value(&impl.tape, 1);
}

JsonWriter& JsonWriter::BeginObject() {
  Separate();
  text_ += '{';
  after_value_ = false;
  return *this;
}
JsonWriter& JsonWriter::EndObject() {
  text_ += '}';
  after_value_ = true;
  return *this;
}
JsonWriter& JsonWriter::BeginArray() {
  Separate();
  text_ += '[';
  after_value_ = false;
  return *this;
}
JsonWriter& JsonWriter::EndArray() {
  text_ += ']';
  after_value_ = true;
  return *this;
}

JsonWriter& JsonWriter::Key(std::string_view key) {
  Separate();
  Quote(key);
  text_ += ':';
  after_value_ = false;
  return *this;
}

JsonWriter& JsonWriter::String(std::string_view value) {
  Separate();
  Quote(value);
  after_value_ = true;
  return *this;
}

JsonWriter& JsonWriter::Unsigned(std::uint64_t value) {
  return Raw(fmt::format_int(value).c_str());
}
JsonWriter& JsonWriter::Integer(std::int64_t value) {
  return Raw(fmt::format_int(value).c_str());
}
JsonWriter& JsonWriter::Bool(bool value) {
  return Raw(value ? "true" : "false");
}
JsonWriter& JsonWriter::Null() {
  return Raw("null");
}

JsonWriter& JsonWriter::Raw(std::string_view json) {
  Separate();
  text_ += json;
  after_value_ = true;
  return *this;
}

std::string JsonWriter::Take() {
  after_value_ = false;
  return std::exchange(text_, {});
}

void JsonWriter::Separate() {
  if (after_value_) text_ += ',';
}

void JsonWriter::Quote(std::string_view text) {
  // Bytes that may not stand for themselves in a string, and those that need the UTF-8 check first.
  const auto special = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\'; };
  std::string repaired;
  if (std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; }) &&
      !IsUtf8(text)) {
    repaired = ToUtf8(text);
    text = repaired;
  }
  text_ += '"';
  while (true) {
    const auto found = std::find_if(text.begin(), text.end(), special);
    const auto plain = static_cast<std::size_t>(found - text.begin());
    text_ += text.substr(0, plain);
    if (found == text.end()) break;
    switch (*found) {
      case '"':
        text_ += "\\\"";
        break;
      case '\\':
        text_ += "\\\\";
        break;
      case '\b':
        text_ += "\\b";
        break;
      case '\f':
        text_ += "\\f";
        break;
      case '\n':
        text_ += "\\n";
        break;
      case '\r':
        text_ += "\\r";
        break;
      case '\t':
        text_ += "\\t";
        break;
      default:
        fmt::format_to(std::back_inserter(text_), "\\u{:04x}", static_cast<unsigned>(*found));
        break;
    }
    text.remove_prefix(plain + 1);
  }
  text_ += '"';
}

}  // namespace virp::frame
