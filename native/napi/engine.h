// Engine: one thread, its queue, and the promises its jobs settle. Knows nothing of tensors.
//
// Who destroys what: a job holds references to JavaScript values, so it is made, settled and destroyed on the
// JavaScript thread; only the work inside of it runs, and dies, on the engine's. The environment owns its engines and
// joins their threads; classes hold a handle, and the last handle closes the engine.
#pragma once
#include <napi.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "errors.h"

namespace mnv2 {

/** Runs on the JavaScript thread once a job is done: makes the value its promise resolves to. */
using Settle = std::function<Napi::Value(Napi::Env)>;

class Engine;

/** The engines of one environment. JavaScript thread only. */
class Engines {
 public:
  /** Ends all of them: each between two steps, with its queue left undone. No engine can be made afterwards. */
  void stop();

 private:
  friend class Engine;
  std::vector<std::shared_ptr<Engine>> running_;
  bool stopped_ = false;
};

class Engine {
 public:
  /** A new thread; `start` runs first on it: device, number of threads, grad mode. */
  static std::shared_ptr<Engine> create(Napi::Env env, Engines& engines, std::function<void()> start);

  /**
   * Queues `work`; what it returns makes the promise's value, what it throws its rejection. `keep` lives until the
   * promise is settled and dies on the JavaScript thread: references to what `work` uses.
   */
  Napi::Promise submit(Napi::Env env, std::function<Settle()> work, std::shared_ptr<void> keep = nullptr);
  /** Calls `body` soon on the JavaScript thread, before the promise of the job under way settles. Engine thread. */
  void notify(std::function<void(Napi::Env)> body);
  /** Lets queued jobs run, then ends the thread without waiting for it. Idempotent. */
  void close();
  /** Set when the environment ends: long jobs look at it between steps. */
  bool stopping() const { return stopping_; }

 private:
  friend class Engines;
  struct Job;
  static void ring(Napi::Env env, Napi::Function, Engine* engine, void*);
  static void environment_ends(void* engine);
  using Doorbell = Napi::TypedThreadSafeFunction<Engine, void, &Engine::ring>;

  Engine(Napi::Env env, Engines& engines) : env_(env), engines_(engines) {}
  void work(const std::function<void()>& start);
  void settle(Napi::Env env, Job& job);
  void stop();
  void join();
  void leave();

  const napi_env env_;
  Engines& engines_;
  std::mutex mutex_;  // of the two queues
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Job>> queue_;
  std::deque<std::function<void(Napi::Env)>> calls_;  // for the JavaScript thread, in order
  std::atomic<bool> closing_{false}, stopping_{false};
  Doorbell doorbell_;
  // JavaScript thread only:
  int pending_ = 0;  // jobs that keep the process alive
  bool ended_ = false;
  std::thread thread_;
};

/** A JavaScript Error carrying the failure's code and module path. */
Napi::Error to_js_error(Napi::Env env, const Failure& failure);

}  // namespace mnv2
