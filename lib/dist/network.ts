// How the processes of a run reach each other: whether rank 0 answers yet, and by which address others reach this machine.
import dgram from 'node:dgram';
import net from 'node:net';
import os from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

const LOOPBACK = /^(127\.|::1$|::ffff:127\.)/;

/** The address that a packet to `host` would leave from; nothing is sent. */
export async function ownAddress(host: string, port: number): Promise<string> {
  const address = (await leavingFrom('udp4', host, port)) ?? (await leavingFrom('udp6', host, port)) ?? '127.0.0.1';
  if (!LOOPBACK.test(address) || host === 'localhost' || LOOPBACK.test(host)) return address;
  // A machine's own name often stands for a loopback address on that machine alone.
  const outward = Object.values(os.networkInterfaces())
    .flatMap((of) => of ?? [])
    .find(({ internal, family }) => !internal && family === 'IPv4');
  return outward?.address ?? address;
}

function leavingFrom(family: 'udp4' | 'udp6', host: string, port: number): Promise<string | undefined> {
  const socket = dgram.createSocket(family);
  return new Promise<string | undefined>((resolve) => {
    socket.once('error', () => resolve(undefined));
    socket.connect(port, host, () => resolve(socket.address().address));
  }).finally(() => socket.close());
}

/** Resolves to true once somebody listens at `host`, to false after so many seconds without. */
export async function answers(host: string, port: number, seconds: number, signal?: AbortSignal): Promise<boolean> {
  const until = performance.now() + 1000 * seconds;
  for (;;) {
    signal?.throwIfAborted();
    if (await connects(host, port, Math.max(1, Math.min(5000, until - performance.now())))) return true;
    if (performance.now() >= until) return false;
    await sleep(50, undefined, signal && { signal }).catch(() => signal?.throwIfAborted());
  }
}

function connects(host: string, port: number, milliseconds: number): Promise<boolean> {
  const socket = net.connect({ host, port, timeout: milliseconds });
  return new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('timeout', () => resolve(false));
  }).finally(() => socket.destroy());
}
