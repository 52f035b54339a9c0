// The public names of mnv2-torch.
export {
  DataError,
  DistributedError,
  DivergedError,
  EnvironmentError,
  EXIT,
  Mnv2Error,
  ParityError,
  QueueFullError,
  ShapeError,
  TorchError,
  UsageError,
} from './errors.js';
export {
  constant,
  input,
  parameter,
  Tensor,
  tensorData,
  type Attrs,
  type DType,
  type HostArray,
  type Shape,
  type TensorData,
} from './graph/tensor.js';
export {
  add,
  argmax,
  avgPool2d,
  batchNorm2d,
  binaryCrossEntropyWithLogits,
  cast,
  concat,
  conv2d,
  crossEntropy,
  depthwiseConv2d,
  dequantize,
  div,
  dropout,
  equal,
  exp,
  fakeQuantize,
  globalAveragePool,
  gradients,
  hardsigmoid,
  hardswish,
  hardtanh,
  layerNorm,
  linear,
  log,
  logSoftmax,
  matmul,
  max,
  maxPool2d,
  mean,
  meanSquaredError,
  min,
  mul,
  pad2d,
  permute,
  relu,
  relu6,
  reshape,
  sigmoid,
  silu,
  slice,
  softmax,
  sub,
  sum,
  type BatchNormState,
  type Conv2dOptions,
  type DepthwiseRoute,
  type Padding,
  type Pair,
  type PoolOptions,
  type ReduceOptions,
  type Reduction,
  type FakeQuantizeOptions,
} from './graph/ops.js';
export type { MarkerName, NodeName, OpName } from './graph/op-names.js';
export type { Attr, ImageRecipe, LoopResult } from './native/wire.js';
export type { Uniform } from './random.js';
export { ProcessGroup, type CollectiveOptions, type JoinOptions } from './dist/process-group.js';
export { placementFrom, type Environment, type Placement } from './dist/placement.js';
export { Engine, type EngineOptions } from './engine/engine.js';
export { ImageStore, type ImageStoreOptions } from './engine/images.js';
export { RowStore } from './engine/rows.js';
export { NamedTensors } from './engine/state.js';
export { Weights, type NamedData, type WeightSource } from './engine/weights.js';
export {
  compile,
  Program,
  type Binding,
  type CompileOptions,
  type LoopOptions,
  type Mix,
  type TrainOptions,
} from './engine/program.js';
export { splitFrozen, type Partition } from './graph/partition.js';
export { adam, adamw, rmsprop, sgd, type AdamOptions, type OptimizerSpec } from './engine/optimizer.js';
export { Module, Parameter, Sequential, type ParameterKind } from './nn/module.js';
export { Hardsigmoid, Hardswish, ReLU, ReLU6, Sigmoid, SiLU } from './nn/activations.js';
export {
  BatchNorm2d,
  Conv2d,
  DepthwiseConv2d,
  Dropout,
  Flatten,
  GlobalAveragePool,
  LayerNorm,
  Linear,
  type ConvOptions,
} from './nn/layers.js';
export { kaimingFanOut, normalInit, ones, uniformInit, zeros, type Initializer } from './nn/init.js';
export * from './models/index.js';
export type { Wishes } from './weights/adopt.js';
export { readWeightFile } from './weights/formats/read.js';
export {
  readSafetensors,
  writeSafetensors,
  type FloatFormat,
  type SafeTensors,
} from './weights/formats/safetensors.js';
export type { Format, WeightFile } from './weights/formats/weight-file.js';
export { pullWeights, type PulledWeights, type PullOptions } from './weights/pull.js';
export { publishedWeights, type PublishedHash, type PublishedWeights } from './weights/published.js';
export { loadWeights, type LoadOptions, type LoadReport } from './weights/load.js';
export { type BadFile, type Dataset } from './data/dataset.js';
export { type Split } from './data/split.js';
export type { GroupRule, SplitKind, SplitOptions } from './data/split-options.js';
export type { DecodeOptions } from './data/decode.js';
export { decodeImage, type ImageInput, type RawPixels, type SharpInstance } from './data/image-input.js';
export type { ImageList } from './data/image-list.js';
export type { DividedOptions, ListedImages, OpenOptions } from './data/listed-images.js';
export type { Label, ListedImage, Part } from './data/listing.js';
export { fromImages, type FromImagesOptions, type ImageItem } from './data/sources/from-images.js';
export { ImageFolder, type ImageFolderOptions } from './data/sources/image-folder.js';
export { ImageManifest, type ImageManifestOptions, type ManifestOptions } from './data/sources/image-manifest.js';
export type { ManifestColumns } from './data/sources/manifest-columns.js';
export { syntheticScenes, type SyntheticOptions } from './data/sources/synthetic.js';
export { augmentPreset, augmentWith, type Augment, type AugmentPreset, type AugmentSettings } from './data/augment.js';
export { pixelScaling, type Preprocess } from './weights/preprocess.js';
export { TASKS, type LearnedTask, type Task } from './weights/task.js';
export type { ClassWeights } from './train/balance.js';
export { learningRates, type Course, type Schedule } from './train/schedule.js';
export { completeCheckpoint, loadCheckpoint, type Checkpoint, type CompleteCheckpoint } from './weights/checkpoint.js';
export { inspect, type InspectOptions } from './inspect/inspect.js';
export type { Images } from './inspect/look.js';
export type { DepthwiseLayer, DepthwiseState, Inspection, PointwiseLayer, Totals } from './inspect/result.js';
export type { Scales } from './inspect/rounding.js';
export { calibrate, type CalibrateOptions } from './infer/calibrate.js';
export type { JudgeOptions } from './infer/answers-on.js';
export { evaluate, type EvaluateOptions, type Evaluation, type Figures } from './infer/evaluate.js';
export type { AnyEvaluation } from './infer/evaluation.js';
export {
  evaluateMultilabel,
  type JudgedLabels,
  type LabelFigures,
  type MultilabelEvaluation,
  type MultilabelFigures,
} from './infer/multilabel.js';
export {
  evaluateRegression,
  type JudgedNumbers,
  type NumberFigures,
  type RegressionEvaluation,
  type RegressionFigures,
} from './infer/regression.js';
export type { Calibration, CalibrationBin, Judged } from './infer/judged.js';
export type {
  AskOptions,
  Classified,
  ClassifyOptions,
  Embedded,
  EmbeddingOptions,
  ExplainOptions,
  Explanation,
  Measured,
  Measurement,
  MeasureOptions,
  Prediction,
  Streamed,
  StreamItem,
  Unread,
} from './infer/answer.js';
export { Classifier, type ClassifierOptions } from './infer/classifier.js';
export type { Trained, TrainedModel } from './infer/trained.js';
export type { TestTimeAugmentation } from './infer/views.js';
export { exportOnnx, type OnnxOptions } from './export/onnx-file.js';
export { exportSafetensors, type SafetensorsOptions } from './export/safetensors-file.js';
export { exportTorchScript, type TorchScriptOptions } from './export/torchscript-file.js';
export type { ExportOptions } from './export/tried.js';
export type { Parity } from './export/parity.js';
export { audit, type AuditOptions } from './audit/audit.js';
export type { AlikeFiles, Audit, ClassCount, EqualFiles } from './audit/result.js';
export type { Finding, FindingKind } from './audit/finding.js';
export type { Pose } from './audit/fingerprint.js';
export type { Leakage, SplitLeakage } from './audit/leakage.js';
export type { OrderShare } from './audit/neighbours.js';
export { Trainer } from './train/trainer.js';
export { findRate, type RateCurve, type RateFinderOptions } from './train/rate-finder.js';
export type { TrainResult } from './train/result.js';
export type { Freeze, OptimizerName, Recipe, TrainerOptions } from './train/recipe.js';
export type { Settings } from './train/settings.js';
export { PRESETS, type Preset } from './train/presets.js';
export type { BestFigures, EpochEvent, Phase, TrainEvent, ValidPhase } from './train/events.js';
export type { Beginning, Ending, Hook, Outputs } from './train/hooks/hook.js';
export type { SaveEvery } from './train/interval.js';
export type { Best, Position, Snapshot, TrainingState } from './train/state.js';
export { quantize, type Quantized, type QuantizeOptions } from './quant/quantise.js';
export type { QatOptions } from './quant/qat.js';
export type { LayerNoise } from './quant/noise.js';
export { summarize, type Summary, type SummaryRow } from './report/summary.js';
export { htmlReport, type HtmlReportOptions } from './report/html/hook.js';
export { tensorboard, type TensorBoardOptions } from './report/tensorboard/hook.js';
