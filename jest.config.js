// Tests are TypeScript stripped by swc; what they test is the built product in dist/ and build/.
export default {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '^.+\\.ts$': ['@swc/jest', { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' } }] },
  moduleNameMapper: { '^mnv2-torch$': '<rootDir>/dist/index.js' },
  testTimeout: 120_000,
};
