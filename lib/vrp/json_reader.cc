#include "lib/vrp/json_reader.h"

#include <simdjson.h>

#include <utility>

#include "lib/base/status.h"
#include "lib/vrp/json.h"

namespace virp::vrp {

using json_internal::IsDigit;

namespace {

void AppendUtf8(std::string& out, unsigned code) {
  const auto add = [&out](unsigned byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    add(code);
  } else if (code < 0x800) {
    add(0xc0 | (code >> 6));
    add(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    add(0xe0 | (code >> 12));
    add(0x80 | ((code >> 6) & 0x3f));
    add(0x80 | (code & 0x3f));
  } else {
    add(0xf0 | (code >> 18));
    add(0x80 | ((code >> 12) & 0x3f));
    add(0x80 | ((code >> 6) & 0x3f));
    add(0x80 | (code & 0x3f));
  }
}

}  // namespace

JsonReader::JsonReader(std::string_view text) : begin_(text.data()), at_(begin_), end_(begin_ + text.size()) {
  if (!simdjson::validate_utf8(text.data(), text.size())) Fail("the text is not UTF-8");
}

JsonReader::JsonReader(TextInput& input, std::size_t window)
    : more_(true), input_(&input), window_(std::make_unique_for_overwrite<char[]>(window)), window_size_(window) {
  begin_ = at_ = end_ = window_.get();
}

// More text behind what is not read yet. False, and failed, when there can be none.
bool JsonReader::Refill() {
  const auto kept = static_cast<std::size_t>(end_ - at_);
  before_ += static_cast<std::size_t>(at_ - begin_);
  if (kept > window_size_ / 2) {
    auto larger = std::make_unique_for_overwrite<char[]>(2 * window_size_);
    std::memcpy(larger.get(), at_, kept);
    window_ = std::move(larger);
    window_size_ *= 2;
  } else {
    std::memmove(window_.get(), at_, kept);
  }
  begin_ = at_ = window_.get();
  end_ = begin_ + kept;
  // Twice what is there, at least: it is read again from its start each time.
  do {
    const auto got = input_->Read({window_.get() + size(), window_size_ - size()});
    more_ = got.ok() && *got > 0;
    if (!got.ok()) {
      input_problem_ = got.status();
      return Fail("the text cannot be read");
    }
    end_ += *got;
    unchecked_ += *got;
  } while (more_ && size() < 2 * kept);
  return CheckUtf8();
}

bool JsonReader::CheckUtf8() {
  const char* const from = end_ - unchecked_;
  const char* to = end_;
  // A character that goes on behind what is there waits for its end.
  const auto byte = [](const char* at) { return static_cast<unsigned char>(*at); };
  for (int back = 1; more_ && back <= 3 && end_ - from >= back && byte(end_ - back) >= 0x80; ++back) {
    if (byte(end_ - back) < 0xc0) continue;
    to = end_ - back;
    break;
  }
  if (!simdjson::validate_utf8(from, static_cast<std::size_t>(to - from))) {
    more_ = false;
    return FailAt(from, "the text is not UTF-8");
  }
  unchecked_ = static_cast<std::size_t>(end_ - to);
  return true;
}

bool JsonReader::FailAt(const char* at, std::string_view reason) {
  if (failed_) return false;
  failed_ = true;
  failed_at_ = static_cast<std::size_t>(at - begin_);
  reason_ =
      at == end_ && !more_ ? fmt::format("the text ends where more was to come: {}", reason) : std::string(reason);
  return false;
}

absl::Status JsonReader::status() const {
  if (!input_problem_.ok()) return input_problem_;
  return failed_ ? InvalidArgument("at byte {}: {}", before_ + failed_at_, reason_) : absl::OkStatus();
}

bool JsonReader::Enter() {
  if (++depth_ > kMaxDepth) return Fail("arrays and objects are nested deeper than 32");
  ++at_;
  fresh_ = true;
  return true;
}

bool JsonReader::Begin(char bracket, const char* what) {
  if (failed_) return false;
  if (Peek() != bracket) return Fail(fmt::format("{} was expected", what));
  return Enter();
}

bool JsonReader::FailClose(char close) {
  return Fail(close == '}' ? "',' or '}' was expected" : "',' or ']' was expected");
}

// The rest of a string that has escapes, or is none.
bool JsonReader::Escaped(const char* from, std::string_view& out) {
  scratch_.clear();
  for (;;) {
    scratch_.append(from, at_);
    if (at_ == end_) return Fail("the end of a string");
    if (*at_ == '"') break;
    if (*at_ != '\\') return Fail("a control character in a string");
    ++at_;
    if (!AppendEscape()) return false;
    from = at_;
    at_ = json_internal::FindStop(at_, end_);
  }
  ++at_;
  out = scratch_;
  return true;
}

bool JsonReader::Hex4(unsigned& out) {
  out = 0;
  for (int i = 0; i < 4; ++i, ++at_) {
    if (at_ == end_) return Fail("four hexadecimal digits");
    const char c = *at_;
    const unsigned digit = c >= '0' && c <= '9'   ? static_cast<unsigned>(c - '0')
                           : c >= 'a' && c <= 'f' ? static_cast<unsigned>(c - 'a' + 10)
                           : c >= 'A' && c <= 'F' ? static_cast<unsigned>(c - 'A' + 10)
                                                  : 16U;
    if (digit == 16) return Fail("\\u without four hexadecimal digits");
    out = out << 4 | digit;
  }
  return true;
}

bool JsonReader::AppendEscape() {
  if (at_ == end_) return Fail("an escape");
  static constexpr std::string_view kNames = "\"\\/bfnrt";
  static constexpr std::string_view kValues = "\"\\/\b\f\n\r\t";
  const char c = *at_;
  if (const auto found = kNames.find(c); found != std::string_view::npos) {
    ++at_;
    scratch_.push_back(kValues[found]);
    return true;
  }
  if (c != 'u') return Fail("an escape that JSON does not have");
  ++at_;
  unsigned code = 0;
  if (!Hex4(code)) return false;
  if (code >= 0xdc00 && code < 0xe000) return Fail("half of a surrogate pair");
  if (code >= 0xd800 && code < 0xdc00) {
    unsigned low = 0;
    if (end_ - at_ < 2 || at_[0] != '\\' || at_[1] != 'u') return Fail("half of a surrogate pair");
    at_ += 2;
    if (!Hex4(low)) return false;
    if (low < 0xdc00 || low >= 0xe000) return Fail("half of a surrogate pair");
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  }
  AppendUtf8(scratch_, code);
  return true;
}

// Over a number of any form.
bool JsonReader::Number() {
  if (at_ != end_ && *at_ == '-') ++at_;
  if (!IsDigit(at_, end_)) return Fail("a value was expected");
  if (*at_ == '0') {
    ++at_;
    if (IsDigit(at_, end_)) return Fail("a number with a leading zero");
  }
  while (IsDigit(at_, end_)) ++at_;
  if (at_ != end_ && *at_ == '.') {
    ++at_;
    if (!IsDigit(at_, end_)) return Fail("a number without digits behind the point");
    while (IsDigit(at_, end_)) ++at_;
  }
  if (at_ != end_ && (*at_ == 'e' || *at_ == 'E')) {
    ++at_;
    if (at_ != end_ && (*at_ == '+' || *at_ == '-')) ++at_;
    if (!IsDigit(at_, end_)) return Fail("a number without digits in its exponent");
    while (IsDigit(at_, end_)) ++at_;
  }
  return at_ != end_ || !more_ || Fail("the end of a number");
}

bool JsonReader::OtherNumber() {
  if (at_ == end_ || (*at_ != '-' && !IsDigit(at_, end_))) return Fail("a number was expected");
  Number();
  return false;
}

bool JsonReader::Literal(std::string_view word) {
  const std::string_view rest(at_, static_cast<std::size_t>(end_ - at_));
  if (!rest.starts_with(word)) return Fail("a value was expected");
  at_ += word.size();
  return true;
}

bool JsonReader::SkipScalar(char first) {
  switch (first) {
    case '"': {
      std::string_view ignored;
      return String(ignored);
    }
    case 't':
      return Literal("true");
    case 'f':
      return Literal("false");
    case 'n':
      return Literal("null");
    default:
      return Number();
  }
}

// No recursion: what is nested is in the bits of `objects`, the innermost in the lowest.
bool JsonReader::Skip() {
  std::uint64_t objects = 0;
  const int outside = depth_;
  std::string_view key;
  for (;;) {
    const char first = Peek();
    if (failed_) return false;
    if (first == '{' || first == '[') {
      if (!Enter()) return false;
      objects = objects << 1 | (first == '{' ? 1U : 0U);
    } else if (!SkipScalar(first)) {
      return false;
    }
    // To the next value, over all that ends here.
    for (;;) {
      if (depth_ == outside) return true;
      const bool object = (objects & 1) != 0;
      bool closed = false;
      if (!CloseOrComma(object ? '}' : ']', closed)) return false;
      if (closed) {
        objects >>= 1;
        continue;
      }
      if (object && !Key(key)) return false;
      break;
    }
  }
}

bool JsonReader::End() {
  if (failed_) return false;
  Peek();
  if (at_ == end_ && more_) return Fail("the end of the document");
  return at_ == end_ || Fail("text behind the document");
}

}  // namespace virp::vrp
