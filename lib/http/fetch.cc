#include "lib/http/fetch.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/base/text.h"
#include "lib/http/trust.h"
#include "lib/http/url.h"

namespace virp::http {
namespace {

constexpr long kMaxRedirects = 5;
constexpr long kStallBytes = 1024;
constexpr std::size_t kMaxValidator = 1024;  // a longer ETag or date is not kept

struct Freed {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

absl::Status CheckUrl(const std::string& text) {
  ASSIGN_OR_RETURN(const Url url, ParseUrl(text));
  if (url.scheme != "https" && url.scheme != "http") return InvalidArgument("'{}': only http:// and https://", text);
  return absl::OkStatus();
}

struct Validators {
  std::string etag, modified;
};

// One answer as it comes in; a redirect begins a new one.
struct Answer {
  std::size_t max_bytes = 0;
  const std::atomic<bool>* stop = nullptr;
  std::string body;
  Validators validators;
  bool too_large = false;
  CURL* handle = nullptr;  // that it is of
  bool was_safe = false;   // one of the redirects so far was to https, or the first URL is that
  bool downgraded = false;
};

// Of a header; `name` in lower case.
bool IsName(std::string_view text, std::string_view name) {
  return std::equal(text.begin(), text.end(), name.begin(), name.end(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b; });
}

std::size_t TakeHeader(char* bytes, std::size_t size, std::size_t count, void* data) {
  Answer& answer = *static_cast<Answer*>(data);
  const std::string_view line(bytes, size * count);
  if (line.starts_with("HTTP/")) {
    answer.body.clear();
    answer.validators = {};
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return line.size();
  const std::string_view value = Trim(line.substr(colon + 1));
  if (value.size() > kMaxValidator) return line.size();
  if (IsName(line.substr(0, colon), "etag")) answer.validators.etag = value;
  if (IsName(line.substr(0, colon), "last-modified")) answer.validators.modified = value;
  return line.size();
}

std::size_t TakeBody(char* bytes, std::size_t size, std::size_t count, void* data) {
  Answer& answer = *static_cast<Answer*>(data);
  const std::size_t more = size * count;
  if (answer.body.size() + more > answer.max_bytes) {
    answer.too_large = true;
    return 0;
  }
  answer.body.append(bytes, more);
  return more;
}

int CheckStop(void* data, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<Answer*>(data)->stop->load() ? 1 : 0;
}

// Before each request, those of redirects too.
int CheckScheme(void* data, char*, char*, int, int) {
  Answer& answer = *static_cast<Answer*>(data);
  const char* url = nullptr;
  curl_easy_getinfo(answer.handle, CURLINFO_EFFECTIVE_URL, &url);
  const bool safe = url != nullptr && IsName(std::string_view(url).substr(0, 6), "https:");
  if (safe) answer.was_safe = true;
  answer.downgraded = answer.was_safe && !safe;
  return answer.downgraded ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

absl::Status StatusOfCode(long code, const std::string& url) {
  const bool passing = code == 408 || code == 429 || code >= 500;
  return WithReason(
      passing ? Unavailable("{}: HTTP status {}", url, code) : FailedPrecondition("{}: HTTP status {}", url, code),
      "HTTP_STATUS");
}

// What libcurl leaves to us: it takes http_proxy, and not HTTP_PROXY, which in a CGI program a client's header would
// set. Redirects to https go by it too. NO_PROXY excepts from it.
const char* ProxyInCapitals(const std::string& url) {
  if (!url.starts_with("http://") || std::getenv("http_proxy") != nullptr) return nullptr;
  return std::getenv("HTTP_PROXY");
}

}  // namespace

struct HttpFetch::Impl {
  HttpFetchOptions options;
  std::unique_ptr<CURL, Freed> handle;
  Validators kept, newest;

  absl::Status Failure(CURLcode code, const Answer& answer, const char* detail) const;
  absl::StatusOr<std::unique_ptr<curl_slist, Freed>> Headers() const;
  void SetUp(Answer& answer, curl_slist* headers, char* detail) const;
};

HttpFetch::HttpFetch(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpFetch::~HttpFetch() = default;

absl::StatusOr<std::unique_ptr<HttpFetch>> HttpFetch::Make(HttpFetchOptions options) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (ready != CURLE_OK) return Internal("libcurl does not start: {}", curl_easy_strerror(ready));
  RETURN_IF_ERROR(CheckUrl(options.url));
  auto impl = std::make_unique<Impl>();
  impl->options = std::move(options);
  impl->handle.reset(curl_easy_init());
  if (impl->handle == nullptr) return ResourceExhausted("libcurl gives no handle");
  return std::unique_ptr<HttpFetch>(new HttpFetch(std::move(impl)));
}

absl::Status HttpFetch::Impl::Failure(CURLcode code, const Answer& answer, const char* detail) const {
  const std::string_view what = *detail != '\0' ? detail : curl_easy_strerror(code);
  if (answer.too_large || code == CURLE_FILESIZE_EXCEEDED)
    return ResourceExhausted("{}: more than {} bytes; nothing of it is used", options.url, options.max_bytes);
  if (answer.downgraded)
    return WithReason(FailedPrecondition("{}: a redirect from https to http", options.url), "REDIRECT");
  if (code == CURLE_ABORTED_BY_CALLBACK) return absl::CancelledError("stopped");
  if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE)
    return Unauthenticated("{}: {}", options.url, what);
  if (code == CURLE_OPERATION_TIMEDOUT) return DeadlineExceeded("{}: {}", options.url, what);
  long last = 0;
  curl_easy_getinfo(handle.get(), CURLINFO_RESPONSE_CODE, &last);
  if (code == CURLE_TOO_MANY_REDIRECTS || (code == CURLE_UNSUPPORTED_PROTOCOL && last / 100 == 3))
    return WithReason(FailedPrecondition("{}: a redirect: {}", options.url, what), "REDIRECT");
  return Unavailable("{}: {}", options.url, what);
}

absl::StatusOr<std::unique_ptr<curl_slist, Freed>> HttpFetch::Impl::Headers() const {
  std::vector<std::string> lines{"Accept: application/json"};
  if (!kept.etag.empty()) lines.push_back("If-None-Match: " + kept.etag);
  if (!kept.modified.empty()) lines.push_back("If-Modified-Since: " + kept.modified);
  std::unique_ptr<curl_slist, Freed> headers;
  for (const std::string& line : lines) {
    curl_slist* const longer = curl_slist_append(headers.get(), line.c_str());
    if (longer == nullptr) return ResourceExhausted("libcurl has no memory");
    static_cast<void>(headers.release());
    headers.reset(longer);
  }
  return headers;
}

void HttpFetch::Impl::SetUp(Answer& answer, curl_slist* headers, char* detail) const {
  CURL* const to = handle.get();
  curl_easy_reset(to);  // connections and names that are known stay
  curl_easy_setopt(to, CURLOPT_URL, options.url.c_str());
  curl_easy_setopt(to, CURLOPT_ERRORBUFFER, detail);
  curl_easy_setopt(to, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(to, CURLOPT_USERAGENT, options.user_agent.c_str());  // of the CONNECT to a proxy, too
  if (const char* const proxy = ProxyInCapitals(options.url)) curl_easy_setopt(to, CURLOPT_PROXY, proxy);
  curl_easy_setopt(to, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(to, CURLOPT_REDIR_PROTOCOLS_STR, options.url.starts_with("https") ? "https" : "http,https");
  curl_easy_setopt(to, CURLOPT_FOLLOWLOCATION, 1L);
  answer.handle = to;
  curl_easy_setopt(to, CURLOPT_PREREQFUNCTION, &CheckScheme);
  curl_easy_setopt(to, CURLOPT_PREREQDATA, &answer);
  curl_easy_setopt(to, CURLOPT_MAXREDIRS, kMaxRedirects);
  curl_easy_setopt(to, CURLOPT_ACCEPT_ENCODING, "");  // whatever libcurl can unpack; the limit holds for what comes out
  curl_easy_setopt(to, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  curl_easy_setopt(to, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(to, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
  curl_easy_setopt(to, CURLOPT_TIMEOUT_MS, static_cast<long>(options.timeout.count()));
  curl_easy_setopt(to, CURLOPT_LOW_SPEED_LIMIT, kStallBytes);
  curl_easy_setopt(to, CURLOPT_LOW_SPEED_TIME, static_cast<long>(options.stall_timeout.count()));
  curl_easy_setopt(to, CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(options.max_bytes));
  curl_easy_setopt(to, CURLOPT_HEADERFUNCTION, &TakeHeader);
  curl_easy_setopt(to, CURLOPT_HEADERDATA, &answer);
  curl_easy_setopt(to, CURLOPT_WRITEFUNCTION, &TakeBody);
  curl_easy_setopt(to, CURLOPT_WRITEDATA, &answer);
  curl_easy_setopt(to, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(to, CURLOPT_XFERINFOFUNCTION, &CheckStop);
  curl_easy_setopt(to, CURLOPT_XFERINFODATA, &answer);
  Trust(to, options.roots);
}

absl::StatusOr<Fetched> HttpFetch::Get(const std::atomic<bool>& stop) {
  Impl& self = *impl_;
  Answer answer;
  answer.max_bytes = self.options.max_bytes;
  answer.stop = &stop;
  ASSIGN_OR_RETURN(const auto headers, self.Headers());
  std::array<char, CURL_ERROR_SIZE> detail{};
  self.SetUp(answer, headers.get(), detail.data());
  const CURLcode done = curl_easy_perform(self.handle.get());
  if (done != CURLE_OK) return self.Failure(done, answer, detail.data());
  long code = 0;
  curl_easy_getinfo(self.handle.get(), CURLINFO_RESPONSE_CODE, &code);
  const bool asked = !self.kept.etag.empty() || !self.kept.modified.empty();
  if (code == 304 && asked) return Fetched{};
  if (code != 200) return StatusOfCode(code, self.options.url);
  self.newest = std::move(answer.validators);
  return Fetched{.changed = true, .body = std::move(answer.body)};
}

void HttpFetch::Keep() {
  impl_->kept = impl_->newest;
}

}  // namespace virp::http
