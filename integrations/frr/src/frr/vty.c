// SPDX-License-Identifier: GPL-2.0-or-later
// Commands. The settings are those of the process: they stand under any one `router bgp`, are written under the first.
#ifdef VTYSH_EXTRACT_PL  // FRR makes vtysh's commands from this file
// clang-format off: FRR's headers say first what they want of the system's
#include <zebra.h>
#include "command.h"
// clang-format on
#else
#include "door.h"
#include "virp_module.h"
#endif

#define NAME "Verified observations\n"

static void changed(struct vty* vty) {
  virp_reconfigure();
  if (virp.config.enabled && virp.refusal[0] != '\0') vty_out(vty, "%% VIRP: %s\n", virp.refusal);
}

static int set_text(struct vty* vty, char* to, size_t size, const char* value) {
  if (strlen(value) >= size) {
    vty_out(vty, "%% longer than %zu characters\n", size - 1);
    return CMD_WARNING_CONFIG_FAILED;
  }
  snprintf(to, size, "%s", value);
  changed(vty);
  return CMD_SUCCESS;
}

static int set_number(struct vty* vty, uint32_t* to, const char* value) {
  *to = (uint32_t)strtoul(value, NULL, 10);
  changed(vty);
  return CMD_SUCCESS;
}

// Of "[no] virp ...": whether it is said without "no".
static bool is_on(struct cmd_token* first) {
  return !strmatch(first->text, "no");
}

// vtysh is generated from the texts of these commands: they are written out, and the brace has a line of its own.
// clang-format off
DEFUN(do_virp_enable, virp_enable_cmd, "[no] virp enable", NO_STR NAME "Sign what is observed and send it\n")
{
  virp.config.enabled = is_on(argv[0]);
  const char* const why = virp.config.enabled ? virp_start() : NULL;
  if (!virp.config.enabled) virp_pause();
  if (why != NULL) vty_out(vty, "%% VIRP stays off: %s\n", why);
  return CMD_SUCCESS;
}

DEFUN(do_virp_hmac_key, virp_hmac_key_cmd, "virp hmac-key PATH",
      NAME "The key that signs, HMAC or (file.seed) Ed25519\nIts file\n")
{
  return set_text(vty, virp.config.key, sizeof(virp.config.key), argv[2]->arg);
}

DEFUN(do_no_virp_hmac_key, no_virp_hmac_key_cmd, "no virp hmac-key [PATH]",
      NO_STR NAME "The key that signs\nIts file\n")
{
  return set_text(vty, virp.config.key, sizeof(virp.config.key), "");
}

DEFUN(do_virp_key_version, virp_key_version_cmd, "virp key-version (1-4294967295)",
      NAME "The version of the key; reads it again\nNumber\n")
{
  return set_number(vty, &virp.config.key_version, argv[2]->arg);
}

DEFUN(do_virp_onode_socket, virp_onode_socket_cmd, "virp onode-socket PATH",
      NAME "Where observations go\nA Unix socket\n")
{
  return set_text(vty, virp.config.socket, sizeof(virp.config.socket), argv[2]->arg);
}

static int set_uid(struct vty* vty, long uid) {
  virp.config.uid = uid;
  changed(vty);
  return CMD_SUCCESS;
}

DEFUN(do_virp_onode_uid, virp_onode_uid_cmd, "virp onode-uid (0-4294967294)",
      NAME "Whose socket it has to be\nUser id\n")
{
  return set_uid(vty, strtol(argv[2]->arg, NULL, 10));
}

DEFUN(do_no_virp_onode_uid, no_virp_onode_uid_cmd, "no virp onode-uid [(0-4294967294)]",
      NO_STR NAME "Whose socket it has to be\nUser id\n")
{
  return set_uid(vty, VIRP_NO_UID);
}

DEFUN(do_virp_source_name, virp_source_name_cmd, "virp source-name NAME",
      NAME "The source that this router speaks as\nIts name\n")
{
  if (virp.on && !strmatch(argv[2]->arg, virp.config.source)) {
    vty_out(vty, "%% first: no virp enable\n");
    return CMD_WARNING_CONFIG_FAILED;
  }
  return set_text(vty, virp.config.source, sizeof(virp.config.source), argv[2]->arg);
}

DEFUN(do_virp_frame_version, virp_frame_version_cmd, "virp frame-version (1-2)",
      NAME "Form of the frames\n1: as published, 2: native\n")
{
  const uint8_t version = (uint8_t)strtoul(argv[2]->arg, NULL, 10);
  if (version != virp.config.version && virp.on) {
    vty_out(vty, "%% first: no virp enable\n");
    return CMD_WARNING_CONFIG_FAILED;
  }
  virp.config.version = version;
  changed(vty);
  return CMD_SUCCESS;
}

DEFUN(do_virp_state_file, virp_state_file_cmd, "virp state-file PATH",
      NAME "Where the boot epoch is kept, and what was not sent\nA file\n")
{
  return set_text(vty, virp.config.state, sizeof(virp.config.state), argv[2]->arg);
}

DEFUN(do_virp_ring_size, virp_ring_size_cmd, "virp ring-size (1-1024)", NAME "Memory for what is not sent yet\nMiB\n")
{
  const uint32_t size = (uint32_t)strtoul(argv[2]->arg, NULL, 10);
  if (virp.ring != NULL && size != virp.config.ring_mib) vty_out(vty, "%% counts from the next start of bgpd\n");
  virp.config.ring_mib = size;
  return CMD_SUCCESS;
}

DEFUN(do_virp_family, virp_family_cmd, "[no] virp address-family <ipv4|ipv6>",
      NO_STR NAME "Routes of these\nIPv4 unicast\nIPv6 unicast\n")
{
  virp.config.family[strmatch(argv[argc - 1]->text, "ipv6")] = is_on(argv[0]);
  return CMD_SUCCESS;
}

DEFUN(do_virp_observe, virp_observe_cmd, "[no] virp observe (1-4)", NO_STR NAME "Observations of this type\nType\n")
{
  virp.config.type[strtoul(argv[argc - 1]->arg, NULL, 10)] = is_on(argv[0]);
  return CMD_SUCCESS;
}

DEFUN(do_virp_protect, virp_protect_cmd, "virp protect prefix-list NAME origin (1-4294967295)",
      NAME "RED when these change\nA prefix-list\nIts name\nThe AS that may originate them\nAS\n")
{
  if (virp_rules_protect(virp.rules, argv[3]->arg, (uint32_t)strtoul(argv[5]->arg, NULL, 10))) return CMD_SUCCESS;
  vty_out(vty, "%% at most %d lists with %d origins each\n", VIRP_PROTECTED_MAX, VIRP_ORIGINS_MAX);
  return CMD_WARNING_CONFIG_FAILED;
}

DEFUN(do_no_virp_protect, no_virp_protect_cmd, "no virp protect prefix-list NAME [origin (1-4294967295)]",
      NO_STR NAME "RED when these change\nA prefix-list\nIts name\nThe AS that may originate them\nAS\n")
{
  if (virp_rules_unprotect(virp.rules, argv[4]->arg)) return CMD_SUCCESS;
  vty_out(vty, "%% no such list\n");
  return CMD_WARNING_CONFIG_FAILED;
}

DEFUN(do_virp_red_sessions, virp_red_sessions_cmd, "virp red sessions-lost (1-1000) within (1-86400)",
      NAME "Rules for RED\nMore sessions lost than this\nNumber\nin this time\nSeconds\n")
{
  virp.rules->lost_more_than = (uint32_t)strtoul(argv[3]->arg, NULL, 10);
  virp.rules->lost_within = (uint32_t)strtoul(argv[5]->arg, NULL, 10);
  return CMD_SUCCESS;
}

DEFUN(do_no_virp_red_sessions, no_virp_red_sessions_cmd, "no virp red sessions-lost",
      NO_STR NAME "Rules for RED\nMore sessions lost than this\n")
{
  virp.rules->lost_more_than = 0;
  return CMD_SUCCESS;
}

DEFUN(do_virp_red_maximum, virp_red_maximum_cmd, "[no] virp red maximum-prefix",
      NO_STR NAME "Rules for RED\nA peer reached its limit\n")
{
  virp.rules->maximum_prefix = is_on(argv[0]);
  return CMD_SUCCESS;
}

DEFUN(do_virp_restate_now, virp_restate_now_cmd, "virp restate",
      NAME "Say the state of all peers and all tables again\n")
{
  if (!virp.on) {
    vty_out(vty, "%% VIRP is off\n");
    return CMD_WARNING;
  }
  virp_restate(true);
  return CMD_SUCCESS;
}

DEFUN(do_debug_virp, debug_virp_cmd, "[no] debug bgp virp", NO_STR DEBUG_STR BGP_STR NAME)
{
  virp.debug = is_on(argv[0]);
  return CMD_SUCCESS;
}

// ---- show

static uint64_t look(struct virp_figures* out) {
  *out = (struct virp_figures){.epoch = 0};
  if (virp.speaker == NULL) return 0;
  virp_speaker_look(virp.speaker, out);
  return virp_ring_depth(virp.ring);
}

static const char* state_name(void) {
  return virp.on ? "enabled" : (virp.config.enabled ? "off" : "disabled");
}
static const char* key_name(void) {
  return virp.config.key[0] != '\0' ? virp.config.key : (virp.argument_key != NULL ? "module argument" : "none");
}

static void quoted(struct vty* vty, const char* text) {
  char buffer[6 * VIRP_PATH_MAX + 3];
  struct virp_text out;
  virp_text_init(&out, buffer, sizeof(buffer) - 1);
  virp_text_string(&out, text, strlen(text));
  *out.at = '\0';
  vty_out(vty, "%s", buffer);
}

static void field(struct vty* vty, const char* name, const char* text) {
  vty_out(vty, "\"%s\":", name);
  quoted(vty, text);
  vty_out(vty, ",");
}

static void show_json(struct vty* vty) {
  struct virp_figures now;
  const uint64_t queued = look(&now);
  vty_out(vty, "{");
  field(vty, "state", state_name());
  field(vty, "refusal", virp.refusal);
  field(vty, "hmacKey", key_name());
  field(vty, "onode", virp.config.socket);
  field(vty, "problem", now.problem);
  field(vty, "source", virp.config.source);
  field(vty, "buildId", virp.build_id);
  field(vty, "libcrypto", virp_crypto_version());
  vty_out(vty,
          "\"connected\":%s,\"frameVersion\":%u,\"signed\":%" PRIu64 ",\"delivered\":%" PRIu64 ",\"failed\":%" PRIu64,
          now.connected ? "true" : "false", virp.config.version, now.made_all, now.delivered, now.failed);
  for (int i = 1; i <= 4; ++i) vty_out(vty, ",\"type%d\":%" PRIu64, i, now.made[i]);
  vty_out(vty, ",\"type22\":%" PRIu64 ",\"type24\":%" PRIu64, now.made[VIRP_GAP], now.made[VIRP_HEARTBEAT]);
  vty_out(vty,
          ",\"signingErrors\":%" PRIu64 ",\"socketErrors\":%" PRIu64 ",\"queued\":%" PRIu64 ",\"lost\":%" PRIu64
          ",\"epoch\":%" PRIu64 ",\"sequence\":%" PRIu64 ",\"pending\":%zu,\"resent\":%" PRIu64 ",\"connects\":%" PRIu64
          ",\"signerCpuNs\":%" PRIu64 ",\"established\":%" PRIu64 "}\n",
          now.signing_errors, now.socket_errors, queued, virp.lost, now.epoch, virp.sequence, virp_paths_pending(),
          now.resent, now.connects, now.cpu_ns, virp.established);
}

DEFUN(do_show_virp_status, show_virp_status_cmd, "show bgp virp status [json]",
      SHOW_STR BGP_STR NAME "How it does\nJSON\n")
{
  if (argc == 5) {
    show_json(vty);
    return CMD_SUCCESS;
  }
  struct virp_figures now;
  const uint64_t queued = look(&now);
  vty_out(vty, "State: %s\nHMAC Key: %s\nO-Node: %s (%s)\n", state_name(), key_name(), virp.config.socket,
          now.connected ? "connected" : "not connected");
  vty_out(vty, "Observations: %" PRIu64 " signed, %" PRIu64 " delivered, %" PRIu64 " failed\n", now.made_all,
          now.delivered, now.failed);
  vty_out(vty, "Queued: %" PRIu64 ", lost: %" PRIu64 ", epoch: %" PRIu64 "\n", queued, virp.lost, now.epoch);
  vty_out(vty, "Frame version: %u, source: %s, build id: %s, %s\n", virp.config.version, virp.config.source,
          virp.build_id, virp_crypto_version());
  if (virp.refusal[0] != '\0') vty_out(vty, "Off because: %s\n", virp.refusal);
  if (now.problem[0] != '\0') vty_out(vty, "Problem: %s\n", now.problem);
  return CMD_SUCCESS;
}

DEFUN(do_show_virp_statistics, show_virp_statistics_cmd, "show bgp virp statistics [json]",
      SHOW_STR BGP_STR NAME "What was signed\nJSON\n")
{
  if (argc == 5) {
    show_json(vty);
    return CMD_SUCCESS;
  }
  struct virp_figures now;
  const uint64_t queued = look(&now);
  vty_out(vty,
          "Type 1 (peer_status): %" PRIu64 "\nType 2 (backward_transition): %" PRIu64 "\nType 3 (bgp_process): %" PRIu64
          "\nType 4 (route_update): %" PRIu64 "\nSigning errors: %" PRIu64 "\nSocket errors: %" PRIu64 "\n",
          now.made[1], now.made[2], now.made[3], now.made[4], now.signing_errors, now.socket_errors);
  vty_out(vty,
          "Type 22 (gap): %" PRIu64 "\nType 24 (heartbeat): %" PRIu64 "\nQueued: %" PRIu64 "\nLost: %" PRIu64
          "\nEpoch: %" PRIu64 "\nResent: %" PRIu64 "\n",
          now.made[VIRP_GAP], now.made[VIRP_HEARTBEAT], queued, virp.lost, now.epoch, now.resent);
  return CMD_SUCCESS;
}

// clang-format on

// ---- configuration

int virp_write_config(struct bgp* bgp, struct vty* vty) {
  const struct virp_config* const config = &virp.config;
  if (bgp != listgetdata(listhead(bm->bgp))) return 0;
  if (config->version != 1) vty_out(vty, " virp frame-version %u\n", config->version);
  if (config->source[0] != '\0') vty_out(vty, " virp source-name %s\n", config->source);
  if (config->key[0] != '\0') vty_out(vty, " virp hmac-key %s\n", config->key);
  if (config->key_version != 1) vty_out(vty, " virp key-version %u\n", config->key_version);
  if (strcmp(config->socket, "/tmp/virp-onode.sock") != 0) vty_out(vty, " virp onode-socket %s\n", config->socket);
  if (config->uid != VIRP_NO_UID) vty_out(vty, " virp onode-uid %ld\n", config->uid);
  if (config->state[0] != '\0') vty_out(vty, " virp state-file %s\n", config->state);
  if (config->ring_mib != 64) vty_out(vty, " virp ring-size %u\n", config->ring_mib);
  for (int i = 0; i < 2; ++i) {
    if (!config->family[i]) vty_out(vty, " no virp address-family %s\n", i == 0 ? "ipv4" : "ipv6");
  }
  for (int i = 1; i <= 4; ++i) {
    if (!config->type[i]) vty_out(vty, " no virp observe %d\n", i);
  }
  for (uint32_t i = 0; i < virp.rules->list_count; ++i) {
    const struct virp_protected* const list = &virp.rules->lists[i];
    for (uint32_t j = 0; j < list->origin_count; ++j)
      vty_out(vty, " virp protect prefix-list %s origin %u\n", list->list, list->origins[j]);
  }
  if (virp.rules->lost_more_than != 0)
    vty_out(vty, " virp red sessions-lost %u within %u\n", virp.rules->lost_more_than, virp.rules->lost_within);
  if (virp.rules->maximum_prefix) vty_out(vty, " virp red maximum-prefix\n");
  if (config->enabled) vty_out(vty, " virp enable\n");
  return 0;
}

void virp_vty_init(void) {
  install_element(BGP_NODE, &virp_enable_cmd);
  install_element(BGP_NODE, &virp_hmac_key_cmd);
  install_element(BGP_NODE, &no_virp_hmac_key_cmd);
  install_element(BGP_NODE, &virp_key_version_cmd);
  install_element(BGP_NODE, &virp_onode_socket_cmd);
  install_element(BGP_NODE, &virp_onode_uid_cmd);
  install_element(BGP_NODE, &no_virp_onode_uid_cmd);
  install_element(BGP_NODE, &virp_source_name_cmd);
  install_element(BGP_NODE, &virp_frame_version_cmd);
  install_element(BGP_NODE, &virp_state_file_cmd);
  install_element(BGP_NODE, &virp_ring_size_cmd);
  install_element(BGP_NODE, &virp_family_cmd);
  install_element(BGP_NODE, &virp_observe_cmd);
  install_element(BGP_NODE, &virp_protect_cmd);
  install_element(BGP_NODE, &no_virp_protect_cmd);
  install_element(BGP_NODE, &virp_red_sessions_cmd);
  install_element(BGP_NODE, &no_virp_red_sessions_cmd);
  install_element(BGP_NODE, &virp_red_maximum_cmd);
  install_element(VIEW_NODE, &show_virp_status_cmd);
  install_element(VIEW_NODE, &show_virp_statistics_cmd);
  install_element(ENABLE_NODE, &virp_restate_now_cmd);
  install_element(ENABLE_NODE, &debug_virp_cmd);
  install_element(CONFIG_NODE, &debug_virp_cmd);
}
