// js_exports.cc: the counters of exports as JavaScript sees them (atomics: no reactor is asked), and the end of their connections.
#include "node/js_values.h"
#include "node/objects/js_engine.h"

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

Napi::Value JsEngine::export_counters(Info info) {
  Napi::Env env = info.Env();
  Host& running = host(env);
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

Napi::Value JsEngine::nbd_disconnect(Info info) {
  Host& running = host(info.Env());
  struct Disconnect {
    static Task<Result<void>> run(NbdServer* server, std::string name) {
      if (server != nullptr) co_await server->disconnect(std::move(name));
      co_return Result<void>{};
    }
  };
  return promise_of(info.Env(), *queue_, running.loop(0), Disconnect::run(running.nbd(), text(info[0], "name")));
}

Napi::Value JsEngine::nbd_reconnect(Info info) {
  Napi::Env env = info.Env();
  Host& running = host(env);
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
  return promise_of<NbdReconnected>(env, *queue_, running.loop(0), Reconnect::run(running.nbd(), std::move(names)),
                                    [](Napi::Env e, const NbdReconnected& result) -> Napi::Value {
                                      Napi::Object answer = Napi::Object::New(e);
                                      answer.Set("ended", number_value(e, result.ended));
                                      answer.Set("remaining", number_value(e, result.remaining));
                                      return answer;
                                    });
}

}  // namespace atl::node
