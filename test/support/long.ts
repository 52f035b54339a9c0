// How often a test that draws its cases repeats: often enough for every run, and as often as was once thought needed
// (`npm run test:long`) before a release.
const long = process.env['MNV2_LONG'] === '1';

/** `few` in `npm test`, `all` in `npm run test:long`. */
export const times = (few: number, all: number): number => (long ? all : few);
