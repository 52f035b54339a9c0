// The head of a network: the part that depends on the classes.

/** Its tensors may be absent from a file, or start afresh where the file's are for another number of classes. */
export interface Head {
  /** path of the module */
  readonly module: string;
  /** the tensor [classes, features] whose rows are the classes */
  readonly classes: string;
}

/** Whether a tensor belongs to the head. */
export const inHead = (head: Head, tensor: string): boolean => tensor.startsWith(`${head.module}.`);

/** How many classes a file's tensors tell apart; undefined where it holds a backbone alone. */
export function headClasses(
  head: Head,
  tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>,
): number | undefined {
  const shape = tensors.get(head.classes)?.shape;
  return shape?.length === 2 ? shape[0] : undefined;
}
