#include "node/objects/engine.h"

#include <functional>
#include <thread>

#include "node/js_values.h"
#include "node/objects/health.h"
#include "node/objects/layers.h"
#include "node/objects/nbd.h"
#include "node/objects/readers.h"
#include "node/objects/resources.h"
#include "node/objects/session.h"
#include "node/objects/space_reserves.h"
#include "node/objects/uploads.h"

namespace atl::node {
namespace {

class JsEngine {
 public:
  explicit JsEngine(std::shared_ptr<Session> session)
      : session_(std::move(session)),
        uploads_(std::make_shared<JsUploads>(session_)),
        readers_(std::make_shared<JsReaders>(session_)) {}

  Napi::Value info(Info info);
  Napi::Value counters(Info info);
  Napi::Value shutdown(Info info);

  static Napi::Object make_object(Napi::Env env, const std::shared_ptr<JsEngine>& engine);

 private:
  const std::shared_ptr<Session> session_;
  const std::shared_ptr<JsUploads> uploads_;
  const std::shared_ptr<JsReaders> readers_;
};

Napi::Object JsEngine::make_object(Napi::Env env, const std::shared_ptr<JsEngine>& engine) {
  const std::shared_ptr<Session>& session = engine->session_;
  Napi::Object object = Napi::Object::New(env);
  add_method<&JsEngine::info>(object, "info", engine);
  add_method<&JsEngine::counters>(object, "counters", engine);
  add_method<&JsEngine::shutdown>(object, "shutdown", engine);
  object.Set("resources", JsResources::make_object(env, std::make_shared<JsResources>(session)));
  object.Set("layers", JsLayers::make_object(env, std::make_shared<JsLayers>(session)));
  object.Set("uploads", JsUploads::make_object(env, engine->uploads_));
  object.Set("readers", JsReaders::make_object(env, engine->readers_));
  object.Set("nbd", JsNbd::make_object(env, std::make_shared<JsNbd>(session)));
  object.Set("health", JsHealth::make_object(env, std::make_shared<JsHealth>(session)));
  return object;
}

Napi::Value JsEngine::info(Info info) {
  Napi::Env env = info.Env();
  Host& running = session_->host(env);
  Napi::Object about = Napi::Object::New(env);
  about.Set("io", running.io_kind() == IoKind::uring ? "uring" : "threads");
  about.Set("cache", running.direct() ? "direct" : "buffered");
  about.Set("reactors", number_value(env, running.reactors()));
  about.Set("formatVersion", number_value(env, RecordStore::format_version));
  const DirtyLogs* logs = running.dirty_logs();
  about.Set("dirtyLogs", Napi::Boolean::New(env, logs != nullptr && logs->kept()));
  about.Set("dirtyLogsDiscarded", number_value(env, logs == nullptr ? 0 : logs->discarded()));
  return about;
}

Napi::Value JsEngine::counters(Info info) {
  Napi::Env env = info.Env();
  Host& running = session_->host(env);
  const DataStore::Counters data = running.data().counters();
  const RecordStore::Counters records = running.records().counters();
  Napi::Object all = Napi::Object::New(env);
  all.Set("bytesWritten", number_value(env, data.bytes_written));
  all.Set("bytesRead", number_value(env, data.bytes_read));
  all.Set("contentBytesWritten", number_value(env, data.content_bytes_written));
  all.Set("bytesPunched", number_value(env, data.bytes_punched));
  all.Set("dataSyncs", number_value(env, data.syncs));
  all.Set("recordsCommitted", number_value(env, records.records));
  all.Set("recordCommits", number_value(env, records.commits));
  all.Set("regionsResolved", number_value(env, records.resolved));
  all.Set("openResources", number_value(env, running.engine().open_resources()));
  all.Set("connections", number_value(env, running.nbd() ? running.nbd()->counters().connections : 0));
  all.Set("garbageEntries", number_value(env, running.engine().reclaimer().pending()));
  return all;
}

Napi::Value JsEngine::shutdown(Info info) {
  session_->host(info.Env());
  if (uploads_->busy()) refuse(info.Env(), Code::busy, "shutdown: uploads are under way; abort them first");
  readers_->end_all();
  std::shared_ptr<Host> going = session_->take_host();
  const std::shared_ptr<JsQueue> queue = session_->shared_queue();
  const Napi::Promise::Deferred deferred = Napi::Promise::Deferred::New(info.Env());
  queue->begin(info.Env());
  struct Shutdown {
    static Task<void> run(Host* host, std::function<void(Result<uint64_t>)> done) {
      Result<uint64_t> result = co_await host->shutdown();
      done(std::move(result));
    }
  };
  Host* host = going.get();
  auto done = [queue, deferred, going, session = session_](Result<uint64_t> result) mutable {
    // This is one of the threads that must be joined, so another thread does it.
    std::thread([queue, deferred, going = std::move(going), result = std::move(result),
                 session = std::move(session)]() mutable {
      going.reset();
      queue->post_run([queue, deferred, result = std::move(result), session = std::move(session)](Napi::Env env) {
        if (result)
          deferred.Resolve(number_value(env, *result));
        else
          deferred.Reject(to_js_error(env, result.error()).Value());
        queue->end(env);
        queue->close();
      });
    }).detach();
  };
  spawn_on(host->loop(0), Shutdown::run(host, std::move(done)));
  return deferred.Promise();
}

}  // namespace

Napi::Value open_engine(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const Napi::Object given = object(info[0], "options");
  HostOptions options;
  options.store_dir = text(given.Get("storeDir"), "storeDir");
  options.direct = text(given.Get("cache"), "cache") == "direct";
  const std::string io = text(given.Get("io"), "io");
  options.io = io == "uring" ? IoKind::uring : io == "threads" ? IoKind::threads : IoKind::automatic;
  const std::string purpose = text(given.Get("purpose"), "purpose");
  options.purpose = purpose == "examine" ? Purpose::examine : purpose == "repair" ? Purpose::repair : Purpose::serve;
  options.records_reach = whole_number(given.Get("recordsReach"), "recordsReach");
  options.reactors =
      static_cast<uint32_t>(std::min<uint64_t>(whole_number(given.Get("reactors"), "reactors"), UINT32_MAX));
  options.busy_poll_ns = whole_number(given.Get("busyPollMicroseconds"), "busyPollMicroseconds") * 1000;

  options.reserves = space_reserves_of(given.Get("spaceReserves"));

  auto queue = std::make_shared<JsQueue>(env);
  auto log = std::make_shared<JsLog>(queue, given.Get("log"));
  options.log = log->line();
  const Napi::Promise::Deferred deferred = Napi::Promise::Deferred::New(env);
  queue->begin(env);
  // RocksDB may replay a log: not on the JavaScript thread, and there is no other yet.
  std::thread([queue, deferred, options, log = std::move(log)]() mutable {
    auto started = std::make_shared<Result<std::unique_ptr<Host>>>(Host::start(options));
    queue->post_run([queue, deferred, started, log = std::move(log)](Napi::Env in) {
      if (*started) {
        auto session = std::make_shared<Session>(std::shared_ptr<Host>(std::move(**started)), queue, log);
        deferred.Resolve(JsEngine::make_object(in, std::make_shared<JsEngine>(std::move(session))));
      } else {
        deferred.Reject(to_js_error(in, started->error()).Value());
      }
      queue->end(in);
      if (!*started) queue->close();
    });
  }).detach();
  return deferred.Promise();
}

}  // namespace atl::node
