// The commands check, explain and schema as people run them, with the real core.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, vi } from 'vitest';
import { parseRequest } from '../../src/cli/explain/request.js';
import { runProgram } from '../../src/cli/program.js';
import { Authority } from '../support/certificates.js';
import { exampleCertificates } from '../support/exampleCertificates.js';
import { temporaryFolder } from '../support/folder.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const folder = temporaryFolder();

interface Outcome {
  status: number;
  stdout: string;
  stderr: string;
}

/** In this process, in the folder `cwd`. */
async function tidegate(args: string[], cwd = folder): Promise<Outcome> {
  vi.stubEnv('NO_COLOR', '1');
  const outcome = { status: 0, stdout: '', stderr: '' };
  const capture = (name: 'stdout' | 'stderr') => {
    return vi.spyOn(process[name], 'write').mockImplementation((text) => {
      outcome[name] += String(text);
      return true;
    });
  };
  const spies = [capture('stdout'), capture('stderr')];
  process.chdir(cwd);
  try {
    outcome.status = await runProgram(args);
  } finally {
    for (const spy of spies) spy.mockRestore();
    process.exitCode = undefined;
  }
  return outcome;
}

/** The installed command, as a process. */
function run(args: string[]): Promise<Outcome> {
  const program = join(root, 'dist/cli/main.js');
  return new Promise((resolve) => {
    execFile(process.execPath, [program, ...args], { cwd: folder }, (error, stdout, stderr) => {
      resolve({ status: Number(error?.code ?? 0), stdout, stderr });
    });
  });
}

function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return name;
}

const good = file(
  'good.yaml',
  `
listeners:
  - { name: public, bind: "127.0.0.1:8080", limits: { body: 5MiB }, server: remove }
  - { name: internal, bind: "127.0.0.1:8081", paths: { escapedSlashes: keep }, forwarding: { via: false } }
routes:
  - name: orders
    match: { host: api.example.com, path: "/orders/:id", methods: [GET], headers: { x-tenant: blue } }
    rewrite: { path: "/v2/{id}", host: "{host}.internal" }
    upstream: app
    headers:
      request: { set: { x-route: "{route.name}" }, add: { x-a: ["1", "{header.x-tenant}"] }, remove: [x-gone] }
      response: { set: { x-from: "{endpoint.address}" } }
  - name: api
    match: { host: api.example.com, path: /orders/* }
    rewrite: { stripPrefix: /orders }
    upstream: app
    limits: { body: 1MiB }
    timeouts: { request: 1m, idle: unlimited }
    retries: { attempts: 0 }
  - name: office
    priority: 5
    match: { path: /office/*, clients: [10.0.0.0/8], query: { v: { regex: "^[0-9]+$" } } }
    respond: { status: 201, headers: { x-tail: "{tail}" }, body: "hello {client.address}" }
  - name: moved
    listeners: [internal]
    match: { path: { regex: "^/old/(?<rest>.*)$" } }
    redirect: { location: "https://new.example/{rest}{?query}" }
upstreams:
  - { name: app, hostHeader: endpoint, endpoints: ["10.0.0.1:9000", { address: "app.internal:9000", weight: 2 }] }
`,
);

const bad = file(
  'bad.yaml',
  `listeners: [{ name: public, bind: "127.0.0.1:8080" }]
routes:
  - { name: one, match: { pth: /a }, upstream: ap }
  - { name: two, match: { path: { regex: "(" } }, respond: {} }
upstreams: [{ name: app, endpoints: ["127.0.0.1:1"] }]
`,
);

const badRegexes = file(
  'regexes.yaml',
  `listeners: [{ name: public, bind: "127.0.0.1:8080" }]
routes:
  - { name: one, match: { path: { regex: "^/(a" } }, respond: {} }
  - { name: two, match: { path: /a }, respond: {} }
  - { name: three, match: { headers: { x-a: { regex: "(?=a)" } } }, respond: {} }
`,
);

describe('tidegate check', () => {
  it('is silent on standard output and succeeds when nothing is wrong', async () => {
    expect(await tidegate(['check', '-c', good])).toEqual({
      status: 0,
      stdout: '',
      stderr: 'good.yaml: no errors\n',
    });
  });

  it('reports every error with its place, and fails', async () => {
    const { status, stderr } = await tidegate(['check', '-c', bad]);
    expect(status).toBe(1);
    expect(stderr.split('\n')).toEqual([
      'bad.yaml:3:27: routes[0].match.pth: unknown key "pth": expected host, path, methods, headers, query, grpc or clients (did you mean "path"?)',
      'bad.yaml:3:48: routes[0].upstream: expected the name of an upstream but received "ap" (did you mean "app"?)',
      'bad.yaml:5:21: warning: upstreams[0].name: no route leads to the upstream "app"',
      'bad.yaml: 2 errors, 1 warning',
      '',
    ]);
  });

  it('asks the core for what it alone can judge, and places its answers', async () => {
    const { status, stderr } = await tidegate(['check', '-c', badRegexes]);
    expect(status).toBe(1);
    expect(stderr).toContain('regexes.yaml:3:42: routes[0].match.path.regex: `(` without `)`\n');
    expect(stderr).toMatch(
      /^regexes\.yaml:5:54: routes\[2\]\.match\.headers\.x-a\.regex: .*look-around/m,
    );
    expect(stderr).toContain('regexes.yaml: 2 errors\n');
  });

  const certificates = exampleCertificates();
  const examples = readdirSync(join(root, 'examples'), { recursive: true, encoding: 'utf8' });
  it.each(examples.filter((name) => /\.(?:yaml|config\.mjs)$/.test(name)))(
    'finds nothing wrong with examples/%s',
    async (name) => {
      for (const [key, file] of Object.entries(certificates)) vi.stubEnv(key, file);
      const { status, stderr } = await tidegate(['check', '-c', `examples/${name}`], root);
      expect({ status, stderr }).toEqual({ status: 0, stderr: `examples/${name}: no errors\n` });
    },
  );

  it('speaks JSON to programs', async () => {
    const { status, stdout, stderr } = await tidegate(['check', '-c', bad, '--json']);
    expect(status).toBe(1);
    expect(stderr).toBe('');
    const { ok, problems } = JSON.parse(stdout);
    expect(ok).toBe(false);
    expect(problems[0]).toEqual({
      code: 'unknown_key',
      severity: 'error',
      file: 'bad.yaml',
      line: 3,
      column: 27,
      path: 'routes[0].match.pth',
      message: 'unknown key "pth": expected host, path, methods, headers, query, grpc or clients',
      hint: 'did you mean "path"?',
    });
  });

  it('warns of a certificate that ends soon, which is a failure where it is strict', async () => {
    const soon = new Authority().issue({ days: 3 });
    const name = file(
      'soon.yaml',
      `
listeners:
  - { name: a, bind: "127.0.0.1:0", protocol: https, tls: { certificates: [{ cert: ${soon.certFile}, key: ${soon.keyFile} }] } }
routes:
  - { name: all, respond: { status: 204 } }
`,
    );
    const { status, stderr } = await tidegate(['check', '-c', name]);
    expect(status).toBe(0);
    expect(stderr).toContain('soon.yaml:3:84: warning: listeners[0].tls.certificates[0].cert: ');
    expect(stderr).toContain('the certificate of localhost in ');
    expect(stderr).toContain('soon.yaml: 1 warning\n');
    expect((await tidegate(['check', '-c', name, '--strict'])).status).toBe(1);
    expect(
      JSON.parse((await tidegate(['check', '-c', name, '--strict', '--json'])).stdout),
    ).toMatchObject({
      ok: false,
      problems: [{ code: 'certificate_expires', severity: 'warning' }],
    });
  });

  it('looks for names of endpoints only when it is asked to', async () => {
    const { status, stderr } = await tidegate(['check', '-c', good, '--resolve']);
    expect(status).toBe(1);
    expect(stderr).toContain('good.yaml:29:69: upstreams[0].endpoints[1]: ');
    expect(stderr).toContain('expected a name that resolves but app.internal does not');
  });

  it('finds the configuration of the folder it runs in', async () => {
    const here = join(folder, 'here');
    mkdirSync(here);
    expect(await tidegate(['check'], here)).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('expected -c FILE, or one of tidegate.yaml'),
    });
    writeFileSync(join(here, 'tidegate.yml'), 'listeners: [{ name: a, bind: "127.0.0.1:0" }]');
    expect(await tidegate(['check'], here)).toMatchObject({
      status: 0,
      stderr: 'tidegate.yml: no errors\n',
    });
  });

  it('reads modules', async () => {
    file(
      'module.config.ts',
      `import { defineConfig } from 'tidegate';
      export default defineConfig({ listeners: [{ name: 'a', bind: 'b' }] });`,
    );
    const { status, stderr } = await run(['check', '-c', 'module.config.ts']);
    expect(status).toBe(1);
    expect(stderr).toContain('module.config.ts: listeners[0].bind: expected an address');
  });
});

describe('NODE_EXTRA_CA_CERTS', () => {
  const name = file(
    'upstream-tls.yaml',
    `
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes: [{ name: all, upstream: app }]
upstreams: [{ name: app, endpoints: ["app.internal:443"], tls: {} }]
`,
  );

  it.each([
    ['no file', 'missing.pem', 'missing.pem does not exist'],
    ['no certificate', name, `${name} has none`],
  ])('with %s is a warning, as it is to Node.js', async (_what, extra, cause) => {
    vi.stubEnv('NODE_EXTRA_CA_CERTS', extra);
    const { status, stdout, stderr } = await tidegate(['check', '-c', name]);
    vi.stubEnv('NODE_EXTRA_CA_CERTS', undefined);
    expect(status).toBe(0);
    expect(stdout + stderr).toContain(
      `warning: upstreams[0].tls: expected certificates in PEM in NODE_EXTRA_CA_CERTS but ${cause}`,
    );
  });
});

describe('tidegate explain', () => {
  const explain = (...args: string[]) => tidegate(['explain', '-c', good, ...args]);
  const explained = async (...args: string[]) =>
    JSON.parse((await explain('--json', ...args)).stdout);

  it('tells the route, its plan, what the upstream gets, and why the others lost', async () => {
    const { status, stdout } = await explain(
      '--',
      'GET',
      'http://API.example.com:8080/orders//a%2db?x=1',
      '-H',
      'X-Tenant: blue',
    );
    expect(status).toBe(0);
    await expect(stdout).toMatchFileSnapshot('./explain/forward.txt');
  });

  it('tells what a route answers by itself', async () => {
    const { stdout } = await explain('--client', '10.1.2.3', 'http://any.example/office/a/b?v=7');
    await expect(stdout).toMatchFileSnapshot('./explain/respond.txt');
  });

  it('names the predicate that each route lost by', async () => {
    const { candidates, refusal, route } = await explained(
      'POST',
      'http://api.example.com/orders/7',
    );
    expect(route.name).toBe('api');
    expect(refusal).toBeUndefined();
    const lost = candidates.map(
      ({ route: name, predicate }: { route: string; predicate: string }) => [name, predicate],
    );
    expect(Object.fromEntries(lost)).toEqual({
      orders: 'method',
      api: '',
      office: 'path',
      moved: 'listener',
    });
  });

  it('strips prefixes by whole segments, and keeps the query', async () => {
    const targetOf = async (url: string) =>
      (await explained('PUT', `http://api.example.com${url}`)).route.upstream.request;
    expect(await targetOf('/orders/a/b?c=d')).toEqual({
      method: 'PUT',
      target: '/a/b?c=d',
      host: '{endpoint.address}',
    });
    expect((await targetOf('/orders')).target).toBe('/');
    expect((await targetOf('/orders?')).target).toBe('/?');
  });

  it('listens on the listener that is named', async () => {
    const { listener, route } = await explained('--listener', 'internal', '/old/a/b?c');
    expect(listener).toBe('internal');
    expect(route).toMatchObject({ name: 'moved', params: { rest: 'a/b' } });
    expect(route.plan).toContainEqual({
      phase: 'response',
      step: 'redirect',
      detail: '308 to https://new.example/a/b?c',
    });
    expect(await explain('--listener', 'none', '/')).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("no listener named 'none'"),
    });
  });

  it.each([
    [['GET', '/nothing'], { code: 'route_not_found', status: 404 }],
    [['GET', '/a%2fb'], { code: 'bad_path', status: 400 }],
    [['CONNECT', 'api.example.com:443'], { code: 'method_refused', status: 501 }],
    [['TRACE', '/'], { code: 'trace_refused', status: 405 }],
  ])('%j is refused', async (words, refusal) => {
    expect((await explained(...words)).refusal).toMatchObject(refusal);
  });

  describe('with an https listener', () => {
    const authority = new Authority();
    const { certFile, keyFile } = authority.issue({ names: ['a.example'] });
    const rsa = authority.issue({ names: ['a.example', '*.b.example'], keyType: 'rsa' });
    const file = join(temporaryFolder(), 'https.yaml');
    writeFileSync(
      file,
      `
listeners:
  - { name: plain, bind: "127.0.0.1:0", redirectToHttps: 8443 }
  - name: secure
    bind: "127.0.0.1:0"
    protocol: https
    hsts: true
    tls: { certificates: [{ cert: ${certFile}, key: ${keyFile} }, { cert: ${rsa.certFile}, key: ${rsa.keyFile} }] }
  - name: strict
    bind: "127.0.0.1:0"
    protocol: https
    protocols: [http2]
    tls:
      minVersion: TLSv1.3
      strictSni: true
      earlyData: true
      certificates: [{ cert: ${rsa.certFile}, key: ${rsa.keyFile} }]
      clientAuth: { mode: request, ca: ${authority.certFile} }
    forwarding: { clientCert: true }
routes:
  - { name: all, respond: { status: 200, body: "{scheme} {host}" } }
  - { name: verified, match: { path: /verified }, upstream: verified }
  - { name: any, match: { path: /any }, upstream: any }
upstreams:
  - { name: verified, protocol: auto, endpoints: ["app.internal:443"], tls: {} }
  - { name: any, protocol: http2, endpoints: ["10.0.0.1:443"], tls: { verify: false, cert: ${certFile}, key: ${keyFile} } }
`,
    );
    const ask = (...args: string[]) => tidegate(['explain', '-c', file, ...args]);

    it('an https URL goes to it, and {scheme} is https', async () => {
      const { listener, request, route } = JSON.parse(
        (await ask('--json', 'https://a.example/b')).stdout,
      );
      expect(listener).toBe('secure');
      expect(request.scheme).toBe('https');
      expect(route.plan.at(-2)).toEqual({
        phase: 'response',
        step: 'respond',
        detail: '200 with "https a.example"',
      });
      const named = JSON.parse((await ask('--json', '--listener', 'secure', '/b')).stdout);
      expect(named.request.scheme).toBe('https');
    });

    it('it says which certificate the host gets, and what is spoken', async () => {
      const wireOf = async (url: string, listener = 'secure') => {
        const { stdout } = await ask('--json', '--listener', listener, url);
        const facts: { fact: string; detail: string }[] = JSON.parse(stdout).wire;
        return Object.fromEntries(facts.map(({ fact, detail }) => [fact, detail]));
      };
      expect(await wireOf('https://A.example/')).toEqual({
        speaks: 'HTTP/1.1 and HTTP/2 over TLS 1.2 to 1.3',
        certificate: `${certFile} or ${rsa.certFile}`,
      });
      expect((await wireOf('https://x.b.example/'))['certificate']).toBe(rsa.certFile);
      // Nobody's name: the default one.
      expect((await wireOf('https://c.example/'))['certificate']).toContain(certFile);
      expect(await wireOf('https://a.example/', 'strict')).toEqual({
        speaks: 'HTTP/2 over TLS 1.3, with early data',
        certificate: rsa.certFile,
        'of clients': `asked for, whatever it is, by ${authority.certFile}`,
      });
      expect((await wireOf('https://c.example/', 'strict'))['certificate']).toMatch(/^none: /);
      expect(await wireOf('/', 'plain')).toEqual({ speaks: 'HTTP/1.1 and HTTP/2 in the clear' });
    });

    it('it says what upstreams are spoken to in, and what TLS adds on the way', async () => {
      const { stdout } = await ask('--listener', 'strict', 'https://a.example/verified');
      expect(stdout).toMatch(/speaks +HTTP\/2 or HTTP\/1\.1, as the endpoint chooses, over TLS/);
      expect(stdout).toMatch(/verified +as the endpoint's own name, by the authorities of the sys/);
      expect(stdout).toContain("client-cert of the client's verified certificate");
      const any = (await ask('https://a.example/any')).stdout;
      expect(any).toContain(`HTTP/2 over TLS 1.2 to 1.3, shows ${certFile}`);
      expect(any).toMatch(/verified +no: any certificate is taken/);
      expect(any).toMatch(/set header +strict-transport-security: max-age=31536000/);
    });

    it('one that redirects to it says where to, and looks for no route', async () => {
      const url = 'http://A.example:80/b//c?d=e';
      const { stdout, status } = await ask(url);
      expect(status).toBe(0);
      expect(stdout).toContain('redirected to https by the listener');
      const { redirect, route, candidates } = JSON.parse((await ask('--json', url)).stdout);
      expect(redirect).toEqual({ status: 308, location: 'https://a.example:8443/b/c?d=e' });
      expect(route).toBeUndefined();
      expect(candidates).toEqual([]);
      expect(JSON.parse((await ask('--json', '/a%2fb')).stdout).refusal.code).toBe('bad_path');
    });
  });

  it('needs a request', async () => {
    expect(await explain()).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("missing required argument 'request'"),
    });
    expect(await explain('GET', '/', '-H', 'x')).toEqual({
      status: 2,
      stdout: '',
      stderr: 'tidegate: expected -H "name: value" (received "x")\n',
    });
  });

  it('reports what is wrong with the configuration first', async () => {
    for (const name of [bad, badRegexes]) {
      expect(await tidegate(['explain', '-c', name, 'GET', '/'])).toMatchObject({
        status: 1,
        stdout: '',
      });
    }
  });
});

describe('the request of tidegate explain', () => {
  const read = (words: string[], headers: string[] = [], client = '127.0.0.1') =>
    parseRequest({ words, headers, client });

  it.each([
    [['/a?b'], { method: 'GET', host: '', target: '/a?b', headers: [] }],
    [
      ['PUT', 'http://A.example:80/b//c/../d?e#f'],
      {
        method: 'PUT',
        host: 'A.example',
        target: '/b//c/../d?e',
        headers: [['host', 'A.example:80']],
      },
    ],
    [['GET', 'a.example'], { host: 'a.example', target: '/' }],
    [['GET', 'https://[::1]:8443?x'], { host: '[::1]', target: '/?x' }],
    [['OPTIONS', '*'], { method: 'OPTIONS', target: '*' }],
  ])('%j', (words, request) => {
    expect(read(words)).toMatchObject({ ok: true, value: request });
  });

  it('has the host of its Host field where the URL has none', () => {
    const value = {
      host: 'b.example',
      headers: [
        ['Host', 'b.example:81'],
        ['x', 'a: b'],
      ],
    };
    expect(read(['/'], ['Host: b.example:81', 'x:a: b '])).toMatchObject({ value });
    expect(read(['http://c.example/'], ['Host: b.example'])).toMatchObject({
      value: { host: 'c.example' },
    });
  });

  it.each([
    [[], [], '127.0.0.1'],
    [['GET', '/', 'more'], [], '127.0.0.1'],
    [['G T', '/'], [], '127.0.0.1'],
    [['GET', 'a b'], [], '127.0.0.1'],
    [['GET', 'http://user@host/'], [], '127.0.0.1'],
    [['GET', '/'], ['no colon'], '127.0.0.1'],
    [['GET', '/'], ['a b: c'], '127.0.0.1'],
    [['GET', '/'], [], 'localhost'],
  ])('%j %j of %s is refused', (words, headers, client) => {
    expect(read(words, headers, client).ok).toBe(false);
  });
});

describe('tidegate schema', () => {
  it('ends in peace when its reader has seen enough', async () => {
    const line = '{ "$0" "$1" schema; echo "ends with $?" >&2; } | head -c 1';
    const child = spawn('sh', ['-c', line, process.execPath, join(root, 'dist/cli/main.js')]);
    let said = '';
    child.stderr.on('data', (text) => {
      said += text;
    });
    await once(child, 'close');
    expect(said).toBe('ends with 0\n');
  });

  it('prints the JSON Schema', async () => {
    const { status, stdout } = await tidegate(['schema']);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      type: 'object',
      required: ['listeners'],
    });
  });
});

describe('tidegate', () => {
  it('lists its commands, and fails on others', async () => {
    const help = await tidegate(['--help']);
    expect(help.status).toBe(0);
    for (const name of ['run', 'check', 'explain', 'schema'])
      expect(help.stdout).toContain(`  ${name} `);
    expect(await tidegate(['chekc'])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('Did you mean check?'),
    });
    expect((await run(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it.each(['run', 'check', 'explain', 'schema'])('%s has help of its own', async (name) => {
    const { status, stdout } = await tidegate([name, '--help']);
    expect(status).toBe(0);
    expect(stdout).toContain(`Usage: tidegate ${name}`);
  });
});
