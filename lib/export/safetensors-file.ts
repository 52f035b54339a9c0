// A state dict for torchvision or timm on disk: made, read back as that library's, and only then put in its place.
import { ParityError } from '../errors.js';
import { architectureOf, createModel } from '../models/registry.js';
import { checkpointOf, type CompleteCheckpoint } from '../weights/checkpoint.js';
import { decodeSafetensors } from '../weights/formats/safetensors.js';
import { DEMANDS, type Parity, type Runner } from './parity.js';
import { Reference } from './reference.js';
import { toSafetensors, type SafetensorsOptions } from './safetensors.js';
import { writeTried, type ExportOptions } from './tried.js';

export type { SafetensorsOptions } from './safetensors.js';

/**
 * Writes a checkpoint as a state dict that torchvision's or timm's own model loads strictly, once it gives the same logits
 * read back under that library's names and with its eps, and what was compared beside it, as `<file>.parity.json`. The
 * first of the result's `notes` has the Python that makes the model.
 *
 * Where the library's BatchNorm has another eps, the variances make up for it. TensorFlow's padding is timm's alone.
 * @param file where; what is there is replaced, once the new one agrees
 * @throws UsageError where the library has no such network; DataError where variances or fp16 cannot hold the numbers;
 * ParityError when logits differ by more than 1e-4 (fp32), 0.05 (fp16) or 0.3 (bf16) of the largest, or the first class too often
 * @example
 * import { completeCheckpoint, createModel, exportSafetensors, loadCheckpoint, writeSafetensors } from 'mnv2-torch';
 * import { mkdtempSync } from 'node:fs';
 * const at = mkdtempSync('/tmp/mnv2-');
 * const model = createModel('mobilenet_v2', { numClasses: 2, widthMult: 0.35 });
 * const tensors = new Map([...model.state(0)].map((t) => [t.name, t]));
 * const said = { arch: 'mobilenet_v2', width_mult: '0.35', classes: '["a","b"]', preprocess: '{"size":32,"scale":"x/127.5-1"}' };
 * await writeSafetensors(`${at}/x.safetensors`, tensors, said);
 * const checkpoint = completeCheckpoint(await loadCheckpoint(`${at}/x.safetensors`));
 * const { agrees, notes } = await exportSafetensors(checkpoint, `${at}/timm.safetensors`, { names: 'timm' });
 * console.log(agrees, notes[0]); // true loads strictly into timm.create_model('mobilenetv2_035', num_classes=2)
 */
export async function exportSafetensors(
  checkpoint: CompleteCheckpoint,
  file: string,
  options: SafetensorsOptions & ExportOptions = {},
): Promise<Parity> {
  return writeTried(checkpoint, file, options, async () => {
    const { bytes, notes } = toSafetensors(checkpoint, options);
    const runner = await readBack(bytes, file, checkpoint, options.names ?? 'torchvision');
    return { bytes, runner, demand: DEMANDS[options.dtype ?? 'fp32'], notes };
  });
}

/** The network that the file's own names, shapes and metadata describe, with its numbers. */
async function readBack(bytes: Buffer, file: string, checkpoint: CompleteCheckpoint, names: string): Promise<Runner> {
  const read = await decodeSafetensors(bytes, file);
  const { arch, options, tensors } = await checkpointOf({ format: 'safetensors', notes: [], ...read }, file);
  const architecture = arch === undefined ? undefined : architectureOf(arch);
  if (!architecture) throw new ParityError('the export is not recognised by its names; it was not written');
  const model = createModel(architecture.name, options).eval();
  const reference = await Reference.of({ ...checkpoint, arch: architecture.name, tensors, model });
  return {
    runtime: `the file, read as ${names}'s,`,
    batch: 8,
    whole: false,
    compared: 'logits',
    run: async (pictures) => ({ answers: (await reference.answers(pictures.map((p) => p.pixels))).logits }),
    dispose: () => Promise.resolve(reference.dispose()),
  };
}
