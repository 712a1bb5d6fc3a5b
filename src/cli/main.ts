#!/usr/bin/env node
// The command `tidegate`.
import { runProgram } from './program.js';

// `tidegate schema | head`: who reads no further wants no more.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

process.exitCode = await runProgram(process.argv.slice(2));
