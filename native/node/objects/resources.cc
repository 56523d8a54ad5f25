#include "node/objects/resources.h"

#include "engine/resource/diff.h"
#include "node/js_values.h"
#include "node/objects/bytes.h"
#include "node/objects/read_bytes.h"

namespace atl::node {
namespace {

constexpr uint32_t runs_max = 1u << 20;

Task<Result<void>> writable_then(Resource* resource, Task<Result<void>> change) {
  if (resource->read_only()) co_return Error{Code::read_only, "resource " + resource->id() + ": is read-only"};
  Result<void> changed = co_await change;
  co_return changed;
}

}  // namespace

Napi::Object JsResources::make_object(Napi::Env env, const std::shared_ptr<JsResources>& part) {
  Napi::Object object = Napi::Object::New(env);
  add_method<&JsResources::open>(object, "open", part);
  add_method<&JsResources::close>(object, "close", part);
  add_method<&JsResources::is_open>(object, "isOpen", part);
  add_method<&JsResources::read>(object, "read", part);
  add_method<&JsResources::write>(object, "write", part);
  add_method<&JsResources::write_zeroes>(object, "writeZeroes", part);
  add_method<&JsResources::flush>(object, "flush", part);
  add_method<&JsResources::diff>(object, "diff", part);
  add_method<&JsResources::quiesce>(object, "quiesce", part);
  add_method<&JsResources::resume>(object, "resume", part);
  return object;
}

std::shared_ptr<Resource> JsResources::resource(Info info) {
  const std::string id = text(info[0], "resourceId");
  std::shared_ptr<Resource> found = session_->host(info.Env()).engine().find(id);
  if (!found) refuse(info.Env(), Code::not_found, "resource " + id + ": is not open");
  return found;
}

Napi::Value JsResources::open(Info info) {
  Engine& engine = session_->host(info.Env()).engine();
  return promise_of(info.Env(), session_->queue(), engine.registrar(), engine.open(resource_spec(info[0])));
}

Napi::Value JsResources::close(Info info) {
  Engine& engine = session_->host(info.Env()).engine();
  return promise_of(info.Env(), session_->queue(), engine.registrar(), engine.close(text(info[0], "resourceId")));
}

Napi::Value JsResources::is_open(Info info) {
  return Napi::Boolean::New(info.Env(), session_->host(info.Env()).engine().is_open(text(info[0], "resourceId")));
}

Napi::Value JsResources::read(Info info) { return read_bytes(info, session_->queue(), resource(info)); }

Napi::Value JsResources::write(Info info) {
  Napi::Env env = info.Env();
  const std::shared_ptr<Resource> to = resource(info);
  const uint64_t offset = whole_number(info[1], "offset");
  auto held = std::make_shared<HeldBytes>(info[2]);
  Task<Result<void>> task = writable_then(to.get(), to->write(offset, held->bytes, {}));
  return promise_of<void>(env, session_->queue(), to->home(), std::move(task), undefined_after(std::pair{held, to}));
}

Napi::Value JsResources::write_zeroes(Info info) {
  const std::shared_ptr<Resource> to = resource(info);
  Task<Result<void>> task =
      writable_then(to.get(), to->write_zeroes(whole_number(info[1], "offset"), whole_number(info[2], "length"), {}));
  return promise_of<void>(info.Env(), session_->queue(), to->home(), std::move(task), undefined_after(to));
}

Napi::Value JsResources::flush(Info info) {
  const std::shared_ptr<Resource> of = resource(info);
  return promise_of<void>(info.Env(), session_->queue(), of->home(), of->flush(), undefined_after(of));
}

Napi::Value JsResources::diff(Info info) {
  const std::shared_ptr<Resource> of = resource(info);
  const std::string base_id = text(info[1], "baseId");
  const std::shared_ptr<Resource> base = session_->host(info.Env()).engine().find(base_id);
  if (!base) refuse(info.Env(), Code::not_found, "resource " + base_id + ": is not open");
  const uint64_t offset = whole_number(info[2], "offset");
  const uint64_t length = whole_number(info[3], "length");
  const uint64_t max = whole_number(info[4], "max");
  if (length == 0 || max == 0 || max > runs_max)
    refuse(info.Env(), Code::invalid, "diff: an empty or boundless question");
  return promise_of<std::vector<StatusRun>>(
      info.Env(), session_->queue(), of->home(), atl::diff(*of, *base, offset, length, static_cast<uint32_t>(max)),
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

Napi::Value JsResources::quiesce(Info info) {
  Engine& engine = session_->host(info.Env()).engine();
  return promise_of<bool>(info.Env(), session_->queue(), engine.registrar(),
                          engine.quiesce(text(info[0], "resourceId")),
                          [](Napi::Env env, bool open) -> Napi::Value { return Napi::Boolean::New(env, open); });
}

Napi::Value JsResources::resume(Info info) {
  Engine& engine = session_->host(info.Env()).engine();
  const Napi::Object spec = object(info[1], "spec");
  return promise_of(info.Env(), session_->queue(), engine.registrar(),
                    engine.resume(text(info[0], "resourceId"), whole_number(spec.Get("sizeBytes"), "spec.sizeBytes"),
                                  chain(spec.Get("layers"))));
}

}  // namespace atl::node
