#include "node/objects/read_bytes.h"

#include "node/js_values.h"

namespace atl::node {
namespace {

constexpr uint64_t io_bytes_max = 64u << 20;

}  // namespace

Napi::Value read_bytes(Info info, JsQueue& queue, const std::shared_ptr<Resource>& from) {
  Napi::Env env = info.Env();
  const uint64_t offset = whole_number(info[1], "offset");
  const uint64_t length = whole_number(info[2], "length");
  if (length > io_bytes_max) refuse(env, Code::too_large, "read: more than 64 MiB at once");
  const auto buffer = Napi::Buffer<uint8_t>::New(env, length);
  const MutableBytes into{reinterpret_cast<std::byte*>(buffer.Data()), length};
  auto reference = std::make_shared<Napi::Reference<Napi::Buffer<uint8_t>>>(Napi::Persistent(buffer));
  return promise_of<void>(env, queue, from->home(), from->read(offset, into),
                          [reference, from](Napi::Env) -> Napi::Value { return reference->Value(); });
}

}  // namespace atl::node
