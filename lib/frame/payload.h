// The payload of a frame: one JSON object in UTF-8 that is I-JSON (RFC 7493): no duplicate names at any depth, no
// lone surrogates, numbers that a double or a 64-bit integer holds exactly. Read only after the tag was checked.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace virp::frame {

// One JSON value inside a payload. Borrowed from the PayloadReader that made it; invalid after its next Read.
class Value {
 public:
  enum class Kind : std::uint8_t { kAbsent, kNull, kBool, kInteger, kUnsigned, kDouble, kString, kArray, kObject };

  Value() = default;
  Kind kind() const;
  bool present() const { return kind() != Kind::kAbsent; }

  std::optional<bool> AsBool() const;
  std::optional<std::uint64_t> AsUnsigned() const;   // a non-negative integer that fits
  std::optional<std::int64_t> AsInteger() const;
  std::optional<double> AsDouble() const;            // any number
  std::optional<std::string_view> AsString() const;  // unescaped UTF-8

  Value operator[](std::string_view key) const;      // kAbsent when this is not an object or has no such key
  std::size_t size() const;                          // elements of an array or members of an object; else 0
  Value at(std::size_t index) const;                 // element of an array; kAbsent beyond its end

  // The value at a dotted path ("new.as_path", "sources.0.connected"); kAbsent when there is none.
  Value Path(std::string_view path) const;

 private:
  friend class PayloadReader;
  const void* document_ = nullptr;  // into the reader's parse tree
  std::uint64_t at_ = 0;
};

// Parses payloads one after the other, reusing its memory. Not thread-safe: one per thread.
class PayloadReader {
 public:
  PayloadReader();
  ~PayloadReader();
  PayloadReader(PayloadReader&&) noexcept;
  PayloadReader& operator=(PayloadReader&&) noexcept;

  // The payload's object. InvalidArgument (result flag OPAQUE) when it is not one I-JSON object of at most kMaxPayload
  // bytes and 32 levels.
  absl::StatusOr<Value> Read(std::string_view payload);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Writes a JSON object in the order of the calls, compact, with the escaping of RFC 8259. For building payloads.
class JsonWriter {
 public:
  JsonWriter& BeginObject();
  JsonWriter& EndObject();
  JsonWriter& BeginArray();
  JsonWriter& EndArray();
  JsonWriter& Key(std::string_view key);
  JsonWriter& String(std::string_view value);   // must be UTF-8; invalid sequences become U+FFFD
  JsonWriter& Unsigned(std::uint64_t value);
  JsonWriter& Integer(std::int64_t value);
  JsonWriter& Bool(bool value);
  JsonWriter& Null();
  // Key and value at once.
  JsonWriter& Field(std::string_view key, std::string_view value) { return Key(key).String(value); }
  JsonWriter& Field(std::string_view key, const char* value) { return Key(key).String(value); }
  JsonWriter& Field(std::string_view key, std::uint64_t value) { return Key(key).Unsigned(value); }
  JsonWriter& Field(std::string_view key, bool value) { return Key(key).Bool(value); }
  std::string Take();                           // the text so far; the writer is empty afterwards

 private:
  void Separate();
  std::string text_;
  bool after_value_ = false;
};

}  // namespace virp::frame
