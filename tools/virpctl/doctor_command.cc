#include <utility>

#include "lib/base/status.h"
#include "lib/base/units.h"
#include "lib/frame/payload.h"
#include "lib/store/storage_url.h"
#include "tools/virpctl/doctor.h"
#include "tools/virpctl/output.h"

namespace virp::virpctl {
namespace {

void PrintChecks(const Checks& checks) {
  Table table({"CHECK", "STATE", "FOUND", "WHAT TO DO"});
  for (const Check& check : checks) {
    table.Add({check.name, std::string(HealthName(check.health)), check.found, check.advice});
  }
  Print(table.ToString());
}

void PrintChecksJson(const Checks& checks) {
  frame::JsonWriter json;
  json.BeginObject().Key("checks").BeginArray();
  for (const Check& check : checks) {
    json.BeginObject().Field("name", std::string_view(check.name)).Field("state", HealthName(check.health));
    json.Field("found", std::string_view(check.found)).Field("advice", std::string_view(check.advice)).EndObject();
  }
  PrintJson(json.EndArray().EndObject());
}

bool KnowsTheWay(const Connection& connection) {
  return connection.onode.starts_with("unix:") || !connection.certificate.empty();
}

// What cannot be meant is said before anything is asked.
absl::Status CheckOptions(const DoctorOptions& doctor) {
  for (const auto* list : {&doctor.listening, &doctor.free}) {
    for (const std::string& address : *list) RETURN_IF_ERROR(ParseHostPort(address).status());
  }
  if (doctor.store.empty()) return absl::OkStatus();
  // A password in an argument is readable for every user of the machine; in the environment it is not.
  return store::ParseStorageUrl(doctor.store, store::UrlOrigin::kPrivate).status();
}

}  // namespace

absl::StatusOr<Exit> Doctor(const Options& options, const DoctorOptions& doctor) {
  RETURN_IF_ERROR(CheckOptions(doctor));
  const SystemClock clock;
  Checks all;
  const auto add = [&all](Checks checks) {
    all.insert(all.end(), std::make_move_iterator(checks.begin()), std::make_move_iterator(checks.end()));
  };
  add(CheckClock());
  if (!options.connection.certificate.empty()) add(CheckCertificates(options.connection, clock));
  if (KnowsTheWay(options.connection)) add(CheckONode(options));
  for (const std::string& directory : doctor.keys) add(CheckKeys(directory, clock));
  for (const std::string& path : doctor.break_glass) add(CheckSocket(path, true));
  for (const std::string& path : doctor.sockets) add(CheckSocket(path, false));
  if (!doctor.store.empty()) add(CheckStore(doctor.store));
  add(CheckKernel());
  add(doctor.frr.empty() ? CheckFrr("/usr/lib/frr/bgpd", false) : CheckFrr(doctor.frr, true));
  for (const std::string& address : doctor.listening) {
    add({CheckListening(address, options.connection.timeout)});
  }
  for (const std::string& address : doctor.free) add({CheckFree(address)});
  options.json ? PrintChecksJson(all) : PrintChecks(all);
  return ExitOf(all);
}

}  // namespace virp::virpctl
