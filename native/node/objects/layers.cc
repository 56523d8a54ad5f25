#include "node/objects/layers.h"

#include "node/js_values.h"

namespace atl::node {

Napi::Object JsLayers::make_object(Napi::Env env, const std::shared_ptr<JsLayers>& part) {
  Napi::Object object = Napi::Object::New(env);
  add_method<&JsLayers::drop>(object, "drop", part);
  add_method<&JsLayers::merge_step>(object, "mergeStep", part);
  add_method<&JsLayers::unlink>(object, "unlink", part);
  add_method<&JsLayers::list>(object, "list", part);
  return object;
}

Napi::Value JsLayers::drop(Info info) {
  Engine& engine = session_->host(info.Env()).engine();
  return promise_of(info.Env(), session_->queue(), engine.registrar(), engine.drop_layer(layer_id(info[0], "layer")));
}

Napi::Value JsLayers::merge_step(Info info) {
  Engine& engine = session_->host(info.Env()).engine();
  const Napi::Object given = object(info[0], "step");
  MergeStep step{layer_id(given.Get("parent"), "parent"), layer_id(given.Get("child"), "child"),
                 whole_number(given.Get("limitBlocks"), "limitBlocks"), whole_number(given.Get("cursor"), "cursor"),
                 static_cast<uint32_t>(std::min<uint64_t>(whole_number(given.Get("maxRegions"), "maxRegions"), 65536))};
  return promise_of<uint64_t>(info.Env(), session_->queue(), engine.registrar(), engine.merge_step(step),
                              [](Napi::Env env, uint64_t next) -> Napi::Value {
                                return next == Engine::no_more_regions ? Napi::Number::New(env, -1)
                                                                       : number_value(env, next);
                              });
}

Napi::Value JsLayers::unlink(Info info) {
  Engine& engine = session_->host(info.Env()).engine();
  const Napi::Object step = object(info[0], "step");
  return promise_of(info.Env(), session_->queue(), engine.registrar(),
                    engine.unlink_layer(layer_id(step.Get("parent"), "parent"), layer_id(step.Get("child"), "child"),
                                        whole_number(step.Get("limitBlocks"), "limitBlocks")));
}

Napi::Value JsLayers::list(Info info) {
  Host& running = session_->host(info.Env());
  const LayerId from{info[0].IsUndefined() ? 0 : whole_number(info[0], "from")};
  const uint64_t max = info[1].IsUndefined() ? UINT64_MAX : whole_number(info[1], "max");
  return promise_of<std::vector<LayerId>>(info.Env(), session_->queue(), running.engine().registrar(),
                                          running.records().layers(from, max),
                                          [](Napi::Env env, const std::vector<LayerId>& ids) -> Napi::Value {
                                            Napi::Array list = Napi::Array::New(env, ids.size());
                                            for (uint32_t i = 0; i < ids.size(); i++)
                                              list.Set(i, number_value(env, number(ids[i])));
                                            return list;
                                          });
}

}  // namespace atl::node
