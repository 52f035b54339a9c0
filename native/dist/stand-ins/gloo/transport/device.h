// Stands in for Gloo's header, which libtorch's wheels leave out: devices and buffers are only handed round.
#pragma once

namespace gloo {
namespace transport {
class Device;
class UnboundBuffer;
}  // namespace transport
}  // namespace gloo
