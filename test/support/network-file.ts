// A checkpoint of one of the architectures with its first weights: real, small, and there at once.
import { createModel, writeSafetensors, type Arch, type ModelOptions } from 'mnv2-torch';
import { checkpointMetadata } from '../../dist/weights/checkpoint.js';

/** Writes a network that tells `classes` apart in images of 32 pixels. Returns the file. */
export async function networkFile(
  file: string,
  {
    arch = 'mobilenet_v2',
    classes = ['cat', 'dog', 'emu'],
    ...options
  }: { arch?: Arch; classes?: string[] } & ModelOptions,
): Promise<string> {
  const model = createModel(arch, { numClasses: classes.length, ...options });
  const tensors = new Map([...model.state(1)].map((t) => [t.name, t]));
  await writeSafetensors(file, tensors, checkpointMetadata(model, classes, { size: 32, scale: 'x/127.5-1' }));
  return file;
}
