// Imported before the application: in this process it is CHAOS_CLOCK_MS later than everywhere else.

const aheadMs = Number(process.env['CHAOS_CLOCK_MS'] ?? 0);
const now = Date.now.bind(Date);

if (aheadMs !== 0) {
  const shifted = (): number => now() + aheadMs;
  globalThis.Date = new Proxy(Date, {
    construct: (date, args, whose) =>
      Reflect.construct(date, args.length === 0 ? [shifted()] : args, whose) as Date,
    get: (date, key) => (key === 'now' ? shifted : (Reflect.get(date, key) as unknown)),
  });
}
