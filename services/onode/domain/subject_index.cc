#include "services/onode/domain/subject_index.h"

#include <algorithm>
#include <utility>

namespace virp::onode {
namespace {

constexpr std::uint16_t kBlockSize = 64;
constexpr std::size_t kMaxText = 65'535;
constexpr std::size_t kNodeBytes = 128;  // a node of the map with its two strings

std::size_t SharedPrefix(std::string_view a, std::string_view b) {
  return static_cast<std::size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(std::min(a.size(), b.size())), b.begin()).first -
      a.begin());
}

void AppendNumber(std::string& out, std::size_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

std::size_t TakeNumber(std::string_view& from) {
  std::size_t value = 0;
  for (unsigned shift = 0;; shift += 7) {
    const auto byte = static_cast<unsigned char>(from.front());
    from.remove_prefix(1);
    value |= static_cast<std::size_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return value;
  }
}

}  // namespace

// Walks the strings of one block.
class SubjectIndex::Cursor {
 public:
  explicit Cursor(const Block& block) : whole_(block.coded), rest_(block.coded) {}

  // The next string is in text() afterwards; false at the end.
  bool Next() {
    if (rest_.empty()) return false;
    begin_ = whole_.size() - rest_.size();
    const std::size_t shared = TakeNumber(rest_);
    const std::size_t added = TakeNumber(rest_);
    text_.resize(shared);
    text_.append(rest_.substr(0, added));
    rest_.remove_prefix(added);
    return true;
  }
  const std::string& text() const { return text_; }
  std::size_t begin() const { return begin_; }                      // offset of this string's code
  std::size_t end() const { return whole_.size() - rest_.size(); }  // and where it ends

 private:
  std::string_view whole_, rest_;
  std::string text_;
  std::size_t begin_ = 0;
};

void SubjectIndex::Append(std::string& coded, std::string_view previous, std::string_view text) {
  const std::size_t shared = SharedPrefix(previous, text);
  AppendNumber(coded, shared);
  AppendNumber(coded, text.size() - shared);
  coded.append(text.substr(shared));
}

bool SubjectIndex::Insert(std::string_view text) {
  text = text.substr(0, kMaxText);
  auto at = blocks_.upper_bound(text);
  if (at == blocks_.begin()) {
    // Before everything that is there: a block of its own, or the new head of the first one.
    Block block;
    Append(block.coded, {}, text);
    block.count = 1;
    if (at != blocks_.end() && at->second.count < kBlockSize) {
      Cursor cursor(at->second);
      cursor.Next();
      Append(block.coded, text, cursor.text());
      block.coded.append(at->second.coded, cursor.end());
      block.count = static_cast<std::uint16_t>(at->second.count + 1);
      memory_ -= at->second.coded.size() + at->first.size() + kNodeBytes;
      blocks_.erase(at);
    }
    memory_ += block.coded.size() + text.size() + kNodeBytes;
    blocks_.emplace(text, std::move(block));
    ++size_;
    return true;
  }
  --at;
  Block& block = at->second;
  Cursor cursor(block);
  std::string previous;
  std::size_t cut = block.coded.size();  // where the new string goes ...
  std::size_t resume = cut;              // ... and where the code behind it goes on unchanged
  std::string code;
  while (cursor.Next()) {
    if (cursor.text() == text) return false;
    if (cursor.text() > text) {
      cut = cursor.begin();
      resume = cursor.end();
      Append(code, previous, text);
      Append(code, text, cursor.text());
      break;
    }
    previous = cursor.text();
  }
  if (code.empty()) Append(code, previous, text);
  memory_ += code.size() - (resume - cut);
  block.coded.replace(cut, resume - cut, code);
  ++size_;
  if (++block.count > kBlockSize) Split(at);
  return true;
}

void SubjectIndex::Split(Blocks::iterator at) {
  Block& block = at->second;
  const auto half = static_cast<std::uint16_t>(block.count / 2);
  Cursor cursor(block);
  for (std::uint16_t i = 0; i <= half; ++i) cursor.Next();
  Block upper;
  Append(upper.coded, {}, cursor.text());
  upper.coded.append(block.coded, cursor.end());
  upper.count = static_cast<std::uint16_t>(block.count - half);
  memory_ -= block.coded.size();
  block.coded.resize(cursor.begin());
  block.coded.shrink_to_fit();
  block.count = half;
  memory_ += block.coded.size() + upper.coded.size() + cursor.text().size() + kNodeBytes;
  blocks_.emplace_hint(std::next(at), cursor.text(), std::move(upper));
}

std::vector<std::string> SubjectIndex::List(std::string_view prefix, std::string_view after, std::size_t limit) const {
  std::vector<std::string> out;
  const std::string_view from = std::max(prefix, after);
  auto at = blocks_.upper_bound(from);
  if (at != blocks_.begin()) --at;
  for (; at != blocks_.end() && out.size() < limit; ++at) {
    Cursor cursor(at->second);
    while (out.size() < limit && cursor.Next()) {
      const std::string_view text = cursor.text();
      if (text < prefix || (!after.empty() && text <= after)) continue;
      if (!text.starts_with(prefix)) return out;
      out.emplace_back(text);
    }
  }
  return out;
}

}  // namespace virp::onode
