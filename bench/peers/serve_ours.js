// Serves cases of the package itself, under the versions of what runs them.
import { readFileSync } from 'node:fs';
import { native } from '../../dist/native/load.js';
import { serve, Skip } from './protocol.js';

/** @param cases by name, what prepares each of a request */
export const serveOurs = (cases) =>
  serve(
    {
      'mnv2-torch': JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version,
      libtorch: native().buildInfo().libtorch,
      node: process.version,
    },
    (request) => {
      if (!cases[request.case]) throw new Skip(`no case '${request.case}'`);
      return cases[request.case](request);
    },
  );
