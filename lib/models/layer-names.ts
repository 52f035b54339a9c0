// What other libraries call the layers of a network. The table of each architecture is in its own file.

/** One layer with weights: its path here (torchvision's), in timm's models and in Keras'. */
export type LayerNames = readonly [ours: string, timm: string, keras: string];

/** timm's `blocks.<stage>.<index>` of a row of blocks: a stage ends where `mark`, such as the channels, changes. */
export function timmBlocks(marks: readonly number[]): string[] {
  let [stage, index] = [-1, 0];
  return marks.map((mark, i) => {
    if (i === 0 || mark !== marks[i - 1]) [stage, index] = [stage + 1, 0];
    return `blocks.${stage}.${index++}`;
  });
}
