// Which of several processes this one is, and where they meet, as whoever started them says in the environment: torchrun
// and Kubernetes' PyTorchJob, Slurm, Open MPI. Reads variables, opens nothing.
import { UsageError } from '../errors.js';
import { Random } from '../random.js';

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** One process among `world`, and where they meet. */
export interface Placement {
  /** 0 to world - 1, over all machines */
  readonly rank: number;
  readonly world: number;
  /** the same on this machine alone */
  readonly localRank: number;
  /** the key-value store's host and port, reached by all */
  readonly host: string;
  readonly port: number;
  /** this process is the store's server */
  readonly hosts: boolean;
  /** of the run and its attempt: another attempt does not meet what is left of the last one */
  readonly attempt: string;
}

/** Ports a job that names none is given, by its number. */
const PORTS = [20_000, 29_999] as const;

/**
 * Where this process stands; undefined where nobody started several.
 * @param env as `process.env`
 * @param libtorch its version: libtorch 1 cannot speak to the store of torchrun's agent
 * @throws UsageError when the variables contradict each other, or name no place to meet
 * @example
 * import { placementFrom } from 'mnv2-torch';
 * const env = { RANK: '1', WORLD_SIZE: '4', LOCAL_RANK: '1', MASTER_ADDR: '10.0.0.1', MASTER_PORT: '29500' };
 * const { rank, world, hosts } = placementFrom(env, '2.13.0');
 * console.log(rank, world, hosts); // 1 4 false
 */
export function placementFrom(env: Environment, libtorch: string): Placement | undefined {
  return byTorchrun(env, libtorch) ?? bySlurm(env) ?? byOpenMpi(env);
}

/** torchrun, and all that speak its variables: Kubeflow, Lightning, people. */
function byTorchrun(env: Environment, libtorch: string): Placement | undefined {
  if (env['RANK'] === undefined && env['WORLD_SIZE'] === undefined) return undefined;
  const missing = ['RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'].filter((name) => !env[name]);
  if (missing.length > 0)
    throw new UsageError(
      `environment: expected RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT together, as torchrun sets them; missing: ${missing.join(', ')}. ` +
        'Unset them all to run one process',
    );
  const { rank, world } = rankOf(env, 'RANK', 'WORLD_SIZE');
  const port = wholeOf(env, 'MASTER_PORT', 1, 65_535);
  const restarts = env['TORCHELASTIC_RESTART_COUNT'] ?? '0';
  const place = { rank, world, localRank: wholeOf(env, 'LOCAL_RANK', 0, world - 1, rank), host: env['MASTER_ADDR']! };
  if (env['TORCHELASTIC_USE_AGENT_STORE'] !== 'True')
    return { ...place, port, hosts: rank === 0, attempt: `${env['TORCHELASTIC_RUN_ID'] ?? ''}/attempt_${restarts}` };
  const attempt = `/worker/attempt_${restarts}`; // torch.distributed keeps a worker's keys below it
  if (Number.parseInt(libtorch, 10) >= 2) return { ...place, port, hosts: false, attempt };
  return { ...place, port: port + 1, hosts: rank === 0, attempt };
}

/** A step that srun started: its own variables, not the job's, which a batch script has as well. */
function bySlurm(env: Environment): Placement | undefined {
  if (env['SLURM_PROCID'] === undefined || env['SLURM_STEP_NUM_TASKS'] === undefined) return undefined;
  const { rank, world } = rankOf(env, 'SLURM_PROCID', 'SLURM_STEP_NUM_TASKS');
  const nodes = env['SLURM_STEP_NODELIST'] ?? env['SLURM_JOB_NODELIST'];
  const job = `${env['SLURM_JOB_ID'] ?? ''}.${env['SLURM_STEP_ID'] ?? ''}`;
  return {
    rank,
    world,
    localRank: wholeOf(env, 'SLURM_LOCALID', 0, world - 1, rank),
    ...meeting(env, nodes === undefined ? undefined : firstHost(nodes), job),
    hosts: rank === 0,
    attempt: `${job}/attempt_${env['SLURM_RESTART_COUNT'] ?? '0'}`,
  };
}

function byOpenMpi(env: Environment): Placement | undefined {
  if (env['OMPI_COMM_WORLD_RANK'] === undefined) return undefined;
  const { rank, world } = rankOf(env, 'OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE');
  const local = wholeOf(env, 'OMPI_COMM_WORLD_LOCAL_SIZE', 1, world, 1);
  const job = env['PMIX_NAMESPACE'] ?? env['OMPI_MCA_ess_base_jobid'] ?? '';
  return {
    rank,
    world,
    localRank: wholeOf(env, 'OMPI_COMM_WORLD_LOCAL_RANK', 0, world - 1, rank),
    ...meeting(env, local === world ? '127.0.0.1' : undefined, job),
    hosts: rank === 0,
    attempt: job,
  };
}

function meeting(env: Environment, host: string | undefined, job: string): Pick<Placement, 'host' | 'port'> {
  const at = env['MASTER_ADDR'] ?? host;
  if (!at)
    throw new UsageError(
      'environment: expected MASTER_ADDR, the address of rank 0, where processes run on several machines; ' +
        'with mpirun: -x MASTER_ADDR=<address>',
    );
  return { host: at, port: wholeOf(env, 'MASTER_PORT', 1, 65_535, new Random('port', job).whole(...PORTS)) };
}

function rankOf(env: Environment, rank: string, world: string): Pick<Placement, 'rank' | 'world'> {
  const size = wholeOf(env, world, 1, 1 << 20);
  return { rank: wholeOf(env, rank, 0, size - 1), world: size };
}

function wholeOf(env: Environment, name: string, least: number, most: number, absent?: number): number {
  const text = env[name];
  if (text === undefined && absent !== undefined) return absent;
  const value = Number(text);
  if (!text || !Number.isInteger(value) || value < least || value > most)
    throw new UsageError(
      `environment: ${name}: expected a whole number of at least ${least} and at most ${most}, got '${text ?? ''}'`,
    );
  return value;
}

/** 'gpu[003-010,012]' -> 'gpu003'; 'a,b' -> 'a': the first node of a Slurm list. */
export function firstHost(nodes: string): string {
  const first = /^(?:[^,[]|\[[^\]]*\])+/.exec(nodes)?.[0] ?? nodes;
  return first.replace(/\[([^\],-]*)[^\]]*\]/g, '$1');
}
