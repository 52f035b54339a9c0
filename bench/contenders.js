// Who takes part, and what each needs: a Python with packages, npm packages in the cache, or nothing. Runs no case.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const here = path.dirname(fileURLToPath(import.meta.url));
const script = (name) => path.join(here, 'peers', name);
const execute = promisify(execFile);
const quiet = { maxBuffer: 1 << 26, timeout: 20 * 60_000 };

async function works(python, modules) {
  return execute(python, ['-c', `import ${modules.join(', ')}`], quiet).then(
    () => true,
    () => false,
  );
}

/** $MNV2_BENCH_PYTHON when it has the modules, else a virtual environment in the cache, made once. */
async function pythonWith(cache, name, modules, packages) {
  const given = process.env.MNV2_BENCH_PYTHON;
  if (given && (await works(given, modules))) return given;
  const folder = path.join(cache, `python-${name}`);
  const python = path.join(folder, 'bin', 'python');
  if (existsSync(python) && (await works(python, modules))) return python;
  console.error(`bench: making a Python environment with ${packages.join(', ')} in ${folder}`);
  await execute('python3', ['-m', 'venv', folder], quiet);
  await execute(python, ['-m', 'pip', 'install', '--quiet', ...packages], quiet);
  if (!(await works(python, modules))) throw new Error(`${packages.join(', ')} installed, but cannot be imported`);
  return python;
}

/** Packages the peers need and this package does not, in the cache. */
async function npmPackages(cache, names) {
  const folder = path.join(cache, 'npm');
  if (names.every((n) => existsSync(path.join(folder, 'node_modules', n)))) return folder;
  mkdirSync(folder, { recursive: true });
  if (!existsSync(path.join(folder, 'package.json')))
    writeFileSync(path.join(folder, 'package.json'), '{"private":true}\n');
  // Their install scripts only fetch GPU libraries.
  await execute('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', ...names], { ...quiet, cwd: folder });
  return folder;
}

/** $MNV2_BENCH_PYTHON, else the active Python: a torch that sees the card is found, not made. */
async function pythonWithCuda(modules) {
  const given = process.env.MNV2_BENCH_PYTHON || 'python3';
  const code = `import ${modules.join(', ')}\nassert torch.cuda.is_available(), f'torch {torch.__version__} sees no CUDA device'`;
  try {
    await execute(given, ['-c', code], quiet);
    return given;
  } catch (error) {
    throw new Error(
      `${given}: ${error.message.trim().split('\n').at(-1)}; set MNV2_BENCH_PYTHON to a Python with ${modules.join(', ')} and CUDA`,
    );
  }
}

const torch =
  (file) =>
  async ({ cache, device }) => {
    // A CPU build is all that is needed; where pip's index offers only CUDA builds this is a large download.
    const modules = ['torch', 'PIL', 'numpy', 'safetensors'];
    if (device !== 'cpu') return [await pythonWithCuda(modules), script(file)];
    return [
      await pythonWith(cache, 'torch', modules, ['torch', 'pillow', 'numpy', 'safetensors', 'setuptools']),
      script(file),
    ];
  };

/** name -> setUp({ cache, weights, device }) -> [command, ...first arguments]; it throws where the peer cannot be had. */
export const CONTENDERS = {
  ours: async () => [process.execPath, script('ours.js')],
  'pytorch-eager': torch('pytorch_eager.py'),
  'pytorch-best': torch('pytorch_best.py'),
  'pytorch-cached': torch('pytorch_cached.py'),
  'pytorch-compiled': torch('pytorch_compiled.py'),
  'keras-tensorflow': async ({ cache }) => {
    const modules = ['tensorflow', 'keras', 'PIL', 'safetensors'];
    return [
      await pythonWith(cache, 'tensorflow', modules, ['tensorflow-cpu', 'pillow', 'safetensors']),
      script('keras_tensorflow.py'),
    ];
  },
  'onnxruntime-node': async ({ cache, weights }) => {
    const packages = await npmPackages(cache, ['onnxruntime-node']);
    const model = path.join(cache, 'mobilenet_v2.onnx');
    const python = await pythonWith(cache, 'onnx', ['onnx', 'numpy', 'safetensors'], ['onnx', 'numpy', 'safetensors']);
    await execute(python, [script('export_onnx.py'), weights, '21', model], quiet);
    return [process.execPath, script('onnxruntime-node.js'), '--packages', packages, '--model', model];
  },
  'tfjs-wasm': async ({ cache }) => {
    const names = ['tfjs-core', 'tfjs-layers', 'tfjs-backend-cpu', 'tfjs-backend-wasm'].map((n) => `@tensorflow/${n}`);
    return [process.execPath, script('tfjs-wasm.js'), '--packages', await npmPackages(cache, names)];
  },
};
