import { defineConfig } from 'vitest/config';

// A core under a sanitizer is several times slower.
const patience = process.env['TIDEGATE_HOST'] ? 3 : 1;

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Tests start real gateways on real sockets: a file is a process of its own, and few run at once.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 20_000 * patience,
    hookTimeout: 30_000 * patience,
    restoreMocks: true,
    unstubEnvs: true,
  },
});
