// TorchScript: a network as a file that torch.jit.load reads, and such a file run again. The only place that knows
// libtorch's jit.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace mnv2 {

/** A network in TorchScript's words. Names are dotted paths; parts and tensors go where a state dict has them. */
struct Script {
  struct Part {
    std::string path, type;  // '' is the network itself; type becomes a class name
  };
  struct Entry {
    std::string name;
    bool parameter;  // or a buffer
    at::Tensor value;
  };
  std::vector<Part> parts;  // each after the one it is in
  std::vector<Entry> tensors;
  std::string source;                        // of its method `forward`
  std::map<std::string, std::string> notes;  // files carried along, by name
};

/** The bytes of the file. */
std::string torchscript_bytes(const Script& script);

/** Such a file, to be run on the CPU. It is a program: one of somebody else's should not be. Engine thread. */
class ScriptModule {
 public:
  explicit ScriptModule(std::string bytes) : bytes_(std::move(bytes)) {}
  /** Loads the file when it is first asked. */
  at::Tensor forward(const at::Tensor& input);

 private:
  std::string bytes_;
  std::function<at::Tensor(const at::Tensor&)> forward_;
};

}  // namespace mnv2
