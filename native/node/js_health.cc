// js_health.cc: check and repair, as JavaScript sees them.
#include "engine/check.h"
#include "engine/repair.h"
#include "node/js_engine.h"
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

Napi::Object finding_object(Napi::Env env, const Finding& finding) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("kind", kind_name(finding.kind));
  object.Set("fatal", finding.fatal);
  object.Set("message", finding.message);
  if (finding.layer != LayerId::none) object.Set("layer", number_value(env, number(finding.layer)));
  Napi::Array places = Napi::Array::New(env, finding.places.size());
  for (uint32_t i = 0; i < finding.places.size(); i++) {
    Napi::Object place = Napi::Object::New(env);
    place.Set("layer", number_value(env, number(finding.places[i].layer)));
    place.Set("region", number_value(env, number(finding.places[i].region)));
    place.Set("blocks", ranges(env, finding.places[i].blocks));
    places.Set(i, place);
  }
  object.Set("places", places);
  return object;
}

Napi::Array finding_array(Napi::Env env, const std::vector<Finding>& findings) {
  Napi::Array list = Napi::Array::New(env, findings.size());
  for (uint32_t i = 0; i < findings.size(); i++) list.Set(i, finding_object(env, findings[i]));
  return list;
}

}  // namespace

Napi::Value JsEngine::check(Info info) {
  Engine& engine = host(info.Env()).engine();
  const Napi::Object given = object(info[0], "options");
  CheckOptions options;
  options.data = truth(given.Get("data"), "data");
  options.space = true;
  options.layers_known = given.Get("layers").IsArray();
  if (options.layers_known) {
    const auto ids = given.Get("layers").As<Napi::Array>();
    for (uint32_t i = 0; i < ids.Length(); i++) options.layers.push_back(layer_id(ids.Get(i), "layers[]"));
  }
  return promise_of<CheckReport>(info.Env(), *queue_, engine.registrar(), examine(engine.stores(), std::move(options)),
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

Napi::Value JsEngine::repair(Info info) {
  Engine& engine = host(info.Env()).engine();
  return promise_of<std::vector<std::string>>(info.Env(), *queue_, engine.registrar(), atl::repair(engine.stores()),
                                              [](Napi::Env env, const std::vector<std::string>& did) -> Napi::Value {
                                                Napi::Array list = Napi::Array::New(env, did.size());
                                                for (uint32_t i = 0; i < did.size(); i++) list.Set(i, did[i]);
                                                return list;
                                              });
}

Napi::Value JsEngine::recover(Info info) {
  Host& running = host(info.Env());
  return promise_of(info.Env(), *queue_, running.engine().registrar(), running.recover());
}

Napi::Value JsEngine::record_blocks(Info info) {
  Engine& engine = host(info.Env()).engine();
  const LayerId layer = layer_id(info[0], "layer");
  const uint64_t region = whole_number(info[1], "region");
  if (region > UINT32_MAX) throw Napi::TypeError::New(info.Env(), "Expected a region below 2^32");
  return promise_of<BlockSet>(info.Env(), *queue_, engine.registrar(),
                              record_blocks_of(engine.stores(), layer, RegionIndex{static_cast<uint32_t>(region)}),
                              [](Napi::Env env, const BlockSet& blocks) -> Napi::Value { return ranges(env, blocks); });
}

}  // namespace atl::node
