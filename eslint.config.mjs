import tseslint from 'typescript-eslint';
import prettier from 'eslint-config-prettier';

/** Nothing of these folders, types neither. */
const nothingOf = (...folders) => ({
  regex: `^(\\.\\./)+(${folders.join('|')})(/|$)`,
  message: 'Imports run one way, types too: client, worker -> activities -> db -> workflows/messages.',
});

const restricted = (folder, ...patterns) => ({
  files: [`${folder}/**/*.ts`],
  rules: { 'no-restricted-imports': ['error', { patterns }] },
});

const onlyDownwards = [
  restricted('workflows', nothingOf('activities', 'client', 'db', 'worker', 'sandbox', 'dev'), {
    group: ['node:*'],
    message: 'Workflow code runs without Node.',
  }),
  restricted('db', nothingOf('activities', 'client', 'worker', 'sandbox', 'dev'), {
    regex: '^(\\.\\./)+workflows(/(?!(messages|errors)$)|$)',
    message: 'Of the workflows, db knows messages and errors.',
  }),
  restricted('activities', nothingOf('client', 'worker', 'sandbox', 'dev')),
  restricted('worker', nothingOf('client', 'sandbox', 'dev')),
  restricted('client', nothingOf('sandbox', 'dev')),
  restricted('sandbox', nothingOf('workflows', 'activities', 'db', 'worker', 'client', 'dev', 'test'), {
    group: ['durable-alipay', 'durable-alipay/*', 'alipay-sdk', '@temporalio/*'],
    message: 'The sandbox is a package of its own, and knows nothing of durable-alipay.',
  }),
];

const TOP = ':matches(Program, ExportNamedDeclaration) > VariableDeclaration';

/** What a module can change, which all runs of a worker would share. A collection that never changes says so by its type. */
const stateOfModules = [
  `${TOP}[kind!="const"]`,
  `${TOP} > [id.typeAnnotation=undefined] > NewExpression[callee.name=/^(Weak)?(Map|Set)$/]`,
  `${TOP} > * > :matches(ArrayExpression[elements.length=0], ObjectExpression[properties.length=0])`,
  'PropertyDefinition[static=true]',
].map((selector) => ({
  selector,
  message: "A worker evaluates the workflows' modules once for all runs: keep state in the run.",
}));

export default tseslint.config(
  { ignores: ['**/dist/', 'coverage/', '.temporal/', '.cache/', '**/*.js', '**/*.mjs', '**/*.mts'] },
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
  ...onlyDownwards,
  {
    files: ['workflows/**'],
    rules: { 'no-restricted-syntax': ['error', ...stateOfModules] },
  },
  {
    files: ['workflows/**', 'activities/**', 'db/**', 'worker/**', 'client/**'],
    rules: {
      'no-console': 'error',
    },
  },
  // Where an example only prints, the shop awaits its database.
  { files: ['docs/examples/**'], rules: { '@typescript-eslint/require-await': 'off' } },
  prettier,
);
