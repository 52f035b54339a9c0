// See errors.h. Knows libtorch's exceptions.
#include "errors.h"

#include <c10/util/Exception.h>

#include <new>

namespace mnv2 {

Failure current_failure(const std::string& path) {
  try {
    throw;
  } catch (const Failure& failure) {
    return {failure.code, failure.what(), failure.path.empty() ? path : failure.path};
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    const auto says = [&](const char* words) { return text.find(words) != std::string::npos; };
    const bool memory = says("out of memory") || says("not enough memory") || says("can't allocate memory");
    return {memory ? "OUT_OF_MEMORY" : "TORCH", memory ? text + " Use a smaller batch or image size." : text, path};
  } catch (const std::bad_alloc&) {
    return {"OUT_OF_MEMORY", "out of memory. Use a smaller batch or image size.", path};
  } catch (const std::exception& error) {
    return {"NATIVE", error.what(), path};
  } catch (...) {
    return {"NATIVE", "unknown native exception", path};
  }
}

}  // namespace mnv2
