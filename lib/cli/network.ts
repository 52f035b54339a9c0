// Which weights and network a command line means: a file or a published name; flags, or what a checkpoint says of
// itself. A contradiction is refused.
import { UsageError } from '../errors.js';
import type { Arch, ModelOptions } from '../models/registry.js';
import type { Wishes } from '../weights/adopt.js';
import { Progress } from '../report/progress.js';
import { builtInArch, loadCheckpoint, readPulled, type Checkpoint } from '../weights/checkpoint.js';
import { isPublishedName } from '../weights/published.js';
import { pullWeights, type PulledWeights } from '../weights/pull.js';
import { given } from './options.js';

/** What is said on the command line of weights that do not say it themselves. */
export const wishesOf = (flags: {
  arch?: Arch | undefined;
  width?: number | undefined;
  allowPartial?: boolean | undefined;
}): Wishes => given({ arch: flags.arch, widthMult: flags.width, allowPartial: flags.allowPartial });

/** Published weights by name, with a bar while they come. */
export async function pull(name: string, { arch, widthMult }: Wishes, quiet = false): Promise<PulledWeights> {
  const progress = new Progress();
  const since = performance.now();
  try {
    return await pullWeights(name, {
      ...given({ arch, widthMult }),
      onProgress: (done, total) => {
        const seconds = (performance.now() - since) / 1000;
        if (!quiet && total !== undefined) progress.draw(name, done, total, seconds, 'MiB');
      },
    });
  } finally {
    progress.leave();
  }
}

/** What `--weights` names: a file, the folder of a run, or published weights, which are got first. */
export async function openWeights(from: string, wishes: Wishes = {}, quiet = false): Promise<Checkpoint> {
  return isPublishedName(from) ? readPulled(await pull(from, wishes, quiet), wishes) : loadCheckpoint(from, wishes);
}

/** Architecture and options without the number of classes, which the data or another flag gives. */
export function namedNetwork(
  flags: { arch?: Arch | undefined; width?: number | undefined; dropout?: number | undefined },
  weights?: Pick<Checkpoint, 'file' | 'published' | 'arch' | 'options'>,
): { arch: Arch; options: Omit<ModelOptions, 'numClasses'> } {
  const contradiction = (flag: string, said: unknown, has: unknown): never => {
    throw new UsageError(
      `--${flag} ${String(said)}: the weights in ${weights!.published ?? weights!.file} are for ${String(has)}; leave the flag out or use other weights`,
    );
  };
  const { numClasses: _, ...rest } = weights?.options ?? {};
  const arch = weights && builtInArch(weights);
  if (flags.arch && arch && flags.arch !== arch) contradiction('arch', flags.arch, arch);
  if (flags.width !== undefined && rest.widthMult !== undefined && flags.width !== rest.widthMult)
    contradiction('width', flags.width, rest.widthMult);
  return {
    arch: flags.arch ?? arch ?? 'mobilenet_v2',
    options: { ...rest, ...given({ widthMult: flags.width, dropout: flags.dropout }) },
  };
}
