// Private to lib/pkcs11: a list of attributes that owns what it points to.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "lib/pkcs11/cryptoki.h"

namespace virp::pkcs11 {

class Template {
 public:
  Template& Bool(CK_ATTRIBUTE_TYPE type, bool value) {
    return Bytes(type, std::string_view(value ? "\x01" : "\x00", sizeof(CK_BBOOL)));
  }
  Template& Number(CK_ATTRIBUTE_TYPE type, CK_ULONG value) {
    return Bytes(type, {reinterpret_cast<const char*>(&value), sizeof value});
  }
  Template& Bytes(CK_ATTRIBUTE_TYPE type, std::string_view value) {
    std::string& owned = owned_.emplace_back(value);
    list_.push_back({type, owned.data(), owned.size()});
    return *this;
  }
  // Points to memory of the caller's, which must outlive this: for secrets, of which there is to be no copy.
  Template& Borrowed(CK_ATTRIBUTE_TYPE type, char* value, std::size_t size) {
    list_.push_back({type, value, size});
    return *this;
  }

  CK_ATTRIBUTE* data() { return list_.data(); }
  CK_ULONG size() const { return list_.size(); }

 private:
  std::deque<std::string> owned_;  // its elements do not move
  std::vector<CK_ATTRIBUTE> list_;
};

}  // namespace virp::pkcs11
