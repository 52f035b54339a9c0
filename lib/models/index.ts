// The public names of this room.
export {
  ConvBNReLU6,
  DepthwiseSeparable,
  InvertedResidual,
  makeDivisible,
  SqueezeExcitation,
  type Activation,
  type BlockStyle,
} from './blocks.js';
export { MobileNet, type MobileNetOptions } from './classifier-network.js';
export { MobileNetV1, type MobileNetV1Options } from './mobilenet-v1.js';
export { ARCHITECTURES, createModel, type Arch, type ModelOptions } from './registry.js';
export { MobileNetV2, type InvertedResidualSetting, type MobileNetV2Options } from './mobilenet-v2.js';
export { MobileNetV3Large, MobileNetV3Small } from './mobilenet-v3.js';
