#include "lib/chain/tar.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "lib/base/status.h"

namespace virp::chain {
namespace {

constexpr std::size_t kBlock = 512;
constexpr std::size_t kMaxTrailer = 128 * kBlock;  // tar programs fill up their last record, of 20 blocks by default
constexpr std::size_t kChunk = 65'536;
constexpr std::uint64_t kMaxContent = (std::uint64_t{1} << 33) - 1;  // 11 octal digits

using Block = std::array<char, kBlock>;

// Fields of a header block (POSIX.1-2001, "ustar Interchange Format").
struct Field {
  std::size_t at;
  std::size_t size;
};
constexpr Field kName{0, 100};
constexpr Field kMode{100, 8};
constexpr Field kUid{108, 8};
constexpr Field kGid{116, 8};
constexpr Field kSize{124, 12};
constexpr Field kTime{136, 12};
constexpr Field kChecksum{148, 8};
constexpr Field kType{156, 1};
constexpr Field kLinkName{157, 100};
constexpr Field kMagic{257, 8};  // with the version
constexpr Field kPrefix{345, 155};
constexpr std::string_view kUstar{"ustar\00000", 8};

std::string_view Get(const Block& block, Field field) {
  return {block.data() + field.at, field.size};
}

void PutOctal(Block& block, Field field, std::uint64_t value) {
  const std::string digits = fmt::format("{:0{}o}", value, field.size - 1);
  std::memcpy(block.data() + field.at, digits.data(), digits.size());
}

// The sum of all bytes, those of the checksum field taken as spaces.
std::uint64_t Checksum(const Block& block) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < kBlock; ++i) {
    const bool own = i >= kChecksum.at && i < kChecksum.at + kChecksum.size;
    sum += own ? std::uint64_t{' '} : static_cast<std::uint8_t>(block[i]);
  }
  return sum;
}

// Octal digits, then nothing but spaces and NULs; nothing for all else.
std::optional<std::uint64_t> Octal(std::string_view field) {
  std::uint64_t value = 0;
  std::size_t digits = 0;
  for (; digits < field.size() && field[digits] >= '0' && field[digits] <= '7'; ++digits) {
    value = value * 8 + static_cast<std::uint64_t>(field[digits] - '0');
  }
  const std::string_view rest = field.substr(digits);
  if (digits == 0 || rest.find_first_not_of(std::string_view(" \0", 2)) != std::string_view::npos) return std::nullopt;
  return value;
}

// Bytes up to the first NUL; nothing when something follows it.
std::optional<std::string_view> Text(std::string_view field) {
  const std::size_t end = std::min(field.find('\0'), field.size());
  if (field.find_first_not_of('\0', end) != std::string_view::npos) return std::nullopt;
  return field.substr(0, end);
}

bool AllZero(std::string_view bytes) {
  return bytes.find_first_not_of('\0') == std::string_view::npos;
}

absl::Status CheckName(std::string_view name) {
  if (name.empty() || name.size() > kName.size) return InvalidArgument("archive: a file name has 1 to 100 bytes");
  for (const char c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!plain && c != '.' && c != '_' && c != '-' && c != '/') {
      return InvalidArgument("archive: a file name has a character outside of A-Z a-z 0-9 . _ - /");
    }
  }
  for (std::string_view rest = name;;) {
    const std::size_t slash = rest.find('/');
    const std::string_view part = rest.substr(0, slash);
    if (part.empty() || part == "." || part == "..") {
      return InvalidArgument("archive: the file name {} is absolute or leads out of the archive", name);
    }
    if (slash == std::string_view::npos) return absl::OkStatus();
    rest.remove_prefix(slash + 1);
  }
}

absl::StatusOr<TarReader::Member> ParseHeader(const Block& block) {
  const auto checksum = Octal(Get(block, kChecksum));
  if (!checksum || *checksum != Checksum(block)) return InvalidArgument("archive: a header's checksum is wrong");
  if (Get(block, kMagic) != kUstar) return InvalidArgument("archive: a header is not of the ustar format");
  const auto name = Text(Get(block, kName));
  if (!name) return InvalidArgument("archive: a file name goes on after its end");
  RETURN_IF_ERROR(CheckName(*name));
  if (Get(block, kType) != "0") return InvalidArgument("archive: {} is not a regular file", *name);
  if (!AllZero(Get(block, kLinkName)) || !AllZero(Get(block, kPrefix))) {
    return InvalidArgument("archive: {} has a link name or a name prefix", *name);
  }
  const auto size = Octal(Get(block, kSize));
  if (!size) return InvalidArgument("archive: {} has a size that is not an octal number", *name);
  return TarReader::Member{std::string(*name), *size};
}

}  // namespace

absl::Status TarWriter::Add(std::string_view name, std::string_view content) {
  RETURN_IF_ERROR(CheckName(name));
  if (content.size() > kMaxContent) return InvalidArgument("archive: {} has {} bytes", name, content.size());
  Block block{};
  std::memcpy(block.data() + kName.at, name.data(), name.size());
  PutOctal(block, kMode, 0644);
  PutOctal(block, kUid, 0);
  PutOctal(block, kGid, 0);
  PutOctal(block, kSize, content.size());
  PutOctal(block, kTime, 0);
  block[kType.at] = '0';
  std::memcpy(block.data() + kMagic.at, kUstar.data(), kUstar.size());
  PutOctal(block, {kChecksum.at, kChecksum.size - 1}, Checksum(block));  // six digits, NUL, space
  block[kChecksum.at + kChecksum.size - 1] = ' ';
  RETURN_IF_ERROR(sink_({block.data(), block.size()}));
  RETURN_IF_ERROR(sink_(content));
  const std::size_t padding = (kBlock - content.size() % kBlock) % kBlock;
  const Block zeros{};
  return padding == 0 ? absl::OkStatus() : sink_({zeros.data(), padding});
}

absl::Status TarWriter::Finish() {
  const std::array<char, 2 * kBlock> end{};
  return sink_({end.data(), end.size()});
}

absl::StatusOr<std::size_t> TarReader::ReadUpTo(std::span<char> buffer) {
  std::size_t have = 0;
  while (have < buffer.size()) {
    ASSIGN_OR_RETURN(const std::size_t got, source_(buffer.subspan(have)));
    if (got == 0) break;
    have += got;
  }
  return have;
}

absl::Status TarReader::ReadZeros(std::size_t count, std::string_view where) {
  Block block;
  ASSIGN_OR_RETURN(const std::size_t got, ReadUpTo(std::span(block).first(count)));
  if (got != count) return DataLoss("archive: breaks off {}", where);
  if (!AllZero({block.data(), count})) return InvalidArgument("archive: bytes that are not zero {}", where);
  return absl::OkStatus();
}

// The first of two empty blocks was read.
absl::Status TarReader::ReadEnd() {
  RETURN_IF_ERROR(ReadZeros(kBlock, "in its end mark"));
  for (std::size_t seen = 0;; seen += kBlock) {
    Block block;
    ASSIGN_OR_RETURN(const std::size_t got, ReadUpTo(block));
    if (got == 0) return absl::OkStatus();
    if (seen >= kMaxTrailer || !AllZero({block.data(), got})) return InvalidArgument("archive: goes on after its end");
  }
}

absl::StatusOr<std::optional<TarReader::Member>> TarReader::Next() {
  if (member_) return FailedPrecondition("archive: the content of {} was not read", member_->name);
  Block block;
  ASSIGN_OR_RETURN(const std::size_t got, ReadUpTo(block));
  if (got != kBlock) return DataLoss("archive: breaks off before its end mark");
  if (AllZero({block.data(), block.size()})) {
    RETURN_IF_ERROR(ReadEnd());
    return std::optional<Member>();
  }
  ASSIGN_OR_RETURN(Member member, ParseHeader(block));
  member_ = member;
  return std::optional<Member>(std::move(member));
}

absl::StatusOr<std::string> TarReader::Content(std::size_t limit) {
  if (!member_) return FailedPrecondition("archive: no file was begun");
  if (member_->size > limit) {
    return InvalidArgument("archive: {} has {} bytes; at most {}", member_->name, member_->size, limit);
  }
  const auto size = static_cast<std::size_t>(member_->size);
  std::string content;
  while (content.size() < size) {
    const std::size_t have = content.size();
    content.resize(have + std::min({size - have, std::max(have, kChunk)}));
    ASSIGN_OR_RETURN(const std::size_t got, ReadUpTo(std::span(content).subspan(have)));
    if (got != content.size() - have) return DataLoss("archive: breaks off in {}", member_->name);
  }
  RETURN_IF_ERROR(ReadZeros((kBlock - size % kBlock) % kBlock, "in the padding of " + member_->name));
  member_.reset();
  return content;
}

}  // namespace virp::chain
