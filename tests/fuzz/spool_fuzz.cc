// A spool that somebody changed on disk, opened by a collector. First byte:
// 0  bytes that are read as a record and as the header of a segment;
// 1  a snapshot file behind its length, then a segment file, as they are;
// 2  the same with the checksums put right: what the snapshot holds behind its length, then records: a byte for the
// source
//    (0x80: a note), one for what follows in the same append (odd: more), the frame or note. So a fuzzer gets past
//    them.
// What opens, opens again and holds the same frames.
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "lib/deliver/outbox.h"
#include "lib/deliver/spool_format.h"
#include "lib/frame/key_ring.h"
#include "tests/fuzz/collector_states.h"
#include "tests/fuzz/require.h"
#include "tests/testutil/temp_dir.h"

using namespace virp::fuzz;  // NOLINT(google-build-using-namespace): a fuzz target is one function
using namespace virp::deliver;
namespace collector = virp::collector;

namespace {

void OneRecord(std::string_view bytes) {
  if (const auto first = ParseSegmentHeader(bytes)) REQUIRE(bytes.starts_with(SegmentHeader(*first)));
  const auto parsed = ParseRecord(bytes);
  if (!parsed) return;
  std::string again;
  AppendRecord(again, parsed->record, parsed->record.number, parsed->durable, parsed->more);
  REQUIRE(again == bytes.substr(0, parsed->size));
}

std::string SnapshotFile(std::uint64_t number, std::string_view body) {
  std::string out(kSnapshotMagic);
  virp::AppendBe<std::uint64_t>(out, number);
  virp::AppendBe<std::uint64_t>(out, body.size());
  virp::AppendBe<std::uint32_t>(out, Checksum(body, Checksum(out)));
  return out.append(body);
}

std::string SegmentFile(Input& in) {
  std::string out = SegmentHeader(1);
  for (std::uint64_t number = 1; !in.left.empty(); ++number) {
    const auto who = in.Number<std::uint8_t>();
    const auto flags = in.Number<std::uint8_t>();
    const std::string& source = kSources[who % 4];
    Record record;
    record.epoch = 7;
    SpooledBytes frame;
    if ((who & 0x80) != 0) {
      static constexpr std::string_view kTags[] = {"submit", "bmp", "runs", "nobody"};
      record.kind = Record::Kind::kNote;
      record.source = kTags[who % 4];
      record.bytes = in.Text();
    } else {
      frame = TakeFrame(in, source, 7);
      record.source = source;
      record.spelling = frame.spelling;
      record.bytes = frame.bytes;
    }
    AppendRecord(out, record, number, (flags & 2) != 0 ? number - 1 : 0, (flags & 1) != 0);
  }
  return out;
}

void Write(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

struct Opened {
  absl::Status status;
  std::vector<std::string> frames;
};

Opened Open(const std::string& folder) {
  static virp::frame::KeyRing keys;
  CollectorStates states;
  SpoolOptions options;
  options.directory = folder;
  options.max_bytes = 1 << 20;
  auto outbox = virp::deliver::Outbox::Open(options, keys, states.clock, states.all(), &states.fold);
  if (!outbox.ok()) return {outbox.status(), {}};
  Opened out;
  const auto frames = (*outbox)->spool().Read((*outbox)->spool().stats().first - 1, 1'000, 1 << 20);
  if (!frames.ok()) return {frames.status(), {}};
  for (const auto& frame : *frames) out.frames.push_back(frame.bytes);
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  Input in{{reinterpret_cast<const char*>(data) + 1, size - 1}};
  if (data[0] % 3 == 0) {
    OneRecord(in.left);
    return 0;
  }
  const bool packed = data[0] % 3 == 2;
  const virp::testutil::TempDir folder;
  const std::string_view snapshot = in.Text();
  if (!snapshot.empty()) {
    Write(folder.File("snapshot-00000000000000000000.bin"), packed ? SnapshotFile(0, snapshot) : std::string(snapshot));
  }
  Write(folder.File("segment-00000000000000000001.log"), packed ? SegmentFile(in) : std::string(in.left));
  const Opened first = Open(folder.path());
  if (!first.status.ok()) return 0;
  const Opened second = Open(folder.path());
  REQUIRE(second.status.ok() && second.frames == first.frames);
  return 0;
}
