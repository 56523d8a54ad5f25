#include "node/objects/space_reserves.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "node/js_queue.h"
#include "node/js_values.h"
#include "node/objects/log.h"
#include "store/directory_lock.h"

namespace atl::node {
namespace {

struct Opened : std::enable_shared_from_this<Opened> {
  std::shared_ptr<JsQueue> queue;
  std::unique_ptr<JsLog> log;
  std::shared_ptr<SpaceReserves> reserves;
  SpaceReserve* catalog = nullptr;

  bool closed = false;

  void close() {
    if (std::exchange(closed, true)) return;
    reserves->stop();
    // Lines that wait for JavaScript come first, and use the log.
    queue->post_run([self = shared_from_this()](Napi::Env) {});
    queue->close();
  }
};

}  // namespace

Napi::Value lock_directory(const Napi::CallbackInfo& info) {
  Result<DirectoryLock> taken = DirectoryLock::take(text(info[0], "path"));
  if (!taken) throw to_js_error(info.Env(), taken.error());
  auto lock = std::make_shared<DirectoryLock>(std::move(*taken));
  return Napi::Function::New(info.Env(), [lock](const Napi::CallbackInfo& call) -> Napi::Value {
    lock->release();
    return call.Env().Undefined();
  });
}

Napi::Value open_space_reserves(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const Napi::Object given = object(info[0], "options");
  const Napi::Value list = given.Get("directories");
  if (!list.IsArray()) throw Napi::TypeError::New(env, "Expected an array for directories");
  const auto array = list.As<Napi::Array>();
  std::vector<std::string> directories;
  for (uint32_t i = 0; i < array.Length(); i++) directories.push_back(text(array.Get(i), "a directory"));
  if (directories.empty()) throw Napi::TypeError::New(env, "Expected at least one directory");

  auto opened = std::make_shared<Opened>();
  opened->queue = std::make_shared<JsQueue>(env);
  opened->log = std::make_unique<JsLog>(opened->queue, given.Get("log"));
  Result<std::unique_ptr<SpaceReserves>> reserves =
      SpaceReserves::open(directories, whole_number(given.Get("bytes"), "bytes"), opened->log->line());
  if (!reserves) {
    opened->queue->close();
    throw to_js_error(env, reserves.error());
  }
  opened->reserves = std::move(*reserves);
  opened->catalog = opened->reserves->on(directories.front());

  Napi::Object result = Napi::Object::New(env);
  const auto method = [&](const char* name, auto body) {
    result.Set(name, Napi::Function::New(env, [opened, body](const Napi::CallbackInfo& call) -> Napi::Value {
                 return body(call.Env(), *opened);
               }));
  };
  method("low", [](Napi::Env in, Opened& of) -> Napi::Value {
    return Napi::Boolean::New(in, of.catalog != nullptr && of.catalog->low());
  });
  method("release", [](Napi::Env in, Opened& of) -> Napi::Value {
    return Napi::Boolean::New(in, of.catalog != nullptr && of.catalog->release());
  });
  method("prepareStart", [](Napi::Env in, Opened& of) -> Napi::Value {
    of.reserves->prepare_start();
    return in.Undefined();
  });
  method("keep", [](Napi::Env in, Opened& of) -> Napi::Value {
    of.reserves->keep();
    return in.Undefined();
  });
  method("close", [](Napi::Env in, Opened& of) -> Napi::Value {
    of.close();
    return in.Undefined();
  });
  using Shared = std::shared_ptr<SpaceReserves>;
  result.Set("handle", Napi::External<Shared>::New(env, new Shared{opened->reserves},
                                                   [](Napi::Env /*env*/, Shared* shared) { delete shared; }));
  return result;
}

std::shared_ptr<SpaceReserves> space_reserves_of(const Napi::Value& value) {
  if (value.IsUndefined()) return nullptr;
  const Napi::Value handle = object(value, "spaceReserves").Get("handle");
  if (!handle.IsExternal()) throw Napi::TypeError::New(value.Env(), "Expected spaceReserves of openSpaceReserves()");
  return *handle.As<Napi::External<std::shared_ptr<SpaceReserves>>>().Data();
}

}  // namespace atl::node
