// Data sets for the other tasks: the built-in scenes with labels and numbers that their pictures show.
import { syntheticScenes, type Dataset } from 'mnv2-torch';

/** Six of them, most of which several scenes have. */
const SHOWN: Record<string, readonly string[]> = {
  boats: ['harbor'],
  buildings: ['buildings', 'denseresidential', 'mediumresidential', 'sparseresidential', 'mobilehomepark'],
  cars: ['parkinglot', 'freeway', 'overpass', 'intersection'],
  sand: ['beach', 'baseballdiamond'],
  trees: ['forest', 'chaparral', 'golfcourse', 'sparseresidential', 'river'],
  water: ['beach', 'harbor', 'river'],
};

const like = (scenes: Dataset, of: Pick<Dataset, 'task' | 'classes' | 'labels' | 'targets'>): Dataset => ({
  ...of,
  files: scenes.files,
  size: scenes.size,
  store: scenes.store,
  skipped: scenes.skipped,
  damaged: scenes.damaged,
  notes: scenes.notes,
  packed: (count) => scenes.packed(count),
  ready: () => scenes.ready(),
  dispose: () => scenes.dispose(),
});

/** Which things a scene shows. */
export async function labelledScenes(options: { size: number; perClass: number }): Promise<Dataset> {
  const scenes = await syntheticScenes(options);
  const classes = Object.keys(SHOWN);
  const rows = [...scenes.labels].map((label) =>
    classes.map((c) => Number(SHOWN[c]!.includes(scenes.classes[label]!))),
  );
  return like(scenes, { task: 'multilabel', classes, labels: scenes.labels, targets: Float32Array.from(rows.flat()) });
}

/** How bright a scene is, and, in another unit, how green. */
export async function measuredScenes(options: { size: number; perClass: number }): Promise<Dataset> {
  const scenes = await syntheticScenes(options);
  const rows = scenes.files.map((_, row) => {
    const pixels = scenes.store.get(row);
    const mean = (channel: number): number =>
      pixels.reduce((a, v, i) => (i % 3 === channel ? a + v : a), 0) / (pixels.length / 3);
    return [(mean(0) + mean(1) + mean(2)) / 3, 1000 + 50 * (mean(1) - mean(0))];
  });
  const labels = new Int32Array(rows.length);
  return like(scenes, {
    task: 'regression',
    classes: ['brightness', 'green'],
    labels,
    targets: Float32Array.from(rows.flat()),
  });
}
