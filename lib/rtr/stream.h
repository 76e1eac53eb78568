// Cuts a byte stream into PDUs.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "lib/rtr/pdu.h"

namespace virp::rtr {

// Bytes in, split anywhere; whole PDUs out. Holds what was pushed and not popped: whoever pushes bounds it. It judges
// nothing itself, since what a header may say depends on the session. Not thread-safe.
//
//   stream.Push(bytes);
//   while (const auto header = stream.header()) {
//     ... CheckLength(*header), then whatever else can be told by a header ...
//     const auto pdu = stream.Whole(*header);
//     if (!pdu) break;
//     ... *pdu ...
//     stream.Pop(*header);
//   }
class PduStream {
 public:
  void Push(std::string_view bytes);

  // Of the next PDU, once its 8 octets are there.
  std::optional<Header> header() const;
  // The next PDU, once all of it is there; valid until Push or Pop. CheckLength of its header passed.
  std::optional<std::string_view> Whole(const Header& header) const;
  void Pop(const Header& header);  // Whole() has given it

  // What is there of the next PDU, and what may be behind it.
  std::string_view rest() const { return std::string_view(buffer_).substr(start_); }
  void Clear();

 private:
  std::string buffer_;
  std::size_t start_ = 0;  // of the next PDU
};

}  // namespace virp::rtr
