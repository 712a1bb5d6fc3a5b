// Findings for people: `file:line:column: message`, with the source line and a caret where a terminal shows them.
import { formatPath, type Problem } from './problem.js';

export interface RenderOptions {
  /** Shows the source line and marks the place. */
  excerpt?: boolean;
  color?: boolean;
}

const codes = { bold: 1, red: 31, yellow: 33, cyan: 36, dim: 2 } as const;
export type Paint = (style: keyof typeof codes, text: string) => string;

export function painter(color: boolean): Paint {
  return color ? (style, text) => `\x1b[${codes[style]}m${text}\x1b[0m` : (_, text) => text;
}

/** One block a problem, each ending in a line break. */
export function renderProblems(problems: readonly Problem[], options: RenderOptions = {}): string {
  const paint = painter(options.color ?? false);
  return problems
    .map((problem) => renderProblem(problem, paint, options.excerpt ?? false))
    .join('');
}

function renderProblem(problem: Problem, paint: Paint, excerpt: boolean): string {
  const { file, location } = problem;
  const place = location === undefined ? file : `${file}:${location.line}:${location.column}`;
  const warning = problem.severity === 'warning' ? `${paint('yellow', 'warning:')} ` : '';
  const line = `${paint('bold', place)}: ${warning}${problemText(problem)}\n`;
  return excerpt && (location?.excerpt ?? '') !== '' ? line + renderExcerpt(problem, paint) : line;
}

/** The message with the path before it and the hint behind it. */
export function problemText({ path, message, hint }: Problem): string {
  const where = path.length === 0 ? '' : `${formatPath(path)}: `;
  return `${where}${message}${hint === undefined ? '' : ` (${hint})`}`;
}

/** Longer lines are cut around the place. */
const maxExcerpt = 120;

function renderExcerpt(problem: Problem, paint: Paint): string {
  const { location } = problem;
  if (location === undefined) return '';
  const { text, at } = cutAround(location.excerpt, location.column - 1);
  const number = String(location.line).padStart(5);
  const before = text.slice(0, at).replaceAll(/[^\t]/g, ' ');
  const width = Math.max(1, Math.min(location.length, text.length - at));
  const style = problem.severity === 'warning' ? 'yellow' : 'red';
  return `${paint('dim', `${number} |`)} ${text}\n${paint('dim', '      |')} ${before}${paint(style, '^'.repeat(width))}\n`;
}

function cutAround(line: string, at: number): { text: string; at: number } {
  if (line.length <= maxExcerpt) return { text: line, at };
  const from = Math.max(0, Math.min(at - maxExcerpt / 2, line.length - maxExcerpt));
  const to = from + maxExcerpt;
  const head = from > 0 ? '…' : '';
  const tail = to < line.length ? '…' : '';
  return { text: `${head}${line.slice(from, to)}${tail}`, at: at - from + head.length };
}

/** For programs: what `check --json` prints for each problem. */
export function problemRecord(problem: Problem) {
  const { code, severity, file, location, path, message, hint } = problem;
  return {
    code,
    severity,
    file,
    line: location?.line ?? null,
    column: location?.column ?? null,
    path: formatPath(path),
    message,
    hint: hint ?? null,
  };
}
