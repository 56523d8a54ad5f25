#include "node/objects/health.h"

#include "engine/health/check.h"
#include "engine/health/repair.h"
#include "engine/resource/presence.h"
#include "node/js_values.h"

namespace atl::node {
namespace {

Napi::Array ranges(Napi::Env env, const BlockSet& blocks) {
  Napi::Array list = Napi::Array::New(env);
  uint32_t at = 0;
  blocks.for_runs([&](BlockRange run) {
    Napi::Object range = Napi::Object::New(env);
    range.Set("first", number_value(env, run.first));
    range.Set("end", number_value(env, run.end));
    list.Set(at++, range);
  });
  return list;
}

Napi::Array place_array(Napi::Env env, const std::vector<Place>& places) {
  Napi::Array list = Napi::Array::New(env, places.size());
  for (uint32_t i = 0; i < places.size(); i++) {
    Napi::Object place = Napi::Object::New(env);
    place.Set("layer", number_value(env, number(places[i].layer)));
    place.Set("region", number_value(env, number(places[i].region)));
    place.Set("blocks", ranges(env, places[i].blocks));
    list.Set(i, place);
  }
  return list;
}

Napi::Object finding_object(Napi::Env env, const Finding& finding) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("kind", kind_name(finding.kind));
  object.Set("fatal", finding.fatal);
  object.Set("message", finding.message);
  if (finding.layer != LayerId::none) object.Set("layer", number_value(env, number(finding.layer)));
  object.Set("places", place_array(env, finding.places));
  return object;
}

Napi::Array finding_array(Napi::Env env, const std::vector<Finding>& findings) {
  Napi::Array list = Napi::Array::New(env, findings.size());
  for (uint32_t i = 0; i < findings.size(); i++) list.Set(i, finding_object(env, findings[i]));
  return list;
}

Napi::Object step_object(Napi::Env env, const ScrubStep& step) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("end", step.end);
  if (step.last) object.Set("last", step.last->hex());
  object.Set("chunks", number_value(env, step.chunks));
  object.Set("bytes", number_value(env, step.bytes));
  Napi::Array bad = Napi::Array::New(env, step.bad.size());
  for (uint32_t i = 0; i < step.bad.size(); i++) {
    Napi::Object chunk = Napi::Object::New(env);
    chunk.Set("chunk", step.bad[i].digest.hex());
    chunk.Set("kind", kind_name(step.bad[i].fault.kind));
    chunk.Set("message", step.bad[i].fault.message);
    bad.Set(i, chunk);
  }
  object.Set("bad", bad);
  return object;
}

Digest digest(const Napi::Value& value, const char* name) {
  const std::optional<Digest> parsed = Digest::parse(text(value, name));
  if (!parsed)
    throw Napi::TypeError::New(value.Env(),
                               std::string("Expected a digest of 64 lower-case hexadecimal digits for ") + name);
  return *parsed;
}

constexpr uint64_t chunks_per_step_max = 1024;

}  // namespace

Napi::Object JsHealth::make_object(Napi::Env env, const std::shared_ptr<JsHealth>& part) {
  Napi::Object object = Napi::Object::New(env);
  add_method<&JsHealth::check>(object, "check", part);
  add_method<&JsHealth::repair>(object, "repair", part);
  add_method<&JsHealth::recover>(object, "recover", part);
  add_method<&JsHealth::scrub>(object, "scrub", part);
  add_method<&JsHealth::chunk_places>(object, "chunkPlaces", part);
  add_method<&JsHealth::mark_bad>(object, "markBad", part);
  add_method<&JsHealth::record_blocks>(object, "recordBlocks", part);
  add_method<&JsHealth::records_reach>(object, "recordsReach", part);
  add_method<&JsHealth::presence>(object, "presence", part);
  add_method<&JsHealth::reclaimed>(object, "reclaimed", part);
  return object;
}

Napi::Value JsHealth::check(Info info) {
  Engine& engine = session_->host(info.Env()).engine();
  const Napi::Object given = object(info[0], "options");
  CheckOptions options;
  options.data = truth(given.Get("data"), "data");
  options.space = true;
  options.layers_known = given.Get("layers").IsArray();
  if (options.layers_known) {
    const auto ids = given.Get("layers").As<Napi::Array>();
    for (uint32_t i = 0; i < ids.Length(); i++) options.layers.push_back(layer_id(ids.Get(i), "layers[]"));
  }
  return promise_of<CheckReport>(info.Env(), session_->queue(), engine.registrar(),
                                 examine(engine.stores(), std::move(options)),
                                 [](Napi::Env env, const CheckReport& report) -> Napi::Value {
                                   Napi::Object object = Napi::Object::New(env);
                                   object.Set("findings", finding_array(env, report.findings));
                                   object.Set("trusted", report.trusted);
                                   object.Set("dataBytesMentioned", number_value(env, report.data_bytes_mentioned));
                                   object.Set("dataBytesAllocated", number_value(env, report.data_bytes_allocated));
                                   object.Set("chunks", number_value(env, report.chunks));
                                   object.Set("chunkBytes", number_value(env, report.chunk_bytes));
                                   object.Set("chunksVerified", number_value(env, report.chunks_verified));
                                   return object;
                                 });
}

Napi::Value JsHealth::repair(Info info) {
  Engine& engine = session_->host(info.Env()).engine();
  return promise_of<std::vector<std::string>>(info.Env(), session_->queue(), engine.registrar(),
                                              atl::repair(engine.stores()),
                                              [](Napi::Env env, const std::vector<std::string>& did) -> Napi::Value {
                                                Napi::Array list = Napi::Array::New(env, did.size());
                                                for (uint32_t i = 0; i < did.size(); i++) list.Set(i, did[i]);
                                                return list;
                                              });
}

Napi::Value JsHealth::recover(Info info) {
  Host& running = session_->host(info.Env());
  return promise_of(info.Env(), session_->queue(), running.engine().registrar(), running.recover());
}

Napi::Value JsHealth::scrub(Info info) {
  Host& running = session_->host(info.Env());
  const Napi::Object given = object(info[0], "from");
  ScrubFrom from;
  from.max_chunks = static_cast<uint32_t>(
      std::clamp<uint64_t>(whole_number(given.Get("maxChunks"), "maxChunks"), 1, chunks_per_step_max));
  if (!given.Get("after").IsNull()) from.after = digest(given.Get("after"), "after");
  Result<JobSink*> threads = running.patient();
  if (!threads) throw to_js_error(info.Env(), threads.error());
  return promise_of<ScrubStep>(info.Env(), session_->queue(), running.engine().registrar(),
                               running.engine().scrub(**threads, from), step_object);
}

Napi::Value JsHealth::chunk_places(Info info) {
  Host& running = session_->host(info.Env());
  const Digest chunk = digest(info[0], "chunk");
  Result<JobSink*> threads = running.patient();
  if (!threads) throw to_js_error(info.Env(), threads.error());
  return promise_of<std::vector<Place>>(info.Env(), session_->queue(), running.engine().registrar(),
                                        places_of_chunk(running.engine().stores(), **threads, chunk), place_array);
}

Napi::Value JsHealth::mark_bad(Info info) {
  Engine& engine = session_->host(info.Env()).engine();
  return promise_of(info.Env(), session_->queue(), engine.registrar(), engine.mark_bad(digest(info[0], "chunk")));
}

Napi::Value JsHealth::record_blocks(Info info) {
  Engine& engine = session_->host(info.Env()).engine();
  const LayerId layer = layer_id(info[0], "layer");
  const uint64_t region = whole_number(info[1], "region");
  if (region > UINT32_MAX) throw Napi::TypeError::New(info.Env(), "Expected a region below 2^32");
  return promise_of<BlockSet>(info.Env(), session_->queue(), engine.registrar(),
                              record_blocks_of(engine.stores(), layer, RegionIndex{static_cast<uint32_t>(region)}),
                              [](Napi::Env env, const BlockSet& blocks) -> Napi::Value { return ranges(env, blocks); });
}

Napi::Value JsHealth::records_reach(Info info) {
  Host& running = session_->host(info.Env());
  return promise_of<uint64_t>(info.Env(), session_->queue(), running.engine().registrar(), running.records_reach(),
                              [](Napi::Env env, uint64_t reach) -> Napi::Value { return number_value(env, reach); });
}

Napi::Value JsHealth::presence(Info info) {
  Engine& engine = session_->host(info.Env()).engine();
  return promise_of<Presence>(info.Env(), session_->queue(), engine.registrar(), presence_of(engine.stores()),
                              [](Napi::Env env, const Presence& presence) -> Napi::Value {
                                Napi::Object object = Napi::Object::New(env);
                                object.Set("files", number_value(env, presence.files));
                                object.Set("filesThere", number_value(env, presence.files_there));
                                object.Set("chunks", number_value(env, presence.chunks));
                                object.Set("chunksThere", number_value(env, presence.chunks_there));
                                return object;
                              });
}

Napi::Value JsHealth::reclaimed(Info info) {
  Engine& engine = session_->host(info.Env()).engine();
  return promise_of(info.Env(), session_->queue(), engine.registrar(), engine.reclaimed());
}

}  // namespace atl::node
