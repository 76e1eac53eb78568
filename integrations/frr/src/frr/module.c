// SPDX-License-Identifier: GPL-2.0-or-later
// Start, end, and the clock of the module. A start that fails leaves it loaded and off, with the reason in
// `show bgp virp status`; nothing here ends bgpd.
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "door.h"
#include "virp_module.h"

enum { kTickMs = 1000, kFlushMs = 2000, kRingMib = 64 };

struct virp_module virp;

static struct {
  virp_task* tick;
  uint64_t ticks;
  struct stat key;  // of the file that was read
} timers;

uint64_t virp_config_hash(void) {
  const struct virp_config* const config = &virp.config;
  char text[1024];
  uint8_t digest[32];
  const int size =
      snprintf(text, sizeof(text), "%u %s %s %s %ld %u %u %d%d %d%d%d%d %u %u %d %u", config->version, config->source,
               config->socket, config->key, config->uid, config->key_version, config->ring_mib, config->family[0],
               config->family[1], config->type[1], config->type[2], config->type[3], config->type[4],
               virp.rules->lost_more_than, virp.rules->lost_within, virp.rules->maximum_prefix, virp.rules->list_count);
  virp_sha256(text, size < (int)sizeof(text) ? (size_t)size : sizeof(text), digest);
  uint64_t out = 0;
  for (int i = 0; i < 8; ++i) out = out << 8 | digest[i];
  for (uint32_t i = 0; i < virp.rules->list_count; ++i) {
    virp_sha256(&virp.rules->lists[i], sizeof(virp.rules->lists[i]), digest);
    out ^= (uint64_t)digest[0] << 8 | digest[1];
  }
  return out;
}

// The key of the command goes before the one of the module's argument.
static const char* key_path(void) {
  return virp.config.key[0] != '\0' ? virp.config.key : virp.argument_path;
}

struct virp_key* virp_read_key(char why[VIRP_WHY]) {
  if (stat(key_path(), &timers.key) != 0) memset(&timers.key, 0, sizeof(timers.key));
  if (virp.config.key[0] != '\0') return virp_key_load(virp.config.key, virp.config.key_version, why);
  if (virp.argument_key != NULL) return virp_key_copy(virp.argument_key, virp.config.key_version, why);
  snprintf(why, VIRP_WHY, "no key: virp hmac-key PATH, or key=PATH in the module's argument");
  return NULL;
}

// A key file called VERSION.EXTENSION has its successor beside it.
static bool find_next_key(char path[VIRP_PATH_MAX], uint32_t version) {
  static const char* const extensions[] = {"seed", "hmac", "txt"};
  const char* const now = key_path();
  const char* const slash = strrchr(now, '/');
  char name[32];
  const int size = snprintf(name, sizeof(name), "%u.", version);
  if (slash == NULL || strncmp(slash + 1, name, (size_t)size) != 0) return false;
  const bool seed = strcmp(slash + 1 + size, "seed") == 0;  // never back from a signature to a MAC
  for (size_t i = virp.config.version == 1 ? 1 : 0; i < (seed ? 1u : 3u); ++i) {
    const int whole =
        snprintf(path, VIRP_PATH_MAX, "%.*s%u.%s", (int)(slash + 1 - now), now, version + 1, extensions[i]);
    if (whole < VIRP_PATH_MAX && access(path, R_OK) == 0) return true;
  }
  return false;
}

// Whether the key is another one than the one in use: its successor came, or the file was changed.
static bool key_rolled(void) {
  char next[VIRP_PATH_MAX];
  bool rolled = false;
  while (find_next_key(next, virp.config.key_version)) {
    snprintf(virp.config.key, sizeof(virp.config.key), "%s", next);
    ++virp.config.key_version;
    rolled = true;
    zlog_info("VIRP: key version %u: %s", virp.config.key_version, virp.config.key);
  }
  struct stat now;
  if (virp.config.key[0] == '\0' || stat(virp.config.key, &now) != 0) return rolled;
  return rolled || now.st_ino != timers.key.st_ino || now.st_size != timers.key.st_size ||
         now.st_mtim.tv_sec != timers.key.st_mtim.tv_sec || now.st_mtim.tv_nsec != timers.key.st_mtim.tv_nsec;
}

static struct virp_settings* make_settings(char why[VIRP_WHY]) {
  struct virp_settings* const settings = virp_settings_new();
  if (settings == NULL) {
    snprintf(why, VIRP_WHY, "no memory");
    return NULL;
  }
  settings->version = virp.config.version;
  settings->uid = virp.config.uid;
  snprintf(settings->source, sizeof(settings->source), "%s", virp.config.source);
  snprintf(settings->socket, sizeof(settings->socket), "%s", virp.config.socket);
  snprintf(settings->state_file, sizeof(settings->state_file), "%s", virp.config.state);
  snprintf(settings->build_id, sizeof(settings->build_id), "%s", virp.build_id);
  settings->key = virp_read_key(why);
  if (settings->key != NULL && settings->version == 1 && virp_key_suite(settings->key) != VIRP_HMAC_SHA256) {
    snprintf(why, VIRP_WHY, "version 1 frames have HMAC tags only: virp frame-version 2");
  } else if (settings->key != NULL && settings->version == 2 && settings->source[0] == '\0') {
    snprintf(why, VIRP_WHY, "version 2 frames name their source: virp source-name NAME");
  } else if (settings->key != NULL) {
    return settings;
  }
  virp_settings_free(settings);
  return NULL;
}

static const char* refuse(const char* why) {
  if (why != virp.refusal) snprintf(virp.refusal, sizeof(virp.refusal), "%s", why);
  zlog_warn("VIRP: off: %s", virp.refusal);
  return virp.refusal;
}

static bool make_memory(void) {
  if (virp.ring != NULL) return true;
  const size_t size = (size_t)virp.config.ring_mib << 20;
  virp.ring = virp_ring_new(size / 4 * 3);
  if (virp.ring != NULL && virp_paths_start(size / 4)) return true;
  virp_ring_free(virp.ring);
  virp.ring = NULL;
  return false;
}

const char* virp_start(void) {
  char why[VIRP_WHY] = "";
  if (virp.on) return NULL;
  if (!virp.fits) return refuse(virp.refusal);
  struct bgp* const bgp = listgetdata(listhead(bm->bgp));
  if (!virp_guard_instance(bgp, why)) return refuse(why);
  if (!make_memory()) return refuse("no memory for the ring");
  key_rolled();
  struct virp_settings* const settings = make_settings(why);
  if (settings == NULL) return refuse(why);
  if (virp.speaker == NULL) {
    virp.speaker = virp_speaker_start(virp.ring, settings, why);
    if (virp.speaker == NULL) return refuse(why);
  } else {
    virp_speaker_configure(virp.speaker, settings);
    // What happened meanwhile nobody saw: nothing that was said before holds without being said again.
    if (!virp_new_epoch()) virp_count_lost();
  }
  virp.refusal[0] = '\0';
  virp.on = true;
  virp_peers_start();
  virp_beat(VIRP_SAW_BEAT);
  virp_restate(true);
  zlog_info("VIRP: on, frame version %u, to %s", virp.config.version, virp.config.socket);
  return NULL;
}

void virp_pause(void) {
  if (!virp.on) return;
  virp_paths_flush();
  virp_tell_loss(true);
  virp_beat(VIRP_SAW_DISABLED);
  virp_mark(VIRP_SAW_CLOSE);
  virp_restate_stop();
  virp_peers_forget();
  virp.on = false;
  zlog_info("VIRP: off");
}

void virp_reconfigure(void) {
  char why[VIRP_WHY] = "";
  if (!virp.on) {
    if (virp.config.enabled) virp_start();
    return;
  }
  struct virp_settings* const settings = make_settings(why);
  if (settings == NULL) {
    refuse(why);  // what was there goes on
    return;
  }
  virp.refusal[0] = '\0';
  virp_speaker_configure(virp.speaker, settings);
}

static void log_problem(void) {
  static uint64_t told;
  struct virp_figures now;
  virp_speaker_look(virp.speaker, &now);
  if (now.problems == told) return;
  told = now.problems;
  if (now.problem[0] == '\0')
    zlog_info("VIRP: connected to %s", virp.config.socket);
  else
    zlog_warn("VIRP: %s: %s", virp.config.socket, now.problem);
}

static void tick(virp_task* task) {
  (void)task;
  ++timers.ticks;
  virp_after(virp.loop, tick, kTickMs, &timers.tick);
  if (virp.speaker != NULL) log_problem();
  if (!virp.on) return;
  virp_tell_loss(false);
  virp_tell_left();
  virp_peers_tick();
  virp_locals_tick();
  if (key_rolled()) virp_reconfigure();
  if (timers.ticks % VIRP_BEAT_SECONDS == 0) virp_beat(VIRP_SAW_BEAT);
  const bool busy = virp_ring_bytes(virp.ring) > virp_ring_size(virp.ring) / 4;
  if (virp.restate_tables && virp.lost_from == 0 && !busy) {
    virp.restate_tables = false;
    virp_restate(true);
  } else if (timers.ticks % VIRP_RESTATE_SECONDS == 0) {
    virp_restate(false);
  }
}

// After bgpd has said goodbye to its peers, before it frees what we hold.
static int on_early_end(void) {
  if (virp.on) {
    virp_paths_flush();
    virp_tell_loss(true);
  }
  virp.stopping = true;
  virp_restate_stop();
  virp_paths_forget();
  virp_cancel(&timers.tick);
  return 0;
}

static int on_end(void) {
  if (virp.on) virp_beat(VIRP_SAW_DISABLED);
  virp.on = false;
  struct virp_left left = {0};
  if (virp.speaker != NULL && virp_speaker_stop(virp.speaker, kFlushMs, virp.sequence, &left)) {
    virp_ring_free(virp.ring);
    virp.ring = NULL;
  }
  if (left.from != 0 && left.from <= left.to)
    zlog_warn("VIRP: ends before %" PRIu64 " to %" PRIu64 " were sent; %s", left.from, left.to,
              virp.config.state[0] != '\0' ? "the next start says so" : "without a state file nobody will say so");
  virp_peers_forget();
  virp_key_free(virp.argument_key);
  free(virp.rules);
  return 0;
}

static int on_late_init(virp_loop* loop) {
  virp.loop = loop;
  virp_vty_init();
  virp_after(virp.loop, tick, kTickMs, &timers.tick);
  return 0;
}

// key=PATH,key-version=N,state=PATH
static void read_arguments(const char* text) {
  char copy[1024], *save = NULL;
  snprintf(copy, sizeof(copy), "%s", text != NULL ? text : "");
  char* const path = virp.argument_path;
  for (char* word = strtok_r(copy, ",", &save); word != NULL; word = strtok_r(NULL, ",", &save)) {
    if (strncmp(word, "key=", 4) == 0)
      snprintf(path, VIRP_PATH_MAX, "%s", word + 4);
    else if (strncmp(word, "key-version=", 12) == 0)
      virp.config.key_version = (uint32_t)strtoul(word + 12, NULL, 10);
    else if (strncmp(word, "state=", 6) == 0)
      snprintf(virp.config.state, sizeof(virp.config.state), "%s", word + 6);
    else
      snprintf(virp.refusal, sizeof(virp.refusal), "unknown module argument '%.64s'", word);
  }
  if (path[0] == '\0') return;
  char why[VIRP_WHY] = "";
  virp.argument_key = virp_key_load(path, virp.config.key_version, why);
  if (virp.argument_key == NULL) snprintf(virp.refusal, sizeof(virp.refusal), "%.100s: %.140s", path, why);
}

#ifdef VIRP_COMPILED_IN
static const char* arguments(void) {
  return NULL;
}
#else
static const char* arguments(void) {
  return THIS_MODULE->load_args;
}
#endif

static int on_load(void) {
  virp.config = (struct virp_config){.version = 1, .uid = VIRP_NO_UID, .key_version = 1, .ring_mib = kRingMib};
  virp.config.family[0] = virp.config.family[1] = true;
  for (int i = 1; i <= 4; ++i) virp.config.type[i] = true;
  snprintf(virp.config.socket, sizeof(virp.config.socket), "/tmp/virp-onode.sock");
  virp.rules = calloc(1, sizeof(*virp.rules));
  if (virp.rules == NULL) return 0;
  virp_find_build_id(virp.build_id);
  read_arguments(arguments());
  virp.fits = virp.refusal[0] == '\0' && virp_guard(virp.refusal);
  hook_register(frr_late_init, on_late_init);
  if (virp.fits) {
    hook_register(peer_status_changed, virp_on_peer_status);
    hook_register(bgp_process, virp_on_process);
    hook_register(bgp_snmp_update_stats, virp_on_local_path);
    hook_register(bgp_inst_delete, virp_on_instance_deleted);
  }
  hook_register(bgp_inst_config_write, virp_write_config);
  hook_register(frr_early_fini, on_early_end);
  hook_register(frr_fini, on_end);
  return 0;
}

#ifdef VIRP_COMPILED_IN
__attribute__((constructor)) static void begin(void) {
  on_load();
}
#else
FRR_MODULE_SETUP(.name = "bgpd_virp", .version = FRR_VERSION,
                 .description = "signs what bgpd observes, and hands it to a VIRP collector", .init = on_load, );
#endif
