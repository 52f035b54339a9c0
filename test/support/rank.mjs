// One process of a group: runs the body its first argument names and writes what it gives as a line of JSON. For
// test/dist/process-group.slow.test.ts.
import { ProcessGroup, tensorData } from '../../dist/index.js';

const told = (value) =>
  JSON.stringify(value, (_, v) => (typeof v === 'bigint' ? `${v}n` : ArrayBuffer.isView(v) ? [...v] : v));
const [body, timeout = '30'] = process.argv.slice(2);
const bodies = {
  async collectives(group) {
    const { rank, world } = group;
    const int = { data: BigInt64Array.of(5n, BigInt(rank)), shape: [2], dtype: 'int64' };
    // The names in another order on each.
    const mine = [
      ['float', tensorData([rank, 0.1], [2])],
      ['int', int],
      ['also', tensorData([1, 2, 3, 4], [2, 2])],
    ];
    const reduced = await group.allReduce(Object.fromEntries(rank % 2 ? mine.reverse() : mine));
    const mean = await group.allReduce({ x: tensorData([rank], [1]) }, { how: 'mean' });
    const most = await group.allReduce({ x: tensorData([rank], [1]) }, { how: 'max' });
    const least = await group.allReduce({ x: tensorData([rank], [1]) }, { how: 'min' });
    const sent = await group.broadcast({ w: tensorData([rank * 10 + 1], [1]) }, { from: 1 });
    const all = await group.allGather({ rows: tensorData(new Float32Array(rank * 2).fill(rank), [rank, 2]) });
    await group.barrier();
    return {
      rank,
      world,
      float: reduced.float.data,
      int: reduced.int.data,
      also: reduced.also,
      mean: mean.x.data,
      most: most.x.data,
      least: least.x.data,
      sent: sent.w.data,
      all: all.rows.map(({ data, shape }) => [data, shape]),
    };
  },
  async mismatch(group) {
    const size = group.rank === 1 ? 3 : 2;
    const wrong = await group.allReduce({ x: tensorData(new Float32Array(size), [size]) }).catch((e) => e);
    const after = await group.allReduce({ x: tensorData([1], [1]) }); // nothing was exchanged: the group goes on
    return { code: wrong.code, message: wrong.message, after: after.x.data };
  },
  /** Rank 1 is killed by the test while the others wait for it. */
  async death(group) {
    process.stdout.write('ready\n');
    if (group.rank === 1) await new Promise((resolve) => setTimeout(resolve, 60_000));
    const error = await group.barrier().catch((e) => e);
    const later = await group.barrier().catch((e) => e);
    return { code: error.code, exit: error.exitCode, message: error.message, later: later.message };
  },
  async late(group) {
    if (group.rank === 1) await new Promise((resolve) => setTimeout(resolve, 4000));
    const error = await group.barrier().catch((e) => e);
    return { code: error.code };
  },
  async abort(group) {
    if (group.rank === 1) await new Promise((resolve) => setTimeout(resolve, 3000));
    const error = await group.barrier({ signal: AbortSignal.timeout(200) }).catch((e) => e);
    return { name: error.name };
  },
  /** Ends in the middle of a collective. */
  async exit(group) {
    if (group.rank === 0) setTimeout(() => process.exit(9), 300);
    else await new Promise((resolve) => setTimeout(resolve, 2000));
    await group.barrier().catch(() => {});
    return {};
  },
};
try {
  const group = await ProcessGroup.fromEnvironment({ timeout: Number(timeout) });
  console.log(told(await bodies[body](group)));
  group.dispose();
} catch (error) {
  console.log(told({ code: error.code, message: error.message }));
  process.exitCode = error.exitCode ?? 1;
}
