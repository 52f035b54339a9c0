// Attrs: an op's attributes as the graph carries them. Owns conversion and defaults, knows neither torch nor N-API.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "errors.h"

namespace mnv2 {

class Attrs {
 public:
  using Value = std::variant<double, bool, std::string, std::vector<double>>;
  std::map<std::string, Value> values;

  double number(const char* name) const { return get<double>(name); }
  int64_t integer(const char* name) const { return static_cast<int64_t>(get<double>(name)); }
  int64_t integer_or(const char* name, int64_t absent) const { return values.count(name) ? integer(name) : absent; }
  bool flag(const char* name) const { return get<bool>(name); }
  const std::string& text(const char* name) const { return get<std::string>(name); }
  std::vector<int64_t> integers(const char* name) const {
    const auto& list = get<std::vector<double>>(name);
    return {list.begin(), list.end()};
  }

 private:
  template <class T>
  const T& get(const char* name) const {
    auto found = values.find(name);
    if (found == values.end() || !std::holds_alternative<T>(found->second)) {
      throw Failure("NATIVE", std::string("attribute '") + name +
                                  "' is missing or of another type: addon and TypeScript differ in version; rebuild "
                                  "with: npx mnv2-torch setup --force");
    }
    return std::get<T>(found->second);
  }
};

}  // namespace mnv2
