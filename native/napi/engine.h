// Engine: one thread, its queue, and the promises its jobs settle. Knows nothing of tensors.
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

namespace mnv2 {

/** Runs on the JavaScript thread once a job is done: makes the value its promise resolves to. */
using Settle = std::function<Napi::Value(Napi::Env)>;

class Engine : public std::enable_shared_from_this<Engine> {
 public:
  /** `start` runs first on the new thread: device, number of threads, grad mode. */
  static std::shared_ptr<Engine> create(Napi::Env env, std::function<void()> start);
  ~Engine();

  /** Queues `work`; what it returns makes the promise's value, what it throws its rejection. `hold` keeps JS values
   * alive. */
  Napi::Promise submit(Napi::Env env, std::function<Settle()> work, std::vector<Napi::ObjectReference> hold = {});
  /** Calls `body` soon on the JavaScript thread. Callable from any thread; dropped after shutdown. */
  void notify(std::function<void(Napi::Env)> body);
  /** Finishes the step under way, drops what is queued (rejecting it), ends the thread. Idempotent. */
  void shutdown();
  /** Lets queued jobs run, then ends the thread without waiting for it. */
  void close();
  bool closed() const { return closing_; }
  /** Set while shutting down: long jobs look at it between steps. */
  const std::atomic<bool>& stopping() const { return stopping_; }

 private:
  struct Job;
  explicit Engine(std::function<void()> start);
  void work(std::function<void()> start);
  void settle(Napi::Env env, Job* job);

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::unique_ptr<Job>> queue_;
  std::atomic<bool> closing_{false}, stopping_{false};
  Napi::ThreadSafeFunction to_js_;
  int pending_ = 0;     // JavaScript thread only: keeps the process alive while jobs run
  std::thread thread_;  // last: it uses everything above
};

/** Throws a JavaScript Error carrying the failure's code and module path. */
Napi::Error to_js_error(Napi::Env env, const std::string& code, const std::string& message, const std::string& path);

}  // namespace mnv2
