// Published weights by name: from the cache, or from their publisher once.
import { UsageError } from '../errors.js';
import type { Arch } from '../models/registry.js';
import { cachedFile, checkCached, hashText, isCached } from './cached.js';
import { download } from './download.js';
import { findPublished, type PublishedWeights } from './published.js';

/** What `imagenet` means, who watches, and what ends the wait. */
export interface PullOptions {
  /** for `imagenet`; default 'mobilenet_v2' */
  arch?: Arch | undefined;
  /** for `imagenet`; default 1 */
  widthMult?: number | undefined;
  /** bytes so far and in all, where the server says how many */
  onProgress?: (done: number, total: number | undefined) => void;
  /** ends the download; what came is kept for the next one */
  signal?: AbortSignal;
}

/** Published weights that lie in the cache. */
export interface PulledWeights {
  readonly weights: PublishedWeights;
  /** as published: .pth, .safetensors or .h5 */
  readonly file: string;
  /** what a download was compared with; absent where the file was there already */
  readonly checked?: string;
}

/**
 * Gets published weights into the cache (`$XDG_CACHE_HOME/mnv2-torch/weights`), once for all projects of a user; what
 * is there is compared with its published hash and taken. Honours HTTPS_PROXY, HTTP_PROXY and NO_PROXY;
 * MNV2_WEIGHTS_MIRROR, an address, stands in for the publishers' hosts and is asked for the same paths.
 * @param name 'imagenet', or a name of {@link publishedWeights}
 * @throws UsageError for a name that is not published; EnvironmentError where it cannot be got, saying which file to put
 * where; DataError for a file that is not the published one
 * @example
 * import { pullWeights } from 'mnv2-torch';
 * const begin = () => pullWeights('imagenet'); // its `file` is for loadCheckpoint; 14 MB, once
 * await pullWeights('imagenet', { widthMult: 0.6 }).catch((error) => console.log(error.code)); // USAGE
 */
export async function pullWeights(name: string, options: PullOptions = {}): Promise<PulledWeights> {
  const weights = findPublished(name, options);
  const file = cachedFile(weights);
  if (await isCached(weights)) {
    await checkCached(weights);
    return { weights, file };
  }
  const { onProgress, signal } = options;
  const { hash } = weights;
  const known = hash ? ` (${hashText(hash)})` : '';
  const checked = await download({
    ...{ url: mirrored(weights.url), file, hash, onProgress, signal },
    advice:
      `Without a way there, get ${weights.url}${known} elsewhere and put it at ${file}; ` +
      'HTTPS_PROXY names a proxy, MNV2_WEIGHTS_MIRROR a mirror',
  });
  return { weights, file, checked };
}

/** A mirror has the publishers' paths. */
function mirrored(url: string): string {
  const mirror = process.env['MNV2_WEIGHTS_MIRROR'];
  if (!mirror) return url;
  // A password is not sent, and must not be told in messages.
  const base = URL.canParse(mirror) ? new URL(mirror) : undefined;
  if (!base || !/^https?:$/.test(base.protocol) || base.username !== '')
    throw new UsageError(
      'MNV2_WEIGHTS_MIRROR: expected an address such as https://mirror.example/weights, without user and password',
    );
  return base.origin + base.pathname.replace(/\/+$/, '') + new URL(url).pathname;
}
