// js_values.h: plain data across the boundary. TypeScript has judged it; what is malformed all the same throws a TypeError.
#pragma once

#include <napi.h>

#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/health/check.h"

namespace atl::node {

/// A whole number in 0..2^53-1.
uint64_t whole_number(const Napi::Value& value, const char* what);
std::string text(const Napi::Value& value, const char* what);
bool truth(const Napi::Value& value, const char* what);
Napi::Object object(const Napi::Value& value, const char* what);
LayerId layer_id(const Napi::Value& value, const char* what);
std::vector<ChainLayer> chain(const Napi::Value& value);
ResourceSpec resource_spec(const Napi::Value& value);

Napi::Value number_value(Napi::Env env, uint64_t value);

}  // namespace atl::node
