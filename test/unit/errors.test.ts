import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import * as ts from 'typescript';
import { ERRORS } from '../../workflows/errors';

// Read from the sources themselves: the compiler knows the codes of PaymentError, but not the types of an
// ApplicationFailure, nor which codes are no longer used.

const ROOT = join(__dirname, '..', '..');
const ROOMS = ['workflows', 'activities', 'db', 'worker', 'client'];
const TABLE = join('workflows', 'errors.ts');

interface Found {
  code: string;
  /** Like `db/orders.ts:12`. */
  at: string;
}

/** Strings that look like a code, where an error may be made; and those that must be declared codes. */
const made: Found[] = [];
const mustBeDeclared: Found[] = [];

for (const room of ROOMS) {
  for (const name of readdirSync(join(ROOT, room), { recursive: true, encoding: 'utf8' })) {
    const file = join(room, name);
    if (file.endsWith('.ts') && file !== TABLE) read(file, readFileSync(join(ROOT, file), 'utf8'));
  }
}

function read(file: string, text: string): void {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const visit = (node: ts.Node): void => {
    if (ts.isStringLiteral(node) && /^[A-Z][A-Z_]*$/.test(node.text)) {
      const line = source.getLineAndCharacterOfPosition(node.getStart()).line + 1;
      const found = { code: node.text, at: `${file}:${line}` };
      if (!onlyAsks(node)) made.push(found);
      if (leavesUs(node)) mustBeDeclared.push(found);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
}

/** Whether a string is only compared with, listed, or part of a type. */
function onlyAsks({ parent }: ts.Node): boolean {
  if (ts.isBinaryExpression(parent)) {
    const { kind } = parent.operatorToken;
    return (
      kind === ts.SyntaxKind.EqualsEqualsEqualsToken || kind === ts.SyntaxKind.ExclamationEqualsEqualsToken
    );
  }
  return ts.isCaseClause(parent) || ts.isArrayLiteralExpression(parent) || ts.isLiteralTypeNode(parent);
}

/** Whether a string is an error or response code: `new PaymentError('X'`, `fail('X'`, `{type|code: 'X', message`. */
function leavesUs(node: ts.Node): boolean {
  const { parent } = node;
  if (ts.isConditionalExpression(parent)) return leavesUs(parent);
  if (ts.isNewExpression(parent) || ts.isCallExpression(parent)) {
    return parent.arguments?.[0] === node && /^(PaymentError|fail)$/.test(parent.expression.getText());
  }
  if (!ts.isPropertyAssignment(parent)) return false;
  const siblings = parent.parent.properties.map((one) => one.name?.getText());
  return siblings.includes('message') && /^(type|code)$/.test(parent.name.getText());
}

describe('the table of errors', () => {
  it('has every code that is thrown or answered', () => {
    expect(mustBeDeclared.length).toBeGreaterThan(20);
    expect(mustBeDeclared.filter(({ code }) => !Object.hasOwn(ERRORS, code))).toEqual([]);
  });

  it('has no code that nobody throws or answers', () => {
    const used = new Set(made.map(({ code }) => code));
    expect(Object.keys(ERRORS).filter((code) => !used.has(code))).toEqual([]);
  });
});
