// The C++ that is ours, and the clang tools of the version that its format and checks are written for.

import { listFiles } from './files.mjs';
import { findProgram, run } from './processes.mjs';

const folders = ['native', 'test/native', 'test/fuzz', 'bench'];
const version = 19;

export const cppFiles = () => listFiles(folders, ['.cc', '.h']);

export const clangRemedy = `On Debian or Ubuntu: apt-get install -y clang-format-${version} clang-tidy-${version}`;

/**
 * The program `name` of LLVM 19, or undefined. Another version would disagree about format and
 * checks, so that none is taken in its place.
 */
export async function findClangTool(name) {
  for (const candidate of [`${name}-${version}`, name]) {
    const program = findProgram(candidate);
    if (!program) continue;
    const { output } = await run(program, ['--version'], { capture: true });
    if (new RegExp(`version ${version}\\.`).test(output)) return program;
  }
  return undefined;
}
