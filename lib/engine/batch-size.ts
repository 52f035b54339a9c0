// How many images are taken at once: at most, and by inference where nobody asked for a number.

/**
 * Images of one inference step. On the CPU 16 are fastest, as their activations stay in the cache (bench row 4); a card
 * wants more (64, not measured).
 */
export const inferenceBatch = (device: string): number => (device === 'cpu' ? 16 : 64);

/** A step of more images fits into no machine, and finding that out would take minutes. */
export const MOST_BATCH = 65_536;
