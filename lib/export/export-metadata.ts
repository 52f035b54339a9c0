// What every exported file says of itself: all that its checkpoint did, and where it is from.
import path from 'node:path';
import { native } from '../native/load.js';
import type { CompleteCheckpoint } from '../weights/checkpoint.js';

export function exportMetadata(checkpoint: CompleteCheckpoint): Record<string, string> {
  const { metadata, arch, classes, preprocess, file } = checkpoint;
  return {
    ...metadata,
    arch,
    classes: JSON.stringify(classes),
    num_classes: String(classes.length),
    preprocess: JSON.stringify(preprocess),
    exported_by: `mnv2-torch ${native().buildInfo().package}`,
    exported_from: path.basename(file),
  };
}
