// What a loop is asked to do, read and checked before anything runs. No classes, no state.
#pragma once
#include "exec/program.h"
#include "napi/support.h"

namespace mnv2 {

struct NamedLoop {
  LoopSpec spec;
  std::vector<std::string> stack, rows;  // names of spec.stack and spec.rows
};
NamedLoop loop_from(const Napi::Value& value, const ProgramCore& program);

}  // namespace mnv2
