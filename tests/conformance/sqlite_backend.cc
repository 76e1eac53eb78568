#include <filesystem>

#include "absl/strings/str_replace.h"
#include "lib/store/sqlite.h"
#include "services/onode/storage/sqlite/sqlite_store.h"
#include "tests/conformance/store_backend.h"
#include "tests/testutil/temp_dir.h"

namespace virp::onode {
namespace {

class SqliteBackend final : public StoreBackend {
 public:
  absl::StatusOr<std::unique_ptr<ChainStore>> Open(StoreOptions options) override {
    options.clock = &clock_;
    return SqliteChainStore::Open(path_, options);
  }

  absl::Status Sql(std::string_view sql) override {
    store::SqliteOptions options;
    options.path = path_;
    ASSIGN_OR_RETURN(const auto db, store::SqliteDb::Open(options));
    return db->Exec(absl::StrReplaceAll({sql.data(), sql.size()}, {{"{}", ""}}));
  }

  void ExpireLeases() override { clock_.Advance(kLongest); }

  absl::Status DropGuards() override {
    return Sql(
        "DROP TRIGGER entry_no_update; DROP TRIGGER entry_no_delete; DROP TRIGGER tile_no_update;"
        "DROP TRIGGER tile_no_delete; DROP TRIGGER chain_head_forward; DROP TRIGGER chain_head_links");
  }

  std::unique_ptr<StoreBackend> Copy() override {
    auto copy = std::make_unique<SqliteBackend>();
    std::filesystem::copy(dir_.path(), copy->dir_.path(),
                          std::filesystem::copy_options::recursive | std::filesystem::copy_options::overwrite_existing);
    return copy;
  }

  std::string url() const override { return "sqlite:" + path_; }
  std::string owner() const override { return url(); }

 private:
  static constexpr std::chrono::hours kLongest{48};
  testutil::TempDir dir_;
  const std::string path_ = dir_.File("chain.db");
  FakeClock clock_;
};

}  // namespace

std::unique_ptr<StoreBackend> NewSqliteBackend() {
  return std::make_unique<SqliteBackend>();
}

}  // namespace virp::onode
