import { goSnippets } from './go';
import { javaSnippets } from './java';
import { nodeSnippets } from './node';
import { phpSnippets } from './php';
import { pythonSnippets } from './python';

/** The values in a snippet. Keys are base64 without the PEM header. */
export interface SnippetFacts {
  gateway: string;
  url: string;
  appId: string;
  pkcs1: string;
  pkcs8: string;
  alipayKey: string;
}

/** A client's first payment: a page to pay on, and a query. */
export interface SnippetOf {
  id: string;
  language: string;
  client: string;
  /** The command that installs the client. */
  install: string;
  code: (facts: SnippetFacts) => string;
}

/** One for each client, the most used first. */
export const SNIPPETS: readonly SnippetOf[] = [
  ...nodeSnippets,
  ...javaSnippets,
  ...pythonSnippets,
  ...goSnippets,
  ...phpSnippets,
];
