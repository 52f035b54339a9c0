// A TorchScript file on disk: made, run by libtorch, and only then put in its place.
import { tensorData } from '../graph/tensor.js';
import { native } from '../native/load.js';
import type { CompleteCheckpoint } from '../weights/checkpoint.js';
import { joined, scaled } from './feeds.js';
import { demandFor, type Parity, type Runner } from './parity.js';
import { givenBy } from './reference.js';
import { ScriptModule } from './script-module.js';
import { toTorchScript, type TorchScriptOptions } from './torchscript.js';
import { writeTried, type ExportOptions } from './tried.js';

export type { TorchScriptOptions } from './torchscript.js';

/**
 * Writes a checkpoint as a TorchScript module once libtorch has given the same answers with it, and what was compared
 * beside it, as `<file>.parity.json`. Python reads it by `torch.jit.load(file)`; its state dict has the checkpoint's names,
 * its extra file `metadata.json` the classes, in their order. Weights take no gradient until `requires_grad_()`.
 *
 * By default it takes uint8 [N, size, size, 3] RGB and gives probabilities (of a regression numbers), float32 [N, classes]. N is free.
 * @param file where; what is there is replaced, once the new one agrees
 * @throws ParityError when the answers differ by more than 1e-4: nothing is written; UsageError when the network has an op
 * that is for training alone
 * @example
 * import { completeCheckpoint, exportTorchScript, Flatten, Linear, loadCheckpoint, Sequential, writeSafetensors } from 'mnv2-torch';
 * import { mkdtempSync } from 'node:fs';
 * const at = mkdtempSync('/tmp/mnv2-');
 * const model = new Sequential(new Flatten(), new Linear(12, 2));
 * const tensors = new Map([...model.state(0)].map((t) => [t.name, t]));
 * await writeSafetensors(`${at}/x.safetensors`, tensors, { classes: '["a","b"]', preprocess: '{"size":2,"scale":"x/127.5-1"}' });
 * const checkpoint = completeCheckpoint(await loadCheckpoint(`${at}/x.safetensors`), { model });
 * const { agrees, compared } = await exportTorchScript(checkpoint, `${at}/x.pt`);
 * console.log(agrees, compared); // true probabilities
 */
export async function exportTorchScript(
  checkpoint: CompleteCheckpoint,
  file: string,
  options: TorchScriptOptions & ExportOptions = {},
): Promise<Parity> {
  return writeTried(checkpoint, file, options, async () => {
    const bytes = await toTorchScript(checkpoint, options);
    return { bytes, runner: torchScriptRunner(bytes, checkpoint, options.raw ?? false), demand: demandFor(checkpoint) };
  });
}

function torchScriptRunner(bytes: Uint8Array, checkpoint: CompleteCheckpoint, raw: boolean): Runner {
  const script = new ScriptModule(bytes);
  const { preprocess } = checkpoint;
  const { size } = preprocess;
  return {
    runtime: `libtorch ${native().buildInfo().libtorchRuntime}`,
    batch: 8,
    whole: false,
    compared: givenBy(checkpoint, raw),
    async run(pictures) {
      const [n, pixels] = [pictures.length, joined(pictures)];
      const fed = raw
        ? tensorData(scaled(pixels, n, preprocess), [n, 3, size, size])
        : tensorData(pixels, [n, size, size, 3]);
      return { answers: (await script.run(fed)).data as Float32Array };
    },
    dispose: () => Promise.resolve(script.dispose()),
  };
}
