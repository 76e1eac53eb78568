// Exports, as archive_input.h makes them; the same bytes are tried as keys.json and as the path of a tile, too.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/chain/export.h"
#include "tests/fuzz/archive_input.h"
#include "tests/fuzz/require.h"

namespace {

using namespace virp::chain;  // NOLINT(google-build-using-namespace)

// What is read whole can be written again, and says the same.
void WriteAgain(const ExportReader& reader, const std::vector<std::string>& entries) {
  std::string archive;
  auto writer = ExportWriter::Start(reader.note(), reader.keys(), [&archive](std::string_view bytes) {
    archive += bytes;
    return absl::OkStatus();
  });
  REQUIRE(writer.ok());
  for (const std::string& entry : entries) REQUIRE(writer->Add(entry).ok());
  // The reader leaves it to the caller to hash entries, so they may not be those of the tiles.
  const absl::Status finished = writer->Finish();
  REQUIRE(finished.ok() || absl::IsDataLoss(finished));
}

void Export(std::string_view archive) {
  auto reader = ExportReader::Open(SourceFrom(archive));
  if (!reader.ok()) return;
  std::vector<std::string> entries;
  for (;;) {
    const auto item = reader->Next();
    if (!item.ok()) return;
    if (!*item) break;
    REQUIRE((*item)->sequence == entries.size() && (*item)->entry.size() <= kMaxEntry);
    entries.emplace_back((*item)->entry);
  }
  REQUIRE(entries.size() == reader->checkpoint().size);
  WriteAgain(*reader, entries);
}

void Keys(std::string_view json) {
  const auto keys = DecodeExportKeys(json);
  if (!keys.ok()) return;
  const auto again = DecodeExportKeys(EncodeExportKeys(*keys));
  REQUIRE(again.ok() && *again == *keys);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  Export(virp::fuzz::ArchiveOf(bytes));
  Keys(bytes);
  return 0;
}
