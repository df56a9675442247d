import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/set-up.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // The built package runs as Node runs it for a user: natively, with its own worker threads.
    server: { deps: { external: [/\/dist\//] } },
  },
});
