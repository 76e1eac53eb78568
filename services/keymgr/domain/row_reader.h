// Reads members of a record's JSON body and remembers the first that does not fit, so that FromRow is a list of members
// and one check at its end.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/bytes.h"
#include "lib/base/status.h"
#include "lib/frame/payload.h"

namespace virp::keymgr {

// Borrows the value. For one thread.
class RowReader {
 public:
  explicit RowReader(frame::Value object) : object_(object) {}
  // InvalidArgument names the member.
  const absl::Status& status() const { return status_; }
  frame::Value operator[](std::string_view name) const { return object_[name]; }

  template <typename T>
  T Number(std::string_view name) {
    const auto number = object_[name].AsUnsigned();
    if (!number || *number > std::numeric_limits<T>::max()) Fail(name);
    return static_cast<T>(number.value_or(0));
  }
  std::string Text(std::string_view name) {
    const auto text = object_[name].AsString();
    if (!text) Fail(name);
    return std::string(text.value_or(""));
  }
  bool Flag(std::string_view name) {
    const auto flag = object_[name].AsBool();
    if (!flag) Fail(name);
    return flag.value_or(false);
  }
  std::string Bytes(std::string_view name) {  // base64
    auto bytes = Base64Decode(Text(name));
    if (!bytes.ok()) Fail(name);
    return bytes.ok() ? *std::move(bytes) : std::string();
  }
  // By its name among the values 1, 2 ... `last`.
  template <typename E>
  E Known(std::string_view name, std::string_view (*name_of)(E), E last) {
    return KnownText(name, Text(name), name_of, last);
  }
  template <typename E>
  E KnownText(std::string_view name, std::string_view text, std::string_view (*name_of)(E), E last) {
    for (int value = 1; value <= static_cast<int>(last); ++value) {
      if (name_of(static_cast<E>(value)) == text) return static_cast<E>(value);
    }
    Fail(name);
    return static_cast<E>(1);
  }
  // Calls `read(RowReader&)` for each object of an array.
  template <typename F>
  void Each(std::string_view name, F&& read) {
    if (object_[name].kind() != frame::Value::Kind::kArray) return Fail(name);
    for (const frame::Value::Member& member : object_[name].members()) {
      RowReader inner(member.value);
      read(inner);
      Take(inner);
    }
  }
  std::vector<std::string> Texts(std::string_view name) {
    std::vector<std::string> out;
    if (object_[name].kind() != frame::Value::Kind::kArray) Fail(name);
    for (const frame::Value::Member& member : object_[name].members()) {
      const auto text = member.value.AsString();
      if (!text) Fail(name);
      out.emplace_back(text.value_or(""));
    }
    return out;
  }
  void Format(std::uint64_t format) {
    if (Number<std::uint64_t>("format") != format && status_.ok())
      status_ = InvalidArgument("written by a later version of the key manager");
  }

  void Fail(std::string_view name) {
    if (status_.ok()) status_ = InvalidArgument("{} is missing or not what it should be", name);
  }
  void Take(const RowReader& inner) {
    if (status_.ok()) status_ = inner.status();
  }

 private:
  const frame::Value object_;
  absl::Status status_;
};

}  // namespace virp::keymgr
