// The reference run on real scenes: a head on the frozen ImageNet backbone, through the command line.
import { cli } from '../support/cli.ts';
import { requireData } from '../support/data.ts';
import { temporaryFolder } from '../support/temporary.ts';

requireData('the reference run', (file) => {
  const at = temporaryFolder('reference');

  /** Validation accuracies of the 20 epochs. */
  function accuracies(seed: number, precision: 'fp32' | 'bf16'): number[] {
    const trained = cli(
      [
        ...['train', file('ucmerced'), '--weights', file('weights/mobilenet_v2_tfslim.safetensors')],
        ...['--freeze', 'features', '--epochs', '20', '--batch-size', '16', '--device', 'cpu'],
        ...['--seed', String(seed), '--precision', precision, '--out', at(`${precision}-${seed}`), '--json', '--quiet'],
      ],
      { timeout: 300_000 },
    );
    expect(trained.stderr).toBe('');
    const events = trained.stdout
      .trim()
      .split('\n')
      .map((l) => JSON.parse(l) as { event: string; valid: { accuracy: number } });
    return events.filter((e) => e.event === 'epoch').map((e) => e.valid.accuracy);
  }
  const last = { fp32: [] as number[], bf16: [] as number[] };

  test('20 epochs end at 95% of held-out images or better, and a fresh process names a TIFF', () => {
    const epochs = accuracies(0, 'fp32');
    expect(epochs).toHaveLength(20);
    last.fp32.push(epochs.at(-1)!);
    expect(last.fp32[0]).toBeGreaterThanOrEqual(0.95);
    const { stdout } = cli([
      ...['predict', at('fp32-0/best.safetensors'), file('ucmerced-tif/harbor/harbor00.tif'), '--json'],
    ]);
    expect((JSON.parse(stdout) as { predictions: { label: string }[] }).predictions[0]!.label).toBe('harbor');
  }, 600_000);

  test('bf16 ends within 0.3 points of fp32, over three seeds', () => {
    for (const seed of [1, 2]) last.fp32.push(accuracies(seed, 'fp32').at(-1)!);
    for (const seed of [0, 1, 2]) last.bf16.push(accuracies(seed, 'bf16').at(-1)!);
    const mean = (v: number[]): number => v.reduce((a, b) => a + b, 0) / v.length;
    expect(Math.abs(mean(last.bf16) - mean(last.fp32))).toBeLessThanOrEqual(0.003);
  }, 600_000);
});
