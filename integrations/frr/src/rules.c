// SPDX-License-Identifier: GPL-2.0-or-later
#include "rules.h"

#include <stdio.h>
#include <string.h>

bool virp_rules_session_lost(struct virp_rules* rules, uint64_t now) {
  rules->lost_at[rules->lost_count++ % VIRP_LOST_MAX] = now;
  const uint64_t more_than = rules->lost_more_than;
  if (more_than == 0 || more_than >= VIRP_LOST_MAX || rules->lost_count <= more_than) return false;
  return now - rules->lost_at[(rules->lost_count - 1 - more_than) % VIRP_LOST_MAX] <= rules->lost_within;
}

static struct virp_protected* find(struct virp_rules* rules, const char* list) {
  for (uint32_t i = 0; i < rules->list_count; ++i) {
    if (strcmp(rules->lists[i].list, list) == 0) return &rules->lists[i];
  }
  return NULL;
}

bool virp_rules_protect(struct virp_rules* rules, const char* list, uint32_t origin) {
  struct virp_protected* at = find(rules, list);
  if (at == NULL) {
    if (rules->list_count == VIRP_PROTECTED_MAX || strlen(list) >= VIRP_LIST_NAME_MAX) return false;
    at = &rules->lists[rules->list_count++];
    *at = (struct virp_protected){0};
    snprintf(at->list, sizeof(at->list), "%s", list);
  }
  if (virp_rules_origin_known(at, origin)) return true;
  if (at->origin_count == VIRP_ORIGINS_MAX) return false;
  at->origins[at->origin_count++] = origin;
  return true;
}

bool virp_rules_unprotect(struct virp_rules* rules, const char* list) {
  struct virp_protected* const at = find(rules, list);
  if (at == NULL) return false;
  *at = rules->lists[--rules->list_count];
  return true;
}

bool virp_rules_origin_known(const struct virp_protected* list, uint32_t origin) {
  for (uint32_t i = 0; i < list->origin_count; ++i) {
    if (list->origins[i] == origin) return true;
  }
  return false;
}

uint32_t virp_rules_origin_of(const char* as_path, size_t size) {
  uint64_t value = 0, scale = 1;
  size_t at = size;
  while (at > 0 && as_path[at - 1] >= '0' && as_path[at - 1] <= '9' && size - at < 10) {
    value += (uint64_t)(as_path[--at] - '0') * scale;
    scale *= 10;
  }
  const bool whole = at < size && (at == 0 || as_path[at - 1] == ' ') && value <= UINT32_MAX;
  return whole ? (uint32_t)value : 0;
}
