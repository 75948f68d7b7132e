import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // What needs an account of a service has a command of its own (`npm run test:snowflake-live`).
    include: process.env['SLUICE_LIVE'] === undefined ? ['src/**/*.test.ts', 'test/**/*.test.ts'] : [`test/live/${process.env['SLUICE_LIVE']}.live.ts`],
    globalSetup: ['test/global-setup.ts'],
    testTimeout: 180_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
    reporters: ['default', './scripts/closing-line.ts'],
  },
});
