#include "tests/testutil/secret_search.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "lib/base/bytes.h"
#include "lib/base/file.h"
#include "lib/base/status.h"

namespace virp::testutil {
namespace {

constexpr std::size_t kShortest = 16;

struct Mapping {
  std::uint64_t from = 0, to = 0;
  bool writable = false, dumped = true;
};

std::uint64_t Hex(std::string_view text) {
  std::uint64_t out = 0;
  std::from_chars(text.data(), text.data() + text.size(), out, 16);
  return out;
}

// From smaps: a line "7f..-7f.. rw-p ..." and attributes, VmFlags the last. dd: MADV_DONTDUMP.
absl::StatusOr<std::vector<Mapping>> MappingsOf(pid_t pid) {
  const std::string path = fmt::format("/proc/{}/smaps", pid);
  std::ifstream in(path);
  if (!in) return Unavailable("{} cannot be read", path);
  std::vector<Mapping> out;
  for (std::string line; std::getline(in, line);) {
    const std::size_t dash = line.find('-'), blank = line.find(' ');
    if (line.starts_with("VmFlags:")) {
      out.back().dumped = line.find(" dd") == std::string::npos;
    } else if (dash < blank && blank != std::string::npos && line.find(':') > blank) {
      out.push_back({Hex(line.substr(0, dash)), Hex(line.substr(dash + 1, blank - dash - 1)),
                     line.at(blank + 1) == 'r' && line.at(blank + 2) == 'w', true});
    }
  }
  return out;
}

struct Piece {
  std::uint64_t at = 0;
  std::string bytes;
};

absl::StatusOr<std::vector<Piece>> ReadMemory(pid_t pid) {
  ASSIGN_OR_RETURN(const auto mappings, MappingsOf(pid));
  const std::string path = fmt::format("/proc/{}/mem", pid);
  const FileDescriptor memory(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!memory) return Unavailable("{} cannot be opened", path);
  std::vector<Piece> out;
  for (const Mapping& mapping : mappings) {
    if (!mapping.writable || !mapping.dumped) continue;
    out.push_back({mapping.from, ReadPages(memory.get(), mapping.from, mapping.to)});
  }
  if (out.empty()) return Unavailable("{} shows no memory", path);
  return out;
}

[[noreturn]] void Senseless(std::string_view why) {
  fmt::print(stderr, "secret_search: {}\n", why);
  std::abort();
}

// What is wrong with reading it; gone meanwhile is not.
std::string ReadWhole(const std::string& path, std::string& to) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file && errno == ENOENT) return "";
  if (!file) return fmt::format("cannot be opened: {}", std::strerror(errno));
  for (std::vector<char> buffer(std::size_t{1} << 20);;) {
    const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
    if (got < 0) return fmt::format("cannot be read: {}", std::strerror(errno));
    if (got == 0) return "";
    to.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

}  // namespace

std::string ReadPages(int memory, std::uint64_t from, std::uint64_t to) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  std::string out(to - from, '\0');
  for (std::size_t have = 0; have < out.size();) {
    const ssize_t got = ::pread(memory, out.data() + have, out.size() - have, static_cast<off_t>(from + have));
    if (got < 0 && errno == EINTR) continue;
    have = got > 0 ? have + static_cast<std::size_t>(got) : (have / page + 1) * page;
  }
  return out;
}

void SecretSearch::Add(std::string_view name, std::string_view secret) {
  if (secret.size() < kShortest) Senseless(fmt::format("{}: {} bytes; at least {}", name, secret.size(), kShortest));
  const std::size_t half = secret.size() / 2;
  for (const std::string_view part : {secret.substr(0, half), secret.substr(half)}) {
    const auto add = [&](std::string_view spelling, std::string bytes) {
      needles_.push_back({fmt::format("{}, {}", name, spelling), std::move(bytes)});
    };
    add("raw", std::string(part));
    std::string hex = HexEncode(part);
    add("hex", hex);
    std::transform(hex.begin(), hex.end(), hex.begin(),
                   [](char c) { return c >= 'a' ? static_cast<char>(c - 32) : c; });
    add("upper-case hex", std::move(hex));
    // Inside of other bytes the secret may begin at each of three places of a group of base64.
    for (std::size_t skip = 0; skip < 3; ++skip) {
      const std::size_t cut = skip == 0 ? 0 : 4;
      const std::string encoded = Base64Encode(std::string(skip, 'x') + std::string(part));
      add("base64", encoded.substr(cut, encoded.size() - cut - 4));
    }
  }
}

std::vector<std::string> SecretSearch::InText(std::string_view text) const {
  if (needles_.empty()) Senseless("nothing to look for");
  std::vector<std::string> out;
  for (const Needle& needle : needles_) {
    if (text.find(needle.bytes) != std::string_view::npos) out.push_back(needle.what);
  }
  return out;
}

std::vector<std::string> SecretSearch::InFolder(const std::string& folder, std::string_view except) const {
  std::vector<std::string> out;
  if (needles_.empty()) Senseless("nothing to look for");
  namespace fs = std::filesystem;
  std::error_code failed;
  for (fs::recursive_directory_iterator at(folder, failed); !failed && at != fs::end(at); at.increment(failed)) {
    const std::string path = at->path().string();
    std::error_code gone;
    if (!at->is_regular_file(gone) || (!except.empty() && path.ends_with(except))) continue;
    std::string bytes;
    if (const std::string wrong = ReadWhole(path, bytes); !wrong.empty()) out.push_back(path + ": " + wrong);
    for (const std::string& found : InText(bytes)) out.push_back(path + ": " + found);
  }
  if (failed) out.push_back(folder + ": cannot be searched: " + failed.message());
  return out;
}

absl::StatusOr<std::vector<std::string>> SecretSearch::InMemory(pid_t pid) const {
  if (needles_.empty()) Senseless("nothing to look for");
  ASSIGN_OR_RETURN(const auto pieces, ReadMemory(pid));
  std::vector<std::string> out;
  for (const Piece& piece : pieces) {
    for (const Needle& needle : needles_) {
      for (std::size_t at = 0; (at = piece.bytes.find(needle.bytes, at)) != std::string::npos; ++at)
        out.push_back(fmt::format("{:x}: {}", piece.at + at, needle.what));
    }
  }
  return out;
}

absl::StatusOr<std::vector<std::string>> DumpMemory(pid_t pid) {
  ASSIGN_OR_RETURN(auto pieces, ReadMemory(pid));
  std::vector<std::string> out;
  for (Piece& piece : pieces) out.push_back(std::move(piece.bytes));
  return out;
}

}  // namespace virp::testutil
