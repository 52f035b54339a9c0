// ImageStore: packed uint8 images of one size, in memory or as a mapped file. Owns no decoding and no labels.
import { checked } from '../native/failures.js';
import { native } from '../native/load.js';
import type { ImageRecipe, NativeImageStore } from '../native/wire.js';

/** Size and place of an image store; sides in pixels. */
export interface ImageStoreOptions {
  /** number of images */
  count: number;
  height: number;
  width: number;
  channels: number;
  /** a file that holds the pixels; absent: memory */
  file?: string;
  /** make the file instead of opening it; writes go to it */
  create?: boolean;
  /** writes go to the file that is there, which may hold more behind the images; else they stay in memory */
  update?: boolean;
}

/**
 * Images [height, width, channels] of bytes, one after the other, that loops gather their batches from.
 * @throws UsageError for sizes out of range, DataError when the file does not hold as much
 * @example
 * import { ImageStore } from 'mnv2-torch';
 * const store = new ImageStore({ count: 2, height: 1, width: 1, channels: 3 });
 * store.put(1, Uint8Array.of(1, 2, 3));
 * console.log(store.count, [...store.get(1)].join(' ')); // 2 1 2 3
 * store.dispose();
 */
export class ImageStore {
  /** @internal */
  readonly native: NativeImageStore;

  constructor(options: ImageStoreOptions) {
    this.native = checked(() => new (native().ImageStore)(options));
  }

  /** Number of images. */
  get count(): number {
    return checked(() => this.native.count);
  }
  /** Pixels. */
  get height(): number {
    return checked(() => this.native.height);
  }
  /** Pixels. */
  get width(): number {
    return checked(() => this.native.width);
  }
  /** Bytes a pixel. */
  get channels(): number {
    return checked(() => this.native.channels);
  }
  /** Overwrites image `index`. Pixels: height * width * channels bytes, interleaved. */
  put(index: number, pixels: Uint8Array): void {
    checked(() => this.native.put(index, pixels));
  }
  /** A copy of image `index`. */
  get(index: number): Uint8Array {
    return checked(() => this.native.get(index));
  }
  /** 64 bits of the pixels, as hexadecimal digits; equal for equal images. */
  hash(index: number): string {
    return checked(() => this.native.hash(index));
  }
  /** Whether two images have the same pixels. */
  equal(a: number, b: number): boolean {
    return checked(() => this.native.equal(a, b));
  }
  /** One image as a loop would feed it: augmented, then `pixel * scale[c] + shift[c]`, [H, W, C]. */
  load(index: number, recipe: ImageRecipe): Float32Array {
    return checked(() => this.native.load(index, recipe));
  }
  /** Frees the memory, or closes the file. Idempotent; later calls throw. */
  dispose(): void {
    this.native.dispose();
  }
  /** `using` calls dispose(). */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
