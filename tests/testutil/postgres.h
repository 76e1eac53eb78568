// A private PostgreSQL cluster for tests: its own folder, a Unix socket only, trust authentication, gone afterwards.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/testutil/temp_dir.h"

namespace virp::testutil {

struct PostgresClusterOptions {
  bool fsync = true;                    // off for tests that neither crash the server nor check durability settings
  bool in_memory = false;               // the data in /dev/shm when there is room: for tests that do not measure a disk
  std::vector<std::string> settings{};  // more lines for postgresql.conf: "log_min_messages = debug1"
};

// Used by one thread at a time. Started by root it runs as user postgres, since PostgreSQL refuses root.
class PostgresCluster {
 public:
  static absl::StatusOr<std::unique_ptr<PostgresCluster>> Start(const PostgresClusterOptions& options = {});
  ~PostgresCluster();  // stops at once and removes everything
  PostgresCluster(const PostgresCluster&) = delete;
  PostgresCluster& operator=(const PostgresCluster&) = delete;

  // A cluster that somebody else runs, by the folder of its socket: it can be asked for databases and nothing else.
  static std::unique_ptr<PostgresCluster> Attach(const std::string& socket_dir);

  // The one cluster of this test program, started at first use, fsync on, in memory
  // when there is room; or the cluster that VIRP_TEST_POSTGRES names
  // by its socket folder, as Attach does. Aborts the program when there is none to be had.
  static PostgresCluster& Shared();

  // The URL of a new, empty database.
  absl::StatusOr<std::string> CreateDatabase();
  // The URL of a new database with all that is in another one, to which nobody may be connected, and which has an owner
  // of its own. Far cheaper than to fill it once more.
  absl::StatusOr<std::string> CopyDatabase(const std::string& url, const std::string& owner);
  absl::Status DropDatabase(const std::string& url);  // whoever is connected is thrown out

  std::string Url(const std::string& database) const;
  const std::string& data_folder() const { return data_; }
  const std::string& socket_dir() const { return socket_dir_; }
  std::string log() const;  // what the server has written so far

  absl::Status Stop();  // fast shutdown: sessions are ended, everything is written
  absl::Status Kill();  // SIGKILL to every process of the cluster, as a crash does
  // After Stop or Kill: starts, recovers, returns when it answers. `environment` beside the test's own.
  absl::Status Restart(const std::map<std::string, std::string>& environment = {});
  pid_t pid() const { return pid_; }  // the postmaster, 0 when stopped

 private:
  PostgresCluster() = default;
  absl::Status Command(const std::string& sql);
  absl::Status InitDb(const PostgresClusterOptions& options);
  absl::Status Launch(const std::map<std::string, std::string>& environment);
  absl::Status AwaitExit(int seconds);

  std::unique_ptr<TempDir> dir_;  // null for a foreign cluster
  std::string memory_;            // of the data, when it is in memory
  std::string data_;              // the server's files
  std::string bin_;               // folder of initdb and postgres
  std::string socket_dir_;
  pid_t pid_ = 0;
};

}  // namespace virp::testutil
