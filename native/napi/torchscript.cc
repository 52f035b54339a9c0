// torchScript(engine, script): the bytes of a TorchScript file, made on the engine's thread.
#include "export/torchscript.h"

#include "napi/convert.h"
#include "napi/engine_class.h"
#include "napi/functions.h"

namespace mnv2 {
namespace {

Napi::Array array_from(const Napi::Value& value, const std::string& what) {
  if (!value.IsArray()) refuse(what, "a list", value);
  return value.As<Napi::Array>();
}

Script script_from(const Napi::Value& value) {
  const auto given = object_from(value, "torchScript", "{ parts, tensors, source, notes }");
  Script script;
  const auto parts = array_from(given.Get("parts"), "torchScript: parts");
  for (uint32_t i = 0; i < parts.Length(); i++) {
    const auto part = object_from(parts.Get(i), "torchScript: parts");
    script.parts.push_back({text_from(part.Get("path"), "torchScript: path of a part"),
                            text_from(part.Get("type"), "torchScript: type of a part")});
  }
  const auto tensors = array_from(given.Get("tensors"), "torchScript: tensors");
  for (uint32_t i = 0; i < tensors.Length(); i++) {
    const auto entry = object_from(tensors.Get(i), "torchScript: tensors");
    const auto name = text_from(entry.Get("name"), "torchScript: name of a tensor");
    const bool parameter = entry.Get("parameter").ToBoolean();
    script.tensors.push_back({name, parameter, tensor_from(entry, "torchScript: '" + name + "'")});
  }
  script.source = text_from(given.Get("source"), "torchScript: source");
  const auto notes = object_from(given.Get("notes"), "torchScript: notes");
  for (const auto& name : keys_of(notes)) script.notes[name] = text_from(notes.Get(name), "torchScript: note " + name);
  return script;
}

Napi::Value written(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto& of = unwrapped<EngineClass>(info[0], "torchScript: engine");
    return of.engine->submit(info.Env(), [script = script_from(info[1])]() -> Settle {
      const auto bytes = std::make_shared<std::string>(torchscript_bytes(script));
      return
          [bytes](Napi::Env env) -> Napi::Value { return Napi::Buffer<char>::Copy(env, bytes->data(), bytes->size()); };
    });
  });
}

}  // namespace

void export_torchscript(Napi::Env env, Napi::Object exports) {
  exports.Set("torchScript", Napi::Function::New(env, written, "torchScript"));
}

}  // namespace mnv2
