#include <linux/magic.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <utility>

#include "lib/base/status.h"
#include "lib/base/units.h"
#include "lib/service/identity.h"
#include "tools/virpctl/doctor.h"
#include "tools/virpctl/output.h"

namespace virp::virpctl {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

// docs/formats/frame.md: a frame whose time is a minute ahead is CLOCK_SUSPECT; claims are judged in seconds.
constexpr nanoseconds kOffsetWarning = milliseconds(500);
constexpr nanoseconds kOffsetFailure = seconds(10);
constexpr microseconds kNtpWarning = milliseconds(500);

constexpr std::uint64_t kGiB = 1ULL << 30;
constexpr std::uint64_t kCifs = 0xff534d42;

double Seconds(nanoseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

std::string_view HealthName(Health health) {
  switch (health) {
    case Health::kOk:
      return "ok";
    case Health::kWarning:
      return "warning";
    case Health::kFailed:
      return "failed";
    case Health::kUnknown:
      break;
  }
  return "could not tell";
}

Exit ExitOf(const Checks& checks) {
  const auto any = [&checks](Health health) {
    return std::any_of(checks.begin(), checks.end(), [health](const Check& one) { return one.health == health; });
  };
  if (any(Health::kFailed)) return Exit::kNo;
  return any(Health::kUnknown) ? Exit::kCannotSay : Exit::kYes;
}

Check FailedCheck(const std::string& name, const absl::Status& status, const std::string& advice) {
  return {name, Health::kFailed, std::string(Message(status)), advice};
}

Check JudgeNtp(bool synchronised, microseconds max_error) {
  Check check{"clock: NTP", Health::kOk, fmt::format("synchronised, at most {:.3f} s off", Seconds(max_error)), ""};
  if (!synchronised) {
    check.health = Health::kWarning;
    check.found = "the kernel says that its clock is not synchronised";
    check.advice = "run chrony or systemd-timesyncd; frames with a wrong time are CLOCK_SUSPECT or refused";
  } else if (max_error > kNtpWarning) {
    check.health = Health::kWarning;
    check.advice = "look at `chronyc tracking`: the time servers are far away or not reached";
  }
  return check;
}

Check JudgeOffset(nanoseconds offset, nanoseconds uncertainty) {
  Check check{
      "clock: O-Node", Health::kOk,
      fmt::format("the O-Node's clock less ours: {:+.3f} s, to within {:.3f} s", Seconds(offset), Seconds(uncertainty)),
      ""};
  const nanoseconds at_least = std::max(nanoseconds(0), std::chrono::abs(offset) - uncertainty);
  if (at_least > kOffsetWarning) {
    check.health = at_least > kOffsetFailure ? Health::kFailed : Health::kWarning;
    check.advice = "synchronise both clocks to the same time servers";
  }
  return check;
}

Check JudgeLifetime(const std::string& name, UnixNanos not_before, UnixNanos not_after, UnixNanos now) {
  Check check{name, Health::kOk, "valid until " + TimeText(not_after), ""};
  if (now < not_before) {
    check.health = Health::kFailed;
    check.found = "valid from " + TimeText(not_before) + " only";
    check.advice = "look at the clock of this machine and of the authority's";
  } else if (now >= not_after) {
    check.health = Health::kFailed;
    check.found = "expired at " + TimeText(not_after);
    check.advice = "renew it; until then every handshake fails";
  } else if (now - not_before > (not_after - not_before) / 5 * 4) {
    // Whoever renews does so at two thirds of the lifetime, as cert-manager and SPIRE do.
    check.health = Health::kWarning;
    check.advice = "four fifths of its life are over: look at why it was not renewed";
  }
  return check;
}

Check JudgeIdentity(const crypto::CertificateInfo& leaf, const std::string& trust_domain) {
  Check check{"certificate: identity", Health::kOk, "", "issue one with exactly one URI name: the SPIFFE id"};
  if (leaf.uri_sans.size() != 1) {
    check.health = Health::kFailed;
    check.found = fmt::format("{} URI names", leaf.uri_sans.size());
    return check;
  }
  check.found = leaf.uri_sans.front();
  if (!trust_domain.empty() && !check.found.starts_with("spiffe://" + trust_domain + "/")) {
    check.health = Health::kFailed;
    check.advice =
        fmt::format("the trust domain is {}: use a certificate of it, or correct --trust-domain", trust_domain);
    return check;
  }
  check.advice.clear();
  return check;
}

Check JudgeKeyTimes(const std::string& source, const std::vector<frame::KeyVersion>& versions, UnixNanos now) {
  Check check{"key: " + source, Health::kOk, "", ""};
  UnixNanos ends = 0;  // of the version that is accepted longest
  bool endless = false;
  std::vector<std::uint32_t> accepted;
  for (const frame::KeyVersion& version : versions) {
    const bool now_accepted = version.accept_from <= now && (!version.accept_until || now < *version.accept_until);
    if (!now_accepted) continue;
    accepted.push_back(version.version);
    endless = endless || !version.accept_until;
    ends = std::max(ends, version.accept_until.value_or(0));
  }
  check.found =
      fmt::format("{} of {} versions accepted now: {}", accepted.size(), versions.size(), fmt::join(accepted, ", "));
  if (accepted.empty()) {
    check.health = Health::kFailed;
    check.found = fmt::format("none of {} versions is accepted now", versions.size());
    check.advice = "make a new version and register it: what this one signs is refused";
  } else if (!endless && ends - now < 24ULL * 3'600 * 1'000'000'000) {
    check.health = Health::kWarning;
    check.found += ", until " + TimeText(ends);
    check.advice = "make the next version before that";
  }
  return check;
}

Check JudgePrivate(const std::string& name, unsigned mode, bool group) {
  Check check{name, Health::kOk, fmt::format("mode {:04o}", mode & 07777), ""};
  const unsigned allowed = group ? 0770 : 0700;
  if ((mode & 07777 & ~allowed) != 0) {
    check.health = Health::kFailed;
    check.advice =
        fmt::format("chmod {:04o}: {}", mode & allowed, group ? "others must not use it" : "only its owner may use it");
  }
  return check;
}

Check JudgeFileSystem(const std::string& path, std::uint64_t type, std::uint64_t free_bytes, std::uint64_t all_bytes) {
  Check check{"store: file system", Health::kOk,
              fmt::format("{:.1f} of {:.1f} GiB free at {}", static_cast<double>(free_bytes) / kGiB,
                          static_cast<double>(all_bytes) / kGiB, path),
              ""};
  constexpr std::array kMemory{static_cast<std::uint64_t>(TMPFS_MAGIC), static_cast<std::uint64_t>(RAMFS_MAGIC)};
  constexpr std::array kNetwork{static_cast<std::uint64_t>(NFS_SUPER_MAGIC), kCifs,
                                static_cast<std::uint64_t>(SMB_SUPER_MAGIC)};
  const auto is = [type](const auto& list) { return std::find(list.begin(), list.end(), type) != list.end(); };
  if (is(kMemory)) {
    check.health = Health::kFailed;
    check.found += ", in memory";
    check.advice = "move it to a disk: everything is gone after a restart of the machine";
  } else if (is(kNetwork)) {
    check.health = Health::kFailed;
    check.found += ", on a network file system";
    check.advice = "move it to a local disk: SQLite's log needs shared memory and locks that hold";
  } else if (free_bytes < kGiB / 8) {
    check.health = Health::kFailed;
    check.advice = "make room now: deliveries stop when it is full";
  } else if (free_bytes < kGiB || free_bytes < all_bytes / 20) {
    check.health = Health::kWarning;
    check.advice = "make room: deliveries stop when it is full";
  }
  return check;
}

Checks JudgePostgres(const std::map<std::string, std::string>& settings, int synchronous_standbys, bool in_recovery) {
  const auto value = [&settings](const std::string& name) {
    const auto found = settings.find(name);
    return found == settings.end() ? std::string() : found->second;
  };
  Checks checks;
  if (in_recovery) {
    checks.push_back({"PostgreSQL: role", Health::kFailed, "a standby: it takes no writes", "give the primary's URL"});
  } else {
    checks.push_back({"PostgreSQL: role", Health::kOk, "primary", ""});
  }
  for (const char* const name : {"fsync", "full_page_writes", "synchronous_commit"}) {
    Check check{std::string("PostgreSQL: ") + name, Health::kOk, value(name), ""};
    if (check.found.empty()) {
      check.health = Health::kUnknown;
      check.found = "the server does not tell";
    } else if (check.found == "off") {
      check.health = Health::kFailed;
      check.advice = "switch it on: the server may lose what it acknowledged, and the O-Node refuses it";
    }
    checks.push_back(std::move(check));
  }
  const std::string method = value("wal_sync_method");
  const bool known = method == "fdatasync" || method == "fsync" || method == "open_datasync" || method == "open_sync" ||
                     method == "fsync_writethrough";
  checks.push_back({"PostgreSQL: wal_sync_method", known ? Health::kOk : Health::kUnknown,
                    method.empty() ? "the server does not tell" : method, known ? "" : "use fdatasync on Linux"});
  const std::string names = value("synchronous_standby_names");
  Check standby{"PostgreSQL: standby", Health::kOk,
                fmt::format("{} synchronous now, synchronous_standby_names = '{}'", synchronous_standbys, names), ""};
  if (!names.empty() && synchronous_standbys == 0) {
    standby.health = Health::kFailed;
    standby.advice = "no synchronous standby is connected: every COMMIT waits. Bring one back or clear the setting";
  } else if (names.empty()) {
    standby.health = Health::kWarning;
    standby.advice = "without a synchronous standby the loss of this machine loses the newest entries";
  } else if (value("synchronous_commit") == "local") {
    standby.health = Health::kWarning;
    standby.advice = "synchronous_commit = local does not wait for the standby";
  }
  checks.push_back(std::move(standby));
  Check sums{"PostgreSQL: data_checksums", Health::kOk, value("data_checksums"), ""};
  if (sums.found != "on") {
    sums.health = Health::kWarning;
    sums.advice = "switch them on with pg_checksums: damage of the disk is found before the O-Node finds it";
  }
  checks.push_back(std::move(sums));
  return checks;
}

Checks JudgeSqlite(const std::string& journal_mode, const std::string& synchronous) {
  Check journal{"SQLite: journal mode", Health::kOk, journal_mode, ""};
  if (journal_mode != "wal") {
    journal.health = Health::kFailed;
    journal.advice = "start virp-onode on it once, which sets WAL; no other program may change it";
  }
  Check sync{"SQLite: synchronous", Health::kOk, synchronous + " on connections of our services", ""};
  if (synchronous != "2" && synchronous != "3") {  // FULL, EXTRA
    sync.health = Health::kFailed;
    sync.advice = "acknowledged entries may be lost at a power cut: report this";
  }
  return {std::move(journal), std::move(sync)};
}

Check JudgeSocketOption(const std::string& name, int error, const std::string& kernel_option) {
  Check check{"kernel: " + name, Health::kOk, "the kernel has it", ""};
  if (error == ENOPROTOOPT) {
    check.health = Health::kWarning;
    check.found = "the kernel does not have it";
    check.advice = fmt::format("sessions that demand it cannot be made; use a kernel with {}", kernel_option);
  } else if (error != 0) {
    check.health = Health::kUnknown;
    check.found = std::strerror(error);
    check.advice = "ask again as the user of the service";
  }
  return check;
}

Check JudgeFrr(const std::string& version_text, bool has_bmp_module) {
  const std::string first = version_text.substr(0, version_text.find('\n'));
  Check check{"FRR", Health::kOk, first, ""};
  const std::size_t at = first.find("version ");
  const int major = at == std::string::npos ? 0 : std::atoi(first.c_str() + at + 8);
  if (major == 0) {
    check.health = Health::kUnknown;
    check.found = first.empty() ? "bgpd tells no version" : first;
  } else if (!has_bmp_module) {
    check.health = Health::kFailed;
    check.found += ", without its BMP module";
    check.advice = "install the package that holds bgpd_bmp.so (Debian: frr) and start bgpd with -M bmp";
  } else if (major < 8) {
    check.health = Health::kWarning;
    check.advice = "tested from 8.4 on; docs/operations/bmp.md";
  }
  return check;
}

}  // namespace virp::virpctl
