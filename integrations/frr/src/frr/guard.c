// SPDX-License-Identifier: GPL-2.0-or-later
// Is the bgpd that loaded us the one whose headers we were built with? FRR itself does not ask.
// clang-format off: FRR's headers say first what they want of the system's
#include "virp_module.h"
// clang-format on

#include <elf.h>
#include <link.h>

// What Debian's configuration gives on amd64: a build without ENABLE_BGP_VNC, or with another MULTIPATH_NUM, loads and
// reads rubbish. Of versions without a line here only what follows is checked.
#define HOLDS(expression) _Static_assert(expression, "FRR's structures are not those of Debian's build: " #expression)
#define PLACES(attr_size, bgp_size, peer_size, path_size, dest_size, rib_at, local_pref, flags_at, af_sflags_at, \
               reset_at, weight_at)                                                                              \
  HOLDS(sizeof(struct attr) == attr_size);                                                                       \
  HOLDS(sizeof(struct bgp) == bgp_size);                                                                         \
  HOLDS(sizeof(struct peer) == peer_size);                                                                       \
  HOLDS(sizeof(struct bgp_path_info) == path_size);                                                              \
  HOLDS(sizeof(struct bgp_dest) == dest_size);                                                                   \
  HOLDS(offsetof(struct bgp, rib) == rib_at);                                                                    \
  HOLDS(offsetof(struct bgp, default_local_pref) == local_pref);                                                 \
  HOLDS(offsetof(struct peer, flags) == flags_at);                                                               \
  HOLDS(offsetof(struct peer, af_sflags) == af_sflags_at);                                                       \
  HOLDS(offsetof(struct peer, last_reset) == reset_at);                                                          \
  HOLDS(offsetof(struct attr, weight) == weight_at)
#if defined(__x86_64__) && VIRP_FRR_MAJOR == 8 && VIRP_FRR_MINOR == 4
PLACES(312, 9752, 741464, 112, 192, 1648, 3568, 656456, 658922, 675560, 148);
#elif defined(__x86_64__) && VIRP_FRR_MAJOR == 10 && VIRP_FRR_MINOR == 3
PLACES(288, 12496, 24056, 152, 128, 1928, 3996, 672, 6722, 22992, 156);
#endif

#ifdef VIRP_COMPILED_IN
static bool version_is_ours(char why[VIRP_WHY]) {
  (void)why;
  return true;  // one program, one build
}
#else
static bool version_is_ours(char why[VIRP_WHY]) {
  int found = 0;
  for (const struct frrmod_runtime* module = frrmod_list; module != NULL; module = module->next) {
    const char* const name = module->info->name;
    if (strcmp(name, "libfrr") != 0 && strcmp(name, "bgpd") != 0) continue;
    ++found;
    if (strcmp(module->info->version, FRR_VERSION) == 0) continue;
    snprintf(why, VIRP_WHY, "this %s is version %s, and the module was built for %s", name, module->info->version,
             FRR_VERSION);
    return false;
  }
  if (found == 2) return true;
  snprintf(why, VIRP_WHY, "cannot tell which version of bgpd this is");
  return false;
}
#endif

// bgp_attr_default_set clears a whole `struct attr` and takes the local preference from the instance: bgpd itself shows
// how large its own structure is, and where these two lie.
bool virp_guard_instance(struct bgp* bgp, char why[VIRP_WHY]) {
  union {
    struct attr attr;
    uint8_t bytes[sizeof(struct attr) + 64];
  } probe;
  memset(&probe, 0xa5, sizeof(probe));
  bgp_attr_default_set(&probe.attr, bgp, BGP_ORIGIN_INCOMPLETE);
  const size_t size = sizeof(struct attr);
  const bool good = probe.bytes[size] == 0xa5 && probe.bytes[size - 1] == 0 &&
                    probe.attr.origin == BGP_ORIGIN_INCOMPLETE && probe.attr.weight == BGP_ATTR_DEFAULT_WEIGHT &&
                    probe.attr.local_pref == bgp->default_local_pref;
  if (good) aspath_unintern(&probe.attr.aspath);
  if (!good)
    snprintf(why, VIRP_WHY, "this bgpd's structures lie otherwise in memory than in the headers of this build");
  return good;
}

bool virp_guard(char why[VIRP_WHY]) {
  return version_is_ours(why) && virp_crypto_works(why);
}

static int look_for_note(struct dl_phdr_info* object, size_t size, void* argument) {
  char* const id = argument;
  const uintptr_t here = (uintptr_t)&look_for_note;
  const ElfW(Phdr)* note = NULL;
  bool ours = false;
  (void)size;
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)* const part = &object->dlpi_phdr[i];
    const uintptr_t begin = object->dlpi_addr + part->p_vaddr;
    if (part->p_type == PT_LOAD && here >= begin && here < begin + part->p_memsz) ours = true;
    if (part->p_type == PT_NOTE && note == NULL) note = part;
    if (part->p_type != PT_NOTE) continue;
    const uint8_t *at = (const uint8_t*)begin, *const end = at + part->p_memsz;
    while (at + sizeof(ElfW(Nhdr)) <= end) {
      const ElfW(Nhdr)* const head = (const ElfW(Nhdr)*)(const void*)at;
      const uint8_t* const name = at + sizeof(*head);
      const uint8_t* const data = name + ((head->n_namesz + 3u) & ~3u);
      if (head->n_type == NT_GNU_BUILD_ID && head->n_namesz == 4 && memcmp(name, "GNU", 4) == 0) {
        struct virp_text out;
        virp_text_init(&out, id, VIRP_BUILD_ID_MAX - 1);
        virp_text_hex(&out, data, head->n_descsz < 20 ? head->n_descsz : 20);
        id[virp_text_size(&out)] = '\0';
      }
      at = data + ((head->n_descsz + 3u) & ~3u);
    }
  }
  return ours;
}

void virp_find_build_id(char id[VIRP_BUILD_ID_MAX]) {
  char last[VIRP_BUILD_ID_MAX] = "";
  if (dl_iterate_phdr(look_for_note, last) == 0) last[0] = '\0';
  snprintf(id, VIRP_BUILD_ID_MAX, "%s", last);
}
