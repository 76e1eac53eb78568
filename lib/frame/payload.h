// The payload of a frame: one JSON object in UTF-8 that is I-JSON (RFC 7493): no duplicate names at any depth, no lone
// surrogates or noncharacters, no number without a value. Integers are exact over the whole range of int64 and uint64,
// beyond the 2^53 that RFC 7493 section 2.2 advises, because routing software writes times in nanoseconds; larger ones
// are refused. A number with a fraction or an exponent is the nearest finite double. Read only after the tag was
// checked.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"

namespace virp::frame {

inline constexpr std::size_t kMaxPayloadDepth = 32;  // objects and arrays inside each other, the outermost counted

// One JSON value inside a payload: 16 bytes, cheap to copy. Borrowed from the PayloadReader that made it; invalid after
// its next Read. Const use from several threads is safe.
class Value {
 public:
  // kUnsigned is an integer above the int64 range; every other integer is kInteger.
  enum class Kind : std::uint8_t { kAbsent, kNull, kBool, kInteger, kUnsigned, kDouble, kString, kArray, kObject };

  Value() = default;
  Kind kind() const;
  bool present() const { return document_ != nullptr; }

  std::optional<bool> AsBool() const;
  std::optional<std::uint64_t> AsUnsigned() const;  // a non-negative integer that fits
  std::optional<std::int64_t> AsInteger() const;
  std::optional<double> AsDouble() const;            // any number
  std::optional<std::string_view> AsString() const;  // unescaped UTF-8

  Value operator[](std::string_view key) const;  // kAbsent when this is not an object or has no such key
  std::size_t size() const;                      // elements of an array or members of an object; else 0
  Value at(std::size_t index) const;             // element of an array; kAbsent beyond its end. Steps from the front:
                                                 // to visit all use members()

  // The value at a dotted path ("new.as_path", "sources.0.connected"); kAbsent when there is none.
  Value Path(std::string_view path) const;

  // Elements of an array or members of an object in the order of the text, for range-for; empty for all else.
  struct Member;
  class Iterator;
  class Members;
  Members members() const;

 private:
  friend class PayloadReader;
  Value(const void* document, std::uint64_t at) : document_(document), at_(at) {}
  const void* document_ = nullptr;  // the reader's parse tree; null: absent
  std::uint64_t at_ = 0;
};

struct Value::Member {
  std::string_view key;  // empty in an array
  Value value;
};

class Value::Iterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = Member;
  using difference_type = std::ptrdiff_t;
  using pointer = const Member*;
  using reference = Member;

  Iterator() = default;
  Member operator*() const;
  Iterator& operator++();
  Iterator operator++(int) { return std::exchange(*this, Iterator(++Iterator(*this))); }
  bool operator==(const Iterator& other) const { return at_ == other.at_; }

 private:
  friend class Value;
  Iterator(const void* document, std::uint64_t at, bool object) : document_(document), at_(at), object_(object) {}
  const void* document_ = nullptr;
  std::uint64_t at_ = 0;
  bool object_ = false;
};

class Value::Members {
 public:
  Members() = default;
  Members(Iterator begin, Iterator end) : begin_(begin), end_(end) {}
  Iterator begin() const { return begin_; }
  Iterator end() const { return end_; }

 private:
  Iterator begin_, end_;
};

// Parses payloads one after the other, reusing its memory (at most 1 MiB). Not thread-safe: one per thread.
class PayloadReader {
 public:
  PayloadReader();
  // For other documents under the same rules, of at most `limit` bytes; it keeps about ten times as much.
  explicit PayloadReader(std::size_t limit);
  ~PayloadReader();
  PayloadReader(PayloadReader&&) noexcept;
  PayloadReader& operator=(PayloadReader&&) noexcept;

  // The payload's object. InvalidArgument (result flag OPAQUE) when it is not one I-JSON object of at most kMaxPayload
  // (or `limit`) bytes and kMaxPayloadDepth levels.
  absl::StatusOr<Value> Read(std::string_view payload);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Writes a JSON object in the order of the calls, compact, with the escaping of RFC 8259. For building payloads. What
// it writes is I-JSON as long as the caller balances Begin and End and gives each name once.
class JsonWriter {
 public:
  JsonWriter& BeginObject();
  JsonWriter& EndObject();
  JsonWriter& BeginArray();
  JsonWriter& EndArray();
  JsonWriter& Key(std::string_view key);
  JsonWriter& String(std::string_view value);  // what is not UTF-8, and noncharacters, become U+FFFD
  JsonWriter& Unsigned(std::uint64_t value);
  JsonWriter& Integer(std::int64_t value);
  JsonWriter& Bool(bool value);
  JsonWriter& Null();
  JsonWriter& Raw(std::string_view json);  // one value that the caller knows to be I-JSON
  // Key and value at once.
  JsonWriter& Field(std::string_view key, std::string_view value) { return Key(key).String(value); }
  JsonWriter& Field(std::string_view key, const char* value) { return Key(key).String(value); }
  JsonWriter& Field(std::string_view key, std::uint64_t value) { return Key(key).Unsigned(value); }
  JsonWriter& Field(std::string_view key, bool value) { return Key(key).Bool(value); }
  template <std::integral T>
  JsonWriter& Field(std::string_view key, T value) {
    if constexpr (std::signed_integral<T>) {
      return Key(key).Integer(value);
    } else {
      return Key(key).Unsigned(value);
    }
  }
  std::string Take();  // the text so far; the writer is empty afterwards

 private:
  void Separate();
  void Quote(std::string_view text);
  std::string text_;
  bool after_value_ = false;
};

}  // namespace virp::frame
