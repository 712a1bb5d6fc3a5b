// `tidegate explain`: which route a request takes and why, and what happens to it there; with `--run`, what its policies decide.
// Nothing is sent to upstreams.
import { isIP } from 'node:net';
import { Command } from 'commander';
import { type Compiled, compileSnapshot, MetricSlots } from '../../compile/index.js';
import { loadConfig, type Problem, renderProblems } from '../../config/index.js';
import { loadAddon, withEngineErrors } from '../../engine/addon.js';
import { EngineError } from '../../engine/types.js';
import { chooseConfig, configOption } from '../configFile.js';
import { hasColors } from '../terminal.js';
import { chainOf } from './chain.js';
import { type Explanation, explainRequest } from './explanation.js';
import { renderExplanation } from './report.js';
import { type ExplainedRequest, parseRequest } from './request.js';
import { hasFailed, type Run, runPolicies } from './run.js';
import { Secrets } from './secrets.js';

const lingerMillis = 500;

interface ExplainOptions {
  config?: string;
  header: string[];
  client: string;
  listener: string;
  run?: true;
  body: string;
  tls: string[];
  json?: true;
}

export function explainCommand(): Command {
  return new Command('explain')
    .description(
      'Says which route a request takes, why every other one lost, and what the route does with it. Nothing is sent to it.\n' +
        'The exit code is 1 when the configuration is refused or, with --run, a policy fails; else 0, whatever becomes of the request.\n' +
        'Example: tidegate explain -c tidegate.yaml -- GET http://api.example.com/orders/7',
    )
    .argument('<request...>', 'METHOD URL')
    .addOption(configOption())
    .option('-H, --header <field>', 'a header field of the request, as "name: value"', collect, [])
    .option('--client <address>', "the client's IP address", '127.0.0.1')
    .option(
      '--listener <name>',
      "the listener that gets the request (default: the first one of the URL's scheme)",
      '',
    )
    .option(
      '--run',
      'run the policies of the route on the request, here and now, and say what each decides',
    )
    .option('--body <text>', 'with --run, the body of the request', '')
    .option('--tls <fact>', "with --run, a fact of the client's TLS, as name=value", collect, [])
    .option('--json', 'print the explanation as JSON')
    .action(async (words: string[], options: ExplainOptions) => {
      process.exitCode = await explain(words, options);
      // Policies were told to end; what goes on all the same must not hold the command.
      if (options.run) setTimeout(() => process.exit(), lingerMillis).unref();
    });
}

function collect(value: string, before: string[]): string[] {
  return [...before, value];
}

async function explain(words: readonly string[], options: ExplainOptions): Promise<number> {
  // Before any module is loaded: what policies throw has its place in the author's own file.
  if (options.run) process.setSourceMapsEnabled(true);
  const { header: headers, client, body, tls } = options;
  const request = parseRequest({ words, headers, client, body, tls });
  if (!request.ok) {
    process.stderr.write(
      `tidegate: expected ${request.expected}${request.hint === undefined ? '' : ` (${request.hint})`}\n`,
    );
    return 2;
  }
  const file = chooseConfig(options.config);
  if (file === undefined) return 2;
  const loaded = await loadConfig(file);
  if (!loaded.ok) return refuse(loaded.problems);
  const compiled = await compileSnapshot(loaded.config, {
    version: 1,
    slots: new MetricSlots(),
    source: loaded.source,
    // No endpoint is connected to.
    resolve: async () => '0.0.0.0',
  });
  if (!compiled.ok) return refuse(compiled.problems);
  try {
    const addon = loadAddon();
    const explanation = withEngineErrors(() =>
      explainRequest(addon, loaded.config, compiled, request.value, options.listener),
    );
    const { route } = explanation;
    if (options.run && route !== undefined) {
      route.run = await runRoute(explanation, route, compiled, request.value);
    }
    process.stdout.write(
      options.json
        ? `${JSON.stringify(explanation, null, 2)}\n`
        : renderExplanation(explanation, hasColors(process.stdout)),
    );
    return route?.run !== undefined && hasFailed(route.run) ? 1 : 0;
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    if (error.code === 'snapshot_invalid') return refuse([compiled.coreProblem(error.message)]);
    process.stderr.write(`tidegate: ${error.message}\n`);
    return 2;
  }
}

function runRoute(
  explanation: Explanation,
  { name, params, upstream }: NonNullable<Explanation['route']>,
  compiled: Compiled,
  request: ExplainedRequest,
): Promise<Run> {
  const { links, instances } = chainOf(compiled, name);
  const { scheme, host, path } = explanation.request;
  const [, query] = /\?(.*)$/s.exec(request.target) ?? [];
  const options = instances.map((instance) => instance.options);
  return runPolicies({
    links,
    instances,
    request: {
      method: request.method,
      url: `${scheme}://${host}${path}${query === undefined ? '' : `?${query}`}`,
      headers: linesByName(request.headers),
      client: request.client,
      ...(scheme === 'https' ? { tls: { ...serverName(host), ...request.tls } } : {}),
      params,
      routeName: name,
      ...(request.body === '' ? {} : { body: request.body }),
    },
    upstream: upstream && { name: upstream.name, request: upstream.request },
    secrets: Secrets.of(request, options),
  });
}

/** A client asks for the name that is in its URL, and for no address (RFC 6066 3). */
function serverName(host: string): { sni?: string } {
  return host === '' || host.startsWith('[') || isIP(host) !== 0 ? {} : { sni: host };
}

function linesByName(fields: ExplainedRequest['headers']): Record<string, string[]> {
  const lines = new Map<string, string[]>();
  for (const [name, value] of fields) {
    lines.set(name.toLowerCase(), [...(lines.get(name.toLowerCase()) ?? []), value]);
  }
  return Object.fromEntries(lines);
}

function refuse(problems: Problem[]): number {
  const excerpt = process.stderr.isTTY === true;
  process.stderr.write(renderProblems(problems, { excerpt, color: hasColors(process.stderr) }));
  return 1;
}
