// jpegDamage(bytes) for JavaScript. What it does is data/jpeg_check.h.
#include "data/jpeg_check.h"

#include "napi/functions.h"
#include "napi/support.h"

namespace mnv2 {
namespace {

/** Works on libuv's threads, as decoding does. */
class JpegCheck : public Napi::AsyncWorker {
 public:
  JpegCheck(Napi::Env env, const Napi::Uint8Array& bytes)
      : Napi::AsyncWorker(env, "mnv2.jpegDamage"),
        promise(Napi::Promise::Deferred::New(env)),
        held_(Napi::Persistent(bytes.As<Napi::Object>())),
        bytes_(bytes.Data()),
        size_(bytes.ByteLength()) {}
  void Execute() override { damage_ = jpeg_damage(bytes_, size_); }
  void OnOK() override { promise.Resolve(Napi::String::New(Env(), damage_)); }
  void OnError(const Napi::Error& error) override { promise.Reject(error.Value()); }

  const Napi::Promise::Deferred promise;

 private:
  Napi::ObjectReference held_;
  const uint8_t* bytes_;
  size_t size_;
  std::string damage_;
};

Napi::Value jpeg_damage_of(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto* work = new JpegCheck(info.Env(), bytes_from(info[0], "jpegDamage"));
    auto promise = work->promise.Promise();
    work->Queue();
    return promise;
  });
}

}  // namespace

void export_jpeg_check(Napi::Env env, Napi::Object exports) {
  exports.Set("jpegDamage", Napi::Function::New(env, jpeg_damage_of, "jpegDamage"));
}

}  // namespace mnv2
