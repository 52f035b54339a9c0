// Stands in for Gloo's header, which libtorch's wheels leave out: what c10d's inline functions name.
#pragma once
#include <chrono>

namespace gloo {
class Context {
 public:
  void setTimeout(std::chrono::milliseconds timeout);
};
}  // namespace gloo
