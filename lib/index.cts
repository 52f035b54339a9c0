// What `require('mnv2-torch')` gives: the modules of index.ts, loaded by Node as they are.
// eslint-disable-next-line @typescript-eslint/no-require-imports -- what a CommonJS file imports with
import index = require('./index.js');
export = index;
