// js_readings.cc: read-only resources for one reader each, and their bytes to a socket of Node's, past JavaScript.
#include <limits>

#include "io/socket_sender.h"
#include "node/js_values.h"
#include "node/objects/js_engine.h"

namespace atl::node {
namespace {

using Sender = std::shared_ptr<SocketSender>;

SocketSender& sender(const Napi::Value& value) {
  if (!value.IsExternal()) throw Napi::TypeError::New(value.Env(), "Expected what send() answered as its socket");
  return **value.As<Napi::External<Sender>>().Data();
}

std::string head_bytes(const Napi::Value& value) {
  if (!value.IsBuffer()) throw Napi::TypeError::New(value.Env(), "Expected a Buffer for head");
  const auto bytes = value.As<Napi::Buffer<char>>();
  return {bytes.Data(), bytes.Length()};
}

/// The collector may come late: the descriptor does not wait for it.
Task<Result<void>> send_and_close(std::shared_ptr<Resource> from, uint64_t offset, uint64_t length, Sender to) {
  Result<void> sent = co_await from->send(offset, length, *to);
  to->close();
  co_return sent;
}

}  // namespace

std::shared_ptr<Resource> JsEngine::reading(Info info) {
  host(info.Env());
  const auto found = readings_.find(static_cast<uint32_t>(whole_number(info[0], "reading")));
  if (found == readings_.end()) throw to_js_error(info.Env(), Error{Code::not_found, "reading: it has ended"});
  return found->second;
}

Napi::Value JsEngine::reading_begin(Info info) {
  Result<std::shared_ptr<Resource>> begun = host(info.Env()).engine().begin_reading(resource_spec(info[0]));
  if (!begun) throw to_js_error(info.Env(), begun.error());
  while (next_reading_ == 0 || readings_.contains(next_reading_)) next_reading_++;
  const uint32_t handle = next_reading_++;
  readings_.emplace(handle, std::move(*begun));
  return number_value(info.Env(), handle);
}

Napi::Value JsEngine::reading_read(Info info) { return read_from(info, reading(info)); }

Napi::Value JsEngine::reading_send(Info info) {
  Napi::Env env = info.Env();
  const std::shared_ptr<Resource> from = reading(info);
  const uint64_t fd = whole_number(info[1], "fd");
  const uint64_t offset = whole_number(info[2], "offset");
  const uint64_t length = whole_number(info[3], "length");
  std::string head = head_bytes(info[4]);
  if (fd > std::numeric_limits<int>::max()) throw Napi::TypeError::New(env, "Expected a descriptor for fd");
  // At once: in the next moment its owner may have closed it, and the number may be another file's.
  Result<Sender> to = SocketSender::duplicate(static_cast<int>(fd), std::move(head));
  if (!to) throw to_js_error(env, to.error());
  Napi::Object sending = Napi::Object::New(env);
  sending.Set("socket",
              Napi::External<Sender>::New(env, new Sender{*to}, [](Napi::Env, Sender* held) { delete held; }));
  sending.Set("sent", promise_of(env, *queue_, from->home(), send_and_close(from, offset, length, *to)));
  return sending;
}

Napi::Value JsEngine::reading_end(Info info) {
  readings_.erase(static_cast<uint32_t>(whole_number(info[0], "reading")));
  return info.Env().Undefined();
}

Napi::Value JsEngine::send_cancel(Info info) {
  sender(info[0]).cancel();
  return info.Env().Undefined();
}

Napi::Value JsEngine::send_began(Info info) { return Napi::Boolean::New(info.Env(), sender(info[0]).began()); }

Napi::Value JsEngine::send_waited_ms(Info info) { return number_value(info.Env(), sender(info[0]).waited_ms()); }

}  // namespace atl::node
