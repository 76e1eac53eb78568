// Commands about who may speak, and what went wrong with it.
#include <memory>

#include "tools/virpctl/builds.h"
#include "tools/virpctl/cli.h"

namespace virp::virpctl {
namespace {

void AddReason(CLI::App& command, State& s, bool required) {
  command.add_option("--reason", s.change.reason, "Why; goes into the chain")->required(required);
  command.add_option("--request-id", s.change.request_id, "UUID, to repeat a request whose answer was lost");
}

void AddName(CLI::App& command, State& s) {
  command.add_option("name", s.change.source, "Name of the source")->required();
}

// What takes a source out or lets it back in: a name and a reason.
void AddEvents(CLI::App& sources, State& s) {
  using Change = absl::StatusOr<Exit> (*)(const Options&, const ChangeOptions&);
  const auto add = [&](const char* name, const char* help, Change change) {
    CLI::App* const command = Command(sources, s, name, help, [&s, change] { return change(s.options, s.change); });
    AddName(*command, s);
    AddReason(*command, s, true);
    return command;
  };
  add("suspend", "Takes a source out of every verdict and holds its frames", &SourcesSuspend);
  add("resume", "Ends a suspension", &SourcesResume);
  CLI::App* const black = add("black", "Marks a source BLACK, or one of its keys compromised", &SourcesBlack);
  CLI::Option* const version =
      black->add_option("--key-version", s.change.key_version, "The key that is compromised; the source when left out");
  black->add_option("--since", s.change.since, "Since when, such as 2026-01-31T09:00:00Z; now when left out")
      ->needs(version);
  add("reset-epoch", "Declares the newest boot epoch wrong (EPOCH_AHEAD)", &SourcesResetEpoch);
  CLI::App* const late = add("admit-late", "Lets frames in that are refused as LATE_KEY", &SourcesAdmitLate);
  late->add_option("--epoch", s.change.epoch, "Their boot epoch")->required();
  late->add_option("--from", s.change.from, "First number")->required();
  late->add_option("--to", s.change.to, "Last number")->required();
}

void AddRegistrations(CLI::App& sources, State& s) {
  CLI::App* const add =
      Command(sources, s, "register", "Registers a source", [&s] { return SourcesRegister(s.options, s.change); });
  CLI::App* const update = Command(sources, s, "update", "Changes a source: all but name, suite and keys",
                                   [&s] { return SourcesUpdate(s.options, s.change); });
  add->add_option("--file", s.change.file, "JSON of a virp.source.v1.Source")->required();
  update->add_option("--file", s.change.file, "JSON as `sources show --output json` gives it, edited")->required();
  CLI::App* const bind = Command(sources, s, "bind", "Adds and removes who carries a source, its types and routers",
                                 [&s] { return SourcesBind(s.options, s.change, s.bind); });
  AddName(*bind, s);
  const auto list = [bind](const char* name, auto& to, const char* help) {
    bind->add_option(name, to, help)->allow_extra_args(false);
  };
  list("--carried-by", s.bind.carried_by, "SPIFFE id that may deliver it; this and the others may be repeated");
  list("--not-carried-by", s.bind.not_carried_by, "SPIFFE id that may no longer");
  list("--type", s.bind.types, "Number of a type that it may send");
  list("--not-type", s.bind.not_types, "Number of a type that it may no longer send");
  list("--router", s.bind.routers, "NAME=BGP-ID: router that it may speak about");
  list("--not-router", s.bind.not_routers, "NAME of a router that it may no longer speak about");
  for (CLI::App* const command : {add, update, bind}) {
    AddReason(*command, s, false);
    command->add_flag("--validate-only", s.change.validate_only, "Change nothing");
  }
}

void AddBuilds(CLI::App& sources, State& s) {
  const auto expect = std::make_shared<std::string>();
  CLI::App* const builds =
      Command(sources, s, "builds", "Which builds of their programs sources name in their beats",
              [&s, expect] { return SourcesBuilds(s.options, s.change.source, *expect, s.limit); });
  builds->add_option("name", s.change.source, "Only of this source");
  builds->add_option("--expect", *expect, "Build id that the newest beats have to name; otherwise exit 1");
  builds->add_option("--limit", s.limit, "Look at so many beats, the newest ones")
      ->check(CLI::Range(1U, 100'000U))
      ->capture_default_str();
}

void AddAlarms(CLI::App& app, State& s) {
  CLI::App* const alarms = Group(app, "alarms", "What went wrong with a source's channel");
  CLI::App* const list =
      Command(*alarms, s, "list", "All that are not cleared", [&s] { return AlarmsList(s.options, s.change.source); });
  list->add_option("source", s.change.source, "Only of this source");
  CLI::App* const clear = Command(*alarms, s, "clear", "Clears alarms of a source, or of one cause everywhere",
                                  [&s] { return AlarmsClear(s.options, s.change); });
  clear->add_option("source", s.change.source, "Source; all when left out, then --cause is needed");
  clear->add_option("--cause", s.change.cause, "Only this cause");
  AddReason(*clear, s, true);
  clear->add_flag("--validate-only", s.change.validate_only, "Change nothing");

  CLI::App* const quarantine = Group(app, "quarantine", "Frames that were refused for good");
  CLI::App* const frames =
      Command(*quarantine, s, "list", "Oldest first", [&s] { return QuarantineList(s.options, s.limit); });
  frames->add_option("--limit", s.limit, "At most so many")->check(CLI::Range(1U, 100'000U))->capture_default_str();
  Command(app, s, "gaps", "Numbers that are missing, of all sources", [&s] { return Gaps(s.options); });
}

void AddCollector(CLI::App& app, State& s) {
  CLI::App* const collector = Group(app, "collector", "What a collector does");
  Command(*collector, s, "status", "Spool, delivery, audit and sources", [&s] { return CollectorStatus(s.options); });
  Command(*collector, s, "producers", "Who may hand in observations", [&s] { return CollectorProducers(s.options); });
  CLI::App* const bmp = Group(app, "bmp", "What a collector hears from routers");
  CLI::App* const peers =
      Command(*bmp, s, "peers", "Routers and their BGP peers", [&s] { return BmpPeers(s.options, s.source); });
  peers->add_option("--source", s.source, "Only the router of this source");
}

}  // namespace

void AddSources(CLI::App& app, State& s) {
  CLI::App* const sources = Group(app, "sources", "Who may speak");
  Command(*sources, s, "list", "All sources", [&s] { return SourcesList(s.options); });
  CLI::App* const show =
      Command(*sources, s, "show", "One source", [&s] { return SourcesShow(s.options, s.change.source); });
  show->alias("get");
  AddName(*show, s);
  AddRegistrations(*sources, s);
  AddEvents(*sources, s);
  AddBuilds(*sources, s);
  AddAlarms(app, s);
  AddCollector(app, s);
}

}  // namespace virp::virpctl
