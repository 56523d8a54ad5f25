#include "node/objects/nbd.h"

#include "node/js_values.h"
#include "node/objects/resolver.h"

namespace atl::node {
namespace {

using nbd::Command;

Napi::Object requests_value(Napi::Env env, const NbdExportCounters& from) {
  Napi::Object requests = Napi::Object::New(env);
  const auto set = [&](const char* name, Command command) {
    requests.Set(name, number_value(env, from.requests[static_cast<size_t>(command)]));
  };
  set("read", Command::read);
  set("write", Command::write);
  set("flush", Command::flush);
  set("trim", Command::trim);
  set("cache", Command::cache);
  set("writeZeroes", Command::write_zeroes);
  set("blockStatus", Command::block_status);
  set("disconnect", Command::disconnect);
  return requests;
}

Napi::Object latency_value(Napi::Env env, const NbdExportCounters& from) {
  Napi::Object latency = Napi::Object::New(env);
  const auto set = [&](const char* name, LatencyKind kind) {
    const LatencyHistogram& histogram = from.latency[static_cast<size_t>(kind)];
    Napi::Array buckets = Napi::Array::New(env, histogram.size());
    for (uint32_t i = 0; i < histogram.size(); i++) buckets.Set(i, number_value(env, histogram[i]));
    latency.Set(name, buckets);
  };
  set("read", LatencyKind::read);
  set("write", LatencyKind::write);
  set("flush", LatencyKind::flush);
  set("other", LatencyKind::other);
  return latency;
}

}  // namespace

Napi::Object JsNbd::make_object(Napi::Env env, const std::shared_ptr<JsNbd>& part) {
  Napi::Object object = Napi::Object::New(env);
  add_method<&JsNbd::configure>(object, "configure", part);
  add_method<&JsNbd::set_tls>(object, "setTls", part);
  add_method<&JsNbd::listen>(object, "listen", part);
  add_method<&JsNbd::disconnect>(object, "disconnect", part);
  add_method<&JsNbd::reconnect>(object, "reconnect", part);
  add_method<&JsNbd::export_counters>(object, "exportCounters", part);
  return object;
}

Napi::Value JsNbd::configure(Info info) {
  Host& running = session_->host(info.Env());
  if (running.nbd() != nullptr) refuse(info.Env(), Code::exists, "nbd.configure: was called already");
  const auto resolver = std::make_shared<JsResolver>(session_->queue(), object(info[0], "callbacks"));
  resolver->serve(running.engine());
  const Napi::Object given = object(info[1], "limits");
  const auto limit = [&given](const char* name, uint64_t unit) {
    return static_cast<uint32_t>(std::min<uint64_t>(whole_number(given.Get(name), name) * unit, UINT32_MAX));
  };
  NbdLimits limits;
  limits.connections = limit("connections", 1);
  limits.export_connections = limit("connectionsOfExport", 1);
  limits.project_connections = limit("connectionsOfProject", 1);
  limits.handshake_ms = limit("handshakeSeconds", 1000);
  limits.idle_ms = limit("idleSeconds", 1000);
  limits.peer_timeout_ms = limit("peerTimeoutSeconds", 1000);
  if (limits.connections == 0 || limits.export_connections == 0 || limits.project_connections == 0 ||
      limits.handshake_ms == 0 || limits.peer_timeout_ms == 0)
    refuse(info.Env(), Code::invalid, "nbd.configure: expected limits of at least 1");
  session_->keep(resolver);
  running.start_nbd(*resolver, limits);
  return info.Env().Undefined();
}

Napi::Value JsNbd::set_tls(Info info) {
  Napi::Env env = info.Env();
  Host& running = session_->host(env);
  if (running.nbd() == nullptr) refuse(env, Code::invalid, "nbd.setTls: call nbd.configure first");
  const Napi::Object given = object(info[0], "material");
  TlsMaterial material;
  material.certificate = text(given.Get("certificate"), "certificate");
  material.key = text(given.Get("key"), "key");
  material.client_ca = text(given.Get("clientCa"), "clientCa");
  material.client_crl = text(given.Get("clientCrl"), "clientCrl");
  material.require_client_certificate = truth(given.Get("verifyPeer"), "verifyPeer");
  material.psk = text(given.Get("psk"), "psk");
  material.priority = text(given.Get("priority"), "priority");
  // Parsing takes a millisecond, at the start and at a reload.
  Result<std::shared_ptr<const TlsCredentials>> loaded = TlsCredentials::load(material);
  if (!loaded) throw to_js_error(env, loaded.error());
  if (Result<void> set = running.nbd()->set_tls_credentials(std::move(*loaded)); !set)
    throw to_js_error(env, set.error());
  return env.Undefined();
}

Napi::Value JsNbd::listen(Info info) {
  Host& running = session_->host(info.Env());
  if (running.nbd() == nullptr) refuse(info.Env(), Code::invalid, "nbd.listen: call nbd.configure first");
  const Napi::Object given = object(info[0], "options");
  ListenOptions options;
  options.address = text(given.Get("address"), "address");
  options.door = text(given.Get("door"), "door") == "operator" ? Door::operator_door : Door::tenant;
  const std::string tls = text(given.Get("tls"), "tls");
  options.tls = tls == "required" ? TlsMode::required : tls == "opportunistic" ? TlsMode::opportunistic : TlsMode::off;
  if (given.Has("mode") && !given.Get("mode").IsUndefined())
    options.unix_mode = static_cast<mode_t>(whole_number(given.Get("mode"), "mode")) & 0777;
  if (given.Has("inherited") && !given.Get("inherited").IsUndefined())
    options.inherited = static_cast<int>(whole_number(given.Get("inherited"), "inherited"));
  return promise_of<std::string>(
      info.Env(), session_->queue(), running.loop(0), running.nbd()->listen(std::move(options)),
      [](Napi::Env env, const std::string& bound) -> Napi::Value { return Napi::String::New(env, bound); });
}

Napi::Value JsNbd::disconnect(Info info) {
  Host& running = session_->host(info.Env());
  struct Disconnect {
    static Task<Result<void>> run(NbdServer* server, std::string name) {
      if (server != nullptr) co_await server->disconnect(std::move(name));
      co_return Result<void>{};
    }
  };
  return promise_of(info.Env(), session_->queue(), running.loop(0),
                    Disconnect::run(running.nbd(), text(info[0], "name")));
}

Napi::Value JsNbd::reconnect(Info info) {
  Napi::Env env = info.Env();
  Host& running = session_->host(env);
  if (!info[0].IsArray()) throw Napi::TypeError::New(env, "Expected an array of export names");
  const auto given = info[0].As<Napi::Array>();
  std::vector<std::string> names;
  for (uint32_t i = 0; i < given.Length(); i++) names.push_back(text(given.Get(i), "an export's name"));
  struct Reconnect {
    static Task<Result<NbdReconnected>> run(NbdServer* server, std::vector<std::string> names) {
      NbdReconnected result;
      if (server != nullptr) result = co_await server->reconnect(std::move(names));
      co_return result;
    }
  };
  return promise_of<NbdReconnected>(env, session_->queue(), running.loop(0),
                                    Reconnect::run(running.nbd(), std::move(names)),
                                    [](Napi::Env e, const NbdReconnected& result) -> Napi::Value {
                                      Napi::Object answer = Napi::Object::New(e);
                                      answer.Set("ended", number_value(e, result.ended));
                                      answer.Set("remaining", number_value(e, result.remaining));
                                      return answer;
                                    });
}

Napi::Value JsNbd::export_counters(Info info) {
  Napi::Env env = info.Env();
  Host& running = session_->host(env);
  std::vector<NbdExportCounters> all;
  if (running.nbd()) all = running.nbd()->export_counters();
  Napi::Array exports = Napi::Array::New(env, all.size());
  for (uint32_t i = 0; i < all.size(); i++) {
    const NbdExportCounters& from = all[i];
    Napi::Object one = Napi::Object::New(env);
    one.Set("door", door_name(from.door));
    one.Set("name", from.name);
    one.Set("connections", number_value(env, from.connections));
    one.Set("accepted", number_value(env, from.accepted));
    one.Set("requests", requests_value(env, from));
    one.Set("errors", number_value(env, from.errors));
    one.Set("bytesRead", number_value(env, from.bytes_read));
    one.Set("bytesWritten", number_value(env, from.bytes_written));
    one.Set("latencyUs", latency_value(env, from));
    exports.Set(i, one);
  }
  return exports;
}

}  // namespace atl::node
