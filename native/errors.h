// Failure: what native code throws and TypeScript turns into its error classes. Owns no policy.
#pragma once
#include <stdexcept>
#include <string>

namespace mnv2 {

/** Codes TypeScript knows: USAGE, DATA, ENVIRONMENT, DISPOSED, SHAPE, OUT_OF_MEMORY, TORCH, NATIVE, DISTRIBUTED,
 * ABORTED. */
struct Failure : std::runtime_error {
  Failure(std::string code, const std::string& message, std::string path = "")
      : std::runtime_error(message), code(std::move(code)), path(std::move(path)) {}
  std::string code;
  std::string path;  // module path of the node that was running, '' when none was
};

/** The exception being handled, as a Failure. Call inside a catch block. */
Failure current_failure(const std::string& path = "");

}  // namespace mnv2
