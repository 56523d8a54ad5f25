#include "node/js_values.h"

#include <cmath>

namespace atl::node {
namespace {

[[noreturn]] void refuse(Napi::Env env, const char* what, const char* expected) {
  throw Napi::TypeError::New(env, std::string("Expected ") + expected + " for " + what);
}

constexpr double largest_safe_integer = 9007199254740991.0;

}  // namespace

uint64_t whole_number(const Napi::Value& value, const char* what) {
  if (!value.IsNumber()) refuse(value.Env(), what, "a whole number");
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= 0) || number > largest_safe_integer || std::floor(number) != number)
    refuse(value.Env(), what, "a whole number from 0 to 2^53-1");
  return static_cast<uint64_t>(number);
}

std::string text(const Napi::Value& value, const char* what) {
  if (!value.IsString()) refuse(value.Env(), what, "a string");
  return value.As<Napi::String>().Utf8Value();
}

bool truth(const Napi::Value& value, const char* what) {
  if (!value.IsBoolean()) refuse(value.Env(), what, "a boolean");
  return value.As<Napi::Boolean>().Value();
}

Napi::Object object(const Napi::Value& value, const char* what) {
  if (!value.IsObject()) refuse(value.Env(), what, "an object");
  return value.As<Napi::Object>();
}

LayerId layer_id(const Napi::Value& value, const char* what) {
  const uint64_t id = whole_number(value, what);
  if (id == 0) refuse(value.Env(), what, "a layer id above 0");
  return LayerId{id};
}

std::vector<ChainLayer> chain(const Napi::Value& value) {
  if (!value.IsArray()) refuse(value.Env(), "layers", "an array");
  const auto array = value.As<Napi::Array>();
  std::vector<ChainLayer> layers;
  layers.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); i++) {
    const Napi::Object layer = object(array.Get(i), "layers[]");
    layers.push_back({layer_id(layer.Get("id"), "layers[].id"),
                      whole_number(layer.Get("parentLimitBlocks"), "layers[].parentLimitBlocks")});
  }
  return layers;
}

ResourceSpec resource_spec(const Napi::Value& value) {
  const Napi::Object spec = object(value, "spec");
  return ResourceSpec{text(spec.Get("id"), "spec.id"), whole_number(spec.Get("sizeBytes"), "spec.sizeBytes"),
                      truth(spec.Get("readOnly"), "spec.readOnly"), chain(spec.Get("layers"))};
}

Napi::Value number_value(Napi::Env env, uint64_t value) { return Napi::Number::New(env, static_cast<double>(value)); }

}  // namespace atl::node
