// bytes.h: bytes of JavaScript buffers that native tasks use.
#pragma once

#include <napi.h>

#include <utility>

#include "base/types.h"

namespace atl::node {

/// Throws a TypeError unless the value is a Uint8Array.
inline Bytes bytes_of(const Napi::Value& value) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
    throw Napi::TypeError::New(value.Env(), "Expected a Uint8Array for data");
  const auto array = value.As<Napi::Uint8Array>();
  return {reinterpret_cast<const std::byte*>(array.Data()), array.ByteLength()};
}

/// Bytes of a JavaScript buffer, kept from the garbage collector.
struct HeldBytes {
  Napi::Reference<Napi::Uint8Array> reference;
  Bytes bytes;
  explicit HeldBytes(const Napi::Value& value) : bytes(bytes_of(value)) {
    reference = Napi::Reference<Napi::Uint8Array>::New(value.As<Napi::Uint8Array>(), 1);
  }
};

/// A conversion to undefined that keeps `owned` until the promise is settled.
template <class Owned>
auto undefined_after(Owned owned) {
  return [owned = std::move(owned)](Napi::Env env) -> Napi::Value { return env.Undefined(); };
}

}  // namespace atl::node
