// Where a process stands, from the variables that starters set.
import { placementFrom, UsageError } from 'mnv2-torch';

const TORCHRUN = { RANK: '3', WORLD_SIZE: '4', LOCAL_RANK: '1', MASTER_ADDR: 'node0', MASTER_PORT: '29500' };
const AGENT = { ...TORCHRUN, TORCHELASTIC_USE_AGENT_STORE: 'True', TORCHELASTIC_RESTART_COUNT: '2' };
const SLURM = {
  SLURM_PROCID: '0',
  SLURM_STEP_NUM_TASKS: '8',
  SLURM_LOCALID: '0',
  SLURM_JOB_ID: '4711',
  SLURM_STEP_ID: '3',
  SLURM_STEP_NODELIST: 'gpu[007-010,012],login1',
};
const OPEN_MPI = {
  OMPI_COMM_WORLD_RANK: '1',
  OMPI_COMM_WORLD_SIZE: '2',
  OMPI_COMM_WORLD_LOCAL_RANK: '1',
  OMPI_COMM_WORLD_LOCAL_SIZE: '2',
};

test('nobody started several', () => {
  expect(placementFrom({}, '2.13.0')).toBeUndefined();
  // A batch script, beside the steps it starts:
  expect(placementFrom({ SLURM_PROCID: '0', SLURM_NTASKS: '8' }, '2.13.0')).toBeUndefined();
});

test("torchrun's variables; rank 0 is the server where there is no agent", () => {
  expect(placementFrom(TORCHRUN, '2.13.0')).toMatchObject({ rank: 3, world: 4, localRank: 1, port: 29500 });
  expect(placementFrom(TORCHRUN, '2.13.0')).toMatchObject({ host: 'node0', hosts: false });
  expect(placementFrom({ ...TORCHRUN, RANK: '0' }, '2.13.0')).toMatchObject({ hosts: true });
});

test("the agent's store: keys of the attempt; libtorch 1 meets beside it", () => {
  const zero = { ...AGENT, RANK: '0' };
  const attempt = '/worker/attempt_2';
  expect(placementFrom(zero, '2.13.0')).toMatchObject({ hosts: false, port: 29500, attempt });
  expect(placementFrom(zero, '1.13.1')).toMatchObject({ hosts: true, port: 29501, attempt });
  expect(placementFrom(AGENT, '1.13.1')).toMatchObject({ hosts: false, port: 29501, attempt });
});

test("Slurm's step: the first node of the list, a port of the job", () => {
  const place = placementFrom(SLURM, '2.13.0')!;
  expect(place).toMatchObject({ rank: 0, world: 8, localRank: 0, host: 'gpu007', hosts: true });
  expect(placementFrom({ ...SLURM, SLURM_PROCID: '7', SLURM_LOCALID: '1' }, '2.13.0')).toMatchObject({
    rank: 7,
    localRank: 1,
    host: place.host,
    port: place.port,
    hosts: false,
    attempt: place.attempt,
  });
  expect(placementFrom({ ...SLURM, SLURM_JOB_ID: '4712' }, '2.13.0')!.port).not.toBe(place.port);
  const nodes = (list: string) => placementFrom({ ...SLURM, SLURM_STEP_NODELIST: list }, '2.13.0')!.host;
  expect([nodes('a'), nodes('b1,b2'), nodes('r[1-2]n[04,09]x'), nodes('c[5]')]).toEqual(['a', 'b1', 'r1n04x', 'c5']);
  expect(placementFrom({ ...SLURM, MASTER_ADDR: 'm', MASTER_PORT: '7' }, '2.13.0')).toMatchObject({
    host: 'm',
    port: 7,
  });
});

test('Open MPI on one machine; on several it needs an address', () => {
  expect(placementFrom(OPEN_MPI, '2.13.0')).toMatchObject({ rank: 1, world: 2, host: '127.0.0.1', hosts: false });
  const several = { ...OPEN_MPI, OMPI_COMM_WORLD_LOCAL_SIZE: '1' };
  expect(() => placementFrom(several, '2.13.0')).toThrow(/expected MASTER_ADDR, the address of rank 0/);
  expect(placementFrom({ ...several, MASTER_ADDR: 'm' }, '2.13.0')).toMatchObject({ host: 'm' });
});

test.each([
  [{ RANK: '0' }, /missing: WORLD_SIZE, MASTER_ADDR, MASTER_PORT/],
  [{ ...TORCHRUN, RANK: '4' }, /RANK: expected a whole number of at least 0 and at most 3, got '4'/],
  [{ ...TORCHRUN, WORLD_SIZE: 'two' }, /WORLD_SIZE: expected a whole number .* got 'two'/],
  [{ ...TORCHRUN, MASTER_PORT: '70000' }, /MASTER_PORT: .*at most 65535/],
])('%j is refused', (env, message) => {
  expect(() => placementFrom(env, '2.13.0')).toThrow(message);
  expect(() => placementFrom(env, '2.13.0')).toThrow(UsageError);
});
