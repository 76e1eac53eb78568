#include "lib/service/webhook.h"

#include <curl/curl.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "lib/base/file.h"
#include "lib/base/ip.h"
#include "lib/base/secret_file.h"
#include "lib/base/status.h"
#include "lib/crypto/secret.h"
#include "lib/http/trust.h"
#include "lib/http/url.h"

namespace virp::service {
namespace {

constexpr std::size_t kMaxToken = 4'096;

struct Freed {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
  void operator()(curl_slist* list) const {
    for (curl_slist* one = list; one != nullptr; one = one->next) crypto::Wipe(one->data, std::strlen(one->data));
    curl_slist_free_all(list);
  }
};

bool IsLoopback(const std::string& host) {
  // Names beginning with "127." are somebody's.
  return host == "localhost" || host == "[::1]" || (host.starts_with("127.") && IpAddress::Parse(host).ok());
}

// Whether it is one of the loopback.
absl::StatusOr<bool> CheckUrl(const std::string& text) {
  const auto url = http::ParseUrl(text);
  if (!url.ok()) return Annotate(url.status(), "webhook");
  const bool loopback = IsLoopback(url->host);
  if (url->scheme == "https" || (url->scheme == "http" && loopback)) return loopback;
  return InvalidArgument("webhook: only https://, and http:// to the loopback");
}

std::size_t Ignore(char*, std::size_t size, std::size_t count, void*) {
  return size * count;
}

// Headers of one request. One that finds no memory fails the request: it would say something else without it.
class Headers {
 public:
  void Add(const char* header) {
    curl_slist* const longer = curl_slist_append(list_.get(), header);
    complete_ = complete_ && longer != nullptr;
    if (longer == nullptr) return;
    static_cast<void>(list_.release());
    list_.reset(longer);
  }
  // The first line of the token file.
  absl::Status AddToken(const std::string& path) {
    ASSIGN_OR_RETURN(const FileDescriptor file, OpenSecretFile(path, "webhook: token file"));
    constexpr std::string_view kField = "Authorization: Bearer ";
    crypto::Secret header(kField.size() + kMaxToken + 1);  // with the 0 behind it
    std::memcpy(header.data(), kField.data(), kField.size());
    char* const token = header.data() + kField.size();
    ASSIGN_OR_RETURN(const std::size_t size, ReadUpTo(file.get(), token, kMaxToken, path));
    char* const end = std::find_if(token, token + size, [](char c) { return c == '\r' || c == '\n'; });
    if (end == token || end == token + kMaxToken || std::any_of(token, end, [](char c) { return c <= ' ' || c > '~'; }))
      return FailedPrecondition("webhook: {} does not begin with a line of printable characters", path);
    *end = '\0';
    Add(header.data());
    return absl::OkStatus();
  }
  // ResourceExhausted when one is missing.
  absl::StatusOr<curl_slist*> Get() const {
    if (!complete_) return ResourceExhausted("webhook: no memory for the headers of a request");
    return list_.get();
  }

 private:
  std::unique_ptr<curl_slist, Freed> list_;
  bool complete_ = true;
};

}  // namespace

struct Webhook::Impl {
  WebhookOptions options;
  bool loopback = false;
  std::unique_ptr<CURL, Freed> handle;
};

Webhook::Webhook(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Webhook::~Webhook() = default;

absl::StatusOr<std::unique_ptr<Webhook>> Webhook::Make(WebhookOptions options) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (ready != CURLE_OK) return Internal("libcurl does not start: {}", curl_easy_strerror(ready));
  ASSIGN_OR_RETURN(const bool loopback, CheckUrl(options.url));
  auto impl = std::make_unique<Impl>();
  impl->options = std::move(options);
  impl->loopback = loopback;
  impl->handle.reset(curl_easy_init());
  if (impl->handle == nullptr) return ResourceExhausted("libcurl gives no handle");
  return std::unique_ptr<Webhook>(new Webhook(std::move(impl)));
}

absl::Status Webhook::Post(const std::string& json, const std::string& key) {
  const WebhookOptions& options = impl_->options;
  CURL* const handle = impl_->handle.get();
  Headers headers;
  headers.Add("Content-Type: application/json");
  headers.Add(("Idempotency-Key: " + key).c_str());
  headers.Add("Expect:");
  if (!options.token_file.empty()) RETURN_IF_ERROR(headers.AddToken(options.token_file));
  ASSIGN_OR_RETURN(curl_slist* const list, headers.Get());
  curl_easy_reset(handle);
  curl_easy_setopt(handle, CURLOPT_URL, options.url.c_str());
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(handle, CURLOPT_HTTPHEADER, list);
  curl_easy_setopt(handle, CURLOPT_POSTFIELDS, json.c_str());
  curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(json.size()));
  curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, static_cast<long>(options.patience.count()));
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L);
  if (impl_->loopback) curl_easy_setopt(handle, CURLOPT_NOPROXY, "*");  // a proxy's loopback is another one
  curl_easy_setopt(handle, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, &Ignore);
  curl_easy_setopt(handle, CURLOPT_USERAGENT, "virp");
  http::Trust(handle, options.roots);
  const CURLcode done = curl_easy_perform(handle);
  // The URL may be a secret of its own (chat services): it stands in no message.
  if (done != CURLE_OK) return Unavailable("webhook: {}", curl_easy_strerror(done));
  long code = 0;
  curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &code);
  if (code >= 200 && code < 300) return absl::OkStatus();
  const bool refused = code >= 400 && code < 500 && code != 408 && code != 429;
  return refused ? FailedPrecondition("webhook: the server refuses with {}", code)
                 : Unavailable("webhook: the server answers {}", code);
}

}  // namespace virp::service
