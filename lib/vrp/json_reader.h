// A reader of JSON (RFC 8259) that is asked for what should come next, over text that somebody else keeps, or that
// comes in pieces. It makes no tree and copies nothing but strings with escapes, so that a document costs no memory
// beside itself, or not even its own. Private to this folder. Not thread-safe.
//
// Functions that return false have either failed, then failed() says so and nothing more is to be read, or found that
// an array or object ends.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace virp::vrp {

class TextInput;

namespace json_internal {

inline constexpr std::uint64_t kOnes = 0x0101010101010101;
inline constexpr std::uint64_t kHighs = 0x8080808080808080;

// The bytes of a word that end a plain run in a string (quote, backslash, control character) have their high bit set.
// Above the first such byte there may be others that do not.
constexpr std::uint64_t StopsIn(std::uint64_t word) {
  const std::uint64_t quote = word ^ (kOnes * '"');
  const std::uint64_t backslash = word ^ (kOnes * '\\');
  return (((quote - kOnes) & ~quote) | ((backslash - kOnes) & ~backslash) | ((word - kOnes * 0x20) & ~word)) & kHighs;
}

inline bool Stops(char c) {
  return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20;
}

// The first byte of [at, end) that ends a plain run; `end` when there is none.
inline const char* FindStop(const char* at, const char* end) {
  if constexpr (std::endian::native == std::endian::little) {
    for (; end - at >= 8; at += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, at, 8);
      const std::uint64_t stops = StopsIn(word);
      if (stops != 0) return at + std::countr_zero(stops) / 8;
    }
  }
  while (at != end && !Stops(*at)) ++at;
  return at;
}

inline bool IsDigit(const char* at, const char* end) {
  return at != end && *at >= '0' && *at <= '9';
}

}  // namespace json_internal

class JsonReader {
 public:
  static constexpr int kMaxDepth = 32;  // of objects and arrays in each other

  // `text` must outlive the reader. Unless it is UTF-8, the first call fails.
  explicit JsonReader(std::string_view text);
  // Over what comes, `window` octets at a time, more where one thing needs them. What is read is read in Whole.
  JsonReader(TextInput& input, std::size_t window);

  // Has `read` read one thing of the text that is there, and, when that ended too early, once more from its start with
  // more text. So it is small, and what `read` does besides counts only when this returns. Nothing once failed.
  template <typename Read>
  void Whole(const Read& read) {
    while (!failed_) {
      const auto start = at_ - begin_;
      const int depth = depth_;
      const bool fresh = fresh_;
      read();
      if (!more_ || !failed_ || failed_at_ + kLookahead < size()) return;
      failed_ = false;
      at_ = begin_ + start;
      depth_ = depth;
      fresh_ = fresh;
      if (!Refill()) return;
    }
  }

  // The first character of the next value; 0 at the end of the text.
  char Peek() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
    return at_ == end_ ? '\0' : *at_;
  }
  std::size_t offset() const { return before_ + static_cast<std::size_t>(at_ - begin_); }
  // The text that is there and not read yet; and over some of it, which the caller has read by itself: whole values.
  std::string_view rest() const { return {at_, static_cast<std::size_t>(end_ - at_)}; }
  void Pass(std::size_t bytes) { at_ += bytes; }

  // for (reader.BeginObject(); reader.NextKey(key);) ...: each turn must read or skip the value. A key is valid until
  // the next key or string is read.
  bool BeginObject() { return Begin('{', "an object"); }
  bool NextKey(std::string_view& key);
  bool BeginArray() { return Begin('[', "an array"); }
  bool NextElement();

  // Fails unless a string is next. Valid until the next string is read.
  bool String(std::string_view& out);
  // A number without sign, fraction and exponent, of at most 19 digits. For one of another form false without failing:
  // it is behind us then. Fails unless a number is next.
  bool Unsigned(std::uint64_t& out);
  // Over any value.
  bool Skip();
  // Fails unless nothing but white space is left.
  bool End();

  bool failed() const { return failed_; }
  // False. The first failure counts.
  bool Fail(std::string_view reason) { return FailAt(at_, reason); }
  // InvalidArgument with place and reason, or what the input said.
  absl::Status status() const;

 private:
  // A failure so near to the end of the text that is there may be for want of more: an escaped pair has 12 octets.
  static constexpr std::size_t kLookahead = 16;

  std::size_t size() const { return static_cast<std::size_t>(end_ - begin_); }
  bool Refill();
  bool CheckUtf8();
  bool FailAt(const char* at, std::string_view reason);
  bool Begin(char bracket, const char* what);
  bool Enter();
  bool Key(std::string_view& key);
  bool Escaped(const char* from, std::string_view& out);
  bool AppendEscape();
  bool Hex4(unsigned& out);
  bool Literal(std::string_view word);
  bool Number();
  bool SkipScalar(char first);
  bool OtherNumber();
  bool FailClose(char close);
  bool CloseOrComma(char close, bool& closed);

  const char* begin_;
  const char* at_;
  const char* end_;
  bool more_ = false;  // text may follow behind end_
  int depth_ = 0;
  bool fresh_ = false;  // behind a bracket that opened
  bool failed_ = false;
  std::size_t failed_at_ = 0;
  std::string reason_;
  std::string scratch_;

  TextInput* input_ = nullptr;
  std::unique_ptr<char[]> window_;
  std::size_t window_size_ = 0;
  std::size_t before_ = 0;     // octets of the document in front of begin_
  std::size_t unchecked_ = 0;  // the last octets that are there: a character of UTF-8 that is cut off
  absl::Status input_problem_;
};

// What follows is done millions of times for a document, so it is where the compiler can put it into the loop.

inline bool JsonReader::CloseOrComma(char close, bool& closed) {
  const char next = Peek();
  closed = next == close;
  if (closed) {
    ++at_;
    --depth_;
    fresh_ = false;
    return true;
  }
  if (fresh_) {
    fresh_ = false;
    return true;
  }
  if (next != ',') return FailClose(close);
  ++at_;
  return true;
}

inline bool JsonReader::Key(std::string_view& key) {
  if (Peek() != '"') return Fail("a name was expected");
  if (!String(key)) return false;
  if (Peek() != ':') return Fail("':' was expected");
  ++at_;
  return true;
}

inline bool JsonReader::NextKey(std::string_view& key) {
  if (failed_) return false;
  bool closed = false;
  return CloseOrComma('}', closed) && !closed && Key(key);
}

inline bool JsonReader::NextElement() {
  if (failed_) return false;
  bool closed = false;
  return CloseOrComma(']', closed) && !closed;
}

inline bool JsonReader::String(std::string_view& out) {
  if (failed_) return false;
  if (Peek() != '"') return Fail("a string was expected");
  const char* from = ++at_;
  at_ = json_internal::FindStop(at_, end_);
  if (at_ != end_ && *at_ == '"') {
    out = {from, static_cast<std::size_t>(at_ - from)};
    ++at_;
    return true;
  }
  return Escaped(from, out);
}

inline bool JsonReader::Unsigned(std::uint64_t& out) {
  if (failed_) return false;
  Peek();
  const char* from = at_;
  std::uint64_t value = 0;
  // 19 digits never overflow.
  while (at_ - from < 19 && json_internal::IsDigit(at_, end_))
    value = value * 10 + static_cast<std::uint64_t>(*at_++ - '0');
  const bool plain =
      at_ != from &&
      (at_ == end_ ? !more_ : (*at_ != '.' && *at_ != 'e' && *at_ != 'E' && !json_internal::IsDigit(at_, end_))) &&
      (*from != '0' || at_ - from == 1);
  if (plain) {
    out = value;
    return true;
  }
  at_ = from;
  return OtherNumber();
}

}  // namespace virp::vrp
