// One line of advice from an inspection's figures.
import type { Inspection } from './result.js';

/** From this ratio on, one scale leaves the median channel's weights less than 16 steps to each side. */
const WIDE = 8;
/** Share of dead channels from which it is worth to act. */
const SOME = 0.01;

/** What to do about it; the worst thing first. */
export function adviceOf({ totals, channels, depthwise, images }: Omit<Inspection, 'advice'>): string {
  const share = (n: number): string => `${n} of ${channels} depthwise channels (${((100 * n) / channels).toFixed(1)}%)`;
  const { empty, dead, silent, int8 } = totals;
  const said: string[] = [];
  if (empty > SOME * channels)
    said.push(
      `The kernels of ${share(empty)} are empty: decay depthwise kernels less, lower the learning rate, or take a narrower network.`,
    );
  else if ((silent ?? 0) > SOME * channels)
    said.push(`${share(silent!)} are silent on these images: a narrower network would do as much.`);
  else if (silent === null && dead > SOME * channels)
    said.push(`${share(dead)} hardly ever open; name a folder of images to see which of them are silent.`);
  const widest = [...depthwise].sort((a, b) => (b.rangeRatio ?? Infinity) - (a.rangeRatio ?? Infinity))[0]!;
  const ratio = widest.rangeRatio ?? Infinity;
  const emptied = int8.perTensor.empty - empty;
  const silenced = images > 0 && silent !== null ? (int8.perTensor.silent ?? 0) - silent : 0;
  if (emptied > 0 || silenced > 0 || ratio >= WIDE) {
    const harm =
      silenced > 0
        ? `silences ${silenced} more channels`
        : emptied > 0
          ? `empties ${emptied} more kernels`
          : 'leaves many channels few of its steps';
    const range = Number.isFinite(ratio) ? `${ratio.toFixed(0)} times` : 'far beyond';
    said.push(
      `For int8 take a scale a channel: one a tensor ${harm} (in ${widest.layer} the range is ${range} the median channel's).`,
    );
  }
  if (said.length === 0) said.push('Nothing to do: no kernel is dead, and one scale a tensor will do for int8.');
  return said.join(' ');
}
