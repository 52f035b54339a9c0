// Element types by the names TypeScript gives them.
#pragma once
#include <c10/core/ScalarType.h>

#include <string>

namespace mnv2 {

/** Throws Failure for a name that is none of the graph's types; `what` is whose it is, for the message. */
at::ScalarType dtype_from(const std::string& name, const std::string& what = "dtype");
/** "unknown" for types the graph does not have. */
const char* dtype_name(at::ScalarType dtype);

}  // namespace mnv2
