// Program as JavaScript sees it.
#pragma once
#include "exec/program.h"
#include "napi/support.h"

namespace mnv2 {

class ProgramClass : public Napi::ObjectWrap<ProgramClass> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit ProgramClass(const Napi::CallbackInfo& info);

 private:
  Napi::Value state(const Napi::CallbackInfo& info);
  Napi::Value run(const Napi::CallbackInfo& info);
  Napi::Value loop(const Napi::CallbackInfo& info);
  Napi::Value plan(const Napi::CallbackInfo& info);
  Napi::Value cuda_graph(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);

  /** Absent: the outputs the graph was compiled for. */
  std::vector<std::string> names_from(const Napi::Value& fetch) const;
  std::vector<int> nodes_of(const std::vector<std::string>& names) const;

  std::shared_ptr<ProgramCore> core_;  // empty once disposed
  std::shared_ptr<Engine> engine_;
};

}  // namespace mnv2
