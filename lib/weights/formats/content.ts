// What a file is, told by its first bytes. Reads nothing else, so that readers are loaded when there is a file for them.
import type { OpenFile } from './open-file.js';

/** Bytes of a zip member's own header before its name. */
export const ZIP_HEADER = 30;
const HDF5_MAGIC = Buffer.from('\x89HDF\r\n\x1a\n', 'latin1');

/** Whether a file begins as an archive does that holds anything. */
export function looksLikeZip({ start }: Pick<OpenFile, 'start'>): boolean {
  return start.length >= ZIP_HEADER && start.readUInt32BE(0) === 0x504b0304;
}

/** The name of an archive's first member: it says whose the archive is. */
const firstMember = (start: Buffer): string =>
  start.toString('latin1', ZIP_HEADER, ZIP_HEADER + start.readUInt16LE(26));

/** Whether a file begins as an archive of torch.save does, or as a pickle. */
export function looksLikePytorch(file: OpenFile): boolean {
  const { start } = file;
  if (looksLikeZip(file))
    return /^[^/]+\/($|data\.pkl|constants\.pkl|code\/|version|byteorder|\.format_version|\.storage_alignment|\.data\/|data\/)/.test(
      firstMember(start),
    );
  return start.length > 8 && start[0] === 0x80 && start[1]! >= 2 && start[1]! <= 5;
}

/** Whether a file begins as an archive of Keras' does. */
export function looksLikeKeras(file: OpenFile): boolean {
  return looksLikeZip(file) && /^(metadata\.json|config\.json|model\.weights\.h5)$/.test(firstMember(file.start));
}

/** Whether a file is HDF5, which is Keras' where weights are expected. */
export function looksLikeHdf5({ start }: OpenFile): boolean {
  return start.subarray(0, HDF5_MAGIC.length).equals(HDF5_MAGIC);
}

/** Fields of a model that exporters write second: producer, its version, domain, model version, text, graph, metadata. */
const MODEL_FIELDS = [0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42, 0x72];

/** Whether a file begins as exporters of ONNX begin: the format's version, then another field of a model. */
export function looksLikeOnnx({ start }: OpenFile): boolean {
  const [first, version, next] = start;
  return start.length >= 8 && first === 0x08 && version! >= 1 && version! < 32 && MODEL_FIELDS.includes(next!);
}
