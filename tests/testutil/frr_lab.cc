#include "tests/testutil/frr_lab.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "lib/base/status.h"

namespace virp::testutil {
namespace {

using namespace std::chrono_literals;

constexpr const char* kBgpd = "/usr/lib/frr/bgpd";
constexpr std::chrono::milliseconds kAnswer = 30s;  // under valgrind it takes some
// Status bytes of a vty (FRR lib/command.h); a command may also end with a warning.
constexpr char kCmdSuccess = 0, kCmdWarning = 1, kCmdWarningConfigFailed = 13;

// 127.x.y.1 and .2, other ones for each lab: no two labs of a machine meet.
std::string OwnNetwork() {
  static std::atomic<unsigned> labs = 0;
  const unsigned number = static_cast<unsigned>(::getpid()) + 7919 * labs++;
  return fmt::format("127.{}.{}", 16 + (number >> 8) % 200, number % 256);
}

std::vector<std::string> Router(std::string_view as, std::string_view id, const std::vector<std::string>& lines) {
  std::vector<std::string> out = {
      fmt::format("router bgp {}", as), fmt::format(" bgp router-id {}", id),
      " bgp allow-martian-nexthop",  // next hops are in 127.0.0.0/8
      " no bgp ebgp-requires-policy",   " no bgp network import-check",       " coalesce-time 20", " timers bgp 10 60"};
  out.insert(out.end(), lines.begin(), lines.end());
  return out;
}

std::vector<std::string> Neighbor(std::string_view other, std::string_view own, std::string_view as) {
  const std::string neighbor = fmt::format(" neighbor {} ", other);
  return {fmt::format("{}remote-as {}", neighbor, as), fmt::format("{}port {}", neighbor, FrrDaemon::kBgpPort),
          neighbor + "disable-connected-check", fmt::format("{}update-source {}", neighbor, own),
          neighbor + "advertisement-interval 0"};
}

std::vector<std::string> Under(std::vector<std::string> command, const std::vector<std::string>& program) {
  command.insert(command.end(), program.begin(), program.end());
  return command;
}

}  // namespace

FrrDaemon::FrrDaemon(FrrOptions options)
    : options_(std::move(options)),
      // No kernel routes, no zebra, no change of user, no telnet. Some long options of 8.4 lose their argument.
      process_({.command = Under(options_.under, {kBgpd, "-n", "-Z", "-S", "-P", "0", "-l", options_.address, "-p",
                                                  std::to_string(kBgpPort), "-i", dir_.File("pid"), "--vty_socket",
                                                  dir_.path(), "-f", dir_.File("bgpd.conf"), "-M", options_.module}),
                .environment = {},
                .log = dir_.File("output")}) {}

FrrDaemon::~FrrDaemon() {
  Kill();
}

absl::Status FrrDaemon::Start() {
  if (::access(kBgpd, X_OK) != 0) return NotFound("there is no {}; install the package frr (scripts/bootstrap)", kBgpd);
  std::ofstream config(dir_.File("bgpd.conf"));
  config << "hostname " << options_.name << "\nlog file " << dir_.File("log") << "\n";
  for (const std::string& line : options_.config) config << line << "\n";
  config.close();
  if (!config) return Unavailable("cannot write {}", dir_.File("bgpd.conf"));
  RETURN_IF_ERROR(process_.Start());
  absl::Status answers;
  const bool up = WaitUntil(kAnswer, [&] {
    answers = Connect();
    return answers.ok() || !process_.running();
  });
  if (!up || !answers.ok())
    return Annotate(answers, fmt::format("bgpd of {} said: {}{}", options_.name, process_.log(), log()));
  return Command("enable").status();
}

void FrrDaemon::Kill() {
  vty_.Reset();
  process_.Kill();
}

absl::Status FrrDaemon::Stop() {
  vty_.Reset();
  return process_.Terminate(kAnswer).status();
}

absl::Status FrrDaemon::Connect() {
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  const std::string path = dir_.File("bgpd.vty");
  if (path.size() >= sizeof(to.sun_path)) return InvalidArgument("{} is too long for a socket", path);
  std::memcpy(to.sun_path, path.data(), path.size());
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)) != 0)
    return ErrnoStatus(errno, "connect", path);
  vty_ = std::move(socket);
  return absl::OkStatus();
}

// The protocol of vtysh: the command and a zero byte; the answer ends with three zero bytes and a status.
absl::StatusOr<std::string> FrrDaemon::Command(std::string_view command) {
  if (!vty_) return FailedPrecondition("bgpd of {} does not run", options_.name);
  std::string sent(command);
  sent.push_back('\0');
  RETURN_IF_ERROR(WriteAll(vty_.get(), sent, "vty"));
  std::string answer;
  const auto deadline = std::chrono::steady_clock::now() + kAnswer;
  while (answer.size() < 4 || answer.compare(answer.size() - 4, 3, std::string(3, '\0')) != 0) {
    pollfd wait{vty_.get(), POLLIN, 0};
    char buffer[4096];
    const ssize_t got = ::poll(&wait, 1, 100) > 0 ? ::recv(vty_.get(), buffer, sizeof(buffer), 0) : -1;
    if (got > 0) answer.append(buffer, static_cast<std::size_t>(got));
    if (got == 0) return Unavailable("bgpd of {} closed its vty at '{}'", options_.name, command);
    if (std::chrono::steady_clock::now() > deadline)
      return DeadlineExceeded("bgpd of {} does not answer '{}'", options_.name, command);
  }
  const char status = answer.back();
  answer.resize(answer.size() - 4);
  if (status != kCmdSuccess && status != kCmdWarning) {
    return FailedPrecondition("bgpd of {} refused '{}' ({}): {}", options_.name, command, static_cast<int>(status),
                              status == kCmdWarningConfigFailed ? answer : "");
  }
  return answer;
}

absl::StatusOr<std::string> FrrDaemon::Show(std::string_view command) {
  return Command(command);
}

absl::Status FrrDaemon::Configure(const std::vector<std::string>& lines) {
  RETURN_IF_ERROR(Command("configure terminal").status());
  absl::Status result;
  for (const std::string& line : lines) {
    result = Command(line).status();
    if (!result.ok()) break;
  }
  RETURN_IF_ERROR(Command("end").status());
  return result;
}

std::string FrrDaemon::log() const {
  std::ifstream file(dir_.File("log"));
  return {std::istreambuf_iterator<char>(file), {}};
}

FrrLab::FrrLab(int bmp_port, FrrPrePolicy pre_policy) : bmp_port_(bmp_port) {
  std::vector<std::string> lines;
  // Else bgpd keeps nothing from before policy, and says End-of-RIB of a view that it never sends a route of.
  if (pre_policy == FrrPrePolicy::kKept) lines.emplace_back(" neighbor PEER soft-reconfiguration inbound");
  lines.emplace_back(" bmp targets station");
  lines.emplace_back("  bmp monitor ipv4 unicast pre-policy");
  if (bmp_port != 0) lines.push_back("  " + BmpConnect());
  MakeRouters({"bmp", lines});
}

FrrLab::FrrLab(const FrrModule& module) : bmp_port_(0) {
  MakeRouters(module);
}

// In the lines PEER stands for edge-b's address.
void FrrLab::MakeRouters(const FrrModule& module) {
  const std::string network = OwnNetwork(), a = network + ".1", b = network + ".2";
  auto lines_a = testutil::Neighbor(b, a, "64501");
  lines_a.push_back(fmt::format(" neighbor {} passive", b));  // or the two connections collide at every start
  for (std::string line : module.lines) {
    if (const auto at = line.find("PEER"); at != std::string::npos) line.replace(at, 4, b);
    lines_a.push_back(std::move(line));
  }
  auto lines_b = testutil::Neighbor(a, b, "64500");
  lines_b.push_back(fmt::format(" neighbor {} timers connect 1", a));
  FrrOptions of_a{"edge-a", a, Router("64500", "192.0.2.1", lines_a)};
  of_a.module = module.spec;
  of_a.under = module.under;
  edge_a_ = std::make_unique<FrrDaemon>(std::move(of_a));
  edge_b_ = std::make_unique<FrrDaemon>(FrrOptions{"edge-b", b, Router("64501", "192.0.2.2", lines_b)});
}

absl::Status FrrLab::Start() {
  RETURN_IF_ERROR(edge_a_->Start());
  RETURN_IF_ERROR(edge_b_->Start());
  return AwaitSession("Established");
}

absl::Status FrrLab::AwaitSession(std::string_view state, std::chrono::milliseconds patience) {
  std::string last = "nothing";
  const std::string& neighbor = edge_b_->address();
  const bool reached = WaitUntil(patience, [&] {
    const auto shown = edge_a_->Show(fmt::format("show bgp neighbors {} json", neighbor));
    if (!shown.ok()) return false;
    const auto json = nlohmann::json::parse(*shown, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains(neighbor)) return false;
    last = json[neighbor].value("bgpState", "no state");
    return last == state;
  });
  if (reached) return absl::OkStatus();
  return DeadlineExceeded("the session is not {}, it is {}; edge-b's log: {}", state, last, edge_b_->log());
}

std::string FrrLab::Neighbor(const FrrDaemon& at) const {
  return "neighbor " + (&at == edge_a_.get() ? edge_b_ : edge_a_)->address();
}

absl::Status FrrLab::Configure(FrrDaemon& at, const std::string& line) {
  return at.Configure({&at == edge_a_.get() ? "router bgp 64500" : "router bgp 64501", line});
}

absl::Status FrrLab::ShutDown(FrrDaemon& at, std::string_view words) {
  return Configure(at, fmt::format("{} shutdown{}{}", Neighbor(at), words.empty() ? "" : " message ", words));
}

absl::Status FrrLab::BringUp(FrrDaemon& at) {
  return Configure(at, fmt::format("no {} shutdown", Neighbor(at)));
}

absl::Status FrrLab::Announce(const std::string& prefix, int med) {
  return edge_b_->Configure({fmt::format("route-map MED-{} permit 10", med), fmt::format("set metric {}", med),
                             "set as-path prepend 64510", "exit", "router bgp 64501", "address-family ipv4 unicast",
                             fmt::format("network {} route-map MED-{}", prefix, med)});
}

absl::Status FrrLab::Withdraw(const std::string& prefix) {
  return edge_b_->Configure({"router bgp 64501", "address-family ipv4 unicast", fmt::format("no network {}", prefix)});
}

absl::Status FrrLab::AwaitRoute(const std::string& prefix, bool present, std::chrono::milliseconds patience) {
  const bool reached = WaitUntil(patience, [&] {
    const auto shown = edge_a_->Show(fmt::format("show bgp ipv4 unicast {} json", prefix));
    return shown.ok() && (shown->find("\"paths\"") != std::string::npos) == present;
  });
  return reached ? absl::OkStatus()
                 : DeadlineExceeded("edge-a {} {}", present ? "has no path for" : "still has a path for", prefix);
}

absl::Status FrrLab::IntrudeAtEdgeA(bool says_open) const {
  const FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval patience{10, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  const auto at = [](const FrrDaemon& daemon, int port) {
    sockaddr_in out{};
    out.sin_family = AF_INET;
    out.sin_port = htons(static_cast<std::uint16_t>(port));
    ::inet_pton(AF_INET, daemon.address().c_str(), &out.sin_addr);
    return out;
  };
  const sockaddr_in from = at(*edge_b_, 0), to = at(*edge_a_, FrrDaemon::kBgpPort);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&from), sizeof(from)) != 0 ||
      ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0)
    return ErrnoStatus(errno, "connect", edge_a_->address());
  char answer[4096];
  if (::recv(socket.get(), answer, sizeof(answer), 0) <= 0)
    return Unavailable("edge-a says nothing to a second connection; its log: {}", edge_a_->log());
  if (!says_open) return absl::OkStatus();
  // RFC 4271 section 4.2: version 4, AS 64501, hold time 60 s, identifier 192.0.2.2, no parameters.
  std::string open(16, '\xff');
  open.append("\x00\x1d\x01\x04\xfb\xf5\x00\x3c\xc0\x00\x02\x02\x00", 13);
  RETURN_IF_ERROR(WriteAll(socket.get(), open, "a second BGP connection"));
  (void)::recv(socket.get(), answer, sizeof(answer), 0);  // its NOTIFICATION, or the end
  return absl::OkStatus();
}

// bgpd 8.4 takes the negation only with the times, too.
std::string FrrLab::BmpConnect() const {
  return fmt::format("bmp connect 127.0.0.1 port {} min-retry 100 max-retry 200", bmp_port_);
}

absl::Status FrrLab::CloseBmp() {
  return edge_a_->Configure({"router bgp 64500", "bmp targets station", "no " + BmpConnect()});
}

absl::Status FrrLab::OpenBmp() {
  return edge_a_->Configure({"router bgp 64500", "bmp targets station", BmpConnect()});
}

}  // namespace virp::testutil
