import { AsyncLocalStorage } from 'node:async_hooks';
import { existsSync, renameSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { Server, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { asyncLocalStorage as activities } from '@temporalio/activity';
import { WorkflowClient } from '@temporalio/client';
import { Client as Postgres } from 'pg';
import { AlipayGateway } from '../../activities/alipay/gateway';
import { Webhook } from '../../activities/webhook';
import { WORKFLOWS } from '../../workflows/messages';

// Imported before the application: from then on this process can be made to die right before or after any of its side
// effects. The first process to reach a step whose name is that of a file in CHAOS_FAILPOINTS/armed dies.

const folder = process.env['CHAOS_FAILPOINTS'];

/** Maps a step to the name of a file. */
const fileOf = (place: string, step: string): string => join(folder ?? '', place, encodeURIComponent(step));

const met = new Set<string>();

function pass(step: string): void {
  if (!met.has(step)) {
    met.add(step);
    writeFileSync(fileOf('met', step), '');
  }
  if (!existsSync(fileOf('armed', step))) return;
  try {
    renameSync(fileOf('armed', step), fileOf('killed', step));
  } catch {
    // Another process was faster.
    return;
  }
  process.kill(process.pid, 'SIGKILL');
  // Nothing more happens here until the signal arrives.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

const routes = new AsyncLocalStorage<string>();

/** What does it: an activity, or a route of the HTTP server. */
const doer = (): string => activities.getStore()?.info.activityType ?? routes.getStore() ?? 'beside';

async function around<T>(effect: string, act: () => Promise<T>): Promise<T> {
  const step = `${doer()}: ${effect}`;
  pass(`before ${step}`);
  const result = await act();
  pass(`after ${step}`);
  return result;
}

type Method = (this: unknown, ...args: never[]) => Promise<unknown>;

/** Makes steps of the moments before and after a method. */
function watch(prototype: object, name: string, effect: (...args: unknown[]) => string): void {
  const methods = prototype as Record<string, Method>;
  const original = methods[name];
  if (!original) throw new Error(`There is no method ${name} to watch`);
  methods[name] = function (...args) {
    return around(effect(...args), () => original.apply(this, args));
  };
}

const isWrite = (sql: string): boolean => /\bINSERT INTO\b|(?<!FOR )\bUPDATE\b|\bDELETE FROM\b/.test(sql);

interface Session {
  inTransaction?: boolean;
  wrote?: boolean;
}
type Query = (
  this: Session,
  config: { text: string } | string,
  values: unknown,
  callback: unknown,
) => unknown;

/** Rows count as written when their transaction commits; a statement outside a transaction is its own. */
function watchWrites(): void {
  const prototype = Postgres.prototype as unknown as { query: Query };
  const original = prototype.query;
  prototype.query = function (config, values, callback) {
    const sql = typeof config === 'string' ? config : config.text;
    if (/^\s*BEGIN/i.test(sql)) Object.assign(this, { inTransaction: true, wrote: false });
    if (isWrite(sql)) this.wrote = true;
    const isEnd = /^\s*COMMIT/i.test(sql);
    const commits = this.wrote === true && (isEnd || !this.inTransaction);
    if (isEnd || /^\s*ROLLBACK/i.test(sql)) this.inTransaction = false;
    if (!commits || doer() === 'beside') return original.call(this, config, values, callback);
    this.wrote = false;
    const step = `${doer()}: rows written`;
    pass(`before ${step}`);
    const after =
      (done: unknown) =>
      (...result: unknown[]): unknown => {
        if (!result[0]) pass(`after ${step}`);
        return (done as (...all: unknown[]) => unknown)(...result);
      };
    if (typeof values === 'function') return original.call(this, config, after(values), callback);
    if (typeof callback === 'function') return original.call(this, config, values, after(callback));
    return original.call(this, config, values, callback);
  };
}

function watchAnswers(): void {
  const server = Server.prototype as { emit: (name: string, ...args: unknown[]) => boolean };
  const { emit } = server;
  server.emit = function (name, ...args) {
    if (name !== 'request') return emit.call(this, name, ...args);
    const { method = '', url = '' } = args[0] as IncomingMessage;
    const path = url.replace(/^\/(orders|payments|refunds)\/[^/]+/, '/$1/:id');
    return routes.run(`${method} ${path}`, () => emit.call(this, name, ...args));
  };
  const response = ServerResponse.prototype as { end: (...args: unknown[]) => ServerResponse };
  const { end } = response;
  response.end = function (this: ServerResponse, ...args) {
    const step = `${routes.getStore() ?? 'beside'}: answered ${this.statusCode < 400 ? 'well' : 'an error'}`;
    if (!/^POST/.test(step)) return end.apply(this, args);
    pass(`before ${step}`);
    this.once('finish', () => pass(`after ${step}`));
    return end.apply(this, args);
  };
}

if (folder !== undefined) {
  watch(AlipayGateway.prototype, 'query', () => 'trade queried');
  watch(AlipayGateway.prototype, 'close', () => 'trade closed');
  watch(AlipayGateway.prototype, 'refund', () => 'refund sent');
  watch(AlipayGateway.prototype, 'refundQuery', () => 'refund queried');
  watch(Webhook.prototype, 'post', () => 'result posted');
  watch(WorkflowClient.prototype, 'signalWithStart', (type) =>
    type === WORKFLOWS.fulfillOrder ? 'order told' : 'payment woken',
  );
  watch(WorkflowClient.prototype, 'start', (type) => `${String(type)} started`);
  watchWrites();
  watchAnswers();
}
