type Duty = () => Promise<void>;
const KEY = Symbol.for('durable-alipay.test.at-end');

/** The list lives on the test file's global object, the one thing that file and environment share. */
export function duties(holder: object): Duty[] {
  const carrier = holder as Record<symbol, Duty[] | undefined>;
  return (carrier[KEY] ??= []);
}

/**
 * Does something after the file's last afterAll. A fixture cannot use afterAll itself: jest runs those in the order of
 * their definition, so the fixture's would come before the file has closed what it opened.
 */
export function atEnd(duty: Duty): void {
  duties(globalThis).push(duty);
}
