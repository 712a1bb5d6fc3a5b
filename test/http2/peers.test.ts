// HTTP/2 clients that are not ours: curl, nghttp and h2load. Each is left out where it is not installed.
import { execFile, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/folder.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin } from '../support/origin.js';

const has = (program: string, flag = '--version') => spawnSync(program, [flag]).status === 0;
const curlKnowsHttp2 = has('curl') && spawnSync('curl', ['--version']).stdout.includes('HTTP2');
const run = promisify(execFile);
const folder = temporaryFolder();
const large = 'x'.repeat(2_000_000);

let gateway: Gateway;
let origin: Origin;

beforeAll(async () => {
  origin = await startOrigin((request, connection) =>
    connection.respond(request.target === '/large' ? large : request.text || 'ok'),
  );
  gateway = await startGateway(
    `
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes: [{ name: all, upstream: origin }]
upstreams: [{ name: origin, endpoints: ["${origin.address}"] }]
`,
    { ioThreads: 2 },
  );
});

const url = (path: string) => `http://${gateway.address()}${path}`;

describe.skipIf(!curlKnowsHttp2)('curl', () => {
  // Its version in Debian 12 cannot use such a connection twice.
  it('gets and posts', async () => {
    const upload = join(folder, 'upload');
    writeFileSync(upload, randomBytes(300_000).toString('hex'));
    const curl = (...args: string[]) =>
      run('curl', ['-sS', '--http2-prior-knowledge', '-w', '%{http_version}', ...args]);
    const got = join(folder, 'got');
    expect((await curl('-o', got, url('/large'))).stdout).toBe('2');
    expect(readFileSync(got, 'utf8')).toBe(large);
    const posted = join(folder, 'posted');
    const { stdout } = await curl('-o', posted, '--data-binary', `@${upload}`, url('/echo'));
    expect(stdout).toBe('2');
    expect(readFileSync(posted, 'utf8')).toBe(readFileSync(upload, 'utf8'));
  });

  it('stays with HTTP/1 where it asks for an upgrade', async () => {
    const { stdout } = await run('curl', ['-sS', '--http2', '-w', ' %{http_version}', url('/')]);
    expect(stdout).toBe('ok 1.1');
  });
});

describe.skipIf(!has('nghttp'))('nghttp', () => {
  it('gets many at a time, with priorities and padding', async () => {
    const { stdout } = await run(
      'nghttp',
      ['-v', '--no-dep', '-b', '100', '-m', '30', '-w', '20', '-W', '22', url('/large')],
      {
        maxBuffer: 256 * 1024 * 1024,
      },
    );
    expect(stdout.match(/:status: 200/g)?.length).toBe(30);
    expect(stdout).not.toContain('RST_STREAM');
  });

  it('uploads with trailers and an expectation', async () => {
    const upload = join(folder, 'trailed');
    writeFileSync(upload, 'y'.repeat(200_000));
    const { stdout } = await run('nghttp', [
      '-d',
      upload,
      '--trailer',
      'x-sum: 1',
      '--expect-continue',
      url('/echo'),
    ]);
    expect(stdout).toBe('y'.repeat(200_000));
  });
});

describe.skipIf(!has('h2load'))('h2load', () => {
  it('has every one of its requests answered', async () => {
    const { stdout } = await run('h2load', ['-n', '5000', '-c', '4', '-m', '50', url('/')]);
    expect(stdout).toContain('5000 succeeded, 0 failed, 0 errored');
  });
});
