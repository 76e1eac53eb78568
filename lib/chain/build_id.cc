#include "lib/chain/build_id.h"

#include <elf.h>
#include <link.h>

#include <cstring>

#include "lib/base/bytes.h"

namespace virp::chain {
namespace {

constexpr std::size_t Padded(std::size_t size) {
  return (size + 3) & ~std::size_t{3};
}

// The first object is the program itself: its notes are looked at and no others.
int FindNote(dl_phdr_info* object, std::size_t, void* found) {
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& part = object->dlpi_phdr[i];
    if (part.p_type != PT_NOTE) continue;
    std::string_view notes(reinterpret_cast<const char*>(object->dlpi_addr + part.p_vaddr), part.p_memsz);
    ElfW(Nhdr) head;
    while (notes.size() >= sizeof(head)) {
      std::memcpy(&head, notes.data(), sizeof(head));
      const std::size_t data = sizeof(head) + Padded(head.n_namesz), end = data + Padded(head.n_descsz);
      if (end > notes.size()) break;
      if (head.n_type == NT_GNU_BUILD_ID && notes.substr(sizeof(head), head.n_namesz) == std::string_view("GNU", 4)) {
        *static_cast<std::string*>(found) = HexEncode(notes.substr(data, head.n_descsz));
        return 1;
      }
      notes.remove_prefix(end);
    }
  }
  return 1;
}

}  // namespace

const std::string& OwnBuildId() {
  static const std::string id = [] {
    std::string out;
    ::dl_iterate_phdr(&FindNote, &out);
    return out;
  }();
  return id;
}

std::string BuildOwnHeartbeat(const Heartbeat& heartbeat) {
  std::string out = BuildHeartbeat(heartbeat);
  if (OwnBuildId().empty()) return out;
  out.pop_back();
  return out + R"(,"build_id":")" + OwnBuildId() + "\"}";
}

}  // namespace virp::chain
