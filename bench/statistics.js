// Medians, spreads and paired ratios. Knows nothing of what was measured.

/** Linear interpolation between the sorted values, q in 0 .. 1. */
export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = q * (sorted.length - 1);
  const low = Math.floor(at);
  return sorted[low] + (sorted[Math.ceil(at)] - sorted[low]) * (at - low);
}

export function summary(values) {
  const q = (p) => quantile(values, p);
  return {
    n: values.length,
    median: q(0.5),
    min: Math.min(...values),
    max: Math.max(...values),
    iqr: q(0.75) - q(0.25),
  };
}

/** Ratios peer / ours of the samples taken next to each other: above 1, ours is faster. */
export function pairedRatio(ours, peer) {
  const n = Math.min(ours.length, peer.length);
  return summary(Array.from({ length: n }, (_, i) => peer[i] / ours[i]));
}

/** Ratios the results must reach, of those both sides of which were measured; of several cases the fastest counts. */
export function ratios(results, thresholds) {
  const best = (cases, name) =>
    cases
      .flatMap((key) => results.find((r) => r.case === key)?.contenders[name] ?? [])
      .sort((a, b) => a.median - b.median)[0];
  return thresholds.flatMap((t) => {
    const [ours, peer] = [best(t.ours, 'ours'), best(t.peer, t.against)];
    if (!ours || !peer) return [];
    const ratio = peer.median / ours.median;
    return [
      {
        name: t.name,
        against: t.against,
        at_least: t.atLeast,
        ratio,
        held: ratio >= t.atLeast,
        ...(peer.extrapolated && { extrapolated: true }),
      },
    ];
  });
}
