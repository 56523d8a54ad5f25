#include "node/objects/resolver.h"

#include <functional>

#include "node/js_values.h"

namespace atl::node {
namespace {

/// Calls a JavaScript function that answers a promise, and resumes the asking task on its own executor with what it became.
template <class T>
struct Ask : Job {
  using Call = std::function<Napi::Value(Napi::Env)>;
  using Convert = std::function<T(const Napi::Value&)>;

  JsQueue& queue;
  Call call;
  Convert convert;
  Executor& home = Executor::here();
  std::coroutine_handle<> handle{};
  std::optional<Result<T>> answer{};

  Ask(JsQueue& to, Call what, Convert how) : queue(to), call(std::move(what)), convert(std::move(how)) {
    run = [](Job& job) noexcept { static_cast<Ask&>(job).handle.resume(); };
  }
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> awaiter) {
    handle = awaiter;
    queue.post_run([this](Napi::Env env) { ask(env); });
  }
  Result<T> await_resume() { return std::move(*answer); }

  void finish(Result<T> result) {
    answer.emplace(std::move(result));
    home.post(*this);
  }
  void fail(const Napi::Value& reason) {
    const std::string words = reason.IsObject() ? reason.As<Napi::Object>().Get("message").ToString().Utf8Value()
                                                : reason.ToString().Utf8Value();
    finish(Error{Code::io, "export: " + words});
  }
  void settle(const Napi::Value& value) {
    try {
      finish(convert(value));
    } catch (const Napi::Error& error) {
      fail(error.Value());
    }
  }
  void ask(Napi::Env env) {
    try {
      const Napi::Value value = call(env);
      if (!value.IsPromise()) return settle(value);
      const auto promise = value.As<Napi::Object>();
      const auto then = promise.Get("then").As<Napi::Function>();
      then.Call(promise, {Napi::Function::New(env, [this](const Napi::CallbackInfo& info) { settle(info[0]); }),
                          Napi::Function::New(env, [this](const Napi::CallbackInfo& info) { fail(info[0]); })});
    } catch (const Napi::Error& error) {
      fail(error.Value());
    }
  }
};

struct Found {
  bool there = false;
  std::string words;  // the export's name, or why there is none
};

struct Answer {
  std::string resource_id;
  bool read_only = false;
  std::string description;
  std::string label;
  std::string project;
};

struct OfferedContext {
  MetaContext context;
  std::string since_id;  // a lease that the resolver took for us; empty: none
};

StatusQuestion::Kind question_kind(const Napi::Value& value) {
  const std::string kind = text(value, "kind");
  if (kind == "depth") return StatusQuestion::Kind::depth;
  if (kind == "decided") return StatusQuestion::Kind::decided;
  if (kind == "changed") return StatusQuestion::Kind::changed;
  throw Napi::TypeError::New(value.Env(), "Expected depth, decided or changed for kind but received " + kind);
}

OfferedContext offered_context(const Napi::Value& value) {
  const Napi::Object given = object(value, "a context");
  OfferedContext offered;
  offered.context.name = text(given.Get("name"), "a context's name");
  offered.context.question.kind = question_kind(given.Get("kind"));
  if (given.Get("since").IsUndefined()) return offered;
  const Napi::Object since = object(given.Get("since"), "since");
  offered.since_id = text(since.Get("resourceId"), "since.resourceId");
  offered.context.question.since = layer_id(since.Get("layer"), "since.layer");
  offered.context.question.since_bytes = whole_number(since.Get("sizeBytes"), "since.sizeBytes");
  return offered;
}

/// Lower-case hexadecimal digits in groups of 8, 4, 4, 4 and 12 (src/lib/ids.ts).
bool has_form_of_id(std::string_view name) {
  constexpr std::string_view form = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  if (name.size() != form.size()) return false;
  for (size_t i = 0; i < form.size(); i++) {
    const bool digit = (name[i] >= '0' && name[i] <= '9') || (name[i] >= 'a' && name[i] <= 'f');
    if (form[i] == '-' ? name[i] != '-' : !digit) return false;
  }
  return true;
}

}  // namespace

const char* door_name(Door door) { return door == Door::operator_door ? "operator" : "tenant"; }

JsResolver::JsResolver(JsQueue& queue, Napi::Object callbacks)
    : queue_(queue),
      find_(Napi::Persistent(callbacks.Get("find").As<Napi::Function>())),
      open_(Napi::Persistent(callbacks.Get("open").As<Napi::Function>())),
      list_(Napi::Persistent(callbacks.Get("list").As<Napi::Function>())),
      tls_failed_(Napi::Persistent(callbacks.Get("tlsFailed").As<Napi::Function>())),
      request_failed_(Napi::Persistent(callbacks.Get("requestFailed").As<Napi::Function>())),
      contexts_(Napi::Persistent(callbacks.Get("contexts").As<Napi::Function>())) {}

Task<Result<std::string>> JsResolver::canonical_name(Door door, std::string name) {
  // An ID is canonical whether there is such an export or not. Asking JavaScript for it would make each connection wait twice.
  if (door == Door::tenant || has_form_of_id(name)) co_return name;
  Ask<Found> ask{queue_, [this, &name](Napi::Env env) { return find_.Value().Call({Napi::String::New(env, name)}); },
                 [](const Napi::Value& value) {
                   const Napi::Object answer = object(value, "the answer of find()");
                   Found found;
                   found.there = answer.Has("name");
                   found.words =
                       found.there ? text(answer.Get("name"), "name") : text(answer.Get("refusal"), "refusal");
                   return found;
                 }};
  Result<Found> found = co_await ask;
  if (!found) co_return found.error();
  if (!found->there) co_return Error{Code::not_found, std::move(found->words)};
  co_return std::move(found->words);
}

Task<Result<std::optional<OpenExport>>> JsResolver::open(Door door, std::string name) {
  Ask<std::optional<Answer>> ask{
      queue_,
      [this, door, &name](Napi::Env env) {
        return open_.Value().Call({Napi::String::New(env, door_name(door)), Napi::String::New(env, name)});
      },
      [](const Napi::Value& value) -> std::optional<Answer> {
        if (value.IsNull() || value.IsUndefined()) return std::nullopt;
        const Napi::Object answer = object(value, "the answer of open()");
        return Answer{text(answer.Get("resourceId"), "resourceId"), truth(answer.Get("readOnly"), "readOnly"),
                      text(answer.Get("description"), "description"), text(answer.Get("label"), "label"),
                      text(answer.Get("project"), "project")};
      }};
  Result<std::optional<Answer>> answered = co_await ask;
  if (!answered) co_return answered.error();
  if (!answered->has_value()) co_return std::optional<OpenExport>{};
  OpenExport opened;
  opened.device = engine_->adopt_lease((*answered)->resource_id);
  if (!opened.device) co_return Error{Code::not_found, "export: resource " + (*answered)->resource_id + " is not open"};
  opened.read_only = (*answered)->read_only;
  opened.description = (*answered)->description;
  opened.label = (*answered)->label;
  opened.project = (*answered)->project;
  co_return std::optional<OpenExport>{std::move(opened)};
}

Task<Result<std::vector<std::string>>> JsResolver::list(Door door) {
  Ask<std::vector<std::string>> ask{
      queue_, [this, door](Napi::Env env) { return list_.Value().Call({Napi::String::New(env, door_name(door))}); },
      [](const Napi::Value& value) {
        std::vector<std::string> names;
        if (!value.IsArray()) throw Napi::TypeError::New(value.Env(), "Expected an array of names from list()");
        const auto array = value.As<Napi::Array>();
        for (uint32_t i = 0; i < array.Length(); i++) names.push_back(text(array.Get(i), "an export's name"));
        return names;
      }};
  Result<std::vector<std::string>> names = co_await ask;
  co_return names;
}

void JsResolver::tls_failed(const TlsFailure& failure) {
  queue_.post_run([this, failure](Napi::Env env) {
    Napi::Object told = Napi::Object::New(env);
    told.Set("door", door_name(failure.door));
    told.Set("peer", failure.peer);
    told.Set("message", failure.words);
    told.Set("suppressed", number_value(env, failure.unsaid));
    tls_failed_.Value().Call({told});
  });
}

void JsResolver::request_failed(const RequestFailure& failure) {
  queue_.post_run([this, failure](Napi::Env env) {
    Napi::Object told = Napi::Object::New(env);
    told.Set("door", door_name(failure.door));
    told.Set("label", failure.label);
    told.Set("command", failure.command);
    told.Set("offset", number_value(env, failure.offset));
    told.Set("length", number_value(env, failure.length));
    told.Set("code", code_name(failure.error.code));
    told.Set("message", failure.error.message);
    told.Set("suppressed", number_value(env, failure.unsaid));
    request_failed_.Value().Call({told});
  });
}

Task<Result<std::vector<MetaContext>>> JsResolver::contexts(Door door, std::string name, MetaQueries queries) {
  Ask<std::vector<OfferedContext>> ask{
      queue_,
      [this, door, &name, &queries](Napi::Env env) {
        Napi::Object asked = Napi::Object::New(env);
        Napi::Array names = Napi::Array::New(env, queries.names.size());
        for (uint32_t i = 0; i < queries.names.size(); i++) names.Set(i, Napi::String::New(env, queries.names[i]));
        asked.Set("list", Napi::Boolean::New(env, queries.list));
        asked.Set("names", names);
        return contexts_.Value().Call({Napi::String::New(env, door_name(door)), Napi::String::New(env, name), asked});
      },
      [](const Napi::Value& value) {
        std::vector<OfferedContext> offered;
        if (!value.IsArray()) throw Napi::TypeError::New(value.Env(), "Expected an array from contexts()");
        const auto array = value.As<Napi::Array>();
        for (uint32_t i = 0; i < array.Length(); i++) offered.push_back(offered_context(array.Get(i)));
        return offered;
      }};
  Result<std::vector<OfferedContext>> offered = co_await ask;
  if (!offered) co_return offered.error();
  std::vector<MetaContext> contexts;
  for (OfferedContext& one : *offered) {
    // Every lease is adopted, so that it is given back also when one of the others is not there.
    if (!one.since_id.empty()) one.context.held = engine_->adopt_lease(one.since_id);
    contexts.push_back(std::move(one.context));
  }
  for (size_t i = 0; i < contexts.size(); i++)
    if (!(*offered)[i].since_id.empty() && contexts[i].held == nullptr)
      co_return Error{Code::not_found, "context: resource " + (*offered)[i].since_id + " is not open"};
  co_return contexts;
}

}  // namespace atl::node
