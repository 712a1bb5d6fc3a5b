import { configDefaults, defineConfig } from 'vitest/config';

// The core is the bare host, maybe under a sanitizer: several times slower.
const onHost = Boolean(process.env['TIDEGATE_HOST']);
const patience = onHost ? 3 : 1;

// What has nothing to do with the core says nothing about a sanitized one.
const withoutCore = [
  'test/{admin,bench,builtin,docs,policy,workers}/**',
  'test/cli-run/**',
  'test/config/explainRun.test.ts',
];

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: [...configDefaults.exclude, ...(onHost ? withoutCore : [])],
    // Tests start real gateways on real sockets: a file is a process of its own, and few run at once.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 20_000 * patience,
    hookTimeout: 30_000 * patience,
    restoreMocks: true,
    unstubEnvs: true,
  },
});
