import { randomUUID } from 'node:crypto';
import { afterAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Database } from '../../db/connect';
import { openDatabase, rows, transaction } from '../../db/connect';
import { registerOrder } from '../../db/ledger';
import { countRecoverable, readClock, recover, recoverStore } from '../../db/recovery';
import type { SeenStore } from '../../db/temporal-stores';
import { findCurrentStore, markRecovered, noteStore } from '../../db/temporal-stores';
import { freshDatabase } from '../support';

// What the rows say about Temporal's stores; with real servers: lost-store.test.ts.

const OURS = '2021000000000000/2088000000000000';
const THEIRS = '2021000000009999/2088000000009999';

let db: Database;
const opened: Database[] = [];
beforeEach(async () => {
  db = openDatabase({ url: await freshDatabase() });
  opened.push(db);
});
afterAll(() => Promise.all(opened.map((one) => one.destroy())));

const store = (more: Partial<SeenStore> = {}): SeenStore => ({
  namespaceId: randomUUID(),
  address: 'temporal:7233',
  namespace: 'default',
  merchants: [OURS],
  ...more,
});

const sql = <Row>(statement: string, bindings: Record<string, unknown> = {}): Promise<Row[]> =>
  rows<Row>(db, statement, bindings);

/** No store has been refreshed for this long. */
const passTime = (seconds: number) =>
  sql(`UPDATE temporal_stores SET seen_at = seen_at - :seconds * interval '1 second'`, { seconds });

const everything = () =>
  Promise.all(
    ['temporal_stores', 'merchants', 'payments', 'order_messages', 'payment_events'].map((table) =>
      sql(`SELECT * FROM ${table} ORDER BY 1`),
    ),
  );

describe('a worker that says which store it is connected to', () => {
  it('notes the first one of a fresh database, and refreshes it from then on', async () => {
    const first = store();
    expect(await noteStore(db, first)).toMatchObject({ kind: 'current', store: { takenOverAt: null } });
    await passTime(3);
    const before = await findCurrentStore(db);
    expect(await noteStore(db, first)).toMatchObject({ kind: 'current' });
    const after = await findCurrentStore(db);
    expect(after?.namespaceId).toBe(first.namespaceId);
    expect(Number(after?.seenAt) - Number(before?.seenAt)).toBeGreaterThanOrEqual(3_000);
  });

  it('follows a namespace that was renamed and a server that has moved: the id is the same, nothing is taken over', async () => {
    const first = store();
    await noteStore(db, first);
    await passTime(3_600);
    const moved = { ...first, address: 'elsewhere:7233', namespace: 'renamed', merchants: [THEIRS, OURS] };
    expect(await noteStore(db, moved)).toMatchObject({
      kind: 'current',
      store: {
        address: 'elsewhere:7233',
        namespace: 'renamed',
        merchants: [OURS, THEIRS],
        takenOverAt: null,
      },
    });
  });

  it('with other merchants is refused by name, and writes nothing', async () => {
    const first = store();
    await noteStore(db, first);
    await passTime(3_600);
    const before = await everything();
    const staging = store({ namespace: 'staging', merchants: [THEIRS] });
    await expect(noteStore(db, staging)).rejects.toMatchObject({
      code: 'FOREIGN_INSTALLATION',
      message: expect.stringMatching(
        new RegExp(
          `belongs to merchant ${OURS} .*${first.namespaceId}.*has ${THEIRS}.*namespace staging`,
          's',
        ),
      ),
    });
    expect(await everything()).toEqual(before);
  });

  it('with other merchants is refused too where only checkouts have been here before', async () => {
    const merchant = {
      name: 'default',
      appId: '2021000000000000',
      sellerId: '2088000000000000',
      gateway: 'https://a.example',
    };
    const tea = { subject: 'tea', totalAmount: '1.00', closeBy: 'sweep', ttlMs: 60_000 } as const;
    await registerOrder(db, { orderId: 'A', merchant, ...tea });
    await expect(noteStore(db, store({ merchants: [THEIRS] }))).rejects.toMatchObject({
      code: 'FOREIGN_INSTALLATION',
    });
    expect(await noteStore(db, store())).toMatchObject({ kind: 'current' });
  });

  it('with a new store waits for 20 s after the old one was seen, then takes over once, however many do', async () => {
    const old = store();
    await noteStore(db, old);
    await passTime(10);
    const fresh = store();
    expect(await noteStore(db, fresh)).toMatchObject({
      kind: 'contested',
      other: { namespaceId: old.namespaceId },
    });
    expect((await findCurrentStore(db))?.namespaceId).toBe(old.namespaceId);

    await passTime(11);
    const sightings = await Promise.all(Array.from({ length: 8 }, () => noteStore(db, fresh)));
    expect(sightings.map(({ kind }) => kind).sort()).toEqual([
      ...Array<string>(7).fill('current'),
      'taken-over',
    ]);
    expect(await findCurrentStore(db)).toMatchObject({
      namespaceId: fresh.namespaceId,
      takenOverAt: expect.any(Date),
      recoveredAt: null,
    });
    const events = await sql<{ detail: object }>(
      `SELECT detail FROM payment_events WHERE event = 'store-taken-over'`,
    );
    expect(events.map(({ detail }) => detail)).toEqual([
      { from: old.namespaceId, to: fresh.namespaceId, address: 'temporal:7233' },
    ]);
  });

  it('of two new stores at once lets one take over, and the other wait', async () => {
    await noteStore(db, store());
    await passTime(60);
    const sightings = await Promise.all([noteStore(db, store()), noteStore(db, store())]);
    expect(sightings.map(({ kind }) => kind).sort()).toEqual(['contested', 'taken-over']);
  });

  it('with the old store again, after the new one, takes over again', async () => {
    const [old, fresh] = [store(), store()];
    await noteStore(db, old);
    await passTime(60);
    await noteStore(db, fresh);
    await markRecovered(db, fresh.namespaceId);
    await passTime(60);
    expect(await noteStore(db, old)).toMatchObject({
      kind: 'taken-over',
      from: { namespaceId: fresh.namespaceId },
      store: { recoveredAt: null },
    });
  });
});

describe('what only the lost store knew', () => {
  /** One order, one payment, and, if it is settled, its message. */
  async function insert(
    id: string,
    status: string,
    { nextCheckIn, reviveIn, toldAgo }: { nextCheckIn?: string; reviveIn?: string; toldAgo?: string } = {},
  ): Promise<void> {
    await sql(
      `INSERT INTO orders (id, subject, total_amount, expires_at) VALUES (:id, 'tea', 1, now() + interval '1 day')`,
      { id },
    );
    await sql(
      `INSERT INTO payments (out_trade_no, order_id, total_amount, status, next_check_at, revive_at, updated_at)
       VALUES (:id, :id, 1, :status, now() + CAST(:nextCheckIn AS interval), now() + CAST(:reviveIn AS interval),
         now() - interval '1 minute')`,
      { id, status, nextCheckIn: nextCheckIn ?? null, reviveIn: reviveIn ?? null },
    );
    if (toldAgo === undefined) return;
    await sql(
      `INSERT INTO order_messages (id, order_id, out_trade_no, status, amount, told_at, told_by)
       VALUES ('PAID-' || :id, :id, :id, 'PAID', 1, now() - CAST(:toldAgo AS interval), 'signal')`,
      { id, toldAgo },
    );
  }

  const HOUR_AGO = (before: Date) => ({ since: new Date(before.getTime() - 3_600_000), before });

  it('is due again: planned checks, reviews and refunds, and the results of the time, at a pace, the newest first', async () => {
    await insert('planned', 'UNPAID', { nextCheckIn: '40 seconds' });
    await insert('due', 'UNPAID', { nextCheckIn: '-1 second' });
    await insert('overdue', 'UNPAID', { nextCheckIn: '-1 hour' });
    await insert('given_up', 'UNPAID');
    await insert('review', 'REVIEW', { reviveIn: '1 hour' });
    await insert('refunding', 'REFUNDING', { reviveIn: '10 minutes' });
    for (let i = 0; i < 120; i += 1) await insert(`paid${i}`, 'PAID', { toldAgo: `${10 * i} seconds` });
    await insert('long_ago', 'PAID', { toldAgo: '2 hours' });

    const window = HOUR_AGO(await readClock(db));
    const expected = { unwatched: 2, unattended: 2, undelivered: 120 };
    expect(await countRecoverable(db, window)).toEqual(expected);
    expect(await recover(db, window)).toEqual(expected);

    const due = await sql<{ id: string }>(
      `SELECT out_trade_no AS id FROM payments WHERE status = 'UNPAID' AND next_check_at <= now() - interval '2 minutes'
       ORDER BY 1`,
    );
    expect(due.map(({ id }) => id)).toEqual(['due', 'overdue', 'planned']);
    const attended = await sql<{ id: string }>(
      `SELECT out_trade_no AS id FROM payments WHERE revive_at <= now() ORDER BY 1`,
    );
    expect(attended.map(({ id }) => id)).toEqual(['refunding', 'review']);
    const [pace] = await sql<{ undelivered: number; seconds: number; others: number }>(
      `SELECT CAST(count(*) FILTER (WHERE told_at IS NULL) AS integer) AS undelivered,
         CAST(EXTRACT(EPOCH FROM max(retry_at) FILTER (WHERE told_at IS NULL)
           - min(retry_at) FILTER (WHERE told_at IS NULL)) AS float8) AS seconds,
         CAST(count(*) FILTER (WHERE told_at IS NOT NULL) AS integer) AS others FROM order_messages`,
    );
    expect(pace).toMatchObject({ undelivered: 120, others: 1 });
    // The oldest was told 1,190 s ago: it is told again after one minute plus a quarter of that.
    expect(pace?.seconds).toBeGreaterThan(350);
    expect(pace?.seconds).toBeLessThan(360);
    const [first] = await sql<{ id: string }>(
      `SELECT out_trade_no AS id FROM order_messages WHERE told_at IS NULL ORDER BY retry_at LIMIT 1`,
    );
    expect(first?.id).toBe('paid0');
  });

  it('is made due once: a repeat, also by several at once, finds nothing left', async () => {
    for (let i = 0; i < 30; i += 1) await insert(`open${i}`, 'UNPAID', { nextCheckIn: '30 seconds' });
    await insert('told', 'PAID', { toldAgo: '1 minute' });
    const window = HOUR_AGO(await readClock(db));
    const done = await Promise.all([recover(db, window), recover(db, window), recover(db, window)]);
    expect(done.reduce((sum, { unwatched }) => sum + unwatched, 0)).toBe(30);
    expect(done.reduce((sum, { undelivered }) => sum + undelivered, 0)).toBe(1);
    expect(await recover(db, window)).toEqual({ unwatched: 0, unattended: 0, undelivered: 0 });
  });

  it('is not called done while another worker, which may yet die, holds results of it', async () => {
    await insert('told', 'PAID', { toldAgo: '1 minute' });
    const { namespaceId } = store();
    await noteStore(db, store({ namespaceId }));
    const window = HOUR_AGO(await readClock(db));
    const recoveredAt = async () => (await findCurrentStore(db))?.recoveredAt;

    const dying = transaction(db, async (trx) => {
      await rows(trx, `SELECT id FROM order_messages FOR UPDATE`);
      expect(await recoverStore(db, namespaceId, window)).toMatchObject({ undelivered: 0 });
      throw new Error('it dies');
    });
    await expect(dying).rejects.toThrow('it dies');
    expect(await recoveredAt()).toBeNull();

    expect(await recoverStore(db, namespaceId, window)).toMatchObject({ undelivered: 1 });
    expect(await recoveredAt()).toEqual(expect.any(Date));
  });

  it('leaves alone what the present store knows already', async () => {
    const { since, before } = HOUR_AGO(await readClock(db));
    await insert('new', 'UNPAID', { nextCheckIn: '40 seconds' });
    await sql(`UPDATE payments SET updated_at = clock_timestamp()`);
    expect(await recover(db, { since, before })).toMatchObject({ unwatched: 0 });
  });
});
