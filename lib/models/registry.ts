// The architectures there are. One more is a file of its own and a line in REGISTERED.
import { UsageError } from '../errors.js';
import type { Module } from '../nn/module.js';
import type { Architecture } from './architecture.js';
import type { MobileNet } from './classifier-network.js';
import { mobilenetV1 } from './mobilenet-v1.js';
import { mobilenetV2 } from './mobilenet-v2.js';
import { mobilenetV3Large, mobilenetV3Small } from './mobilenet-v3.js';

const REGISTERED = [mobilenetV2, mobilenetV1, mobilenetV3Small, mobilenetV3Large] as const;

/** A name of {@link ARCHITECTURES}. */
export type Arch = (typeof REGISTERED)[number]['name'];
/** Options of any of the architectures. */
export type ModelOptions = NonNullable<Parameters<(typeof REGISTERED)[number]['create']>[0]>;

/** Names `createModel` and `--arch` know. */
export const ARCHITECTURES: readonly Arch[] = REGISTERED.map((a) => a.name);

/** The architecture of a name or of a model; undefined for a network of one's own. */
export function architectureOf(what: string | Module): Architecture<Arch> | undefined {
  const name = typeof what === 'string' ? what : 'arch' in what ? what.arch : undefined;
  return REGISTERED.find((a) => a.name === name);
}

/**
 * A network by its name in metadata and on the command line.
 * @throws UsageError when there is no such architecture or an option is out of range
 * @example
 * import { ARCHITECTURES, createModel } from 'mnv2-torch';
 * const model = createModel('mobilenet_v1', { numClasses: 21, widthMult: 0.5 });
 * console.log(ARCHITECTURES.includes(model.arch), model.options.widthMult); // true 0.5
 */
export function createModel(arch: Arch, options: ModelOptions = {}): MobileNet {
  const architecture = architectureOf(arch);
  if (!architecture) throw new UsageError(`arch: expected ${ARCHITECTURES.join(' or ')}, got '${String(arch)}'`);
  return architecture.create(options);
}
