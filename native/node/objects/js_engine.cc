#include "node/objects/js_engine.h"

#include <thread>

#include "engine/resource/diff.h"
#include "node/js_values.h"
#include "node/objects/js_space.h"

namespace atl::node {
namespace {

constexpr uint64_t io_bytes_max = 64u << 20;
constexpr uint32_t extents_max = 1u << 20;

// ObjectWrap constructs from JavaScript; the host travels to its constructor as an External.
struct Opened {
  std::shared_ptr<Host> host;
  std::shared_ptr<JsQueue> queue;
  std::shared_ptr<JsLog> log;
};

Napi::FunctionReference& constructor_of(Napi::Env env) {
  auto* reference = env.GetInstanceData<Napi::FunctionReference>();
  VERIFY(reference != nullptr);
  return *reference;
}

[[noreturn]] void refuse(Napi::Env env, Code code, std::string message) {
  throw to_js_error(env, Error{code, std::move(message)});
}

Bytes bytes_of(const Napi::Value& value) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
    throw Napi::TypeError::New(value.Env(), "Expected a Uint8Array for data");
  const auto array = value.As<Napi::Uint8Array>();
  return {reinterpret_cast<const std::byte*>(array.Data()), array.ByteLength()};
}

/// Bytes of a JavaScript buffer, kept from the collector until the task has ended.
struct HeldBytes {
  Napi::Reference<Napi::Uint8Array> reference;
  Bytes bytes;
  explicit HeldBytes(const Napi::Value& value) : bytes(bytes_of(value)) {
    reference = Napi::Reference<Napi::Uint8Array>::New(value.As<Napi::Uint8Array>(), 1);
  }
};

/// Keeps `owned` until the JavaScript side has its answer.
template <class Owned>
auto undefined_after(Owned owned) {
  return [owned = std::move(owned)](Napi::Env env) -> Napi::Value { return env.Undefined(); };
}

Task<Result<void>> writable_then(Resource* resource, Task<Result<void>> change) {
  if (resource->read_only()) co_return Error{Code::read_only, "resource " + resource->id() + ": is read-only"};
  Result<void> changed = co_await change;
  co_return changed;
}

}  // namespace

Napi::Function JsEngine::define(Napi::Env env) {
  Napi::Function constructor = DefineClass(env, "Engine",
                                           {InstanceMethod<&JsEngine::info>("info"),
                                            InstanceMethod<&JsEngine::counters>("counters"),
                                            InstanceMethod<&JsEngine::export_counters>("exportCounters"),
                                            InstanceMethod<&JsEngine::open>("open"),
                                            InstanceMethod<&JsEngine::close>("close"),
                                            InstanceMethod<&JsEngine::is_open>("isOpen"),
                                            InstanceMethod<&JsEngine::read>("read"),
                                            InstanceMethod<&JsEngine::reading_begin>("readingBegin"),
                                            InstanceMethod<&JsEngine::reading_read>("readingRead"),
                                            InstanceMethod<&JsEngine::reading_send>("readingSend"),
                                            InstanceMethod<&JsEngine::reading_end>("readingEnd"),
                                            InstanceMethod<&JsEngine::send_cancel>("sendCancel"),
                                            InstanceMethod<&JsEngine::send_began>("sendBegan"),
                                            InstanceMethod<&JsEngine::send_waited_ms>("sendWaitedMs"),
                                            InstanceMethod<&JsEngine::write>("write"),
                                            InstanceMethod<&JsEngine::write_zeroes>("writeZeroes"),
                                            InstanceMethod<&JsEngine::trim>("trim"),
                                            InstanceMethod<&JsEngine::flush>("flush"),
                                            InstanceMethod<&JsEngine::extents>("extents"),
                                            InstanceMethod<&JsEngine::diff>("diff"),
                                            InstanceMethod<&JsEngine::quiesce>("quiesce"),
                                            InstanceMethod<&JsEngine::resume>("resume"),
                                            InstanceMethod<&JsEngine::drop_layer>("dropLayer"),
                                            InstanceMethod<&JsEngine::merge_step>("mergeStep"),
                                            InstanceMethod<&JsEngine::unlink_layer>("unlinkLayer"),
                                            InstanceMethod<&JsEngine::layers>("layers"),
                                            InstanceMethod<&JsEngine::ingest_start>("ingestStart"),
                                            InstanceMethod<&JsEngine::ingest_write>("ingestWrite"),
                                            InstanceMethod<&JsEngine::ingest_finish>("ingestFinish"),
                                            InstanceMethod<&JsEngine::ingest_abort>("ingestAbort"),
                                            InstanceMethod<&JsEngine::ingest_whole>("ingestWhole"),
                                            InstanceMethod<&JsEngine::usage>("usage"),
                                            InstanceMethod<&JsEngine::check>("check"),
                                            InstanceMethod<&JsEngine::repair>("repair"),
                                            InstanceMethod<&JsEngine::recover>("recover"),
                                            InstanceMethod<&JsEngine::scrub>("scrub"),
                                            InstanceMethod<&JsEngine::chunk_places>("chunkPlaces"),
                                            InstanceMethod<&JsEngine::mark_bad>("markBad"),
                                            InstanceMethod<&JsEngine::record_blocks>("recordBlocks"),
                                            InstanceMethod<&JsEngine::records_reach>("recordsReach"),
                                            InstanceMethod<&JsEngine::presence>("presence"),
                                            InstanceMethod<&JsEngine::reclaimed>("reclaimed"),
                                            InstanceMethod<&JsEngine::nbd_callbacks>("nbdCallbacks"),
                                            InstanceMethod<&JsEngine::nbd_tls>("nbdTls"),
                                            InstanceMethod<&JsEngine::nbd_listen>("nbdListen"),
                                            InstanceMethod<&JsEngine::nbd_disconnect>("nbdDisconnect"),
                                            InstanceMethod<&JsEngine::nbd_reconnect>("nbdReconnect"),
                                            InstanceMethod<&JsEngine::shutdown>("shutdown")});
  auto* reference = new Napi::FunctionReference(Napi::Persistent(constructor));
  env.SetInstanceData(reference);  // freed by node with the environment
  return constructor;
}

Napi::Value JsEngine::open_engine(const Napi::CallbackInfo& info) {
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
        Opened opened{std::shared_ptr<Host>(std::move(**started)), queue, log};
        deferred.Resolve(constructor_of(in).New({Napi::External<Opened>::New(in, &opened)}));
      } else {
        deferred.Reject(to_js_error(in, started->error()).Value());
      }
      queue->end(in);
      if (!*started) queue->close();
    });
  }).detach();
  return deferred.Promise();
}

JsEngine::JsEngine(const Napi::CallbackInfo& info) : Napi::ObjectWrap<JsEngine>(info) {
  if (info.Length() != 1 || !info[0].IsExternal())
    throw Napi::TypeError::New(info.Env(), "Engine is made by openEngine()");
  auto* opened = info[0].As<Napi::External<Opened>>().Data();
  host_ = opened->host;
  queue_ = opened->queue;
  log_ = opened->log;
}

JsEngine::~JsEngine() {
  // Collected (or the process ends) without shutdown(): its threads may be in the middle of anything, and what was flushed
  // is durable. Taking it apart here could hang; leaving it is safe.
  if (host_) new std::tuple{std::move(host_), queue_, std::move(log_)};
}

Host& JsEngine::host(Napi::Env env) {
  if (!host_) refuse(env, Code::shutdown, "the engine was shut down");
  return *host_;
}

std::shared_ptr<Resource> JsEngine::resource(Info info) {
  const std::string id = text(info[0], "resourceId");
  std::shared_ptr<Resource> found = host(info.Env()).engine().find(id);
  if (!found) refuse(info.Env(), Code::not_found, "resource " + id + ": is not open");
  return found;
}

std::shared_ptr<Ingest> JsEngine::ingest(Info info) {
  host(info.Env());
  const auto found = ingests_.find(static_cast<uint32_t>(whole_number(info[0], "handle")));
  if (found == ingests_.end()) refuse(info.Env(), Code::not_found, "upload: no such handle");
  return found->second;
}

// ---- about ----

Napi::Value JsEngine::info(Info info) {
  Napi::Env env = info.Env();
  Host& running = host(env);
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
  Host& running = host(env);
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

// ---- resources ----

Napi::Value JsEngine::open(Info info) {
  Engine& engine = host(info.Env()).engine();
  return promise_of(info.Env(), *queue_, engine.registrar(), engine.open(resource_spec(info[0])));
}

Napi::Value JsEngine::close(Info info) {
  Engine& engine = host(info.Env()).engine();
  return promise_of(info.Env(), *queue_, engine.registrar(), engine.close(text(info[0], "resourceId")));
}

Napi::Value JsEngine::is_open(Info info) {
  return Napi::Boolean::New(info.Env(), host(info.Env()).engine().is_open(text(info[0], "resourceId")));
}

Napi::Value JsEngine::read(Info info) { return read_from(info, resource(info)); }

/// `from`: what the first argument stands for; then offset and length.
Napi::Value JsEngine::read_from(Info info, const std::shared_ptr<Resource>& from) {
  Napi::Env env = info.Env();
  const uint64_t offset = whole_number(info[1], "offset");
  const uint64_t length = whole_number(info[2], "length");
  if (length > io_bytes_max) refuse(env, Code::too_large, "read: more than 64 MiB at once");
  const auto buffer = Napi::Buffer<uint8_t>::New(env, length);
  const MutableBytes into{reinterpret_cast<std::byte*>(buffer.Data()), length};
  auto reference = std::make_shared<Napi::Reference<Napi::Buffer<uint8_t>>>(Napi::Persistent(buffer));
  return promise_of<void>(env, *queue_, from->home(), from->read(offset, into),
                          [reference, from](Napi::Env) -> Napi::Value { return reference->Value(); });
}

Napi::Value JsEngine::write(Info info) {
  Napi::Env env = info.Env();
  const std::shared_ptr<Resource> to = resource(info);
  const uint64_t offset = whole_number(info[1], "offset");
  auto held = std::make_shared<HeldBytes>(info[2]);
  Task<Result<void>> task = writable_then(to.get(), to->write(offset, held->bytes, {}));
  return promise_of<void>(env, *queue_, to->home(), std::move(task), undefined_after(std::pair{held, to}));
}

Napi::Value JsEngine::write_zeroes(Info info) {
  const std::shared_ptr<Resource> to = resource(info);
  Task<Result<void>> task =
      writable_then(to.get(), to->write_zeroes(whole_number(info[1], "offset"), whole_number(info[2], "length"), {}));
  return promise_of<void>(info.Env(), *queue_, to->home(), std::move(task), undefined_after(to));
}

Napi::Value JsEngine::trim(Info info) {
  const std::shared_ptr<Resource> to = resource(info);
  Task<Result<void>> task =
      writable_then(to.get(), to->trim(whole_number(info[1], "offset"), whole_number(info[2], "length"), {}));
  return promise_of<void>(info.Env(), *queue_, to->home(), std::move(task), undefined_after(to));
}

Napi::Value JsEngine::flush(Info info) {
  const std::shared_ptr<Resource> of = resource(info);
  return promise_of<void>(info.Env(), *queue_, of->home(), of->flush(), undefined_after(of));
}

Napi::Value JsEngine::extents(Info info) {
  const std::shared_ptr<Resource> of = resource(info);
  const uint64_t offset = whole_number(info[1], "offset");
  const uint64_t length = whole_number(info[2], "length");
  const uint64_t max = whole_number(info[3], "max");
  if (length == 0 || max == 0 || max > extents_max)
    refuse(info.Env(), Code::invalid, "extents: an empty or boundless question");
  return promise_of<std::vector<Extent>>(info.Env(), *queue_, of->home(),
                                         of->extents(offset, length, static_cast<uint32_t>(max)),
                                         [of](Napi::Env env, const std::vector<Extent>& found) -> Napi::Value {
                                           Napi::Array list = Napi::Array::New(env, found.size());
                                           for (uint32_t i = 0; i < found.size(); i++) {
                                             Napi::Object extent = Napi::Object::New(env);
                                             extent.Set("lengthBytes", number_value(env, found[i].length));
                                             extent.Set("hole", found[i].hole);
                                             extent.Set("zero", found[i].zero);
                                             list.Set(i, extent);
                                           }
                                           return list;
                                         });
}

Napi::Value JsEngine::diff(Info info) {
  const std::shared_ptr<Resource> of = resource(info);
  const std::string base_id = text(info[1], "baseId");
  const std::shared_ptr<Resource> base = host(info.Env()).engine().find(base_id);
  if (!base) refuse(info.Env(), Code::not_found, "resource " + base_id + ": is not open");
  const uint64_t offset = whole_number(info[2], "offset");
  const uint64_t length = whole_number(info[3], "length");
  const uint64_t max = whole_number(info[4], "max");
  if (length == 0 || max == 0 || max > extents_max)
    refuse(info.Env(), Code::invalid, "diff: an empty or boundless question");
  return promise_of<std::vector<StatusRun>>(
      info.Env(), *queue_, of->home(), atl::diff(*of, *base, offset, length, static_cast<uint32_t>(max)),
      [of, base](Napi::Env env, const std::vector<StatusRun>& found) -> Napi::Value {
        Napi::Array list = Napi::Array::New(env, found.size());
        for (uint32_t i = 0; i < found.size(); i++) {
          Napi::Object run = Napi::Object::New(env);
          run.Set("lengthBytes", number_value(env, found[i].length));
          run.Set("changed", found[i].flags == 1);
          list.Set(i, run);
        }
        return list;
      });
}

Napi::Value JsEngine::quiesce(Info info) {
  Engine& engine = host(info.Env()).engine();
  return promise_of<bool>(info.Env(), *queue_, engine.registrar(), engine.quiesce(text(info[0], "resourceId")),
                          [](Napi::Env env, bool open) -> Napi::Value { return Napi::Boolean::New(env, open); });
}

Napi::Value JsEngine::resume(Info info) {
  Engine& engine = host(info.Env()).engine();
  const Napi::Object spec = object(info[1], "spec");
  return promise_of(info.Env(), *queue_, engine.registrar(),
                    engine.resume(text(info[0], "resourceId"), whole_number(spec.Get("sizeBytes"), "spec.sizeBytes"),
                                  chain(spec.Get("layers"))));
}

// ---- layers ----

Napi::Value JsEngine::drop_layer(Info info) {
  Engine& engine = host(info.Env()).engine();
  return promise_of(info.Env(), *queue_, engine.registrar(), engine.drop_layer(layer_id(info[0], "layer")));
}

Napi::Value JsEngine::merge_step(Info info) {
  Engine& engine = host(info.Env()).engine();
  const Napi::Object given = object(info[0], "step");
  MergeStep step{layer_id(given.Get("parent"), "parent"), layer_id(given.Get("child"), "child"),
                 whole_number(given.Get("limitBlocks"), "limitBlocks"), whole_number(given.Get("cursor"), "cursor"),
                 static_cast<uint32_t>(std::min<uint64_t>(whole_number(given.Get("maxRegions"), "maxRegions"), 65536))};
  return promise_of<uint64_t>(info.Env(), *queue_, engine.registrar(), engine.merge_step(step),
                              [](Napi::Env env, uint64_t next) -> Napi::Value {
                                return next == Engine::no_more_regions ? Napi::Number::New(env, -1)
                                                                       : number_value(env, next);
                              });
}

Napi::Value JsEngine::unlink_layer(Info info) {
  Engine& engine = host(info.Env()).engine();
  const Napi::Object step = object(info[0], "step");
  return promise_of(info.Env(), *queue_, engine.registrar(),
                    engine.unlink_layer(layer_id(step.Get("parent"), "parent"), layer_id(step.Get("child"), "child"),
                                        whole_number(step.Get("limitBlocks"), "limitBlocks")));
}

Napi::Value JsEngine::layers(Info info) {
  Host& running = host(info.Env());
  const LayerId from{info[0].IsUndefined() ? 0 : whole_number(info[0], "from")};
  const uint64_t max = info[1].IsUndefined() ? UINT64_MAX : whole_number(info[1], "max");
  return promise_of<std::vector<LayerId>>(info.Env(), *queue_, running.engine().registrar(),
                                          running.records().layers(from, max),
                                          [](Napi::Env env, const std::vector<LayerId>& ids) -> Napi::Value {
                                            Napi::Array list = Napi::Array::New(env, ids.size());
                                            for (uint32_t i = 0; i < ids.size(); i++)
                                              list.Set(i, number_value(env, number(ids[i])));
                                            return list;
                                          });
}

// ---- uploads ----

namespace {

IngestOptions ingest_options(const Napi::Value& value) {
  IngestOptions options;
  options.sha256 = truth(object(value, "options").Get("sha256"), "sha256");
  return options;
}

Napi::Value ingest_result(Napi::Env env, const IngestResult& done) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("sizeBytes", number_value(env, done.size_bytes));
  result.Set("md5", done.md5);
  result.Set("sha256", done.sha256 ? Napi::String::New(env, *done.sha256).As<Napi::Value>() : env.Null());
  result.Set("newChunks", number_value(env, done.new_chunks));
  return result;
}

}  // namespace

Napi::Value JsEngine::ingest_start(Info info) {
  Engine& engine = host(info.Env()).engine();
  const LayerId layer = layer_id(info[0], "layer");
  const IngestOptions options = ingest_options(info[1]);
  while (next_ingest_ == 0 || ingests_.contains(next_ingest_)) next_ingest_++;
  const uint32_t handle = next_ingest_++;
  ingests_.emplace(handle, engine.ingest(layer, options));
  return number_value(info.Env(), handle);
}

Napi::Value JsEngine::ingest_write(Info info) {
  const std::shared_ptr<Ingest> upload = ingest(info);
  const Bytes bytes = bytes_of(info[1]);
  const size_t taken = upload->take(bytes);
  if (taken == bytes.size()) return info.Env().Undefined();
  auto held = std::make_shared<HeldBytes>(info[1]);
  return promise_of<void>(info.Env(), *queue_, host_->engine().registrar(), upload->write(bytes.subspan(taken)),
                          undefined_after(std::pair{held, upload}));
}

Napi::Value JsEngine::ingest_finish(Info info) {
  const std::shared_ptr<Ingest> upload = ingest(info);
  const auto handle = static_cast<uint32_t>(whole_number(info[0], "handle"));
  auto self = std::make_shared<Napi::ObjectReference>(Napi::Persistent(info.This().As<Napi::Object>()));
  return promise_of<IngestResult>(info.Env(), *queue_, host_->engine().registrar(), upload->finish(),
                                  [this, self, handle, upload](Napi::Env env, const IngestResult& done) -> Napi::Value {
                                    ingests_.erase(handle);
                                    return ingest_result(env, done);
                                  });
}

Napi::Value JsEngine::ingest_whole(Info info) {
  Napi::Env env = info.Env();
  Engine& engine = host(env).engine();
  auto held = std::make_shared<HeldBytes>(info[1]);
  if (held->bytes.size() > region_bytes) refuse(env, Code::too_large, "upload: more than 4 MiB at once");
  struct Whole {
    static Task<Result<IngestResult>> run(std::unique_ptr<Ingest> upload, Bytes bytes) {
      Result<IngestResult> done = co_await upload->whole(bytes);
      if (!done) (void)co_await upload->abort();  // what cannot be given back now is garbage
      co_return done;
    }
  };
  std::unique_ptr<Ingest> upload = engine.ingest(layer_id(info[0], "layer"));
  // Let go of on this thread, whatever the answer is.
  auto self = std::make_shared<Napi::ObjectReference>(Napi::Persistent(info.This().As<Napi::Object>()));
  whole_ingests_++;
  const std::shared_ptr<void> counted{nullptr, [this, self](void*) { whole_ingests_--; }};
  return promise_of<IngestResult>(
      env, *queue_, engine.registrar(), Whole::run(std::move(upload), held->bytes),
      [held, counted](Napi::Env in, const IngestResult& done) -> Napi::Value { return ingest_result(in, done); });
}

Napi::Value JsEngine::ingest_abort(Info info) {
  const auto handle = static_cast<uint32_t>(whole_number(info[0], "handle"));
  host(info.Env());
  const auto found = ingests_.find(handle);
  const std::shared_ptr<Ingest> upload = found == ingests_.end() ? nullptr : found->second;
  if (found != ingests_.end()) ingests_.erase(found);
  struct Abort {
    static Task<Result<void>> run(std::shared_ptr<Ingest> upload) {
      if (!upload) co_return Result<void>{};  // finished or aborted already
      Result<void> aborted = co_await upload->abort();
      co_return aborted;
    }
  };
  return promise_of(info.Env(), *queue_, host_->engine().registrar(), Abort::run(upload));
}

// ---- space ----

Napi::Value JsEngine::usage(Info info) {
  Engine& engine = host(info.Env()).engine();
  return promise_of<Usage>(info.Env(), *queue_, engine.registrar(), engine.usage(resource_spec(info[0])),
                           [](Napi::Env env, const Usage& usage) -> Napi::Value {
                             Napi::Object result = Napi::Object::New(env);
                             result.Set("virtualBytes", number_value(env, usage.virtual_bytes));
                             result.Set("referencedBytes", number_value(env, usage.referenced_bytes));
                             result.Set("exclusiveBytes", number_value(env, usage.exclusive_bytes));
                             return result;
                           });
}

Napi::Value JsEngine::reclaimed(Info info) {
  Engine& engine = host(info.Env()).engine();
  return promise_of(info.Env(), *queue_, engine.registrar(), engine.reclaimed());
}

// ---- NBD ----

Napi::Value JsEngine::nbd_callbacks(Info info) {
  Host& running = host(info.Env());
  if (resolver_) refuse(info.Env(), Code::exists, "nbdCallbacks: was called already");
  resolver_ = std::make_unique<JsResolver>(*queue_, object(info[0], "callbacks"));
  resolver_->serve(running.engine());
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
    refuse(info.Env(), Code::invalid, "nbdCallbacks: a limit of nothing");
  running.start_nbd(*resolver_, limits);
  return info.Env().Undefined();
}

Napi::Value JsEngine::nbd_tls(Info info) {
  Napi::Env env = info.Env();
  Host& running = host(env);
  if (running.nbd() == nullptr) refuse(env, Code::invalid, "nbdTls: call nbdCallbacks first");
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

Napi::Value JsEngine::nbd_listen(Info info) {
  Host& running = host(info.Env());
  if (running.nbd() == nullptr) refuse(info.Env(), Code::invalid, "nbdListen: call nbdCallbacks first");
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
      info.Env(), *queue_, running.loop(0), running.nbd()->listen(std::move(options)),
      [](Napi::Env env, const std::string& bound) -> Napi::Value { return Napi::String::New(env, bound); });
}

Napi::Value JsEngine::shutdown(Info info) {
  host(info.Env());
  if (!ingests_.empty() || whole_ingests_ > 0)
    refuse(info.Env(), Code::busy, "shutdown: uploads are under way; abort them first");
  readings_.clear();
  std::shared_ptr<Host> going = std::move(host_);
  const std::shared_ptr<JsQueue> queue = queue_;
  const Napi::Promise::Deferred deferred = Napi::Promise::Deferred::New(info.Env());
  queue->begin(info.Env());
  struct Shutdown {
    static Task<void> run(Host* host, std::function<void(Result<uint64_t>)> done) {
      Result<uint64_t> result = co_await host->shutdown();
      done(std::move(result));
    }
  };
  Host* host = going.get();
  auto done = [queue, deferred, going, log = log_](Result<uint64_t> result) mutable {
    // We are on one of the threads that must be joined: the last step is another thread's.
    std::thread([queue, deferred, going = std::move(going), result = std::move(result),
                 log = std::move(log)]() mutable {
      going.reset();
      queue->post_run([queue, deferred, result = std::move(result), log = std::move(log)](Napi::Env env) {
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

}  // namespace atl::node
