import { randomBytes } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import type { Payload } from '@temporalio/common';
import { ApplicationFailure, defaultPayloadConverter } from '@temporalio/common';
import fc from 'fast-check';
import { failureConverter } from '../../workflows/failure-converter';
import { EncryptionCodec, keyIdOf } from '../../worker/payload-codec';
import { parsePayloadKeys } from '../../worker/payload-keys';

const A = `a:${randomBytes(32).toString('base64')}`;
const B = `b:${randomBytes(32).toString('base64')}`;

const codecBy = (keys: string) => new EncryptionCodec(parsePayloadKeys(keys));
const codec = codecBy(A);

const plain: Payload = defaultPayloadConverter.toPayload({ orderId: 'A-1001', totalAmount: '78.90' });

/** Its content, whatever kind of array holds the bytes. */
const contentOf = ({ metadata, data }: Payload) => ({
  metadata: Object.entries(metadata ?? {})
    .map(([name, value]) => [name, Buffer.from(value).toString('hex')])
    .sort(),
  data: Buffer.from(data ?? []).toString('hex'),
});

async function sealed(payload = plain, by = codec): Promise<Payload> {
  const [one] = await by.encode([payload]);
  if (!one) throw new Error('a payload was lost');
  return one;
}

const bytes = fc.uint8Array({ maxLength: 300 });
const payloads = fc.array(
  fc.record<Payload>(
    {
      metadata: fc.dictionary(fc.string({ minLength: 1, maxLength: 20 }), bytes, { maxKeys: 4 }),
      data: bytes,
    },
    { requiredKeys: [] },
  ),
  { maxLength: 5 },
);

describe('the codec of payloads', () => {
  it('gives back what it took, whatever it is, in its order', async () => {
    await fc.assert(
      fc.asyncProperty(payloads, async (given) => {
        const back = await codec.decode(await codec.encode(given));
        expect(back.map(contentOf)).toEqual(given.map(contentOf));
      }),
    );
  });

  it('leaves nothing to be read, metadata included', async () => {
    const { metadata, data } = await sealed();
    expect(Buffer.from(metadata?.['encoding'] ?? []).toString()).toBe('binary/encrypted');
    expect(Buffer.from(metadata?.['encryption-key-id'] ?? []).toString()).toBe('a');
    expect(Object.keys(metadata ?? {})).toHaveLength(2);
    for (const word of ['A-1001', '78.90', 'orderId', 'json/plain'])
      expect(Buffer.from(data ?? []).toString('latin1')).not.toContain(word);
  });

  it('never writes the same twice', async () => {
    const written = await Promise.all(Array.from({ length: 50 }, () => sealed()));
    const nonces = written.map(({ data }) => Buffer.from(data ?? []).toString('hex', 0, 12));
    expect(new Set(nonces).size).toBe(50);
  });

  it('refuses what was changed, at whatever byte, and what was cut short', async () => {
    const whole = Buffer.from((await sealed()).data ?? []);
    const changed = [...whole.keys()].map((at) => {
      const copy = Buffer.from(whole);
      copy.writeUInt8(copy.readUInt8(at) ^ 1, at);
      return copy;
    });
    const cut = [...whole.keys()].map((length) => whole.subarray(0, length));
    const { metadata } = await sealed();
    for (const data of [...changed, ...cut])
      await expect(codec.decode([{ metadata, data }])).rejects.toMatchObject({ code: 'PAYLOAD_UNREADABLE' });
  });

  it('refuses a payload that was given the name of another key', async () => {
    const secret = A.slice(2);
    const renamed = codecBy(`c:${secret}`);
    const one = await sealed();
    const metadata = { ...one.metadata, 'encryption-key-id': Buffer.from('c') };
    await expect(renamed.decode([{ ...one, metadata }])).rejects.toMatchObject({
      code: 'PAYLOAD_UNREADABLE',
    });
  });

  it('refuses what another key of that id wrote, and says where to look', async () => {
    const other = codecBy(`a:${B.slice(2)}`);
    await expect(other.decode([await sealed()])).rejects.toThrow(/another key under that id.*PAYLOAD_KEYS/);
  });

  it('passes through what is not encrypted, also beside what is', async () => {
    const mixed = await codec.decode([plain, await sealed(), { data: Buffer.from('bare') }]);
    expect(mixed.map(contentOf)).toEqual([plain, plain, { data: Buffer.from('bare') }].map(contentOf));
  });

  it('rotates: the first key writes, the older ones read', async () => {
    const rotated = codecBy(`${B},${A}`);
    expect(keyIdOf(await sealed(plain, rotated))).toBe('b');
    const [old] = await rotated.decode([await sealed()]);
    expect(contentOf(old ?? {})).toEqual(contentOf(plain));
  });

  it('names a key that it does not have, by code and by what to do', async () => {
    await expect(codecBy(B).decode([await sealed()])).rejects.toMatchObject({
      name: 'PAYLOAD_KEY_UNKNOWN',
      code: 'PAYLOAD_KEY_UNKNOWN',
      message: expect.stringMatching(
        /key "a", and PAYLOAD_KEYS holds only b\. Add that key .* after the first/,
      ),
    });
  });

  it('without any key writes in clear, and does not take what is encrypted for rubbish', async () => {
    const none = new EncryptionCodec([]);
    expect(await none.encode([plain])).toEqual([plain]);
    await expect(none.decode([await sealed()])).rejects.toThrow(/PAYLOAD_KEYS is not set\. Add that key/);
  });
});

describe('a failure where payloads are encrypted', () => {
  const written = (error: unknown) => failureConverter.errorToFailure(error, defaultPayloadConverter);

  it('keeps its message and its stack for the codec; its type is told in clear', () => {
    const failure = written(ApplicationFailure.create({ type: 'ORDER_PAID', message: 'order A-1 is paid' }));
    expect(failure.applicationFailureInfo?.type).toBe('ORDER_PAID');
    expect(JSON.stringify({ ...failure, encodedAttributes: null })).not.toContain('A-1');
    expect(failure.encodedAttributes).toBeTruthy();
  });

  it.each(['PAYLOAD_KEY_UNKNOWN', 'PAYLOAD_UNREADABLE'])(
    'is readable without a key where it is %s, by its type or its name',
    (code) => {
      const message = 'the key 3f21 is not here';
      for (const error of [
        Object.assign(new Error(message), { type: code }),
        Object.assign(new Error(message), { name: code }),
      ])
        expect(written(error)).toMatchObject({
          message,
          stackTrace: '',
          applicationFailureInfo: { type: code },
        });
    },
  );
});
