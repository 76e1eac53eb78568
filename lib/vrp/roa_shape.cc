#include "lib/vrp/roa_shape.h"

#include <algorithm>
#include <cstring>

#include "lib/vrp/json_reader.h"

namespace virp::vrp {
namespace {

constexpr std::size_t kMostParts = 16;
constexpr std::size_t kMostBetween = 1024;  // octets, of a whole record

// A whole number without leading zero of at most 19 digits, which never overflow.
const char* ReadNumber(const char* at, const char* end, std::uint64_t& out) {
  const char* const from = at;
  std::uint64_t value = 0;
  while (at - from < 19 && json_internal::IsDigit(at, end))
    value = value * 10 + static_cast<std::uint64_t>(*at++ - '0');
  if (at == from || (*from == '0' && at - from > 1)) return nullptr;
  out = value;
  return at;
}

bool IsNumber(std::string_view written) {
  std::uint64_t ignored = 0;
  const char* const end = written.data() + written.size();
  return ReadNumber(written.data(), end, ignored) == end;
}

// In quotes, and without escapes.
bool IsText(std::string_view written) {
  if (written.size() < 2 || written.front() != '"') return false;
  const char* const last = written.data() + written.size() - 1;
  return json_internal::FindStop(written.data() + 1, last + 1) == last;
}

const char* ReadAs(const char* at, const char* end, std::uint32_t& out) {
  std::uint64_t as = 0;
  at = ReadNumber(at, end, as);
  if (at == nullptr || as > UINT32_MAX) return nullptr;
  out = static_cast<std::uint32_t>(as);
  return at;
}

}  // namespace

void RoaShape::Begin(const char* at) {
  between_.clear();
  parts_.clear();
  at_ = at;
  known_ = false;
  fits_ = true;
}

void RoaShape::Take(Value value, std::string_view written) {
  const bool text = IsText(written);
  fits_ = fits_ && parts_.size() < kMostParts && (text || IsNumber(written)) &&
          between_.size() + static_cast<std::size_t>(written.data() - at_) < kMostBetween;
  if (!fits_) return;
  Part part;
  part.value = value;
  part.form = text ? Form::kText : Form::kNumber;
  part.from = between_.size();
  // The quotes of a text stand around its value.
  between_.append(at_, written.data() + (text ? 1 : 0));
  part.size = between_.size() - part.from;
  at_ = written.data() + written.size() - (text ? 1 : 0);
  parts_.push_back(part);
}

void RoaShape::End(const char* at) {
  if (!fits_ || between_.size() + static_cast<std::size_t>(at - at_) > kMostBetween) return;
  last_ = between_.size();
  between_.append(at_, at);
  known_ = true;
}

const char* RoaShape::ReadValue(const Part& part, const char* at, const char* end, RoaRecord& out) {
  std::uint64_t number = 0;
  switch (part.value) {
    case Value::kPrefix:
      return part.form == Form::kText ? ReadPrefix(at, end, out.prefix) : nullptr;
    case Value::kAs:
      if (part.form == Form::kText && end - at > 2 && (at[0] | 0x20) == 'a' && (at[1] | 0x20) == 's') at += 2;
      return ReadAs(at, end, out.as);
    case Value::kMaxLength:
      if (part.form == Form::kText || (at = ReadNumber(at, end, number)) == nullptr || number > 255) return nullptr;
      out.max_length = number;
      return at;
    case Value::kExpires:
      if (part.form == Form::kText || (at = ReadNumber(at, end, number)) == nullptr) return nullptr;
      out.expires = ExpiresFrom(number);
      return at;
    case Value::kOther:
      return part.form == Form::kText ? json_internal::FindStop(at, end) : ReadNumber(at, end, number);
  }
  return nullptr;
}

const char* RoaShape::Read(const char* at, const char* end, RoaRecord& out) const {
  if (!known_) return nullptr;
  const auto left = [&] { return static_cast<std::size_t>(end - at); };
  for (const Part& part : parts_) {
    if (left() < part.size || std::memcmp(at, between_.data() + part.from, part.size) != 0) return nullptr;
    at = ReadValue(part, at + part.size, end, out);
    if (at == nullptr) return nullptr;
  }
  const std::size_t size = between_.size() - last_;
  if (left() < size || std::memcmp(at, between_.data() + last_, size) != 0) return nullptr;
  return at + size;
}

}  // namespace virp::vrp
