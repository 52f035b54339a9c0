// ProcessGroup as JavaScript sees it: collectives on a thread of its own, so that waiting for others stops nothing
// else.
#pragma once
#include <atomic>

#include "dist/communicator.h"
#include "napi/support.h"

namespace mnv2 {

class ProcessGroupClass : public Napi::ObjectWrap<ProcessGroupClass> {
 public:
  static constexpr napi_type_tag kTag = {0x6d6e76322d746f72ull, 0x63682d70726f6367ull};
  static constexpr const char* kName = "a ProcessGroup";
  static Napi::Function define(Napi::Env env);
  /** `new ProcessGroup({ rank, world, host, port, hosts, prefix, address, interface, timeout })`; join() connects. */
  explicit ProcessGroupClass(const Napi::CallbackInfo& info);

 private:
  /** What jobs share with the object: it may be disposed while one waits. */
  struct Core {
    Meeting meeting;
    std::shared_ptr<Communicator> communicator;  // the group's thread only
    std::atomic<bool> leaving{false};
  };
  Napi::Value join(const Napi::CallbackInfo& info);
  Napi::Value all_reduce(const Napi::CallbackInfo& info);
  Napi::Value broadcast(const Napi::CallbackInfo& info);
  Napi::Value all_gather(const Napi::CallbackInfo& info);
  Napi::Value barrier(const Napi::CallbackInfo& info);
  void leave(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);
  /** Does `work` once all processes have `asked` for the same. */
  Napi::Promise submit(Napi::Env env, const Napi::Value& asked, std::function<Settle(Communicator&)> work);

  std::shared_ptr<Engine> engine_;
  std::shared_ptr<Core> core_;
};

}  // namespace mnv2
