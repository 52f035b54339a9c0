// See process_group_class.h.
#include "napi/process_group_class.h"

#include "device/allocator.h"
#include "napi/convert.h"

namespace mnv2 {
namespace {

std::vector<at::Tensor> tensors_from(const Napi::Value& value, const std::string& what) {
  if (!value.IsArray()) refuse(what, "a list of { data, shape, dtype }", value);
  const auto list = value.As<Napi::Array>();
  std::vector<at::Tensor> out;
  // Copies: the caller's arrays stay as they are.
  for (uint32_t i = 0; i < list.Length(); i++) out.push_back(tensor_from(list.Get(i), what).clone());
  return out;
}

Settle giving(std::vector<at::Tensor> tensors) {
  return [tensors = std::move(tensors)](Napi::Env env) -> Napi::Value {
    auto out = Napi::Array::New(env, tensors.size());
    for (uint32_t i = 0; i < tensors.size(); i++) out.Set(i, tensor_to(env, host_form(tensors[i])));
    return out;
  };
}

}  // namespace

Napi::Function ProcessGroupClass::define(Napi::Env env) {
  using C = ProcessGroupClass;
  return DefineClass(env, "ProcessGroup",
                     {InstanceMethod("join", &C::join), InstanceMethod("allReduce", &C::all_reduce),
                      InstanceMethod("broadcast", &C::broadcast), InstanceMethod("allGather", &C::all_gather),
                      InstanceMethod("barrier", &C::barrier), InstanceMethod("leave", &C::leave),
                      InstanceMethod("dispose", &C::dispose)});
}

ProcessGroupClass::ProcessGroupClass(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ProcessGroupClass>(info) {
  guarded(info.Env(), [&] {
    tag<ProcessGroupClass>(info);
    const auto options = object_from(info[0], "ProcessGroup");
    auto text = [&](const char* name) { return text_from(options.Get(name), std::string("ProcessGroup: ") + name); };
    auto whole = [&](const char* name, int64_t least, int64_t most) {
      return whole_from(options.Get(name), std::string("ProcessGroup: ") + name, least, most);
    };
    core_ = std::make_shared<Core>();
    auto& meeting = core_->meeting;
    meeting.world = static_cast<int>(whole("world", 1, 1 << 20));
    meeting.rank = static_cast<int>(whole("rank", 0, meeting.world - 1));
    meeting.port = static_cast<uint16_t>(whole("port", 1, 65535));
    meeting.host = text("host");
    meeting.hosts = options.Get("hosts").ToBoolean();
    meeting.prefix = text("prefix");
    meeting.address = text("address");
    meeting.interface = text("interface");
    meeting.timeout = number_from(options.Get("timeout"), "ProcessGroup: timeout");
    install_cpu_allocator();
    engine_ = Engine::create(info.Env(), info.Env().GetInstanceData<AddonData>()->engines, [] {});
  });
}

Napi::Value ProcessGroupClass::join(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    alive(core_, "ProcessGroup");
    // The engine outlives its thread, on which alone this is asked.
    return engine_->submit(info.Env(), [core = core_, engine = engine_.get()]() -> Settle {
      core->communicator =
          Communicator::join(core->meeting, [&core = *core, engine] { return core.leaving || engine->stopping(); });
      return nothing();
    });
  });
}

Napi::Promise ProcessGroupClass::submit(Napi::Env env, const Napi::Value& asked,
                                        std::function<Settle(Communicator&)> work) {
  alive(core_, "ProcessGroup");
  return engine_->submit(
      env, [core = core_, work = std::move(work), asked = text_from(asked, "ProcessGroup: asked")]() -> Settle {
        if (!core->communicator) throw Failure("DISTRIBUTED", "this process group has not joined the others");
        core->communicator->agree(asked);
        return work(*core->communicator);
      });
}

Napi::Value ProcessGroupClass::all_reduce(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto how = text_from(info[1], "allReduce: how");
    const auto reduction = how == "sum" ? Reduction::sum : how == "min" ? Reduction::least : Reduction::most;
    return submit(info.Env(), info[2], [tensors = tensors_from(info[0], "allReduce"), reduction](Communicator& all) {
      all.all_reduce(tensors, reduction);
      return giving(tensors);
    });
  });
}

Napi::Value ProcessGroupClass::broadcast(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto root = static_cast<int>(whole_from(info[1], "broadcast: from", 0, core_ ? core_->meeting.world - 1 : 0));
    return submit(info.Env(), info[2], [tensors = tensors_from(info[0], "broadcast"), root](Communicator& all) {
      all.broadcast(tensors, root);
      return giving(tensors);
    });
  });
}

Napi::Value ProcessGroupClass::all_gather(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return submit(info.Env(), info[1], [rows = tensor_from(info[0], "allGather").clone()](Communicator& all) {
      return giving(all.all_gather(rows));
    });
  });
}

Napi::Value ProcessGroupClass::barrier(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return submit(info.Env(), info[0], [](Communicator&) { return nothing(); });  // agreeing is one
  });
}

void ProcessGroupClass::leave(const Napi::CallbackInfo&) {
  if (core_) core_->leaving = true;
}

void ProcessGroupClass::dispose(const Napi::CallbackInfo& info) {
  if (!core_) return;
  // The connections end on the thread that uses them, after what is queued.
  engine_->submit(info.Env(), [core = core_]() -> Settle {
    core->communicator.reset();
    return nothing();
  });
  core_.reset();
  engine_->close();
}

}  // namespace mnv2
