// What the bench reads from load generators, and what it tells them.
import { describe, expect, test } from 'vitest';
import { wireCommand } from '../../bench/compare/loads/clients.js';
import { h2loadArguments, parseH2load, parseH2loadLog } from '../../bench/compare/loads/h2load.js';
import { shares } from '../../bench/compare/loads/load.js';
import { mergeTotals, runCommand, type Totals } from '../../bench/compare/loads/own.js';
import { parseWrk, wrkArguments, wrkScript } from '../../bench/compare/loads/wrk.js';

const plain = { port: 8080, connections: 64, seconds: 3, path: '/b/64' };

describe('wrk', () => {
  const output = `Running 3s test @ http://127.0.0.1:7002/b/64
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     3.41ms    2.02ms  30.21ms   80.17%
    Req/Sec    18.54k     2.81k   26.43k    73.33%
  Latency Distribution
     50%  812.00us
     75%    4.33ms
     90%    5.71ms
     99%    1.07s
  55543 requests in 3.02s, 10.01MB read
Requests/sec:  18391.72
Transfer/sec:      3.32MB
`;

  test('gives requests, time and latencies in microseconds', () => {
    expect(parseWrk(output)).toMatchObject({
      seconds: 3.02,
      requests: 55543,
      p50Micros: 812,
      p99Micros: 1_070_000,
      errors: { refused: 0, connect: 0, broken: 0, status: 0, timeout: 0 },
    });
  });

  test('counts socket errors and answers that say failure, which are no requests', () => {
    const failing = `${output}  Socket errors: connect 3, read 5, write 7, timeout 11
  Non-2xx or 3xx responses: 43
`;
    expect(parseWrk(failing)).toMatchObject({
      requests: 55500,
      errors: { connect: 3, broken: 12, status: 43, timeout: 11 },
    });
  });

  test('gives nothing for what is not its report', () => {
    expect(parseWrk('unable to connect to 127.0.0.1:1 Connection refused\n')).toBeUndefined();
  });

  test('is told to close connections only when all of them are fresh', () => {
    expect(wrkArguments(plain, 4, undefined).join(' ')).toBe(
      '-t 4 -c 64 -d 3s --latency --timeout 2s http://127.0.0.1:8080/b/64',
    );
    expect(wrkArguments({ ...plain, fresh: 64 }, 1, undefined)).toContain('Connection: close');
  });

  test('never gets more threads than connections', () => {
    expect(wrkArguments({ ...plain, connections: 2 }, 8, undefined).slice(0, 2)).toEqual([
      '-t',
      '2',
    ]);
  });

  test('gets a script for many paths and for bodies, and none for a plain GET', () => {
    expect(wrkScript(plain)).toBeUndefined();
    expect(wrkScript({ ...plain, upload: 1024 })).toContain('string.rep("x", 1024)');
    const many = wrkScript({ ...plain, path: '/r/{n}/x', paths: 10 });
    expect(many).toContain('wrk.format("GET", "/r/" .. n % 10 .. "/x")');
    expect(many).toContain('for n = 0, 9 do');
  });
});

describe('h2load', () => {
  const output = `starting benchmark...
spawning thread #0: 64 total client(s). Timing-based test with 0s of warm-up time and 3s of main duration for measurements.
Application protocol: http/1.1

finished in 3.00s, 5333.00 req/s, 6.12MB/s
requests: 16000 total, 16003 started, 16000 done, 15990 succeeded, 10 failed, 4 errored, 2 timeout
status codes: 15990 2xx, 0 3xx, 3 4xx, 1 5xx
traffic: 18.36MB (19252000) total, 1.45MB (1520000) headers (space savings 0.00%), 15.62MB (16384000) data
`;
  const log = '1700000000000000\t200\t90\n1700000000000100\t200\t110\n1700000000000200\t200\t90\n';

  test('gives requests and errors, and latencies from its log', () => {
    expect(parseH2load(output, log)).toMatchObject({
      seconds: 3,
      requests: 15990,
      p50Micros: 90,
      p99Micros: 110,
      errors: { refused: 0, connect: 0, broken: 4, status: 4, timeout: 2 },
    });
  });

  test('reads a log with a last line that was cut off', () => {
    expect(parseH2loadLog(`${log}1700000000000300\t200`)).toEqual([
      [90, 2],
      [110, 1],
    ]);
  });

  test('gives nothing for what is not its report', () => {
    expect(parseH2load('could not connect\n', '')).toBeUndefined();
  });

  test('is told the rate of each of its connections', () => {
    const args = h2loadArguments({ ...plain, rate: 16_000 }, 1, '/tmp/log');
    expect(args[args.indexOf('--rps') + 1]).toBe('250.000');
    expect(args).toContain('--h1');
  });
});

describe('bench/load', () => {
  const totals: Totals = {
    seconds: 3,
    requests: 3,
    bytes: 100,
    refused: 1,
    connect: 0,
    broken: 2,
    status: 0,
    timeout: 0,
    limited: 0,
    crossed: 0,
    idle: 0.5,
    latency: [
      [1000, 2],
      [9000, 1],
    ],
  };

  test('is told only what was asked for', () => {
    expect(runCommand(plain)).toBe('run port=8080 connections=64 seconds=3 path=/b/64');
    expect(runCommand({ ...plain, fresh: 32, paths: 10 })).toBe(
      'run port=8080 connections=64 seconds=3 path=/b/64 paths=10 fresh=32',
    );
    expect(runCommand({ ...plain, rate: 100, aside: '/a' })).toBe(
      'run port=8080 connections=64 seconds=3 path=/b/64 rate=100 aside=/a',
    );
  });

  test('is told where headers are, and whether requests are tagged', () => {
    expect(runCommand({ ...plain, headers: '/tmp/headers', tagged: true })).toBe(
      'run port=8080 connections=64 seconds=3 path=/b/64 headers=/tmp/headers tagged=1',
    );
  });

  test('the totals of several processes are added up, their latencies in one histogram', () => {
    const other: Totals = { ...totals, requests: 7, idle: 0.1, latency: [[1000, 7]] };
    expect(mergeTotals([totals, other])).toEqual({
      seconds: 3,
      requests: 10,
      p50Micros: 1,
      p99Micros: 9,
      busy: 0.7,
      errors: {
        ...{ refused: 2, connect: 0, broken: 4, status: 0 },
        ...{ timeout: 0, limited: 0, crossed: 0 },
      },
    });
  });

  test('connections are divided so that none is lost', () => {
    expect(shares(64, 3)).toEqual([22, 21, 21]);
    expect(shares(1, 1)).toEqual([1]);
  });
});

describe('bench/wires', () => {
  test('makes connections anew, and resumes sessions, when it is told to', () => {
    const fresh = { ...plain, fresh: 64, wire: 'http1s' } as const;
    const words = 'handshakes port=8080 connections=64 seconds=3 path=/b/64 wire=http1s';
    expect(wireCommand(fresh)).toBe(words);
    expect(wireCommand({ ...fresh, resumed: true })).toBe(`${words} resumed=1`);
  });

  test('asks at a rate on connections that stay', () => {
    expect(wireCommand({ ...plain, rate: 1000, wire: 'http2' })).toBe(
      'requests port=8080 connections=64 seconds=3 path=/b/64 wire=http2 rate=1000',
    );
  });
});
