// See dtype.h.
#include "graph/dtype.h"

#include "errors.h"

namespace mnv2 {
namespace {

struct DType {
  const char* name;
  at::ScalarType type;
};
constexpr DType kTypes[] = {{"float32", at::kFloat}, {"float64", at::kDouble}, {"bfloat16", at::kBFloat16},
                            {"int64", at::kLong},    {"int32", at::kInt},      {"int8", at::kChar},
                            {"uint8", at::kByte},    {"bool", at::kBool}};

}  // namespace

at::ScalarType dtype_from(const std::string& name, const std::string& what) {
  for (const auto& t : kTypes) {
    if (name == t.name) return t.type;
  }
  throw Failure("USAGE",
                what + ": expected float32, float64, bfloat16, int64, int32, int8, uint8 or bool, got '" + name + "'");
}

const char* dtype_name(at::ScalarType dtype) {
  for (const auto& t : kTypes) {
    if (dtype == t.type) return t.name;
  }
  return "unknown";
}

}  // namespace mnv2
