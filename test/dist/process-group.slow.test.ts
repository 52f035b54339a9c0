// Processes that compute together: real ones on this machine, over Gloo.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import net from 'node:net';
import { ProcessGroup, tensorData, UsageError } from 'mnv2-torch';
import { findPython } from '../support/python.ts';

async function freePort(): Promise<string> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return String(port);
}

interface Ended {
  status: number | null;
  said: Record<string, unknown>;
}
/** Starts these ranks of `world`; `started` may kill some. The last line of each is its answer. */
async function ranks(
  body: string,
  world: number,
  { timeout = 30, of = [...Array(world).keys()], started }: { timeout?: number; of?: number[]; started?: (all: ChildProcess[]) => void } = {}, // prettier-ignore
): Promise<Ended[]> {
  const at = { WORLD_SIZE: String(world), MASTER_ADDR: '127.0.0.1', MASTER_PORT: await freePort() };
  const children = of.map((rank) =>
    spawn(process.execPath, ['test/support/rank.mjs', body, String(timeout)], {
      env: { ...process.env, ...at, RANK: String(rank), LOCAL_RANK: String(rank) },
      stdio: ['ignore', 'pipe', 'inherit'],
    }),
  );
  const ended = children.map(async (child) => {
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => (text += String(chunk)));
    const status = await new Promise<number | null>((resolve) => child.once('close', resolve));
    const last = text.trim().split('\n').at(-1)!;
    return { status, said: (last.startsWith('{') ? JSON.parse(last) : {}) as Record<string, unknown> };
  });
  started?.(children);
  return Promise.all(ended);
}

test('collectives: sums, means, ends, a broadcast, rows of different numbers; the same on all', async () => {
  const all = await ranks('collectives', 3);
  const sum = Math.fround(Math.fround(0.1) * 3);
  for (const [rank, { status, said }] of all.entries()) {
    expect(status).toBe(0);
    expect(said).toEqual({
      rank,
      world: 3,
      float: [3, expect.closeTo(sum, 6)],
      int: ['15n', '3n'],
      also: { data: [3, 6, 9, 12], shape: [2, 2], dtype: 'float32' },
      mean: [1],
      most: [2],
      least: [0],
      sent: [11],
      all: [
        [[], [0, 2]],
        [[1, 1], [1, 2]], // prettier-ignore
        [[2, 2, 2, 2], [2, 2]], // prettier-ignore
      ],
    });
    expect(said['float']).toEqual(all[0]!.said['float']);
  }
});

test('processes that ask for different things are told so, and can go on', async () => {
  for (const [rank, { said }] of (await ranks('mismatch', 2)).entries()) {
    expect(said).toMatchObject({ code: 'USAGE', after: [2] });
    expect(said['message']).toContain(
      `rank ${rank} of 2 asks for allReduce sum 'x' float32 [${rank === 1 ? 3 : 2}]. Make the same calls in the same order`,
    );
  }
});

test('a process that is killed: the others get a DistributedError, exit code 7, and no later call hangs', async () => {
  const [first, , third] = await ranks('death', 3, {
    started: (all) => {
      let ready = 0;
      for (const child of all)
        child.stdout!.on('data', () => {
          // All have joined, and the others are in the collective or about to be.
          if (++ready === 3) setTimeout(() => all[1]!.kill('SIGKILL'), 300);
        });
    },
  });
  for (const { status, said } of [first!, third!]) {
    expect([status, said['code'], said['exit']]).toEqual([0, 'DISTRIBUTED', 7]);
    expect(said['message']).toMatch(/^rank \d of 3 lost another in allReduce: /);
    expect(said['later']).toMatch(/has failed before/);
  }
});

test('a process that is late by more than the timeout is an error, not a hang', async () => {
  const [first] = await ranks('late', 2, { timeout: 1 });
  expect(first).toMatchObject({ status: 0, said: { code: 'DISTRIBUTED' } });
});

test('one that never comes: the others say who they are and where they waited', async () => {
  const [alone] = await ranks('collectives', 2, { timeout: 1, of: [0] });
  expect(alone!.status).toBe(7);
  expect(alone!.said['message']).toMatch(
    /^rank 0 did not meet all 2 processes at 127\.0\.0\.1:\d+ within 1 s: there was 1$/,
  );
  const [client] = await ranks('collectives', 2, { timeout: 1, of: [1] });
  expect(client!.status).toBe(7);
  expect(client!.said['message']).toMatch(/^rank 1 did not meet all 2 .* within 1 s: nobody listens there$/);
});

test('waiting ends by a signal, and a process may end while it waits', async () => {
  expect((await ranks('abort', 2))[0]).toMatchObject({ status: 0, said: { name: 'TimeoutError' } });
  expect((await ranks('exit', 2))[0]!.status).toBe(9);
});

test('a group of one: every collective is the identity, on copies', async () => {
  using group = await ProcessGroup.fromEnvironment({}, {});
  const x = tensorData([1, 2], [2]);
  const { x: sum } = await group.allReduce({ x }, { how: 'mean' });
  expect([group.rank, group.world, sum]).toEqual([0, 1, x]);
  expect(sum.data).not.toBe(x.data);
  expect((await group.allGather({ x })).x).toEqual([x]);
  expect((await group.broadcast({ x })).x).toEqual(x);
  await group.barrier();
  await expect(group.barrier({ signal: AbortSignal.abort() })).rejects.toThrow(/aborted/);
});

test('refused: a mean of whole numbers, a rank that is not there, a number alone, a group that is disposed', async () => {
  const group = await ProcessGroup.fromEnvironment({}, {});
  const int = { data: BigInt64Array.of(1n), shape: [1], dtype: 'int64' as const };
  await expect(group.allReduce({ int }, { how: 'mean' })).rejects.toThrow(/'int': the mean is of float tensors/);
  await expect(group.allReduce({ int }, { how: 'product' as 'sum' })).rejects.toThrow(/sum, mean, min, max, got 'prod/);
  await expect(group.broadcast({ int }, { from: 1 })).rejects.toThrow(/expected a rank of 0 to 0, got 1/);
  await expect(group.allGather({ x: tensorData([1], []) })).rejects.toThrow(/at least one dimension/);
  await expect(ProcessGroup.fromEnvironment({ timeout: 0 }, {})).rejects.toThrow(/timeout: expected seconds/);
  group.dispose();
  group.dispose();
  await expect(group.barrier()).rejects.toThrow(UsageError);
});

const [python, without, missing] = findPython('torch');
(missing ? test.skip : test)(`torchrun starts them, and its agent's store is met${without}`, () => {
  const started = ['-m', 'torch.distributed.run', '--no-python', '--nproc-per-node', '2', process.execPath];
  const { status, stdout, stderr } = spawnSync(python, [...started, 'test/support/rank.mjs', 'collectives'], {
    encoding: 'utf8',
  });
  expect([status, status === 0 ? '' : stderr]).toEqual([0, '']);
  const said = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(said.map(({ rank, sent }) => [rank, sent]).sort()).toEqual([
    [0, [11]],
    [1, [11]],
  ]);
});
