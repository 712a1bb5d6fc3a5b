// Variables of a route's templates: those that have a value there, and parameters that every path of the route has.
import { nearest } from '../nearest.js';
import type { PathPattern } from '../pathPattern.js';
import type { ConfigPath } from '../problem.js';
import type { RouteSettings } from '../schema/index.js';
import type { Finding } from '../source.js';
import { type Template, type TemplateVariable, templateVariables } from '../template.js';
import type { MeaningContext } from './index.js';

/** Where a template stands, and which variables cannot be used there. */
interface Place {
  template: Template | undefined;
  path: ConfigPath;
  without: readonly (TemplateVariable | 'header')[];
  because: string;
}

interface TemplateCheck extends Pick<MeaningContext, 'isBroken' | 'report'> {
  route: RouteSettings;
  path: ConfigPath;
}

/** They may hold bytes that a path cannot; the core refuses the same ones. */
const notInPaths = [
  'route.name',
  'upstream.name',
  'endpoint.address',
  'request.id',
  'header',
] as const;
/** They always hold a slash or the like. */
const notInHosts = ['path', 'query', '?query', 'tail'] as const;
/** There is no upstream. */
const notInAnswers = ['upstream.name', 'endpoint.address'] as const;

export function checkTemplates(check: TemplateCheck): void {
  const { route, path, isBroken, report } = check;
  const broken = isBroken([...path, 'match']);
  for (const place of placesOf(route, path)) {
    for (const part of place.template?.parts ?? []) {
      if (part.kind === 'literal') continue;
      const name =
        part.kind === 'header' ? 'header' : part.kind === 'variable' ? part.name : undefined;
      if (name !== undefined && place.without.includes(name)) {
        report({
          code: 'unknown_variable',
          path: place.path,
          message: `{${name === 'header' ? `header.${part.name}` : name}} has no place here: ${place.because}`,
        });
      } else if (part.kind === 'param' && !broken) {
        checkParam(part.name, route.match.path ?? [], place.path, report);
      } else if (name === 'tail' && !broken) {
        checkTail(route.match.path ?? [], place.path, report);
      }
    }
  }
}

function placesOf(route: RouteSettings, path: ConfigPath): Place[] {
  const { rewrite, redirect, respond, headers } = route;
  const answer = route.upstream === undefined;
  const open = { without: answer ? notInAnswers : [], because: 'the route has no upstream' };
  return [
    {
      template: rewrite.path,
      path: [...path, 'rewrite', 'path'],
      without: notInPaths,
      because: 'a path can hold only what cannot break it',
    },
    {
      template: rewrite.host,
      path: [...path, 'rewrite', 'host'],
      without: notInHosts,
      because: 'a host cannot hold a path or query',
    },
    { template: redirect?.location, path: [...path, 'redirect', 'location'], ...open },
    { template: respond?.body, path: [...path, 'respond', 'body'], ...open },
    ...fields(respond?.headers, [...path, 'respond', 'headers'], open),
    ...(['request', 'response'] as const).flatMap((side) => [
      ...fields(headers[side].set, [...path, 'headers', side, 'set'], open),
      ...fields(headers[side].add, [...path, 'headers', side, 'add'], open),
    ]),
  ];
}

function fields(
  map: Record<string, Template | Template[]> | undefined,
  path: ConfigPath,
  open: Pick<Place, 'without' | 'because'>,
): Place[] {
  return Object.entries(map ?? {}).flatMap(([name, value]) =>
    [value].flat().map((template, index) => ({ template, path: [...path, name, index], ...open })),
  );
}

function checkParam(
  name: string,
  paths: PathPattern[],
  path: ConfigPath,
  report: (finding: Finding) => void,
): void {
  const lacking = paths.find(({ params }) => !params.includes(name));
  if (lacking === undefined && paths.length > 0) return;
  const words = [
    ...new Set(paths.flatMap(({ params }) => params)),
    ...Object.keys(templateVariables),
  ];
  const near = nearest(
    name,
    words.filter((word) => word !== name),
  );
  const where =
    lacking === undefined ? 'the route has no path' : `the path ${lacking.text} has no :${name}`;
  report({
    code: 'unknown_variable',
    path,
    message: `expected a variable or a path parameter in {${name}} but ${where}`,
    hint: near === undefined ? undefined : `did you mean {${near}}?`,
  });
}

function checkTail(
  paths: PathPattern[],
  path: ConfigPath,
  report: (finding: Finding) => void,
): void {
  const lacking = paths.find(({ tail }) => !tail);
  if (lacking === undefined && paths.length > 0) return;
  const where =
    lacking === undefined ? 'the route has no path' : `the path ${lacking.text} does not end in /*`;
  report({
    code: 'unknown_variable',
    path,
    message: `{tail} is what the * of the path stood for, but ${where}`,
  });
}
