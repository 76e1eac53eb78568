// A folder from which an rsync server publishes. What is in it changes as a whole: relying parties see the files of one
// publication, never a mixture, and after a power cut either the old ones or the new ones are there, all of them. A
// file that does not fit its manifest would take every router key of the authority with it.
//
//   FOLDER/current -> generation-00000000000000000007      what the server's module path names
//   FOLDER/generation-...                                  one publication each; the last few stay for running sessions
//
//   FOLDER/lock                                            held by whoever publishes
//
// A server enters `current` when a session begins, so a session sees one generation to its end. A generation is the
// number of its publication, which only grows: a process that was stopped while another one took over cannot put its
// older publication in the newer one's place.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/file.h"

namespace virp::rpki {

inline constexpr std::size_t kMaxPublishedFile = std::size_t{32} << 20;

// Not thread-safe. Several processes may have one folder.
class PublicationFolder {
 public:
  // What exists, by path below `current`: "ca/ROUTER-0000FBF0.cer".
  using Tree = std::map<std::string, std::string>;

  struct Options {
    std::size_t keep = 3;  // generations, the current one included
    // Called before each step that changes something; tests end the process in it.
    std::function<void(std::string_view step)> before_step = [](std::string_view) {};
  };

  // Makes the folder if need be and removes what a crash left behind, unless another process publishes just now.
  // FailedPrecondition when something else than a publication is in it.
  static absl::StatusOr<PublicationFolder> Open(std::string folder, Options options);
  static absl::StatusOr<PublicationFolder> Open(std::string folder) { return Open(std::move(folder), Options()); }

  // The current publication; empty before the first.
  absl::StatusOr<Tree> Read() const;

  // Number of the current publication, read from the disk; 0 before the first.
  absl::StatusOr<std::uint64_t> Current() const;

  // Makes `tree` the current publication, durable on return. Files that did not change are linked, not written again.
  // On an error the old publication is the current one, or, when the last sync failed, the new one is but may not
  // survive a power cut: publish again, under another number. Errors:
  //   InvalidArgument  for a path that would leave the folder
  //   Aborted          reason NEWER_PUBLICATION: one with this number or a greater one is current
  //   Unavailable      another process publishes just now
  absl::Status Publish(const Tree& tree, std::uint64_t number);
  // Under the number after the current one.
  absl::Status Publish(const Tree& tree);

  const std::string& folder() const { return folder_; }
  std::string current_path() const { return folder_ + "/current"; }
  std::uint64_t generation() const { return generation_; }  // 0 before the first publication

 private:
  PublicationFolder(std::string folder, Options options) : folder_(std::move(folder)), options_(std::move(options)) {}
  absl::Status Fill(const std::string& path, const Tree& tree);
  absl::Status Point(std::uint64_t generation);
  absl::Status RemoveOthers();
  absl::StatusOr<FileDescriptor> Lock() const;

  std::string folder_;
  Options options_;
  std::uint64_t generation_ = 0;
  Tree published_;  // what `current` holds, to know what to link
  bool known_ = false;
};

}  // namespace virp::rpki
