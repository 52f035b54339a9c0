// Files of other frameworks that no reader is there for: told by their content, whatever they are called.
import { firstMember, looksLikeZip } from './content.js';

const RENAME =
  'safetensors.numpy.save_file(arrays, "weights.safetensors"), with torchvision\'s names and convolutions as [out, in, height, width]';
const KERAS = { is: 'a Keras file (.keras)', how: RENAME };

/** What a file is and what to do with it, told from its first bytes; undefined for what is not known here. */
export function foreignFormat(start: Buffer): string | undefined {
  const kind = kindOf(start);
  return kind && `${kind.is}, which this package does not read: convert it in Python, ${kind.how}`;
}

function kindOf(start: Buffer): { is: string; how: string } | undefined {
  if (looksLikeZip({ start }) && /^(metadata\.json|config\.json|model\.weights\.h5)$/.test(firstMember(start)))
    return KERAS;
  return undefined;
}
