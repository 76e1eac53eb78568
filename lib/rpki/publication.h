// A folder from which an rsync server publishes. What is in it changes as a whole: relying parties see the files of one
// publication, never a mixture, and after a power cut either the old ones or the new ones are there, all of them. A
// file that does not fit its manifest would take every router key of the authority with it.
//
//   FOLDER/current -> generation-00000000000000000007      what the server's module path names
//   FOLDER/generation-...                                  one publication each; the last few stay for running sessions
//
// A server enters `current` when a session begins, so a session sees one generation to its end.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace virp::rpki {

inline constexpr std::size_t kMaxPublishedFile = std::size_t{32} << 20;

// Not thread-safe; one process at a time owns a folder.
class PublicationFolder {
 public:
  // What exists, by path below `current`: "ca/ROUTER-0000FBF0.cer".
  using Tree = std::map<std::string, std::string>;

  struct Options {
    std::size_t keep = 3;  // generations, the current one included
    // Called before each step that changes something; tests end the process in it.
    std::function<void(std::string_view step)> before_step = [](std::string_view) {};
  };

  // Makes the folder if need be and removes what a crash left behind. FailedPrecondition when something else than a
  // publication is in it.
  static absl::StatusOr<PublicationFolder> Open(std::string folder, Options options);
  static absl::StatusOr<PublicationFolder> Open(std::string folder) { return Open(std::move(folder), Options()); }

  // The current publication; empty before the first.
  absl::StatusOr<Tree> Read() const;

  // Makes `tree` the current publication, durable on return. Files that did not change are linked, not written again.
  // On an error the old publication is the current one, or, when the last sync failed, the new one is but may not
  // survive a power cut: publish again. InvalidArgument for a path that would leave the folder.
  absl::Status Publish(const Tree& tree);

  const std::string& folder() const { return folder_; }
  std::string current_path() const { return folder_ + "/current"; }
  std::uint64_t generation() const { return generation_; }  // 0 before the first publication

 private:
  PublicationFolder(std::string folder, Options options) : folder_(std::move(folder)), options_(std::move(options)) {}
  absl::Status Fill(const std::string& path, const Tree& tree);
  absl::Status Point(std::uint64_t generation);
  absl::Status RemoveOthers();

  std::string folder_;
  Options options_;
  std::uint64_t generation_ = 0;
  Tree published_;  // what `current` holds, to know what to link
  bool known_ = false;
};

}  // namespace virp::rpki
