#include "node/objects/uploads.h"

#include "node/js_values.h"
#include "node/objects/bytes.h"

namespace atl::node {
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

Napi::Object JsUploads::make_object(Napi::Env env, const std::shared_ptr<JsUploads>& part) {
  Napi::Object object = Napi::Object::New(env);
  add_method<&JsUploads::start>(object, "start", part);
  add_method<&JsUploads::write>(object, "write", part);
  add_method<&JsUploads::finish>(object, "finish", part);
  add_method<&JsUploads::whole>(object, "whole", part);
  add_method<&JsUploads::abort>(object, "abort", part);
  return object;
}

std::shared_ptr<Ingest> JsUploads::upload(Info info) {
  session_->host(info.Env());
  const auto found = uploads_.find(static_cast<uint32_t>(whole_number(info[0], "handle")));
  if (found == uploads_.end()) refuse(info.Env(), Code::not_found, "upload: no such handle");
  return found->second;
}

Napi::Value JsUploads::start(Info info) {
  Engine& engine = session_->host(info.Env()).engine();
  const LayerId layer = layer_id(info[0], "layer");
  const IngestOptions options = ingest_options(info[1]);
  while (next_handle_ == 0 || uploads_.contains(next_handle_)) next_handle_++;
  const uint32_t handle = next_handle_++;
  uploads_.emplace(handle, engine.ingest(layer, options));
  return number_value(info.Env(), handle);
}

Napi::Value JsUploads::write(Info info) {
  const std::shared_ptr<Ingest> upload = this->upload(info);
  const Bytes bytes = bytes_of(info[1]);
  const size_t taken = upload->take(bytes);
  if (taken == bytes.size()) return info.Env().Undefined();
  auto held = std::make_shared<HeldBytes>(info[1]);
  return promise_of<void>(info.Env(), session_->queue(), session_->host(info.Env()).engine().registrar(),
                          upload->write(bytes.subspan(taken)), undefined_after(std::pair{held, upload}));
}

Napi::Value JsUploads::finish(Info info) {
  const std::shared_ptr<Ingest> upload = this->upload(info);
  const auto handle = static_cast<uint32_t>(whole_number(info[0], "handle"));
  return promise_of<IngestResult>(
      info.Env(), session_->queue(), session_->host(info.Env()).engine().registrar(), upload->finish(),
      [self = shared_from_this(), handle, upload](Napi::Env env, const IngestResult& done) -> Napi::Value {
        self->uploads_.erase(handle);
        return ingest_result(env, done);
      });
}

Napi::Value JsUploads::whole(Info info) {
  Napi::Env env = info.Env();
  Engine& engine = session_->host(env).engine();
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
  whole_uploads_++;
  const std::shared_ptr<void> counted{nullptr, [self = shared_from_this()](void*) { self->whole_uploads_--; }};
  return promise_of<IngestResult>(
      env, session_->queue(), engine.registrar(), Whole::run(std::move(upload), held->bytes),
      [held, counted](Napi::Env in, const IngestResult& done) -> Napi::Value { return ingest_result(in, done); });
}

Napi::Value JsUploads::abort(Info info) {
  const auto handle = static_cast<uint32_t>(whole_number(info[0], "handle"));
  session_->host(info.Env());
  const auto found = uploads_.find(handle);
  const std::shared_ptr<Ingest> upload = found == uploads_.end() ? nullptr : found->second;
  if (found != uploads_.end()) uploads_.erase(found);
  struct Abort {
    static Task<Result<void>> run(std::shared_ptr<Ingest> upload) {
      if (!upload) co_return Result<void>{};  // finished or aborted already
      Result<void> aborted = co_await upload->abort();
      co_return aborted;
    }
  };
  return promise_of(info.Env(), session_->queue(), session_->host(info.Env()).engine().registrar(), Abort::run(upload));
}

}  // namespace atl::node
