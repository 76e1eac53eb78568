// The PostgreSQL back end under test, with what tests of its failures need besides.
#pragma once

#include <string>

#include "services/onode/storage/postgres/postgres_store.h"
#include "tests/conformance/store_backend.h"
#include "tests/testutil/postgres.h"

namespace virp::onode {

// A database of its own in the cluster: one role owns it and the schema, another serves and owns nothing.
class PostgresBackend final : public StoreBackend {
 public:
  explicit PostgresBackend(testutil::PostgresCluster& cluster);
  ~PostgresBackend() override;

  absl::StatusOr<std::unique_ptr<ChainStore>> Open(StoreOptions options = {}) override;
  absl::Status Sql(std::string_view sql) override;
  void ExpireLeases() override;
  absl::Status DropGuards() override;
  std::unique_ptr<StoreBackend> Copy() override;
  std::string url() const override { return serving_url(); }
  std::string owner() const override { return owner_url(); }

  // One value, as text, by a superuser.
  absl::StatusOr<std::string> Ask(std::string_view sql);
  absl::Status As(const std::string& url, std::string_view sql);

  std::string serving_url() const { return UrlOf("virp_serving"); }
  std::string owner_url() const { return UrlOf("virp_owner"); }
  std::string admin_url() const { return url_; }

 private:
  PostgresBackend(testutil::PostgresCluster& cluster, std::string url);
  std::string UrlOf(std::string_view role) const;
  testutil::PostgresCluster& cluster_;
  std::string url_;      // a superuser's
  bool copied_ = false;  // there may be many: dropped when done
};

}  // namespace virp::onode
