// What `require('mnv2-torch')` gives: the modules of index.ts, loaded by Node as they are.
import index = require('./index.js');
export = index;
