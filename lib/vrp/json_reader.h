// A reader of JSON (RFC 8259) that is asked for what should come next, over text that somebody else keeps. It makes no
// tree and copies nothing but strings with escapes, so that a document costs no memory beside itself. Private to this
// folder. Not thread-safe.
//
// Functions that return false have either failed, then failed() says so and nothing more is to be read, or found that
// an array or object ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace virp::vrp {

class JsonReader {
 public:
  static constexpr int kMaxDepth = 32;  // of objects and arrays in each other

  // `text` must outlive the reader. Unless it is UTF-8, the first call fails.
  explicit JsonReader(std::string_view text);

  // The first character of the next value; 0 at the end of the text.
  char Peek() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
    return at_ == end_ ? '\0' : *at_;
  }
  std::size_t offset() const { return static_cast<std::size_t>(at_ - begin_); }

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
  // InvalidArgument with place and reason.
  absl::Status status() const;

 private:
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
  bool CloseOrComma(char close, bool& closed);

  const char* begin_;
  const char* at_;
  const char* end_;
  int depth_ = 0;
  bool fresh_ = false;  // behind a bracket that opened
  bool failed_ = false;
  std::size_t failed_at_ = 0;
  std::string reason_;
  std::string scratch_;
};

}  // namespace virp::vrp
