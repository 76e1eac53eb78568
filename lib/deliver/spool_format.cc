#include "lib/deliver/spool_format.h"

#include <zlib.h>

#include "lib/base/bytes.h"

namespace virp::deliver {
namespace {

constexpr unsigned kMore = 0x80;

}  // namespace

std::uint32_t Checksum(std::string_view bytes, std::uint32_t start) {
  return static_cast<std::uint32_t>(crc32_z(start, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

void AppendRecord(std::string& out, const Record& record, std::uint64_t number, std::uint64_t durable, bool more) {
  const std::size_t start = out.size();
  out.resize(start + kRecordHeaderSize);
  char* at = out.data() + start;
  StoreBe<std::uint16_t>(at, kRecordMagic);
  StoreBe<std::uint32_t>(at + 6, static_cast<std::uint32_t>(record.bytes.size()));
  StoreBe<std::uint64_t>(at + 10, number);
  StoreBe<std::uint64_t>(at + 18, durable);
  StoreBe<std::uint64_t>(at + 26, record.epoch);
  at[34] = static_cast<char>(static_cast<unsigned>(record.kind) | (more ? kMore : 0));
  at[35] = static_cast<char>(record.spelling);
  StoreBe<std::uint16_t>(at + 36, static_cast<std::uint16_t>(record.source.size()));
  out.append(record.source);
  out.append(record.bytes);
  StoreBe<std::uint32_t>(out.data() + start + 2, Checksum(std::string_view(out).substr(start + 6)));
}

std::optional<ParsedRecord> ParseRecord(std::string_view at) {
  if (at.size() < kRecordHeaderSize || LoadBe<std::uint16_t>(at.data()) != kRecordMagic) return std::nullopt;
  const std::size_t length = LoadBe<std::uint32_t>(at.data() + 6);
  const std::size_t name = LoadBe<std::uint16_t>(at.data() + 36);
  if (length > kMaxRecordBytes || name > kMaxSourceName) return std::nullopt;
  const std::size_t size = kRecordHeaderSize + name + length;
  if (at.size() < size || Checksum(at.substr(6, size - 6)) != LoadBe<std::uint32_t>(at.data() + 2)) return std::nullopt;
  ParsedRecord parsed;
  parsed.size = size;
  parsed.record.number = LoadBe<std::uint64_t>(at.data() + 10);
  parsed.durable = LoadBe<std::uint64_t>(at.data() + 18);
  parsed.record.epoch = LoadBe<std::uint64_t>(at.data() + 26);
  parsed.record.kind = static_cast<Record::Kind>(static_cast<unsigned char>(at[34]) & ~kMore);
  parsed.more = (static_cast<unsigned char>(at[34]) & kMore) != 0;
  parsed.record.spelling = static_cast<frame::Spelling>(at[35]);
  parsed.record.source = at.substr(kRecordHeaderSize, name);
  parsed.record.bytes = at.substr(kRecordHeaderSize + name, length);
  return parsed;
}

std::string SegmentHeader(std::uint64_t first_number) {
  std::string header(kSegmentMagic);
  AppendBe(header, first_number);
  AppendBe(header, Checksum(header));
  return header;
}

std::optional<std::uint64_t> ParseSegmentHeader(std::string_view bytes) {
  if (bytes.size() < kSegmentHeaderSize || bytes.substr(0, 8) != kSegmentMagic) return std::nullopt;
  if (Checksum(bytes.substr(0, 16)) != LoadBe<std::uint32_t>(bytes.data() + 16)) return std::nullopt;
  return LoadBe<std::uint64_t>(bytes.data() + 8);
}

}  // namespace virp::deliver
