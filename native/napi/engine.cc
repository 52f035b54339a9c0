// See engine.h.
#include "napi/engine.h"

#include <algorithm>
#include <utility>

namespace mnv2 {

struct Engine::Job {
  Napi::Promise::Deferred deferred;
  std::function<Settle()> work;
  std::shared_ptr<void> keep;
  Settle settle;
  std::unique_ptr<Failure> failure;
};

Napi::Error to_js_error(Napi::Env env, const Failure& failure) {
  auto error = Napi::Error::New(env, failure.what());
  error.Set("nativeCode", Napi::String::New(env, failure.code));
  error.Set("nativePath", Napi::String::New(env, failure.path));
  return error;
}

void Engines::stop() {
  stopped_ = true;
  for (auto& engine : running_) engine->stop();
  for (auto& engine : std::exchange(running_, {})) engine->join();
}

std::shared_ptr<Engine> Engine::create(Napi::Env env, Engines& engines, std::function<void()> start) {
  if (engines.stopped_) throw Failure("DISPOSED", "the process is ending; no Engine can be made any more");
  std::shared_ptr<Engine> engine(new Engine(env, engines));
  engine->doorbell_ = Doorbell::New(env, "mnv2-torch engine", 0, 1, engine.get());
  engine->doorbell_.Unref(env);
  engine->thread_ = std::thread([raw = engine.get(), start = std::move(start)] { raw->work(start); });
  // After the doorbell's own hook, as hooks run in reverse: the thread must be gone before what it calls is.
  napi_add_env_cleanup_hook(env, environment_ends, engine.get());
  engines.running_.push_back(engine);
  return {engine.get(), [owner = engine](Engine* handle) { handle->close(); }};
}

void Engine::environment_ends(void* engine) { static_cast<Engine*>(engine)->engines_.stop(); }

void Engine::work(const std::function<void()>& start) {
  std::unique_ptr<Failure> broken;
  try {
    start();
  } catch (...) {
    broken = std::make_unique<Failure>(current_failure());
  }
  for (;;) {
    std::shared_ptr<Job> job;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [this] { return !queue_.empty() || closing_; });
      if (stopping_) return;  // whoever stops joins this thread and drops what is queued
      if (queue_.empty()) break;
      job = std::move(queue_.front());
      queue_.pop_front();
    }
    if (broken) {
      job->failure = std::make_unique<Failure>(*broken);
    } else {
      try {
        job->settle = job->work();
      } catch (...) {
        job->failure = std::make_unique<Failure>(current_failure());
      }
    }
    job->work = nullptr;  // tensors it captured die here, on the thread that made them
    notify([this, job = std::move(job)](Napi::Env env) { settle(env, *job); });
  }
  notify([this](Napi::Env) { leave(); });
}

void Engine::notify(std::function<void(Napi::Env)> body) {
  bool first;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    first = calls_.empty();
    calls_.push_back(std::move(body));
  }
  if (first) doorbell_.NonBlockingCall();
}

void Engine::ring(Napi::Env env, Napi::Function, Engine* engine, void*) {
  if (env == nullptr) return;  // the doorbell was taken down; what is left in calls_ was dropped
  std::shared_ptr<Engine> alive;
  for (const auto& running : engine->engines_.running_) {
    if (running.get() == engine) alive = running;
  }
  std::deque<std::function<void(Napi::Env)>> calls;
  {
    std::lock_guard<std::mutex> lock(engine->mutex_);
    calls.swap(engine->calls_);
  }
  for (auto& call : calls) {
    Napi::HandleScope scope(env);
    try {
      std::exchange(call, nullptr)(env);
    } catch (const Napi::Error&) {
      // A worker being terminated runs no JavaScript any more: there is no one to tell.
    }
  }
}

void Engine::settle(Napi::Env env, Job& job) {
  if (--pending_ == 0 && !ended_) doorbell_.Unref(env);
  Napi::Value value;
  if (!job.failure) {
    try {
      value = job.settle(env);
    } catch (const Napi::Error&) {
      throw;
    } catch (...) {
      job.failure = std::make_unique<Failure>(current_failure());
    }
  }
  if (job.failure)
    job.deferred.Reject(to_js_error(env, *job.failure).Value());
  else
    job.deferred.Resolve(value);
}

Napi::Promise Engine::submit(Napi::Env env, std::function<Settle()> work, std::shared_ptr<void> keep) {
  auto deferred = Napi::Promise::Deferred::New(env);
  auto promise = deferred.Promise();
  if (closing_) {
    deferred.Reject(to_js_error(env, {"DISPOSED", "this Engine was disposed; make a new one"}).Value());
    return promise;
  }
  std::shared_ptr<Job> job(new Job{deferred, std::move(work), std::move(keep), nullptr, nullptr});
  if (pending_++ == 0) doorbell_.Ref(env);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    queue_.push_back(std::move(job));
  }
  wake_.notify_one();
  return promise;
}

void Engine::close() {
  {
    std::lock_guard<std::mutex> lock(mutex_);  // or the thread could miss it between looking and waiting
    closing_ = true;
  }
  wake_.notify_one();
}

void Engine::stop() {
  stopping_ = true;
  close();
}

/** Waits for the thread and drops what it left, on the JavaScript thread and while the environment still lives. */
void Engine::join() {
  if (ended_) return;
  ended_ = true;
  thread_.join();
  queue_.clear();
  calls_.clear();
  doorbell_.Abort();
  napi_remove_env_cleanup_hook(env_, environment_ends, this);
}

/** The thread has ended by itself, after close(). */
void Engine::leave() {
  auto& all = engines_.running_;
  auto self = std::find_if(all.begin(), all.end(), [this](const auto& engine) { return engine.get() == this; });
  if (self == all.end()) return;
  auto alive = *self;
  all.erase(self);
  join();
}

}  // namespace mnv2
