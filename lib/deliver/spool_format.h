// How a spool looks on disk (docs/formats/spool.md): record and file headers, checksums. Internal to lib/deliver.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lib/deliver/spool.h"

namespace virp::deliver {

inline constexpr std::string_view kSegmentMagic = "virpspl1";
inline constexpr std::string_view kSnapshotMagic = "virpsnp1";
inline constexpr std::size_t kSegmentHeaderSize = 20;   // magic, first number, CRC
inline constexpr std::size_t kSnapshotHeaderSize = 28;  // magic, number, length, CRC over all else
inline constexpr std::size_t kRecordHeaderSize = 38;
inline constexpr std::uint16_t kRecordMagic = 0x5652;
inline constexpr std::size_t kMaxSourceName = 255;
inline constexpr std::size_t kMaxRecordBytes = 1 << 20;

std::uint32_t Checksum(std::string_view bytes, std::uint32_t start = 0);  // CRC-32 of zlib

// Appends one record: magic u16, CRC u32 over all behind it, length u32 of the bytes, number u64, durable u64, epoch
// u64, kind u8 (top bit: more records of the same append follow), spelling u8, length of the source name u16, then name
// and bytes. Integers are big-endian. `durable` is the highest number known to be fsynced when the record was written.
void AppendRecord(std::string& out, const Record& record, std::uint64_t number, std::uint64_t durable, bool more);

struct ParsedRecord {
  Record record;  // borrows
  std::uint64_t durable = 0;
  bool more = false;     // the append that it is part of goes on
  std::size_t size = 0;  // of the whole record
};
// The record that starts here; nullopt when it is cut short or damaged.
std::optional<ParsedRecord> ParseRecord(std::string_view at);

std::string SegmentHeader(std::uint64_t first_number);
std::optional<std::uint64_t> ParseSegmentHeader(std::string_view bytes);  // its first number

}  // namespace virp::deliver
