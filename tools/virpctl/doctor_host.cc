// What the machine, its files and its O-Node say.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "lib/base/error_info.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/base/units.h"
#include "lib/frame/key_directory.h"
#include "lib/service/credentials.h"
#include "lib/service/wire.h"
#include "tools/virpctl/doctor.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/session.h"
#include "tools/virpctl/tcp_socket.h"
#include "virp/chain/v1/chain_service.grpc.pb.h"
#include "virp/verify/v1/verify_service.grpc.pb.h"

namespace virp::virpctl {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

Checks CheckClock() {
  timex state{};
  const int result = adjtimex(&state);
  if (result < 0) return {{"clock: NTP", Health::kUnknown, std::strerror(errno), "ask as root"}};
  return {
      JudgeNtp(result != TIME_ERROR && (state.status & STA_UNSYNC) == 0, std::chrono::microseconds(state.maxerror))};
}

// An answer to a claim tells when it was evaluated, whatever it is about: the O-Node's time.
Checks CheckONode(const Options& options) {
  namespace verify = ::virp::verify::v1;
  const absl::StatusOr<std::shared_ptr<grpc::Channel>> channel = Connect(options.connection);
  if (!channel.ok()) return {FailedCheck("O-Node", channel.status())};
  chain::v1::ChainService::Stub chains(*channel);
  chain::v1::GetChainRequest request;
  request.set_origin(options.connection.origin);
  chain::v1::GetChainResponse chain;
  if (const auto status = Call(options.connection, chains, &chain::v1::ChainService::Stub::GetChain, request, chain);
      !status.ok()) {
    return {
        FailedCheck("O-Node", status, "is it running, does its certificate have role onode, may this identity read?")};
  }
  Check state{"O-Node", Health::kOk, fmt::format("{}, {} entries", chain.origin(), chain.size()), ""};
  if (!chain.frozen().empty()) {
    state.health = Health::kFailed;
    state.found += ", FROZEN: " + chain.frozen();
    state.advice = "docs/operations/virpctl.md, \"When a chain does not match\"";
  } else if (!chain.leading() && chain.leader().empty()) {
    state.health = Health::kFailed;
    state.found += ", no leader";
    state.advice = "no O-Node of this chain takes entries: look at their logs and at the store";
  }
  if (!chain.cannot_lead().empty()) {
    state.health = Health::kFailed;
    state.found += ", cannot lead: " + chain.cannot_lead();
    state.advice = "docs/operations/identity-and-access.md, \"Rolling the checkpoint key\"";
  }
  Checks checks{std::move(state)};
  verify::VerifyService::Stub claims(*channel);
  verify::VerifyClaimRequest question;
  question.set_origin(chain.origin());
  question.mutable_claim()->mutable_peer()->set_router("doctor");
  question.mutable_claim()->mutable_peer()->set_peer_address("192.0.2.1");
  question.set_omit_proofs(true);
  verify::VerifyClaimResponse response;
  const SystemClock clock;
  const UnixNanos before = clock.NowNanos();
  const auto status = Call(options.connection, claims, &verify::VerifyService::Stub::VerifyClaim, question, response);
  const UnixNanos after = clock.NowNanos();
  if (!status.ok() || after < before) {
    checks.push_back({"clock: O-Node", Health::kUnknown,
                      status.ok() ? "our clock was set back meanwhile" : std::string(Message(status)),
                      "ask again as reader or operator"});
    return checks;
  }
  const auto trip = static_cast<std::int64_t>(after - before);
  const auto middle = static_cast<std::int64_t>(before) + trip / 2;
  const auto there = service::NanosOf(response.answer().evaluated_at(), "evaluated_at");
  checks.push_back(there.ok()
                       ? JudgeOffset(nanoseconds(static_cast<std::int64_t>(*there) - middle), nanoseconds(trip / 2))
                       : FailedCheck("clock: O-Node", there.status()));
  return checks;
}

Checks CheckCertificates(const Connection& connection, const Clock& clock) {
  const service::TlsFiles files{connection.certificate, connection.key, connection.roots};
  const auto state = service::InspectTlsFiles(files);
  if (!state.ok()) return {FailedCheck("certificate: files", state.status())};
  Checks checks{{"certificate: files", Health::kOk, "certificate, key and roots fit", ""}};
  checks.push_back(
      JudgeLifetime("certificate: lifetime", state->leaf.not_before, state->leaf.not_after, clock.NowNanos()));
  checks.push_back(JudgeIdentity(state->leaf, connection.trust_domain));
  checks.push_back(JudgeLifetime("certificate: roots", 0, state->roots_not_after, clock.NowNanos()));
  const auto leaf = ReadFile(files.certificate, crypto::kMaxBundlePem);
  const auto roots = ReadFile(files.roots, crypto::kMaxBundlePem);
  const absl::Status chain = leaf.ok() && roots.ok() ? crypto::VerifyCertificateChain(*leaf, *roots, clock.NowNanos())
                                                     : Unavailable("the files changed while they were read");
  if (chain.ok()) {
    checks.push_back({"certificate: chain", Health::kOk, "leads to a root", ""});
  } else {
    checks.push_back(
        FailedCheck("certificate: chain", chain, "append the intermediate certificates, or correct the roots"));
  }
  struct stat key{};
  if (stat(files.private_key.c_str(), &key) == 0) {
    checks.push_back(JudgePrivate("certificate: key file", key.st_mode, /*group=*/true));
  }
  return checks;
}

Checks CheckKeys(const std::string& directory, const Clock& clock) {
  const auto keys = frame::KeyDirectory::Open(directory);
  const std::string name = "keys: " + directory;
  if (!keys.ok()) return {FailedCheck(name, keys.status(), "docs/formats/frame.md, \"Key directory\"")};
  Checks checks{{name, Health::kOk, fmt::format("{} names, modes and owners fit", (*keys)->Sources().size()), ""}};
  for (const std::string& source : (*keys)->Sources()) {
    checks.push_back(JudgeKeyTimes(source, (*keys)->Versions(source), clock.NowNanos()));
  }
  return checks;
}

Checks CheckSocket(const std::string& path, bool break_glass) {
  const std::string name = "socket: " + path;
  struct stat socket{}, folder{};
  const std::string parent = path.substr(0, path.find_last_of('/') + 1);
  if (lstat(path.c_str(), &socket) != 0 || stat(parent.empty() ? "." : parent.c_str(), &folder) != 0) {
    return {{name, errno == EACCES ? Health::kUnknown : Health::kFailed, std::strerror(errno),
             errno == EACCES ? "ask as root or as the service's user" : "is the service running?"}};
  }
  if (!S_ISSOCK(socket.st_mode)) return {{name, Health::kFailed, "is no socket", "remove it and restart the service"}};
  if (break_glass) {
    return {JudgePrivate(name, socket.st_mode & 0777, false),
            JudgePrivate(name + ", its folder", folder.st_mode & 0777, false)};
  }
  return {JudgePrivate(name, socket.st_mode & 0777, true)};
}

namespace {

// errno of the attempt; 0 when it worked.
int TryMd5() {
  const FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return errno;
  tcp_md5sig key{};
  sockaddr_in peer{};
  peer.sin_family = AF_INET;
  peer.sin_addr.s_addr = htonl(0xc0000201);  // 192.0.2.1, of documentation
  std::memcpy(&key.tcpm_addr, &peer, sizeof peer);
  key.tcpm_keylen = 6;
  std::memcpy(key.tcpm_key, "doctor", 6);
  return setsockopt(socket.get(), IPPROTO_TCP, TCP_MD5SIG, &key, sizeof key) == 0 ? 0 : errno;
}

// RFC 5925, in Linux since 6.7; Debian 12's headers do not know it. A socket without keys answers ENOENT.
int TryAo() {
  constexpr int kTcpAoInfo = 40;
  const FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return errno;
  std::array<char, 48> info{};
  socklen_t size = info.size();
  if (getsockopt(socket.get(), IPPROTO_TCP, kTcpAoInfo, info.data(), &size) == 0 || errno == ENOENT) return 0;
  return errno;
}

}  // namespace

Checks CheckKernel() {
  return {JudgeSocketOption("TCP-MD5", TryMd5(), "CONFIG_TCP_MD5SIG"),
          JudgeSocketOption("TCP-AO", TryAo(), "CONFIG_TCP_AO (Linux 6.7 and later)")};
}

namespace {

// What `program --version` writes, within two seconds.
absl::StatusOr<std::string> VersionOf(const std::string& program) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return ErrnoStatus(errno, "cannot make a pipe for", program);
  const FileDescriptor out(ends[0]);
  FileDescriptor in(ends[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, in.get(), STDERR_FILENO);
  std::string name = program, option = "--version";
  std::array<char*, 3> words{name.data(), option.data(), nullptr};
  std::array<char*, 1> variables{nullptr};
  pid_t child = -1;
  const int error = posix_spawn(&child, program.c_str(), &actions, nullptr, words.data(), variables.data());
  posix_spawn_file_actions_destroy(&actions);
  in.Reset();
  if (error != 0) return ErrnoStatus(error, "cannot run", program);
  std::string text;
  std::array<char, 4'096> buffer;
  pollfd readable{out.get(), POLLIN, 0};
  while (text.size() < buffer.size() && poll(&readable, 1, 2'000) == 1) {
    const ssize_t size = read(out.get(), buffer.data(), buffer.size());
    if (size <= 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(size));
  }
  kill(child, SIGKILL);  // it has said what it has to say
  waitpid(child, nullptr, 0);
  return text;
}

bool HasBmpModule() {
  for (const char* const folder : {"/usr/lib/frr/modules", "/usr/lib/x86_64-linux-gnu/frr/modules",
                                   "/usr/lib/aarch64-linux-gnu/frr/modules", "/usr/lib64/frr/modules"}) {
    if (access((std::string(folder) + "/bgpd_bmp.so").c_str(), R_OK) == 0) return true;
  }
  return false;
}

}  // namespace

Checks CheckFrr(const std::string& bgpd, bool must_be_there) {
  if (access(bgpd.c_str(), X_OK) != 0) {
    if (!must_be_there) return {};
    return {{"FRR", Health::kFailed, bgpd + ": " + std::strerror(errno), "install frr, or correct --frr"}};
  }
  const auto version = VersionOf(bgpd);
  if (!version.ok()) {
    return {{"FRR", Health::kUnknown, std::string(Message(version.status())), "run it by hand with --version"}};
  }
  return {JudgeFrr(*version, HasBmpModule())};
}

namespace {

absl::Status TryConnect(const std::string& address, milliseconds patience) {
  ASSIGN_OR_RETURN(const HostPort where, ParseHostPort(address));
  ASSIGN_OR_RETURN(const auto addresses, Resolve(where));
  return ConnectAny(addresses, std::chrono::steady_clock::now() + patience).status();
}

absl::Status TryBind(const std::string& address) {
  ASSIGN_OR_RETURN(const HostPort where, ParseHostPort(address));
  ASSIGN_OR_RETURN(const auto addresses, Resolve(where));
  const SocketAddress& to = addresses.front();
  ASSIGN_OR_RETURN(const FileDescriptor socket, TcpSocket(to));
  const int on = 1;  // as services do: connections that are ending do not count
  setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(socket.get(), to.generic(), to.size) != 0 || listen(socket.get(), 1) != 0) {
    return ErrnoStatus(errno, "cannot listen on", address);
  }
  return absl::OkStatus();
}

}  // namespace

Check CheckListening(const std::string& address, milliseconds patience) {
  const absl::Status status = TryConnect(address, patience);
  if (!status.ok()) return FailedCheck("port: " + address, status, "is the service running, and the port open?");
  return {"port: " + address, Health::kOk, "somebody listens", ""};
}

Check CheckFree(const std::string& address) {
  const absl::Status status = TryBind(address);
  if (!status.ok()) return FailedCheck("port: " + address, status, "see who has it: ss -ltnp");
  return {"port: " + address, Health::kOk, "free", ""};
}

}  // namespace virp::virpctl
