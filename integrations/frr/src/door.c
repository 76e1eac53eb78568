// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include "door.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

// The kernel's share of what a collector may not have read when it dies; sender.c keeps as much to send it again.
enum { kSendBuffer = 64 << 10 };

static bool no(char why[VIRP_WHY], const char* what, const char* detail) {
  snprintf(why, VIRP_WHY, "%s%s%s", what, detail[0] == '\0' ? "" : ": ", detail);
  return false;
}

static bool folder_of(const char* path, char folder[sizeof(((struct sockaddr_un*)0)->sun_path)]) {
  const char* const slash = strrchr(path, '/');
  if (slash == NULL) return false;
  const size_t size = slash == path ? 1 : (size_t)(slash - path);
  memcpy(folder, path, size);
  folder[size] = '\0';
  return true;
}

// Whether the socket at that path can only be of somebody who may own it; `owner` is whose it is.
static bool trusted(const char* path, long uid, uid_t* owner, char why[VIRP_WHY]) {
  struct stat folder, socket;
  char name[sizeof(((struct sockaddr_un*)0)->sun_path)];
  if (!folder_of(path, name)) return no(why, "the socket's path has to begin with /", "");
  if (stat(name, &folder) != 0) return no(why, "the socket's folder", strerror(errno));
  if (lstat(path, &socket) != 0) return no(why, "the socket", strerror(errno));
  if (!S_ISSOCK(socket.st_mode)) return no(why, "the path is no socket", "");
  *owner = socket.st_uid;
  if (uid != VIRP_NO_UID && socket.st_uid != (uid_t)uid)
    return no(why, "the socket is not of the user of virp onode-uid", "");
  if ((folder.st_mode & S_IWOTH) != 0) {
    if (uid == VIRP_NO_UID)
      return no(why, "everybody may write to the socket's folder, and virp onode-uid is not set", "");
    if ((folder.st_mode & S_ISVTX) == 0)
      return no(why, "everybody may write to the socket's folder, and it is not sticky", "");
    return true;
  }
  if ((socket.st_mode & S_IWOTH) != 0) return no(why, "everybody may write to the socket", "");
  if (folder.st_uid != 0 && folder.st_uid != socket.st_uid)
    return no(why, "the socket's folder is of another user than the socket", "");
  return true;
}

static bool spoken_for(int file, uid_t owner, char why[VIRP_WHY]) {
  struct ucred peer;
  socklen_t size = sizeof(peer);
  if (getsockopt(file, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return no(why, "cannot tell who listens", strerror(errno));
  if (peer.uid != owner) return no(why, "who listens is not the socket's owner", "");
  return true;
}

int virp_door_open(const char* path, long uid, char why[VIRP_WHY]) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  uid_t owner = 0;
  if (strlen(path) >= sizeof(to.sun_path)) {
    no(why, "the socket's path is too long", "");
    return -1;
  }
  strcpy(to.sun_path, path);
  if (!trusted(path, uid, &owner, why)) return -1;
  const int file = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (file < 0) {
    no(why, "no socket", strerror(errno));
    return -1;
  }
  const int buffer = kSendBuffer;
  setsockopt(file, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
  if (connect(file, (struct sockaddr*)&to, sizeof(to)) != 0)
    no(why, "cannot connect", strerror(errno));
  else if (spoken_for(file, owner, why))
    return file;
  close(file);
  return -1;
}
