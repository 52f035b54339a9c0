// A small real checkpoint, and files laid out by hand around its numbers: what a hostile writer could make of it.
import fs from 'node:fs';
import { MobileNetV2, writeSafetensors, type MobileNetV2Options } from 'mnv2-torch';
import { checkpointMetadata } from '../../dist/weights/checkpoint.js';

export const CLASSES = ['ant', 'bee', 'cat'];
export const SMALL: MobileNetV2Options = {
  numClasses: CLASSES.length,
  widthMult: 0.25,
  invertedResidualSetting: [
    [1, 16, 1, 1],
    [2, 32, 2, 2],
  ],
};

export interface Parts {
  /** the header's JSON, as a value */
  header: Record<string, unknown>;
  body: Buffer;
}

/** Writes a V2 of two rows with its first values. */
export async function smallCheckpoint(file: string): Promise<Parts> {
  const model = MobileNetV2(SMALL);
  const tensors = new Map([...model.state(1)].map((t) => [t.name, t]));
  await writeSafetensors(file, tensors, checkpointMetadata(model, CLASSES, { size: 32, scale: 'x/127.5-1' }));
  const bytes = fs.readFileSync(file);
  const end = 8 + Number(bytes.readBigUInt64LE(0));
  return { header: JSON.parse(bytes.toString('utf8', 8, end)) as Parts['header'], body: bytes.subarray(end) };
}

/** The bytes of a file with this header, a value or JSON text as it is. */
export function laidOut(header: unknown, body: Uint8Array): Buffer {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, body]);
}
