// Options of a program. Each is declared once and is then a flag (--listen), an environment variable
// (VIRP_ONODE_LISTEN) and a key of one configuration file ("listen": ...); the first that is there counts, in this
// order. Also there:
// --config, --check-config, --print-config, --help, --version.
//
// The file is a JSON object with // and /* */ comments; its keys are the option names; unknown and repeated keys are
// refused. Values are strings as they would be on the command line; numbers, true and false may be written bare, lists
// as arrays. In the environment a list is separated by commas.
//
// Secrets are never values of options, only names of files (AddSecretFile).
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/status.h"
#include "lib/base/units.h"

namespace virp::service {

enum class ValueOrigin { kDefault, kConfigFile, kEnvironment, kCommandLine };

// Used by one thread. What Add was given must outlive it; the value it holds at Add is the default, shown by --help.
class Options {
 public:
  // `program` names the environment's prefix too: "virp-onode" gives VIRP_ONODE_. `version` is what --version prints.
  Options(std::string program, std::string description, std::string version);
  ~Options();
  Options(const Options&) = delete;
  Options& operator=(const Options&) = delete;

  // `name` is lower case with hyphens; the same name twice is a bug and aborts. `help` is one sentence.
  void Add(std::string* value, std::string name, std::string help, std::string placeholder = "TEXT");
  void Add(bool* value, std::string name, std::string help);
  void Add(std::vector<std::string>* value, std::string name, std::string help,
           std::string placeholder = "TEXT");  // may be repeated
  void Add(HostPort* value, std::string name, std::string help);
  void AddSize(std::uint64_t* value, std::string name, std::string help, std::uint64_t min = 0,
               std::uint64_t max = std::numeric_limits<std::uint64_t>::max());

  template <std::integral T>
  void Add(T* value, std::string name, std::string help, T min, T max) {
    AddNumber(std::move(name), std::move(help), fmt::format("{}", *value),
              [value, min, max](std::int64_t number) -> absl::Status {
                if (std::cmp_less(number, min) || std::cmp_greater(number, max)) {
                  return InvalidArgument("{} is not within {} and {}", number, min, max);
                }
                *value = static_cast<T>(number);
                return absl::OkStatus();
              });
  }

  template <typename Rep, typename Period>
  void Add(std::chrono::duration<Rep, Period>* value, std::string name, std::string help,
           std::chrono::nanoseconds min = std::chrono::nanoseconds(0),
           std::chrono::nanoseconds max = std::chrono::hours(24 * 366 * 100)) {
    AddDuration(std::move(name), std::move(help), std::chrono::nanoseconds(*value), min, max,
                [value](std::chrono::nanoseconds given) -> absl::Status {
                  const auto out = std::chrono::duration_cast<std::chrono::duration<Rep, Period>>(given);
                  if (std::chrono::nanoseconds(out) != given) {
                    return InvalidArgument("{} is finer than {}", FormatDuration(given),
                                           FormatDuration(std::chrono::duration<Rep, Period>(1)));
                  }
                  *value = out;
                  return absl::OkStatus();
                });
  }

  // The path of a file with a secret. When given, it must be a file that neither others may read nor the group write.
  void AddSecretFile(std::string* path, std::string name, std::string help);

  // Anything else. `parse` gets the text and where it is from; its error is shown with the option's name and origin. A
  // `private_value` (a URL that may hold a password, say) is shown by --print-config as "(set)".
  using Parse = std::function<absl::Status(const std::string& text, ValueOrigin origin)>;
  void AddCustom(std::string name, std::string placeholder, std::string help, std::string default_text, Parse parse,
                 bool private_value = false);

  // The option must be given somewhere. Not asked for by commands.
  void Require(std::string_view name);

  // A rule over several options, checked after all were read; its error should name them.
  void Check(std::function<absl::Status()> rule);

  // A command: `virp-onode init --origin X`. Its own options are flags and environment variables
  // (VIRP_ONODE_INIT_ORIGIN); those of the program may stand before and after it. Lives as long as this object.
  Options& AddCommand(const std::string& name, std::string help);

  enum class Next {
    kRun,
    kExit,  // --help, --version, --check-config, --print-config: done, and written to `out`; exit 0
  };
  // InvalidArgument begins with the option's name and tells where the value is from; the values are not to be used
  // then.
  absl::StatusOr<Next> Read(int argc, const char* const* argv, std::ostream& out);

  // After Read: the command that was given, or empty.
  const std::string& command() const;

  // After Read: where an option's value is from; kDefault for an unknown name.
  ValueOrigin Origin(std::string_view name) const;

 private:
  struct Impl;
  explicit Options(std::unique_ptr<Impl> impl);
  void AddNumber(std::string name, std::string help, std::string default_text,
                 std::function<absl::Status(std::int64_t)> set);
  void AddDuration(std::string name, std::string help, std::chrono::nanoseconds value, std::chrono::nanoseconds min,
                   std::chrono::nanoseconds max, std::function<absl::Status(std::chrono::nanoseconds)> set);

  std::unique_ptr<Impl> impl_;
};

// OK for a readable regular file that neither others may read nor the group may write.
absl::Status CheckSecretFile(const std::string& path);

}  // namespace virp::service
