// Tests are TypeScript, transpiled only (tsc checks them); what they test is the built product in dist/ and build/.
export default {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '^.+\\.ts$': ['ts-jest', { useESM: true, tsconfig: 'test/tsconfig.json', diagnostics: false }] },
  setupFiles: ['<rootDir>/test/support/setup.js'],
  moduleNameMapper: { '^mnv2-torch$': '<rootDir>/dist/index.js' },
  // Much of the time goes to compilers and child processes of one thread each.
  maxWorkers: 2,
  testTimeout: 120_000,
};
