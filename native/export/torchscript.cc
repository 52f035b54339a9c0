// See torchscript.h.
#include "export/torchscript.h"

#include <ATen/ATen.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>

#include <memory>
#include <sstream>
#include <utility>

namespace mnv2 {
namespace {

using torch::jit::Module;

/** 'a.b.c' -> {'a.b', 'c'}; 'a' -> {'', 'a'}. */
std::pair<std::string, std::string> split_last(const std::string& path) {
  const auto dot = path.rfind('.');
  if (dot == std::string::npos) return {"", path};
  return {path.substr(0, dot), path.substr(dot + 1)};
}

/** The modules of a script by path. */
class Tree {
 public:
  Module& at(const std::string& path) { return add(path, "ModuleList"); }

  /** What holds parts without being one itself, such as a list, is made on the way. */
  Module& add(const std::string& path, const std::string& type) {
    const auto found = modules_.find(path);
    if (found != modules_.end()) return found->second;
    Module module("__torch__.mnv2_torch." + type, unit_, /*shouldMangle=*/true);
    // As torch.nn's modules have it: freezing and optimising ask for it.
    module.register_attribute("training", c10::BoolType::get(), false);
    if (!path.empty()) {
      const auto [parent, name] = split_last(path);
      at(parent).register_module(name, module);
    }
    return modules_.emplace(path, std::move(module)).first->second;
  }

 private:
  std::shared_ptr<torch::jit::CompilationUnit> unit_ = std::make_shared<torch::jit::CompilationUnit>();
  std::map<std::string, Module> modules_;
};

}  // namespace

std::string torchscript_bytes(const Script& script) {
  Tree tree;
  for (const auto& [path, type] : script.parts) tree.add(path, type);
  for (const auto& [name, parameter, value] : script.tensors) {
    const auto [parent, own] = split_last(name);
    tree.at(parent).register_parameter(own, value, /*is_buffer=*/!parameter);
  }
  auto& root = tree.at("");
  root.define(script.source);
  torch::jit::ExtraFilesMap notes;
  for (const auto& [name, text] : script.notes) notes[name] = text;
  std::ostringstream out;
  root.save(out, notes);
  return out.str();
}

at::Tensor ScriptModule::forward(const at::Tensor& input) {
  if (!forward_) {
    std::istringstream in(std::exchange(bytes_, {}));
    auto module = torch::jit::load(in, c10::Device(at::kCPU));
    forward_ = [module](const at::Tensor& x) mutable { return module.forward({x}).toTensor(); };
  }
  return forward_(input);
}

}  // namespace mnv2
