// TCP-AO keys of a key manager.
#include "tools/virpctl/cli.h"

namespace virp::virpctl {
namespace {

void AddEnd(CLI::App& command, State& s) {
  command.add_option("--end", s.tcp_ao.end, "a or b")->required()->check(CLI::IsMember({"a", "b"}));
}

void AddUseFrom(CLI::App& command, State& s) {
  command.add_option("--use-from", s.tcp_ao.use_from, "Time such as 2026-12-01T06:00:00Z; at once when left out");
}

void AddCreate(CLI::App& command, State& s) {
  command.add_option("--end-a", s.tcp_ao.a, "DEVICE=ADDRESS of one end")->required();
  command.add_option("--end-b", s.tcp_ao.b, "DEVICE=ADDRESS of the other")->required();
  command.add_option("--agent-a", s.tcp_ao.agent_a, "SPIFFE id of who acts for a; operators when left out");
  command.add_option("--agent-b", s.tcp_ao.agent_b, "Likewise for b");
  command.add_option("--algorithm", s.tcp_ao.algorithm, "sha1 or aes128")
      ->check(CLI::IsMember({"sha1", "aes128"}))
      ->capture_default_str();
  command.add_option("--octets", s.tcp_ao.octets, "Random octets of a key, 16 to 32")->check(CLI::Range(16, 32));
  command.add_flag("--exclude-options", s.tcp_ao.exclude_options, "The MAC leaves TCP options out");
}

}  // namespace

void AddTcpAo(CLI::App& keys, State& s) {
  using Change = absl::StatusOr<Exit> (*)(const Options&, const TcpAoOptions&);
  CLI::App* const tcp_ao = Group(keys, "tcp-ao", "TCP-AO keys of a key manager");
  Command(*tcp_ao, s, "list", "All pairs", [&s] { return TcpAoList(s.options); });
  const auto add = [&](const char* name, const char* help, Change change) {
    CLI::App* const command = Command(*tcp_ao, s, name, help, [&s, change] { return change(s.options, s.tcp_ao); });
    command->add_option("id", s.tcp_ao.id, "Id of the pair")->required();
    return command;
  };
  add("show", "One pair", &TcpAoShow);
  CLI::App* const create = add("create", "Makes a pair with its first key", &TcpAoCreate);
  CLI::App* const roll = add("roll", "Makes the next key and starts its rollover", &TcpAoRoll);
  CLI::App* const force = add("force", "Helps a rollover on whose peer does not follow", &TcpAoForce);
  CLI::App* const abort = add("abort", "Takes the new key away again", &TcpAoAbort);
  CLI::App* const remove = add("delete", "Destroys the keys of a pair", &TcpAoDelete);
  CLI::App* const plan = add("plan", "What an end is to make true", &TcpAoPlan);
  CLI::App* const report = add("report", "Tells what an end looks like", &TcpAoReport);
  CLI::App* const chain = add("export", "The keys of an end as configuration", &TcpAoExport);
  AddCreate(*create, s);
  for (CLI::App* const command : {create, roll}) AddUseFrom(*command, s);
  AddChange({create, roll, force, abort, remove, chain}, s.tcp_ao.reason, s.tcp_ao.request_id);
  for (CLI::App* const command : {plan, report, chain}) AddEnd(*command, s);
  AddYes({force, remove}, s.tcp_ao.yes);
  force->add_flag("--remove-old", s.tcp_ao.remove_old, "The old key goes, whoever still needs it");
  report->add_option("--file", s.tcp_ao.file, "Report in JSON; - is standard input")->required();
  chain->add_option("--format", s.tcp_ao.format, "bird, junos, ios-xe or rfc8177")
      ->required()
      ->check(CLI::IsMember({"bird", "junos", "ios-xe", "rfc8177"}));
  chain->add_option("--save", s.tcp_ao.save, "File for the configuration with its secrets");
}

}  // namespace virp::virpctl
