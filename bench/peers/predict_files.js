// The files of an image folder, in the order every contender takes them.
import { readdirSync } from 'node:fs';
import path from 'node:path';

export const files = (root) =>
  readdirSync(root)
    .sort()
    .flatMap((name) =>
      readdirSync(path.join(root, name))
        .sort()
        .map((file) => path.join(root, name, file)),
    );
