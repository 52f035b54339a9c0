// Functions of the addon that belong to no class.
#pragma once
#include <napi.h>

namespace mnv2 {

/** buildInfo(), cudaDevices(), opNames(). */
void export_facts(Napi::Env env, Napi::Object exports);
/** timeDepthwise(engine, work), timeCopy(engine, work), for the bench. */
void export_timers(Napi::Env env, Napi::Object exports);
/** jpegDamage(bytes). */
void export_jpeg_check(Napi::Env env, Napi::Object exports);
/** resample(pixels, height, width, size). */
void export_resample(Napi::Env env, Napi::Object exports);
/** torchScript(engine, script). */
void export_torchscript(Napi::Env env, Napi::Object exports);

}  // namespace mnv2
