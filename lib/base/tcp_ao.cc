#include "lib/base/tcp_ao.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/base/tcp_address.h"

namespace virp {
namespace {

constexpr int kAddKey = 38;  // TCP_AO_ADD_KEY of linux/tcp.h; Debian 12's headers are older

// struct tcp_ao_add of linux/tcp.h.
struct alignas(8) AddKey {
  sockaddr_storage address;
  char algorithm[64];
  std::int32_t ifindex;
  std::uint32_t flags;  // bit 0: current key, bit 1: next key
  std::uint16_t reserved;
  std::uint8_t prefix;
  std::uint8_t send_id, recv_id;
  std::uint8_t mac_length;  // 0: 12
  std::uint8_t key_flags;
  std::uint8_t key_length;
  std::uint8_t key[80];
};
static_assert(sizeof(AddKey) == 288);

std::string_view KernelName(std::string_view algorithm) {
  if (algorithm == "hmac-sha-1-96") return "hmac(sha1)";
  if (algorithm == "aes-128-cmac-96") return "cmac(aes128)";
  return {};
}

}  // namespace

bool KernelHasTcpAo() {
  static const bool has = [] {
    const FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    return AddTcpAoKey(socket.get(), IpAddress::V4(0xC0000201U), {1, 1, "hmac-sha-1-96", "probe"}).ok();
  }();
  return has;
}

absl::Status AddTcpAoKey(int socket, const IpAddress& peer, const TcpAoKey& key) {
  const std::string_view name = KernelName(key.algorithm);
  AddKey option{};
  if (name.empty()) return InvalidArgument("'{}' is no algorithm of TCP-AO that is known here", key.algorithm);
  if (key.key.empty() || key.key.size() > sizeof(option.key))
    return InvalidArgument("a TCP-AO key has 1 to {} bytes", sizeof(option.key));
  const std::optional<IpAddress> address = AddressFor(socket, peer);
  if (!address) return absl::OkStatus();  // cannot connect here
  option.address = MakeSocketAddress(*address, 0).storage;
  option.prefix = static_cast<std::uint8_t>(address->bits());
  option.send_id = key.send_id;
  option.recv_id = key.recv_id;
  option.key_length = static_cast<std::uint8_t>(key.key.size());
  std::copy(name.begin(), name.end(), option.algorithm);
  std::copy(key.key.begin(), key.key.end(), option.key);
  const int result = ::setsockopt(socket, IPPROTO_TCP, kAddKey, &option, sizeof(option));
  const int error = errno;
  ::explicit_bzero(&option, sizeof(option));
  if (result == 0) return absl::OkStatus();
  if (error == ENOPROTOOPT) return FailedPrecondition("this kernel has no TCP-AO (Linux 6.7 with CONFIG_TCP_AO)");
  return ErrnoStatus(error, "cannot set the TCP-AO key for", peer.ToString());
}

}  // namespace virp
