#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "lib/base/clock.h"

namespace virp::onode {

struct StoreOptions {
  // Apply missing schema files on opening; else the schema must be complete (FailedPrecondition).
  bool migrate = true;
  // PostgreSQL: credentials of the role that owns the schema, used for migrating only. Empty: those of the URL.
  std::string migrate_url;
  // Folder with the entries that were moved out of the database (virp-onode archive). Empty: none.
  std::string archive{};
  // Nothing is changed, no lease taken: every call that writes is FailedPrecondition. SQLite: fit for a copy of a
  // database.
  bool read_only = false;
  // What the store may use, in bytes; 0 leaves it to the disk. SQLite refuses to grow beyond it (ResourceExhausted),
  // its write-ahead log and its index file not counted; the reserve is closed by all three.
  std::uint64_t limit_bytes = 0;
  // Connections for reads that run at the same time; further ones wait for each other.
  int readers = 4;
  // PostgreSQL: how long a statement or a lock may take, and how long a call waits for a connection.
  std::chrono::milliseconds timeout{10'000};
  // SQLite: the database's clock, by which leases run; must outlive the store. PostgreSQL has its own.
  const Clock* clock = nullptr;
};

}  // namespace virp::onode
