// A browser that is not ours: headless Chromium over HTTP/2 and TLS; left out where it is not installed.
import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { Authority } from '../support/certificates.js';
import { temporaryFolder } from '../support/folder.js';
import { type AccessLine, type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin } from '../support/origin.js';
import { eventually, patienceMillis } from '../support/patience.js';

const chromium = 'chromium';
const installed = spawnSync(chromium, ['--version']).status === 0;
const run = promisify(execFile);
const authority = new Authority();
const site = authority.issue();
const images = 100;

/** Loads the images, and writes into itself what became of them. */
const page = `<!doctype html><title>images</title><pre id="result"></pre><script>
const wanted = Array.from({ length: ${images} }, (_, i) => new Promise((resolve) => {
  const image = new Image();
  image.onload = () => resolve(image.naturalWidth);
  image.onerror = () => resolve(-1);
  image.src = '/image/' + i;
  document.body.append(image);
}));
Promise.all(wanted).then((widths) => {
  const entries = performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'));
  const protocols = [...new Set(entries.map((entry) => entry.nextHopProtocol))];
  const loaded = widths.filter((width) => width === 3).length;
  document.getElementById('result').textContent = JSON.stringify({ loaded, entries: entries.length, protocols });
});
</script>`;
const image = `<svg xmlns="http://www.w3.org/2000/svg" width="3" height="2"><!--${'x'.repeat(20_000)}--></svg>`;

let origin: Origin;
let gateway: Gateway;

beforeAll(async () => {
  origin = await startOrigin(({ target }, connection) => {
    if (target.startsWith('/image/'))
      connection.respond(image, '200 OK', 'content-type: image/svg+xml');
    else connection.respond(page, '200 OK', 'content-type: text/html');
  });
  gateway = await startGateway(`
listeners:
  - name: public
    bind: "127.0.0.1:0"
    protocol: https
    tls: { certificates: [{ cert: ${site.certFile}, key: ${site.keyFile} }] }
routes: [{ name: all, upstream: origin }]
upstreams: [{ name: origin, endpoints: ["${origin.address}"] }]
`);
});

describe.skipIf(!installed)('Chromium', () => {
  it('loads a page with 100 images over one connection', async () => {
    const { stdout } = await run(
      chromium,
      [
        ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
        ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
        ...['--ignore-certificate-errors', '--virtual-time-budget=30000', '--dump-dom'],
        `--user-data-dir=${join(temporaryFolder(), 'profile')}`,
        `https://${gateway.address()}/`,
      ],
      { timeout: patienceMillis, maxBuffer: 64 * 1024 * 1024 },
    );
    const result = /<pre id="result">(.*?)<\/pre>/.exec(stdout)?.[1] ?? '{}';
    expect(JSON.parse(result)).toEqual({
      loaded: images,
      entries: images + 1,
      protocols: ['h2'],
    });
    await gateway.metricIs('tidegate_connections_active', 0);
    const lines = await eventually('the lines of the access log', () => {
      const all = gateway.output.all.map((line): AccessLine => JSON.parse(line));
      return all.length > images && all;
    });
    expect(lines.filter(({ target }) => target?.startsWith('/image/'))).toHaveLength(images);
    const ofPage = lines.filter(({ target }) => target !== '/favicon.ico');
    expect(new Set(ofPage.map(({ port }) => port)).size).toBe(1);
    expect(new Set(lines.map(({ status, reason }) => `${status} ${reason}`))).toEqual(
      new Set(['200 none']),
    );
  });
});
