// A browser that is not ours: headless Chromium over HTTP/2 and TLS; left out where it is not installed.
import { execFile, spawnSync } from 'node:child_process';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { echoWebSocket } from '../../src/demo/webSocketEcho.js';
import { addressOf } from '../support/address.js';
import { Authority } from '../support/certificates.js';
import { endLater } from '../support/cleanup.js';
import { temporaryFolder } from '../support/folder.js';
import { type AccessLine, type Gateway, startGateway } from '../support/gateway.js';
import { eventually, patienceMillis } from '../support/patience.js';

const chromium = 'chromium';
/** A sanitized core has nothing to say to a browser that it does not say to other clients. */
const wanted = !process.env['TIDEGATE_HOST'];
const installed = wanted && spawnSync(chromium, ['--version']).status === 0;
const run = promisify(execFile);
const authority = new Authority();
const site = authority.issue();
const images = 100;
const image = `<svg xmlns="http://www.w3.org/2000/svg" width="3" height="2"><!--${'x'.repeat(20_000)}--></svg>`;

/** What the script comes to is written into the page; a frame that is not answered before keeps the page from being loaded until then. */
const pageOf = (script: string) => `<!doctype html><link rel="icon" href="data:,">
<pre id="result"></pre><iframe src="/loading"></iframe><script>
(async () => { ${script} })().catch((error) => ({ error: String(error) })).then(async (result) => {
  document.getElementById('result').textContent = JSON.stringify(result);
  await fetch('/loaded');
});
</script>`;

/** Loads the images, and says how they came. */
const imagesPage = pageOf(`
  const widths = await Promise.all(Array.from({ length: ${images} }, (_, i) => new Promise((resolve) => {
    const image = new Image();
    image.onload = () => resolve(image.naturalWidth);
    image.onerror = () => resolve(-1);
    image.src = '/image/' + i;
    document.body.append(image);
  })));
  const entries = [...performance.getEntriesByType('resource'), ...performance.getEntriesByType('navigation')]
    .filter(({ name }) => !name.endsWith('/loading'));
  return {
    loaded: widths.filter((width) => width === 3).length,
    entries: entries.length,
    protocols: [...new Set(entries.map((entry) => entry.nextHopProtocol))],
  };`);

/** Uploads, listens to events, and talks over a WebSocket. */
const talkPage = pageOf(`
  const body = Uint8Array.from({ length: 3 << 20 }, (_, i) => i * 7 + (i >> 8));
  const response = await fetch('/echo', { method: 'POST', body });
  const back = new Uint8Array(await response.arrayBuffer());
  const source = new EventSource('/events');
  const events = [];
  for (let i = 0; i < 3; i += 1) {
    events.push(await new Promise((resolve) => { source.onmessage = ({ data }) => resolve(data); }));
    await fetch('/heard');
  }
  source.close();
  const socket = new WebSocket('wss://' + location.host + '/socket');
  const next = () => new Promise((resolve, reject) => {
    socket.onmessage = ({ data }) => resolve(data);
    socket.onerror = () => reject(new Error('the WebSocket failed'));
  });
  await new Promise((resolve, reject) => { socket.onopen = resolve; socket.onerror = reject; });
  const messages = [];
  for (const text of ['one', 'two'.repeat(10000)]) {
    const answer = next();
    socket.send(text);
    messages.push(await answer === text);
  }
  const closed = new Promise((resolve) => { socket.onclose = ({ code }) => resolve(code); });
  socket.close(1000);
  return {
    upload: back.length === body.length && back.every((byte, i) => byte === body[i]),
    events,
    messages,
    closed: await closed,
  };`);

/** Responses that wait for what the page does. */
let loading: ServerResponse | undefined;
let events: ServerResponse | undefined;
let sent = 0;

function nextEvent(): void {
  sent += 1;
  events?.write(`data: event ${sent}\n\n`);
}

function serve(request: IncomingMessage, response: ServerResponse): void {
  const html = (text: string) => response.setHeader('content-type', 'text/html').end(text);
  switch (request.url) {
    case '/images':
      html(imagesPage);
      break;
    case '/talk':
      html(talkPage);
      break;
    case '/loading':
      loading = response;
      break;
    case '/loaded':
      loading?.end();
      response.end();
      break;
    case '/events':
      events = response.writeHead(200, { 'content-type': 'text/event-stream' });
      nextEvent();
      break;
    case '/heard':
      nextEvent();
      response.end();
      break;
    case '/echo':
      request.pipe(response);
      break;
    default:
      response.setHeader('content-type', 'image/svg+xml').end(image);
  }
}

let gateway: Gateway;

beforeAll(async () => {
  const origin = createServer(serve).on('upgrade', echoWebSocket);
  await new Promise<void>((resolve) => origin.listen(0, '127.0.0.1', resolve));
  endLater('origin', () => origin.close().closeAllConnections());
  gateway = await startGateway(`
listeners:
  - name: public
    bind: "127.0.0.1:0"
    protocol: https
    tls: { certificates: [{ cert: ${site.certFile}, key: ${site.keyFile} }] }
routes: [{ name: all, upstream: origin }]
upstreams: [{ name: origin, endpoints: ["${addressOf(origin)}"] }]
`);
});

/** What the page at this path comes to, and what the access log says of it. */
async function load(path: string): Promise<{ result: unknown; lines: AccessLine[] }> {
  const from = gateway.output.all.length;
  const { stdout } = await run(
    chromium,
    [
      ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
      ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
      ...['--ignore-certificate-errors', '--dump-dom'],
      `--user-data-dir=${join(temporaryFolder(), 'profile')}`,
      `https://${gateway.address()}${path}`,
    ],
    { timeout: patienceMillis, maxBuffer: 64 * 1024 * 1024 },
  );
  const text = /<pre id="result">(.*?)<\/pre>/.exec(stdout)?.[1] ?? '{}';
  await gateway.metricIs('tidegate_connections_active', 0);
  const lines = await eventually('the lines of the access log', () => {
    const all = gateway.output.all.slice(from).map((line): AccessLine => JSON.parse(line));
    return all.some(({ target }) => target === '/loading') && all;
  });
  return { result: JSON.parse(text), lines };
}

describe.skipIf(!installed)('Chromium', () => {
  it('loads a page with 100 images over one connection', async () => {
    const { result, lines } = await load('/images');
    expect(result).toEqual({ loaded: images, entries: images + 1, protocols: ['h2'] });
    const paths = lines.map(({ target }) => target);
    expect(paths.filter((target) => target?.startsWith('/image/'))).toHaveLength(images);
    expect(new Set(lines.map(({ port }) => port)).size).toBe(1);
    expect(new Set(lines.map(({ status, reason }) => `${status} ${reason}`))).toEqual(
      new Set(['200 none']),
    );
  });

  it('uploads, hears each event when it is sent, and talks over a WebSocket', async () => {
    const { result, lines } = await load('/talk');
    expect(result).toEqual({
      upload: true,
      events: ['event 1', 'event 2', 'event 3'],
      messages: [true, true],
      closed: 1000,
    });
    // On the connection that is there (RFC 8441).
    expect(lines.find(({ target }) => target === '/socket')).toMatchObject({
      method: 'CONNECT',
      status: 200,
      protocol: 'HTTP/2.0',
      reason: 'none',
    });
  });
});
