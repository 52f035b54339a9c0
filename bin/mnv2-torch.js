#!/usr/bin/env node
import { guardProcess } from '../dist/cli/failures.js';
import { main } from '../dist/cli/main.js';
guardProcess();
process.exitCode = await main(process.argv.slice(2));
