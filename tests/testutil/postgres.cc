#include "tests/testutil/postgres.h"

#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "lib/base/status.h"

namespace virp::testutil {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

bool HasServer(const fs::path& folder) {
  return ::access((folder / "initdb").c_str(), X_OK) == 0 && fs::exists(folder / "postgres");
}

std::string CommandOutput(const char* command) {
  std::string out;
  FILE* const pipe = ::popen(command, "r");
  if (pipe == nullptr) return out;
  char line[512];
  while (std::fgets(line, sizeof(line), pipe) != nullptr) out += line;
  ::pclose(pipe);
  while (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

// Debian keeps the server's programs out of PATH; what PATH has under these names may be a wrapper.
absl::StatusOr<std::string> FindServer() {
  if (std::string folder = CommandOutput("pg_config --bindir 2>/dev/null"); !folder.empty() && HasServer(folder))
    return folder;
  std::string best;
  int best_version = 0;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql", ignored)) {
    const int version = std::atoi(entry.path().filename().c_str());
    if (version > best_version && HasServer(entry.path() / "bin")) {
      best_version = version;
      best = entry.path() / "bin";
    }
  }
  if (best.empty()) return NotFound("no PostgreSQL server programs; install the package postgresql");
  return best;
}

// In the child: gives up root for good, as PostgreSQL wants it.
void BecomePostgres() {
  if (::getuid() != 0) return;
  const passwd* const user = ::getpwnam("postgres");
  if (user == nullptr || ::initgroups("postgres", user->pw_gid) != 0 || ::setgid(user->pw_gid) != 0 ||
      ::setuid(user->pw_uid) != 0) {
    ::_exit(126);
  }
}

// Starts a program with its output in `log`; it is told to quit when this process dies.
absl::StatusOr<pid_t> Spawn(const std::vector<std::string>& command, const std::string& log, const std::string& folder,
                            const std::map<std::string, std::string>& environment = {}) {
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const pid_t pid = ::fork();
  if (pid < 0) return Unavailable("cannot fork for {}", command[0]);
  if (pid == 0) {
    ::setpgid(0, 0);  // away from the terminal's signals
    BecomePostgres();
    ::prctl(PR_SET_PDEATHSIG, SIGQUIT);
    for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    if (::chdir(folder.c_str()) != 0) ::_exit(126);
    const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    const int in = ::open("/dev/null", O_RDONLY);
    if (out < 0 || in < 0 || ::dup2(in, 0) < 0 || ::dup2(out, 1) < 0 || ::dup2(out, 2) < 0) ::_exit(126);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  return pid;
}

std::vector<pid_t> ChildrenOf(pid_t parent) {
  std::vector<pid_t> out;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    if (pid <= 0) continue;
    std::ifstream file(entry.path() / "stat");
    std::string stat((std::istreambuf_iterator<char>(file)), {});
    const std::size_t end = stat.rfind(')');  // the name before it may hold anything
    int ppid = 0;
    char state = 0;
    if (end != std::string::npos && std::sscanf(stat.c_str() + end + 1, " %c %d", &state, &ppid) == 2 &&
        ppid == parent) {
      out.push_back(pid);
    }
  }
  return out;
}

// A folder in memory, removed by PostgresCluster; empty when there is no room to speak of.
std::string FolderInMemory() {
  constexpr std::uint64_t kRoom = 4ULL << 30;
  struct statvfs room{};
  std::string pattern = "/dev/shm/virp-XXXXXX";
  if (::statvfs("/dev/shm", &room) != 0 || room.f_bavail * room.f_frsize < kRoom) return {};
  return ::mkdtemp(pattern.data()) == nullptr ? std::string() : pattern;
}

std::string NewDatabaseName() {
  static std::atomic<int> number = 0;
  return fmt::format("virp_{}_{}", ::getpid(), ++number);
}

std::string NameIn(const std::string& url) {
  const std::size_t begin = url.rfind('/', url.find('?')) + 1;
  return url.substr(begin, url.find('?') - begin);
}

}  // namespace

absl::StatusOr<std::unique_ptr<PostgresCluster>> PostgresCluster::Start(const PostgresClusterOptions& options) {
  auto out = std::unique_ptr<PostgresCluster>(new PostgresCluster());
  ASSIGN_OR_RETURN(out->bin_, FindServer());
  RETURN_IF_ERROR(out->InitDb(options));
  RETURN_IF_ERROR(out->Launch({}));
  return out;
}

absl::Status PostgresCluster::InitDb(const PostgresClusterOptions& options) {
  dir_ = std::make_unique<TempDir>();
  socket_dir_ = dir_->path();
  memory_ = options.in_memory ? FolderInMemory() : "";
  data_ = (memory_.empty() ? dir_->path() : memory_) + "/data";
  if (::getuid() == 0) {
    const passwd* const user = ::getpwnam("postgres");
    if (user == nullptr) return NotFound("there is no user postgres to run the server as");
    for (const std::string& folder : {dir_->path(), memory_}) {
      if (!folder.empty() && ::chown(folder.c_str(), user->pw_uid, user->pw_gid) != 0)
        return Unavailable("cannot hand {} to postgres", folder);
    }
  }
  ASSIGN_OR_RETURN(const pid_t init,
                   Spawn({bin_ + "/initdb", "--pgdata=" + data_, "--username=postgres", "--auth=trust",
                          "--encoding=UTF8", "--no-locale", "--no-sync", "--data-checksums"},
                         dir_->File("log"), dir_->path()));
  int status = 0;
  if (::waitpid(init, &status, 0) != init || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return Unavailable("initdb failed: {}", log());
  }
  std::ofstream conf(data_ + "/postgresql.conf", std::ios::app);
  conf << "listen_addresses = ''\nunix_socket_directories = '" << socket_dir_ << "'\nunix_socket_permissions = 0777\n"
       << "max_connections = 60\nshared_buffers = 32MB\nmax_wal_size = 256MB\nautovacuum_naptime = 10min\n"
       << "fsync = " << (options.fsync ? "on" : "off") << "\n";
  for (const std::string& line : options.settings) conf << line << "\n";
  conf.close();
  return conf ? absl::OkStatus() : Unavailable("cannot write postgresql.conf");
}

absl::Status PostgresCluster::Launch(const std::map<std::string, std::string>& environment) {
  ASSIGN_OR_RETURN(pid_, Spawn({bin_ + "/postgres", "-D", data_}, dir_->File("log"), dir_->path(), environment));
  const auto deadline = std::chrono::steady_clock::now() + 60s;
  while (PQping(Url("postgres").c_str()) != PQPING_OK) {
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = 0;
      return Unavailable("the PostgreSQL server ended at once: {}", log());
    }
    if (std::chrono::steady_clock::now() > deadline)
      return DeadlineExceeded("the PostgreSQL server does not answer: {}", log());
    std::this_thread::sleep_for(20ms);
  }
  return absl::OkStatus();
}

std::string PostgresCluster::Url(const std::string& database) const {
  return fmt::format("postgresql://postgres@/{}?host={}", database, socket_dir_);
}

std::string PostgresCluster::log() const {
  if (dir_ == nullptr) return {};
  std::ifstream file(dir_->File("log"));
  return {std::istreambuf_iterator<char>(file), {}};
}

absl::Status PostgresCluster::Command(const std::string& sql) {
  const std::unique_ptr<PGconn, decltype(&PQfinish)> connection(PQconnectdb(Url("postgres").c_str()), &PQfinish);
  const std::unique_ptr<PGresult, decltype(&PQclear)> result(PQexec(connection.get(), sql.c_str()), &PQclear);
  if (PQresultStatus(result.get()) != PGRES_COMMAND_OK)
    return Unavailable("{}: {}", sql, PQerrorMessage(connection.get()));
  return absl::OkStatus();
}

absl::StatusOr<std::string> PostgresCluster::CreateDatabase() {
  const std::string name = NewDatabaseName();
  RETURN_IF_ERROR(Command("CREATE DATABASE " + name));
  return Url(name);
}

absl::StatusOr<std::string> PostgresCluster::CopyDatabase(const std::string& url, const std::string& owner) {
  const std::string name = NewDatabaseName();
  RETURN_IF_ERROR(Command(fmt::format("CREATE DATABASE {} TEMPLATE {} OWNER {}", name, NameIn(url), owner)));
  return Url(name);
}

absl::Status PostgresCluster::DropDatabase(const std::string& url) {
  return Command(fmt::format("DROP DATABASE {} WITH (FORCE)", NameIn(url)));
}

absl::Status PostgresCluster::AwaitExit(int seconds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  int status = 0;
  while (::waitpid(pid_, &status, WNOHANG) != pid_) {
    if (std::chrono::steady_clock::now() > deadline) return DeadlineExceeded("the PostgreSQL server does not stop");
    std::this_thread::sleep_for(5ms);
  }
  pid_ = 0;
  return absl::OkStatus();
}

absl::Status PostgresCluster::Stop() {
  if (pid_ == 0) return FailedPrecondition("this cluster is not running, or not ours");
  ::kill(pid_, SIGINT);
  return AwaitExit(60);
}

absl::Status PostgresCluster::Kill() {
  if (pid_ == 0) return FailedPrecondition("this cluster is not running, or not ours");
  ::kill(pid_, SIGSTOP);  // so that it starts no new children while they are counted
  const std::vector<pid_t> children = ChildrenOf(pid_);
  ::kill(pid_, SIGKILL);
  for (const pid_t child : children) ::kill(child, SIGKILL);
  RETURN_IF_ERROR(AwaitExit(10));
  // The children are init's now; a restart is refused while one is attached to the shared memory.
  const auto deadline = std::chrono::steady_clock::now() + 10s;
  for (const pid_t child : children) {
    while (::kill(child, 0) == 0) {
      std::ifstream file(fmt::format("/proc/{}/stat", child));
      const std::string stat((std::istreambuf_iterator<char>(file)), {});
      const std::size_t end = stat.rfind(')');
      if (end != std::string::npos && stat.compare(end + 2, 1, "Z") == 0) break;  // dead, and nobody asked yet
      if (std::chrono::steady_clock::now() > deadline)
        return DeadlineExceeded("process {} of the cluster does not end", child);
      std::this_thread::sleep_for(2ms);
    }
  }
  return absl::OkStatus();
}

absl::Status PostgresCluster::Restart(const std::map<std::string, std::string>& environment) {
  if (dir_ == nullptr || pid_ != 0) return FailedPrecondition("this cluster is running, or not ours");
  return Launch(environment);
}

PostgresCluster::~PostgresCluster() {
  if (pid_ != 0) {
    ::kill(pid_, SIGQUIT);
    if (!AwaitExit(20).ok()) (void)Kill();
  }
  std::error_code ignored;
  if (!memory_.empty()) fs::remove_all(memory_, ignored);
}

std::unique_ptr<PostgresCluster> PostgresCluster::Attach(const std::string& socket_dir) {
  auto out = std::unique_ptr<PostgresCluster>(new PostgresCluster());
  out->socket_dir_ = socket_dir;
  return out;
}

PostgresCluster& PostgresCluster::Shared() {
  static const std::unique_ptr<PostgresCluster> cluster = [] {
    const char* const socket_dir = std::getenv("VIRP_TEST_POSTGRES");
    if (socket_dir != nullptr && *socket_dir != '\0') return Attach(socket_dir);
    auto started = Start({.in_memory = true});
    if (!started.ok()) {
      std::fprintf(stderr, "no PostgreSQL for the tests: %s\n", started.status().ToString().c_str());
      std::abort();
    }
    return *std::move(started);
  }();
  return *cluster;
}

}  // namespace virp::testutil
