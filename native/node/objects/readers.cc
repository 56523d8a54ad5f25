#include "node/objects/readers.h"

#include <limits>

#include "io/socket_sender.h"
#include "node/js_values.h"
#include "node/objects/read_bytes.h"

namespace atl::node {
namespace {

using Sender = std::shared_ptr<SocketSender>;

SocketSender& sender(const Napi::Value& value) {
  if (!value.IsExternal()) throw Napi::TypeError::New(value.Env(), "Expected the socket of an earlier send()");
  return **value.As<Napi::External<Sender>>().Data();
}

std::string head_bytes(const Napi::Value& value) {
  if (!value.IsBuffer()) throw Napi::TypeError::New(value.Env(), "Expected a Buffer for head");
  const auto bytes = value.As<Napi::Buffer<char>>();
  return {bytes.Data(), bytes.Length()};
}

/// Closes the descriptor when done: the garbage collector may be late.
Task<Result<void>> send_and_close(std::shared_ptr<Resource> from, uint64_t offset, uint64_t length, Sender to) {
  Result<void> sent = co_await from->send(offset, length, *to);
  to->close();
  co_return sent;
}

}  // namespace

Napi::Object JsReaders::make_object(Napi::Env env, const std::shared_ptr<JsReaders>& part) {
  Napi::Object object = Napi::Object::New(env);
  add_method<&JsReaders::begin>(object, "begin", part);
  add_method<&JsReaders::read>(object, "read", part);
  add_method<&JsReaders::send>(object, "send", part);
  add_method<&JsReaders::end>(object, "end", part);
  add_method<&JsReaders::cancel_send>(object, "cancelSend", part);
  add_method<&JsReaders::send_began>(object, "sendBegan", part);
  add_method<&JsReaders::send_waited_ms>(object, "sendWaitedMs", part);
  return object;
}

std::shared_ptr<Resource> JsReaders::resource(Info info) {
  session_->host(info.Env());
  const auto found = handles_.find(static_cast<uint32_t>(whole_number(info[0], "handle")));
  if (found == handles_.end()) refuse(info.Env(), Code::not_found, "read handle: it has ended");
  return found->second;
}

Napi::Value JsReaders::begin(Info info) {
  Result<std::shared_ptr<Resource>> begun = session_->host(info.Env()).engine().begin_reading(resource_spec(info[0]));
  if (!begun) throw to_js_error(info.Env(), begun.error());
  while (next_handle_ == 0 || handles_.contains(next_handle_)) next_handle_++;
  const uint32_t handle = next_handle_++;
  handles_.emplace(handle, std::move(*begun));
  return number_value(info.Env(), handle);
}

Napi::Value JsReaders::read(Info info) { return read_bytes(info, session_->queue(), resource(info)); }

Napi::Value JsReaders::send(Info info) {
  Napi::Env env = info.Env();
  const std::shared_ptr<Resource> from = resource(info);
  const uint64_t fd = whole_number(info[1], "fd");
  const uint64_t offset = whole_number(info[2], "offset");
  const uint64_t length = whole_number(info[3], "length");
  std::string head = head_bytes(info[4]);
  if (fd > std::numeric_limits<int>::max()) throw Napi::TypeError::New(env, "Expected a descriptor for fd");
  // Before this call returns: then its owner may close it, and the number may become another file's.
  Result<Sender> to = SocketSender::duplicate(static_cast<int>(fd), std::move(head));
  if (!to) throw to_js_error(env, to.error());
  Napi::Object sending = Napi::Object::New(env);
  sending.Set("socket",
              Napi::External<Sender>::New(env, new Sender{*to}, [](Napi::Env, Sender* held) { delete held; }));
  sending.Set("sent", promise_of(env, session_->queue(), from->home(), send_and_close(from, offset, length, *to)));
  return sending;
}

Napi::Value JsReaders::end(Info info) {
  handles_.erase(static_cast<uint32_t>(whole_number(info[0], "handle")));
  return info.Env().Undefined();
}

Napi::Value JsReaders::cancel_send(Info info) {
  sender(info[0]).cancel();
  return info.Env().Undefined();
}

Napi::Value JsReaders::send_began(Info info) { return Napi::Boolean::New(info.Env(), sender(info[0]).began()); }

Napi::Value JsReaders::send_waited_ms(Info info) { return number_value(info.Env(), sender(info[0]).waited_ms()); }

}  // namespace atl::node
