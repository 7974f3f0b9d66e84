import tseslint from 'typescript-eslint';
import prettier from 'eslint-config-prettier';

export default tseslint.config(
  { ignores: ['dist/', 'coverage/', '.temporal/', '.cache/', '**/*.js', '**/*.mjs'] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      // A forgotten await in workflow code is a command that may never be sent, in a test a check that never fails.
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'separate-type-imports' }],
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // Rest siblings take a property out of a copy.
      '@typescript-eslint/no-unused-vars': ['error', { ignoreRestSiblings: true }],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
    },
  },
  {
    files: ['workflows/**/*.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              group: ['../activities/*', '../db/*', '../client/*', '../worker/*', '../sandbox/*'],
              allowTypeImports: true,
              message:
                'Workflows import types and messages only: anything else would be bundled into the sandbox.',
            },
            { group: ['node:*'], message: 'Workflow code runs without Node.' },
          ],
        },
      ],
    },
  },
  {
    files: ['workflows/**', 'activities/**', 'db/**', 'worker/**', 'client/**'],
    rules: {
      'no-console': 'error',
    },
  },
  prettier,
);
