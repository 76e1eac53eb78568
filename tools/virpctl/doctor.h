// `virpctl doctor`: what a VIRP system needs of the machine that it stands on. What is asked (doctor_host.cc,
// doctor_store.cc) is apart from what is thought of the answer (doctor_judge.cc), so that the judgement is tested with
// answers that no test machine gives.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/clock.h"
#include "lib/crypto/pki.h"
#include "lib/frame/key.h"
#include "tools/virpctl/commands.h"

namespace virp::virpctl {

enum class Health {
  kOk,
  kWarning,  // works, and somebody should know
  kFailed,
  kUnknown,  // could not be told
};
std::string_view HealthName(Health health);  // "ok", "warning", "failed", "could not tell"

struct Check {
  std::string name;  // what is looked at, such as "clock: NTP"
  Health health = Health::kOk;
  std::string found;   // what is there
  std::string advice;  // what to do; empty when nothing
};
using Checks = std::vector<Check>;

// 1 when one failed, else 3 when one could not be told, else 0.
Exit ExitOf(const Checks& checks);

// For what could not even be asked.
Check FailedCheck(const std::string& name, const absl::Status& status, const std::string& advice = "");

// What is thought of it. All pure.
Check JudgeNtp(bool synchronised, std::chrono::microseconds max_error);
// `offset`: the O-Node's clock less ours, known to within `uncertainty`.
Check JudgeOffset(std::chrono::nanoseconds offset, std::chrono::nanoseconds uncertainty);
Check JudgeLifetime(const std::string& name, UnixNanos not_before, UnixNanos not_after, UnixNanos now);
Check JudgeIdentity(const crypto::CertificateInfo& leaf, const std::string& trust_domain);
// Newest version first or last: any order. `signs`: somebody signs with this source's key here.
Check JudgeKeyTimes(const std::string& source, const std::vector<frame::KeyVersion>& versions, UnixNanos now);
// A path that only its owner, and with `group` its group, may use.
Check JudgePrivate(const std::string& name, unsigned mode, bool group);
Check JudgeFileSystem(const std::string& path, std::uint64_t type, std::uint64_t free_bytes, std::uint64_t all_bytes);
// Rows of pg_settings by name, and the standbys that pg_stat_replication shows as sync or quorum.
Checks JudgePostgres(const std::map<std::string, std::string>& settings, int synchronous_standbys, bool in_recovery);
Checks JudgeSqlite(const std::string& journal_mode, const std::string& synchronous);
// errno of an attempt to use a socket option; 0 when it worked.
Check JudgeSocketOption(const std::string& name, int error, const std::string& kernel_option);
Check JudgeFrr(const std::string& version_text, bool has_bmp_module);

// What is asked. Nothing is changed, and nothing blocks for more than the options' timeout.
Checks CheckClock();
Checks CheckONode(const Options& options);  // and its clock
Checks CheckCertificates(const Connection& connection, const Clock& clock);
Checks CheckKeys(const std::string& directory, const Clock& clock);
Checks CheckSocket(const std::string& path, bool break_glass);
Checks CheckKernel();
Checks CheckFrr(const std::string& bgpd, bool must_be_there);
Check CheckListening(const std::string& address, std::chrono::milliseconds patience);
Check CheckFree(const std::string& address);
Checks CheckStore(const std::string& url);

}  // namespace virp::virpctl
