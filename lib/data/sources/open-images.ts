// Images by a path alone: a folder of class folders, or a manifest.
import { stat } from 'node:fs/promises';
import { UsageError } from '../../errors.js';
import type { ListedImages, OpenOptions } from '../listed-images.js';
import { ImageFolder } from './image-folder.js';
import { checkManifestOptions, ImageManifest, type ManifestOptions } from './image-manifest.js';
import { isManifest, MANIFEST_EXTENSIONS } from './manifest-rows.js';

/**
 * Opens what lies at a path: a file named as manifests are, else a folder.
 * @throws as `ImageFolder.open` and `ImageManifest.open` do; UsageError for what a folder cannot have
 */
export async function openImages(at: string, options: ManifestOptions & OpenOptions): Promise<ListedImages> {
  checkManifestOptions(options);
  const info = await stat(at).catch(() => undefined);
  if (isManifest(at) && !info?.isDirectory()) return ImageManifest.open(at, options);
  const { task = 'multiclass', columns, separator } = options;
  const manifest = `a manifest (${MANIFEST_EXTENSIONS.join(', ')})`;
  if (task !== 'multiclass')
    throw new UsageError(`task ${task}: expected ${manifest}, got the folder ${at}, whose images have one class each`);
  if ((columns ?? separator) !== undefined)
    throw new UsageError(`columns: expected ${manifest} to have them, got the folder ${at}`);
  return ImageFolder.open(at, options);
}
