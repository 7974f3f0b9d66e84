import type { FastifyInstance, FastifyReply } from 'fastify';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ControlParts } from '../control';
import { FAULT_MODES } from '../faults';
import { FLAW_LABELS, FLAW_WORDS } from '../flaw-words';
import { FORGERIES } from '../forge';
import { isLanguage, keepLanguage, languageOf, type Language } from '../language';
import { escapeHtml } from '../wire';
import { Feed } from './feed';
import { CONSOLE_WORDS } from './words';

const HEADERS = {
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'content-security-policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    'img-src data:',
    "form-action 'none'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
} as const;

/** Serves the console: the page at `/`, what it loads, and its events. Its buttons call the control API. */
export function serveConsole(server: FastifyInstance, parts: ControlParts): void {
  const page = asset('console.html');
  const feed = new Feed(parts);
  server.addHook('preClose', (done) => {
    feed.close();
    done();
  });
  server.get<{ Querystring: { language?: string } }>('/', (request, reply) => {
    const asked = languageOf(request.headers);
    const language = isLanguage(request.query.language) ? request.query.language : asked;
    if (language !== asked) void reply.header('set-cookie', keepLanguage(language));
    return send(reply, 'text/html', render(page, language));
  });
  for (const [name, type] of [
    ['console.css', 'text/css'],
    ['console-lists.css', 'text/css'],
    ['console.js', 'text/javascript'],
    ['console-dom.js', 'text/javascript'],
    ['console-trades.js', 'text/javascript'],
    ['console-calls.js', 'text/javascript'],
  ] as const) {
    const content = asset(name);
    server.get(`/console/${name}`, (_request, reply) => send(reply, type, content));
  }
  server.get('/console/events', { exposeHeadRoute: false }, (_request, reply) => {
    reply.hijack();
    reply.raw.writeHead(200, { ...HEADERS, 'content-type': 'text/event-stream; charset=utf-8' });
    feed.open(reply.raw);
  });
}

function send(reply: FastifyReply, type: string, content: string): FastifyReply {
  return reply.headers(HEADERS).type(`${type}; charset=utf-8`).send(content);
}

// Next to the sources in a clone; next to dist in the package.
function asset(name: string): string {
  const path = [join(__dirname, '..', 'assets', name), join(__dirname, '..', '..', 'assets', name)].find(
    existsSync,
  );
  if (path === undefined)
    throw new Error(`SANDBOX_CONSOLE: assets/${name} is missing from this installation`);
  return readFileSync(path, 'utf8');
}

function render(page: string, language: Language): string {
  const words: Record<string, string> = CONSOLE_WORDS[language];
  const data = { ...words, flaws: FLAW_WORDS[language], ...FLAW_LABELS[language] };
  const options = (names: readonly string[]) =>
    names.map((name) => `<option>${escapeHtml(name)}</option>`).join('');
  const blocks: Record<string, string> = {
    language,
    modes: options(FAULT_MODES),
    forgeries: options(FORGERIES),
    // Inside a script element only `<` can end it.
    words: JSON.stringify(data).replaceAll('<', '\\u003c'),
  };
  return page.replace(/\{\{(\w+)\}\}/g, (_, name: string) => blocks[name] ?? escapeHtml(words[name] ?? name));
}
