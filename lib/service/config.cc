#include "lib/service/config.h"

#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <nlohmann/json.hpp>
#include <optional>

#include "lib/base/file.h"
#include "lib/service/strict_json.h"

namespace virp::service {
namespace {

constexpr std::size_t kMaxConfigFile = 1 << 20;

struct Option {
  std::string name;
  std::string placeholder;
  std::string help;
  std::string default_text;
  std::function<absl::Status(const std::vector<std::string>&, ValueOrigin)> apply;
  bool is_list = false;
  bool is_flag = false;
  bool required = false;
  bool is_private = false;
  bool from_flags_only = false;  // --config and its like

  std::vector<std::string> raw;  // from the command line, by CLI11
  CLI::Option* cli = nullptr;
  ValueOrigin origin = ValueOrigin::kDefault;
  std::vector<std::string> values;
};

std::string EnvironmentName(std::string_view prefix, std::string_view name) {
  std::string out = fmt::format("{}_{}", prefix, name);
  for (char& c : out) c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

std::vector<std::string> SplitCommas(std::string_view text) {
  std::vector<std::string> out;
  if (text.empty()) return out;
  while (true) {
    const std::size_t comma = text.find(',');
    out.emplace_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return out;
    text.remove_prefix(comma + 1);
  }
}

// A JSON value as the text it would be on the command line.
std::optional<std::string> ScalarText(const nlohmann::json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "true" : "false";
  if (value.is_number_integer()) return value.dump();
  return std::nullopt;
}

[[noreturn]] void Bug(const std::string& text) {
  std::fprintf(stderr, "options: %s\n", text.c_str());
  std::abort();
}

std::string_view OriginName(ValueOrigin origin) {
  switch (origin) {
    case ValueOrigin::kDefault:
      return "default";
    case ValueOrigin::kConfigFile:
      return "file";
    case ValueOrigin::kEnvironment:
      return "environment";
    case ValueOrigin::kCommandLine:
      return "command line";
  }
  return "default";
}

}  // namespace

struct Options::Impl {
  std::string program;
  std::string env_prefix;
  std::string version;
  CLI::App* app = nullptr;             // this level's
  std::unique_ptr<CLI::App> root_app;  // the whole program's; only at the root
  Impl* root = nullptr;
  std::deque<Option> options;  // stable addresses: CLI11 writes into them
  std::vector<std::function<absl::Status()>> rules;
  std::vector<std::pair<std::string, std::unique_ptr<Options>>> commands;
  std::string command;
  std::string config_path;
  bool check_only = false;
  bool print_only = false;

  Option* Find(std::string_view name) {
    const auto at = std::find_if(options.begin(), options.end(), [&](const Option& o) { return o.name == name; });
    return at == options.end() ? nullptr : &*at;
  }
  Option& Declare(Option option);
  void Forget();
  absl::Status ReadConfigFile(std::vector<std::pair<Option*, std::vector<std::string>>>& given);
  absl::Status Gather();
  absl::Status Apply(Option& option, const std::vector<std::string>& values, ValueOrigin origin,
                     const std::string& where);
  void Print(std::ostream& out) const;
};

Options::Options(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Options::~Options() = default;

Options::Options(std::string program, std::string description, std::string version) : impl_(std::make_unique<Impl>()) {
  impl_->program = std::move(program);
  impl_->env_prefix = impl_->program;
  impl_->version = std::move(version);
  impl_->root = impl_.get();
  impl_->root_app = std::make_unique<CLI::App>(std::move(description), impl_->program);
  impl_->app = impl_->root_app.get();
  impl_->app->set_help_flag("--help", "Print this and exit.");
  impl_->app->set_version_flag("--version", fmt::format("{} {}", impl_->program, impl_->version),
                               "Print the version and exit.");
  Add(&impl_->config_path, "config", "Read options from this JSON file.", "FILE");
  Add(&impl_->check_only, "check-config", "Check the configuration and exit: 0 when it is valid.");
  Add(&impl_->print_only, "print-config", "Print the configuration in force and where each value is from, and exit.");
  impl_->Find("check-config")->from_flags_only = true;
  impl_->Find("print-config")->from_flags_only = true;
}

Options& Options::AddCommand(const std::string& name, std::string help) {
  auto impl = std::make_unique<Impl>();
  impl->program = impl_->program;
  impl->env_prefix = impl_->env_prefix + "-" + name;
  impl->root = impl_->root;
  impl->app = impl_->app->add_subcommand(name, std::move(help));
  impl->app->fallthrough();
  impl->app->set_help_flag("--help", "Print this and exit.");
  impl_->app->require_subcommand(0, 1);
  impl_->commands.emplace_back(name, std::unique_ptr<Options>(new Options(std::move(impl))));
  return *impl_->commands.back().second;
}

Option& Options::Impl::Declare(Option option) {
  if (Find(option.name) != nullptr) Bug(fmt::format("--{} is declared twice", option.name));
  options.push_back(std::move(option));
  Option& out = options.back();
  std::string text = out.help;
  if (!out.from_flags_only) {
    text += fmt::format(" [{}{}]", out.default_text.empty() ? "" : fmt::format("default {}; ", out.default_text),
                        EnvironmentName(env_prefix, out.name));
  }
  if (out.is_flag) {
    out.cli = app->add_flag("--" + out.name, out.raw, text);
  } else {
    out.cli = app->add_option("--" + out.name, out.raw, text)
                  ->type_name(out.placeholder)
                  ->expected(1)
                  ->allow_extra_args(false);
  }
  out.cli->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  return out;
}

void Options::AddCustom(std::string name, std::string placeholder, std::string help, std::string default_text,
                        Parse parse, bool private_value) {
  Option option;
  option.name = std::move(name);
  option.placeholder = std::move(placeholder);
  option.help = std::move(help);
  option.default_text = std::move(default_text);
  option.is_private = private_value;
  option.apply = [parse = std::move(parse)](const std::vector<std::string>& values,
                                            ValueOrigin origin) -> absl::Status {
    if (values.size() != 1) return InvalidArgument("one value is wanted, {} are given", values.size());
    return parse(values[0], origin);
  };
  impl_->Declare(std::move(option));
}

void Options::Add(std::string* value, std::string name, std::string help, std::string placeholder) {
  AddCustom(std::move(name), std::move(placeholder), std::move(help), *value,
            [value](const std::string& text, ValueOrigin) -> absl::Status {
              if (text.find('\0') != std::string::npos) return InvalidArgument("a value holds no zero bytes");
              *value = text;
              return absl::OkStatus();
            });
}

void Options::Add(bool* value, std::string name, std::string help) {
  AddCustom(std::move(name), "", std::move(help), *value ? "true" : "false",
            [value](const std::string& text, ValueOrigin) -> absl::Status {
              if (text != "true" && text != "false") return InvalidArgument("'{}' is neither true nor false", text);
              *value = text == "true";
              return absl::OkStatus();
            });
  // Declared anew as a flag, so that --reflection stands for --reflection=true.
  Option& option = impl_->options.back();
  impl_->app->remove_option(option.cli);
  Option flag = std::move(option);
  impl_->options.pop_back();
  flag.is_flag = true;
  impl_->Declare(std::move(flag));
}

void Options::Add(std::vector<std::string>* value, std::string name, std::string help, std::string placeholder) {
  Option option;
  option.name = std::move(name);
  option.placeholder = std::move(placeholder);
  option.help = std::move(help) + " May be repeated.";
  option.default_text = fmt::format("{}", fmt::join(*value, ","));
  option.is_list = true;
  option.apply = [value](const std::vector<std::string>& values, ValueOrigin) {
    *value = values;
    return absl::OkStatus();
  };
  impl_->Declare(std::move(option));
}

void Options::Add(HostPort* value, std::string name, std::string help) {
  AddCustom(std::move(name), "HOST:PORT", std::move(help), value->host.empty() ? "" : FormatHostPort(*value),
            [value](const std::string& text, ValueOrigin) -> absl::Status {
              ASSIGN_OR_RETURN(*value, ParseHostPort(text));
              return absl::OkStatus();
            });
}

void Options::AddSize(std::uint64_t* value, std::string name, std::string help, std::uint64_t min, std::uint64_t max) {
  AddCustom(std::move(name), "SIZE", std::move(help), fmt::format("{}", *value),
            [value, min, max](const std::string& text, ValueOrigin) -> absl::Status {
              ASSIGN_OR_RETURN(const std::uint64_t size, ParseSize(text));
              if (size < min || size > max) return InvalidArgument("{} is not within {} and {} bytes", text, min, max);
              *value = size;
              return absl::OkStatus();
            });
}

void Options::AddNumber(std::string name, std::string help, std::string default_text,
                        std::function<absl::Status(std::int64_t)> set) {
  AddCustom(std::move(name), "NUMBER", std::move(help), std::move(default_text),
            [set = std::move(set)](const std::string& text, ValueOrigin) -> absl::Status {
              std::int64_t number = 0;
              const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
              if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
                return InvalidArgument("'{}' is not a whole number", text);
              }
              return set(number);
            });
}

void Options::AddDuration(std::string name, std::string help, std::chrono::nanoseconds value,
                          std::chrono::nanoseconds min, std::chrono::nanoseconds max,
                          std::function<absl::Status(std::chrono::nanoseconds)> set) {
  AddCustom(std::move(name), "DURATION", std::move(help), FormatDuration(value),
            [min, max, set = std::move(set)](const std::string& text, ValueOrigin) -> absl::Status {
              ASSIGN_OR_RETURN(const std::chrono::nanoseconds given, ParseDuration(text));
              if (given < min || given > max) {
                return InvalidArgument("{} is not within {} and {}", text, FormatDuration(min), FormatDuration(max));
              }
              return set(given);
            });
}

void Options::AddSecretFile(std::string* path, std::string name, std::string help) {
  AddCustom(std::move(name), "FILE", std::move(help), *path,
            [path](const std::string& text, ValueOrigin) -> absl::Status {
              RETURN_IF_ERROR(CheckSecretFile(text));
              *path = text;
              return absl::OkStatus();
            });
}

void Options::Require(std::string_view name) {
  Option* const option = impl_->Find(name);
  if (option == nullptr) Bug(fmt::format("--{} is required but not declared", name));
  option->required = true;
}

void Options::Check(std::function<absl::Status()> rule) {
  impl_->rules.push_back(std::move(rule));
}

const std::string& Options::command() const {
  return impl_->command;
}

ValueOrigin Options::Origin(std::string_view name) const {
  const Option* const option = impl_->Find(name);
  return option == nullptr ? ValueOrigin::kDefault : option->origin;
}

// What an earlier Read has seen.
void Options::Impl::Forget() {
  command.clear();
  for (Option& option : options) {
    option.raw.clear();
    option.values.clear();
    option.origin = ValueOrigin::kDefault;
  }
  for (auto& [name, options_of] : commands) options_of->impl_->Forget();
}

absl::Status Options::Impl::Apply(Option& option, const std::vector<std::string>& values, ValueOrigin origin,
                                  const std::string& where) {
  const absl::Status status = option.apply(values, origin);
  if (!status.ok()) return InvalidArgument("{}: {} (from {})", option.name, Message(status), where);
  option.origin = origin;
  option.values = values;
  return absl::OkStatus();
}

// The file is read whole and checked before anything of it is used.
absl::Status Options::Impl::ReadConfigFile(std::vector<std::pair<Option*, std::vector<std::string>>>& given) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(config_path, kMaxConfigFile));
  ASSIGN_OR_RETURN(const nlohmann::json file, ParseStrictJson(text, JsonComments::kAllowed));
  if (!file.is_object()) return InvalidArgument("the file must hold one JSON object");
  for (const auto& item : file.items()) {
    Option* const option = Find(item.key());
    if (option == nullptr || option->from_flags_only || option->name == "config") {
      return InvalidArgument("unknown key '{}'; --help lists the options", item.key());
    }
    std::vector<std::string> values;
    const bool array = option->is_list && item.value().is_array();
    const nlohmann::json one = nlohmann::json::array({item.value()});
    for (const nlohmann::json& value : array ? item.value() : one) {
      const auto scalar = ScalarText(value);
      if (!scalar)
        return InvalidArgument("{}: must be a string, whole number, true or false{}", option->name,
                               option->is_list ? ", or an array of these" : "");
      values.push_back(*scalar);
    }
    given.emplace_back(option, std::move(values));
  }
  return absl::OkStatus();
}

absl::Status Options::Impl::Gather() {
  for (Option& option : options) {
    if (option.cli->count() > 0) {
      if (!option.is_list && option.raw.size() > 1)
        return InvalidArgument("{}: given more than once (from the command line)", option.name);
      RETURN_IF_ERROR(Apply(option, option.raw, ValueOrigin::kCommandLine, "the command line"));
      continue;
    }
    const std::string variable = EnvironmentName(env_prefix, option.name);
    const char* const text = option.from_flags_only ? nullptr : std::getenv(variable.c_str());
    if (text == nullptr) continue;
    RETURN_IF_ERROR(Apply(option, option.is_list ? SplitCommas(text) : std::vector<std::string>{text},
                          ValueOrigin::kEnvironment, "environment variable " + variable));
  }
  if (!config_path.empty()) {
    std::vector<std::pair<Option*, std::vector<std::string>>> given;
    RETURN_IF_ERROR(Annotate(ReadConfigFile(given), "configuration file " + config_path));
    for (const auto& [option, values] : given) {
      if (option->origin != ValueOrigin::kDefault) continue;
      RETURN_IF_ERROR(Apply(*option, values, ValueOrigin::kConfigFile, "configuration file " + config_path));
    }
  }
  return absl::OkStatus();
}

void Options::Impl::Print(std::ostream& out) const {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const Option& option : options) {
    if (option.from_flags_only) continue;
    auto& entry = json[option.name];
    const bool given = option.origin != ValueOrigin::kDefault;
    if (option.is_private && given) {
      entry["value"] = "(set)";
    } else if (option.is_list) {
      entry["value"] = given ? option.values : SplitCommas(option.default_text);
    } else {
      entry["value"] = given ? option.values.at(0) : option.default_text;
    }
    entry["from"] = OriginName(option.origin);
  }
  out << json.dump(2) << "\n";
}

absl::StatusOr<Options::Next> Options::Read(int argc, const char* const* argv, std::ostream& out) {
  Impl& root = *impl_;
  root.Forget();
  try {
    root.app->parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    for (CLI::App* const app : root.app->get_subcommands()) {
      out << app->help();
      return Next::kExit;
    }
    out << root.app->help();
    return Next::kExit;
  } catch (const CLI::CallForVersion& version) {
    out << version.what() << "\n";
    return Next::kExit;
  } catch (const CLI::Error& error) {
    return InvalidArgument("{}; --help lists the options", error.what());
  }
  RETURN_IF_ERROR(root.Gather());
  Options* selected = nullptr;
  for (auto& [name, options] : root.commands) {
    if (!options->impl_->app->parsed()) continue;
    selected = options.get();
    root.command = name;
    RETURN_IF_ERROR(Annotate(options->impl_->Gather(), name));
  }
  if (root.print_only) {
    root.Print(out);
    return Next::kExit;
  }
  for (const Impl* level : {selected == nullptr ? &root : selected->impl_.get()}) {
    for (const Option& option : level->options) {
      if (!option.required || option.origin != ValueOrigin::kDefault) continue;
      return InvalidArgument("{}: is needed; give --{}, {} or the file's key \"{}\"", option.name, option.name,
                             EnvironmentName(level->env_prefix, option.name), option.name);
    }
    for (const auto& rule : level->rules) RETURN_IF_ERROR(rule());
  }
  if (!root.check_only) return Next::kRun;
  out << "the configuration is valid\n";
  return Next::kExit;
}

absl::Status CheckSecretFile(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) return ErrnoStatus(errno, "look at", path);
  if (!S_ISREG(info.st_mode)) return FailedPrecondition("{} is not a file", path);
  if (::access(path.c_str(), R_OK) != 0) return ErrnoStatus(errno, "read", path);
  if ((info.st_mode & 0027U) != 0) {
    return FailedPrecondition("{} has mode {:04o}: a secret is readable by its owner, at most by its group; chmod 0600",
                              path, info.st_mode & 07777U);
  }
  return absl::OkStatus();
}

}  // namespace virp::service
