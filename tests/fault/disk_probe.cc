// Writes to a folder in each way that the model knows: the journal's own test looks at what became of it
// (disk_test.cc).
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

int Check(long result, const char* what) {
  if (result >= 0) return static_cast<int>(result);
  std::perror(what);
  std::exit(1);
}

int Open(const std::string& path, int flags) {
  return Check(::open(path.c_str(), flags | O_CLOEXEC, 0600), path.c_str());
}
void Write(int fd, const char* text) {
  Check(::write(fd, text, std::strlen(text)), "write");
}

// Names end in what has to become of the file at a cut: kept, or gone.
void Leave(const std::string& root) {
  const int folder = Open(root, O_RDONLY | O_DIRECTORY);

  const int appended = Open(root + "/appended", O_WRONLY | O_CREAT | O_APPEND);
  Write(appended, "kept,");
  Check(::fdatasync(appended), "fdatasync");
  Write(appended, "gone");

  const int parts = Open(root + "/parts", O_RDWR | O_CREAT);
  char kept[] = "kept", comma[] = ",", more[] = "kept", gone[] = "gone";
  const iovec both[] = {{kept, 4}, {comma, 1}};
  Check(::writev(parts, both, 2), "writev");
  const iovec last[] = {{more, 4}};
  Check(::pwritev(parts, last, 1, 5), "pwritev");
  Check(::fsync(parts), "fsync");
  Check(::pwrite(parts, gone, 4, 0), "pwrite");

  const int resized = Open(root + "/resized", O_RDWR | O_CREAT);
  Write(resized, "kept,gone");
  Check(::ftruncate(resized, 4), "ftruncate");
  Check(::posix_fallocate(resized, 0, 6), "posix_fallocate");
  Check(::fsync(resized), "fsync");
  Check(::ftruncate(resized, 0), "ftruncate");

  const int through = Open(root + "/through", O_WRONLY | O_CREAT | O_DSYNC);
  Write(through, "kept");

  Write(Open(root + "/old.tmp", O_WRONLY | O_CREAT), "gone");
  const int written = ::creat((root + "/new.tmp").c_str(), 0600);
  Write(written, "kept");
  Check(::fsync(written), "fsync");
  Check(::rename((root + "/new.tmp").c_str(), (root + "/renamed").c_str()), "rename");
  Check(::unlink((root + "/old.tmp").c_str()), "unlink");
  Check(::mkdir((root + "/folder").c_str(), 0700), "mkdir");
  Check(::fsync(folder), "fsync of the folder");

  // Not a name of these is durable.
  const int nameless = Open(root + "/nameless", O_WRONLY | O_CREAT);
  Write(nameless, "gone");
  Check(::fsync(nameless), "fsync");
  Check(::mkdir((root + "/lost").c_str(), 0700), "mkdir");
  Check(::fsync(Open(root + "/lost", O_RDONLY | O_DIRECTORY)), "fsync");
  Check(::rename((root + "/renamed").c_str(), (root + "/renamed.again").c_str()), "rename");
  Check(::unlink((root + "/through").c_str()), "unlink");
  Check(::chdir(root.c_str()), "chdir");
  Write(Open("relative", O_WRONLY | O_CREAT | O_TRUNC), "gone");
}

// Says how far it came: bytes, or the error.
void Fill(const std::string& root) {
  const int fd = Open(root + "/filled", O_WRONLY | O_CREAT);
  const std::string block(1'000, 'x');
  long done = 0;
  for (long put = 0; (put = ::write(fd, block.data(), block.size())) > 0;) done += put;
  std::printf("%ld bytes, then %s; ", done, std::strerror(errno));
  std::printf("again over it: %ld; ", static_cast<long>(::pwrite(fd, block.data(), 100, 0)));
  std::printf("another: %s; ",
              ::open((root + "/another").c_str(), O_WRONLY | O_CREAT, 0600) < 0 ? std::strerror(errno) : "made");
  std::printf("larger: %s; ", ::ftruncate(fd, 1'000'000) < 0 ? std::strerror(errno) : "made");
  Check(::ftruncate(fd, done - 700), "ftruncate");
  Check(::lseek(fd, 0, SEEK_END), "lseek");
  std::printf("room for %ld", static_cast<long>(::write(fd, block.data(), block.size())));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  if (std::string_view(argv[1]) == "leave")
    Leave(argv[2]);
  else
    Fill(argv[2]);
  return 0;
}
