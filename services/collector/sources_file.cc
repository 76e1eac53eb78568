// The sources file: who may bring observations, and under which names.
#include <charconv>
#include <nlohmann/json.hpp>

#include "lib/base/names.h"
#include "lib/base/status.h"
#include "lib/service/identity.h"
#include "lib/service/strict_json.h"
#include "services/collector/bmp_config.h"
#include "services/collector/config.h"

namespace virp::collector {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxList = 1'000;

absl::Status ParseTls(const json& item, const std::string& where, FrameListenerOptions& listener) {
  if (item.contains("tls")) {
    if (!item["tls"].is_boolean()) return InvalidArgument("{}: tls is not true or false", where);
    listener.tls = item["tls"].get<bool>();
  }
  if (item.contains("clients")) {
    ASSIGN_OR_RETURN(listener.clients, service::StringsMember(item, "clients", kMaxList, where));
    for (const std::string& id : listener.clients)
      RETURN_IF_ERROR(Annotate(service::SpiffeId::Parse(id).status(), where + ": clients"));
  }
  if (listener.tls && listener.listen.starts_with("unix:"))
    return InvalidArgument("{}: tls is for TCP, not for a Unix socket", where);
  if (!listener.clients.empty() && !listener.tls)
    return InvalidArgument("{}: clients show certificates within TLS only; add \"tls\": true", where);
  return absl::OkStatus();
}

absl::Status ParseListener(const json& item, const std::string& where, Config& config) {
  RETURN_IF_ERROR(service::CheckObject(
      item, {"listen", "source", "spelling", "producers", "allow", "tls", "clients", "uid"}, where));
  FrameListenerOptions listener;
  ASSIGN_OR_RETURN(listener.listen, service::StringMember(item, "listen", where));
  ASSIGN_OR_RETURN(listener.source, service::StringMember(item, "source", where));
  RETURN_IF_ERROR(Annotate(CheckSourceName(listener.source), where));
  std::string spelling = "v1-le";
  if (item.contains("spelling")) {
    ASSIGN_OR_RETURN(spelling, service::StringMember(item, "spelling", where));
  }
  if (spelling != "auto") {
    listener.spelling = frame::SpellingFromName(spelling);
    if (!listener.spelling)
      return InvalidArgument("{}: spelling '{}' is none of auto, v1-le, v1-be, v1-producer, v2", where, spelling);
  }
  if (item.contains("allow")) {
    ASSIGN_OR_RETURN(listener.allow, service::StringsMember(item, "allow", kMaxList, where));
  }
  RETURN_IF_ERROR(ParseTls(item, where, listener));
  if (item.contains("uid")) {
    if (!item["uid"].is_number_unsigned()) return InvalidArgument("{}: uid is not a number", where);
    listener.uid = item["uid"].get<std::uint32_t>();
  }
  const json producers = item.contains("producers") ? item["producers"] : json::object();
  for (const auto& [id, source] : producers.items()) {
    std::uint32_t number = 0;
    const char* const id_end = id.data() + id.size();
    const auto [end, error] = std::from_chars(id.data(), id_end, number);
    const bool is_id = error == std::errc() && end == id_end && (id.front() != '0' || id.size() == 1);
    if (!is_id || !source.is_string()) {
      return InvalidArgument("{}: producers maps producer ids, decimal numbers of at most 4294967295, to source names",
                             where);
    }
    listener.producers[number] = source.get<std::string>();
  }
  config.frames.push_back(std::move(listener));
  return absl::OkStatus();
}

absl::Status ParseProducer(const json& item, const std::string& where, Config& config) {
  RETURN_IF_ERROR(service::CheckObject(item, {"identity", "sources", "types"}, where));
  ProducerBinding producer;
  ASSIGN_OR_RETURN(producer.identity, service::StringMember(item, "identity", where));
  ASSIGN_OR_RETURN(const auto sources, service::StringsMember(item, "sources", kMaxList, where));
  for (const std::string& source : sources) {
    RETURN_IF_ERROR(Annotate(CheckSourceName(source), where));
    producer.sources.insert(source);
  }
  if (!item.contains("types") || !item["types"].is_array())
    return InvalidArgument("{}: types is not a list of observation types", where);
  for (const json& type : item["types"]) {
    if (!type.is_number_unsigned() || type.get<std::uint64_t>() < 1 || type.get<std::uint64_t>() > 255) {
      return InvalidArgument("{}: types holds something that is not 1 to 255", where);
    }
    producer.types.insert(type.get<std::uint32_t>());
  }
  config.producers.push_back(std::move(producer));
  return absl::OkStatus();
}

}  // namespace

absl::Status ParseSources(std::string_view text, Config& config) {
  ASSIGN_OR_RETURN(const json file, service::ParseStrictJson(text, service::JsonComments::kAllowed));
  RETURN_IF_ERROR(service::CheckObject(file, {"frames", "producers", "bmp"}, "sources file"));
  for (const char* list : {"frames", "producers"}) {
    if (!file.contains(list)) continue;
    if (!file[list].is_array() || file[list].size() > kMaxList)
      return InvalidArgument("sources file: {} is not a list of at most {}", list, kMaxList);
    for (std::size_t i = 0; i < file[list].size(); ++i) {
      const std::string where = fmt::format("sources file: {}[{}]", list, i);
      RETURN_IF_ERROR(std::string_view(list) == "frames" ? ParseListener(file[list][i], where, config)
                                                         : ParseProducer(file[list][i], where, config));
    }
  }
  if (!file.contains("bmp")) return absl::OkStatus();
  RETURN_IF_ERROR(ParseBmp(file["bmp"], "sources file: bmp", config.bmp));
  config.bmp.bmp.collector_source = config.name;
  return Annotate(CheckBmpOptions(config.bmp.bmp), "sources file: bmp");
}

}  // namespace virp::collector
