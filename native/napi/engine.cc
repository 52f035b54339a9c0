// See engine.h.
#include "napi/engine.h"

#include "errors.h"

namespace mnv2 {

struct Engine::Job {
  Napi::Promise::Deferred deferred;
  std::function<Settle()> work;
  std::vector<Napi::ObjectReference> hold;
  Settle settle;
  std::unique_ptr<Failure> failure;
};

Napi::Error to_js_error(Napi::Env env, const std::string& code, const std::string& message, const std::string& path) {
  auto error = Napi::Error::New(env, message);
  error.Set("nativeCode", Napi::String::New(env, code));
  error.Set("nativePath", Napi::String::New(env, path));
  return error;
}

std::shared_ptr<Engine> Engine::create(Napi::Env env, std::function<void()> start) {
  auto engine = std::shared_ptr<Engine>(new Engine(std::move(start)));
  engine->to_js_ = Napi::ThreadSafeFunction::New(env, Napi::Function(), "mnv2-torch engine", 0, 1);
  engine->to_js_.Unref(env);
  return engine;
}

Engine::Engine(std::function<void()> start) : thread_([this, start = std::move(start)] { work(start); }) {}

Engine::~Engine() { shutdown(); }

void Engine::work(std::function<void()> start) {
  std::unique_ptr<Failure> broken;
  try {
    start();
  } catch (...) {
    broken = std::make_unique<Failure>(current_failure());
  }
  for (;;) {
    std::unique_ptr<Job> job;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [this] { return !queue_.empty() || closing_; });
      if (queue_.empty()) return;
      job = std::move(queue_.front());
      queue_.pop_front();
    }
    if (broken) {
      job->failure = std::make_unique<Failure>(*broken);
    } else if (stopping_) {
      job->failure = std::make_unique<Failure>("DISPOSED", "the engine was shut down before this job ran");
    } else {
      try {
        job->settle = job->work();
      } catch (...) {
        job->failure = std::make_unique<Failure>(current_failure());
      }
    }
    job->work = nullptr;  // tensors it captured die here, on the thread that made them
    Job* done = job.release();
    auto self = weak_from_this();
    const auto status = to_js_.BlockingCall(done, [self](Napi::Env env, Napi::Function, Job* finished) {
      if (env == nullptr) return;  // the environment is going away and takes its references along
      std::unique_ptr<Job> owner(finished);
      if (auto engine = self.lock()) engine->settle(env, finished);
    });
    if (status != napi_ok) return;  // the same; nobody is left to settle promises
  }
}

void Engine::settle(Napi::Env env, Job* job) {
  Napi::HandleScope scope(env);
  if (--pending_ == 0) to_js_.Unref(env);
  try {
    Napi::Value value;
    if (!job->failure) {
      try {
        value = job->settle(env);
      } catch (...) {
        job->failure = std::make_unique<Failure>(current_failure());
      }
    }
    if (job->failure)
      job->deferred.Reject(to_js_error(env, job->failure->code, job->failure->what(), job->failure->path).Value());
    else
      job->deferred.Resolve(value);
  } catch (const Napi::Error&) {
    // A worker being terminated runs no JavaScript any more: there is no one to tell.
  }
}

Napi::Promise Engine::submit(Napi::Env env, std::function<Settle()> work, std::vector<Napi::ObjectReference> hold) {
  auto deferred = Napi::Promise::Deferred::New(env);
  auto promise = deferred.Promise();
  if (closing_) {
    deferred.Reject(to_js_error(env, "DISPOSED", "this Engine was disposed; make a new one", "").Value());
    return promise;
  }
  std::unique_ptr<Job> job(new Job{deferred, std::move(work), std::move(hold), nullptr, nullptr});
  if (pending_++ == 0) to_js_.Ref(env);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    queue_.push_back(std::move(job));
  }
  wake_.notify_one();
  return promise;
}

void Engine::notify(std::function<void(Napi::Env)> body) {
  auto* call = new std::function<void(Napi::Env)>(std::move(body));
  const auto status =
      to_js_.NonBlockingCall(call, [](Napi::Env env, Napi::Function, std::function<void(Napi::Env)>* f) {
        std::unique_ptr<std::function<void(Napi::Env)>> owner(f);
        if (env == nullptr) return;
        try {
          (*f)(env);
        } catch (const Napi::Error& error) {
          if (!error.IsEmpty()) error.ThrowAsJavaScriptException();  // the callback's own: uncaught, as in any callback
        }
      });
  if (status != napi_ok) delete call;
}

void Engine::close() {
  closing_ = true;
  wake_.notify_one();
}

void Engine::shutdown() {
  stopping_ = true;
  close();
  if (!thread_.joinable()) return;
  if (thread_.get_id() == std::this_thread::get_id())
    thread_.detach();
  else
    thread_.join();
  to_js_.Release();
}

}  // namespace mnv2
