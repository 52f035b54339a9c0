// resample(pixels, height, width, size): images as Pillow makes them, on libuv's threads.
#include "data/resample.h"
#include "napi/functions.h"
#include "napi/support.h"

namespace mnv2 {
namespace {

/** Resamples on libuv's threads, where the decoder works too; the engine's thread stays with its programs. */
class Resampling : public Napi::AsyncWorker {
 public:
  Resampling(Napi::Env env, const Napi::Uint8Array& pixels, int height, int width, int size)
      : Napi::AsyncWorker(env, "mnv2.resample"),
        promise(Napi::Promise::Deferred::New(env)),
        held_(Napi::Persistent(pixels.As<Napi::Object>())),
        in_(pixels.Data()),
        height_(height),
        width_(width),
        size_(size) {
    // Made here, so that the worker thread writes straight into what the promise resolves to.
    auto result = Napi::Uint8Array::New(env, static_cast<size_t>(size) * size * 3);
    out_ = result.Data();
    result_ = Napi::Persistent(result.As<Napi::Object>());
  }
  void Execute() override { resample_rgb(in_, height_, width_, out_, size_); }
  void OnOK() override { promise.Resolve(result_.Value()); }
  void OnError(const Napi::Error& error) override { promise.Reject(error.Value()); }

  const Napi::Promise::Deferred promise;

 private:
  Napi::ObjectReference held_, result_;
  const uint8_t* in_;
  uint8_t* out_;
  int height_, width_, size_;
};

Napi::Value resample(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto pixels = bytes_from(info[0], "resample: pixels");
    int sides[3];
    const char* const names[] = {"resample: height", "resample: width", "resample: size"};
    for (int i = 0; i < 3; i++) sides[i] = static_cast<int>(whole_from(info[i + 1], names[i], 1, 65536));
    const size_t expected = static_cast<size_t>(sides[0]) * sides[1] * 3;
    if (pixels.ElementLength() != expected) {
      throw Failure("USAGE", "resample: expected " + std::to_string(expected) + " bytes [" + std::to_string(sides[0]) +
                                 ", " + std::to_string(sides[1]) + ", 3], got " +
                                 std::to_string(pixels.ElementLength()));
    }
    auto* work = new Resampling(info.Env(), pixels, sides[0], sides[1], sides[2]);
    auto promise = work->promise.Promise();
    work->Queue();
    return promise;
  });
}

}  // namespace

void export_resample(Napi::Env env, Napi::Object exports) {
  exports.Set("resample", Napi::Function::New(env, resample, "resample"));
}

}  // namespace mnv2
