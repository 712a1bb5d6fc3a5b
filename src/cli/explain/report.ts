// The explanation for people.
import { type Paint, painter } from '../../config/index.js';
import type { Explanation } from './explanation.js';
import type { Forwarded, PlanStep } from './plan.js';
import type { Run } from './run.js';
import { runRows } from './runReport.js';

export function renderExplanation(explanation: Explanation, color: boolean): string {
  const paint = painter(color);
  const { request, listener, wire, route, redirect, refusal, candidates } = explanation;
  const lines: string[] = [];
  const heading = (text: string) => lines.push('', paint('bold', text));
  const row = (name: string, value: string) =>
    lines.push(`  ${paint('dim', name.padEnd(18))} ${value}`);

  lines.push(paint('bold', `${request.method} ${request.target}`));
  row('listener', listener);
  for (const { fact, detail } of wire) row(fact, detail);
  row('client', request.client);
  if (request.scheme === 'https') row('scheme', request.scheme);
  row('host', request.host === '' ? 'none' : request.host);
  row('path', request.path);
  if (request.query !== '') row('query', request.query);

  if (redirect !== undefined) {
    heading('redirected to https by the listener');
    row('status', String(redirect.status));
    row('Location', redirect.location);
  }
  if (refusal !== undefined) {
    heading('refused');
    row('reason', paint('red', refusal.code));
    row('status', String(refusal.status));
    row('because', refusal.text);
  }
  if (route !== undefined) {
    heading(`route ${paint('cyan', route.name)}`);
    for (const [name, value] of Object.entries(route.params)) row(`{${name}}`, value);
    if (route.tail !== '') row('{tail}', route.tail);
    lines.push(...planLines(route.plan, paint));
    if (route.run !== undefined) {
      heading('policies, run on this request');
      const rows = runRows(route.run, paint);
      for (const [name, value] of rows) row(name, value);
    }
    if (route.upstream !== undefined) {
      heading(`upstream ${paint('cyan', route.upstream.name)}`);
      for (const { fact, detail } of route.upstream.wire) row(fact, detail);
      for (const { address, weight } of route.upstream.endpoints) row(address, `weight ${weight}`);
      const sent = sentTo(route.upstream, route.run);
      row('gets', sent === undefined ? 'nothing' : `${sent.method} ${sent.target}`);
      if (sent !== undefined) row('Host', sent.host);
    }
  }
  const lost = candidates.filter((candidate) => candidate.route !== route?.name);
  if (lost.length > 0) {
    heading(route === undefined ? 'routes that did not match' : 'routes that lost');
    const width = Math.max(...lost.map((candidate) => candidate.route.length));
    for (const candidate of lost) {
      const predicate = candidate.predicate.padEnd(10);
      lines.push(
        `  ${candidate.route.padEnd(width)}  ${paint('yellow', predicate)}  ${candidate.reason}`,
      );
    }
  }
  return `${lines.join('\n')}\n`;
}

/** With policies that were run, what they let go on to it. */
function sentTo(
  { name, request }: { name: string; request: Forwarded },
  run: Run | undefined,
): Forwarded | undefined {
  if (run === undefined) return request;
  const { outcome } = run;
  if (outcome?.kind !== 'goes-on' || outcome.upstream?.name !== name) return undefined;
  return outcome.upstream.request;
}

/** A phase is named at its first step. */
function planLines(plan: readonly PlanStep[], paint: Paint): string[] {
  return plan.map(({ phase, step, detail }, index) => {
    const name = phase === plan[index - 1]?.phase ? '' : phase;
    return `  ${paint('dim', name.padEnd(10))}${paint('dim', step.padEnd(18))} ${detail}`;
  });
}
