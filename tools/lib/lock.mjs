// One build at a time in a working copy: `npm start` beside `npm test` waits for it.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { inRoot } from './files.mjs';

const lockFile = inRoot('build/.lock');

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** True when this process has taken the lock; takes it from an owner that has died. */
function tryLock() {
  mkdirSync(inRoot('build'), { recursive: true });
  try {
    writeFileSync(lockFile, `${process.pid}`, { flag: 'wx' });
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
  }
  let owner;
  try {
    owner = Number(readFileSync(lockFile, 'utf8'));
  } catch {
    return false;
  }
  // An owner that has made the file and not yet written its id reads as 0.
  if (owner > 0 && !isAlive(owner)) rmSync(lockFile, { force: true });
  return false;
}

export async function withBuildLock(task) {
  for (let waited = false; !tryLock(); waited = true) {
    if (!waited) console.error('tidegate: waiting for another build in this folder');
    await delay(200);
  }
  try {
    return await task();
  } finally {
    rmSync(lockFile, { force: true });
  }
}
