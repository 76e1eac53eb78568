// The main of a fuzz target in a build without libFuzzer: feeds it the files of the folders that are named, and nothing
// at all. The name of each file is written before it is read, so that the last one is the one that failed.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

void Replay(const std::string& bytes) {
  // A copy of exactly this size: AddressSanitizer sees each byte read behind it.
  const std::vector<std::uint8_t> exact(bytes.begin(), bytes.end());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

// How many files there were.
std::size_t ReplayFolder(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const std::filesystem::path& file : files) {
    std::fprintf(stderr, "%s\n", file.c_str());
    std::ifstream in(file, std::ios::binary);
    in.exceptions(std::ios::badbit | std::ios::failbit);
    Replay(std::string(std::istreambuf_iterator<char>(in), {}));
  }
  return files.size();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Replay("");
    std::size_t files = 0;
    for (int i = 1; i < argc; ++i) files += ReplayFolder(argv[i]);
    std::fprintf(stderr, "%zu files\n", files);
    return files == 0 ? 1 : 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
